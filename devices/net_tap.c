/* SPDX-License-Identifier: MIT */
#include "devices/net_tap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "devices/net_link.h"
#include "virtio/virtio.h"
#include "vmm/core/fail.h"
#include "vmm/core/log.h"
#include "vmm/core/util.h"

/*
 * What the kernel may leave to the guest, and what the guest may leave to a kernel that knows it.
 * Segments need checksums.
 */
static const struct {
	unsigned offload;
	uint64_t guest, host;
} offloads[] = {
	{ TUN_F_CSUM, VIRTIO_BIT(VIRTIO_NET_F_GUEST_CSUM), VIRTIO_BIT(VIRTIO_NET_F_CSUM) },
	{ TUN_F_TSO4, VIRTIO_BIT(VIRTIO_NET_F_GUEST_TSO4), VIRTIO_BIT(VIRTIO_NET_F_HOST_TSO4) },
	{ TUN_F_TSO6, VIRTIO_BIT(VIRTIO_NET_F_GUEST_TSO6), VIRTIO_BIT(VIRTIO_NET_F_HOST_TSO6) },
	{ TUN_F_TSO_ECN, VIRTIO_BIT(VIRTIO_NET_F_GUEST_ECN), VIRTIO_BIT(VIRTIO_NET_F_HOST_ECN) },
	{ TUN_F_UFO, VIRTIO_BIT(VIRTIO_NET_F_GUEST_UFO), VIRTIO_BIT(VIRTIO_NET_F_HOST_UFO) },
};

static uint64_t probe_features(int fd)
{
	uint64_t features = 0;
	unsigned i, with;

	for (i = 0; i < ARRAY_SIZE(offloads); i++) {
		with = offloads[i].offload | TUN_F_CSUM;
		if (offloads[i].offload == TUN_F_TSO_ECN)
			with |= TUN_F_TSO4 | TUN_F_TSO6;
		if (ioctl(fd, TUNSETOFFLOAD, with) == 0)
			features |= offloads[i].guest | offloads[i].host;
	}
	return features;
}

/* A driver that has left out what the others need gets none. */
static int tap_set_features(struct net_link *link, uint64_t features)
{
	unsigned set = 0, i;

	if (!link->features)
		return 0;
	for (i = 0; i < ARRAY_SIZE(offloads); i++) {
		if (features & offloads[i].guest)
			set |= offloads[i].offload;
	}
	if (!(set & TUN_F_CSUM))
		set = 0;
	if (!(set & (TUN_F_TSO4 | TUN_F_TSO6)))
		set &= ~TUN_F_TSO_ECN;
	return ioctl(link->in, TUNSETOFFLOAD, set) < 0 ? -errno : 0;
}

/* A tap does not say before it is read. */
static ssize_t tap_next(struct net_link *link)
{
	(void)link;
	return NET_FRAME_MAX;
}

/* What is longer than the buffers is cut off: one byte behind them tells. */
static ssize_t tap_receive(struct net_link *link, uint8_t hdr[NET_HDR_LEN], struct iovcur to)
{
	struct iovec piece[NET_PIECES_MAX + 2];
	uint8_t behind;
	unsigned n = 1;
	ssize_t len;

	piece[0] = (struct iovec){ hdr, NET_HDR_LEN };
	n += iov_export(&to, piece + 1, NET_PIECES_MAX);
	piece[n++] = (struct iovec){ &behind, 1 };
	len = readv(link->in, piece, n);
	if (len < 0)
		return errno == EINTR ? -EAGAIN : -errno;
	if (len == 0)
		return -EPIPE;
	if (len <= NET_HDR_LEN || len - NET_HDR_LEN > (ssize_t)to.left)
		return -EMSGSIZE;
	return len - NET_HDR_LEN;
}

static void tap_forget(struct net_link *link)
{
	(void)link;
}

/* As on a wire, a frame for which there is no room is lost. */
static int tap_send(struct net_link *link, const uint8_t hdr[NET_HDR_LEN], struct iovcur frame)
{
	struct iovec piece[1 + NET_PIECES_MAX];
	unsigned n = 1 + iov_export(&frame, piece + 1, NET_PIECES_MAX);

	piece[0] = (struct iovec){ (void *)hdr, NET_HDR_LEN };
	return writev(link->out, piece, n) < 0 ? -errno : 0;
}

static int tap_flush(struct net_link *link)
{
	(void)link;
	return 0;
}

static void tap_destroy(struct net_link *link)
{
	close(link->in);
	close(link->out);
	free(link);
}

static const struct net_link_ops tap_ops = {
	.next = tap_next,
	.receive = tap_receive,
	.forget = tap_forget,
	.send = tap_send,
	.flush = tap_flush,
	.set_features = tap_set_features,
	.destroy = tap_destroy,
};

struct net_link *net_tap_create(int fd, uint64_t features)
{
	struct net_link *link = calloc(1, sizeof(*link));
	int out = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	if (!link || out < 0) {
		int err = link ? errno : ENOMEM;

		if (out >= 0)
			close(out);
		close(fd);
		free(link);
		errno = err;
		return NULL;
	}
	*link = (struct net_link){ .ops = &tap_ops, .in = fd, .out = out, .features = features };
	return link;
}

static const char *cure(int err)
{
	switch (err) {
	case EPERM:
		return "; as root: ip tuntap add NAME mode tap user YOU, or use --net user";
	case EBUSY:
		return "; another process has it";
	case EINVAL:
		return "; is it an interface of another kind?";
	default:
		return "";
	}
}

/* Attaches @fd to the interface, with headers as virtio has them. Returns what failed, or NULL. */
static const char *attach(int fd, const char *name)
{
	struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	int len = NET_HDR_LEN, little = 1;

	memcpy(ifr.ifr_name, name, strlen(name) + 1);
	if (ioctl(fd, TUNSETIFF, &ifr) < 0)
		return "TUNSETIFF";
	if (ioctl(fd, TUNSETVNETHDRSZ, &len) < 0)
		return "TUNSETVNETHDRSZ";
	return ioctl(fd, TUNSETVNETLE, &little) < 0 ? "TUNSETVNETLE" : NULL;
}

static uint16_t interface_mtu(const char *name)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq ifr = { .ifr_mtu = 1500 };

	memcpy(ifr.ifr_name, name, strlen(name) + 1);
	if (fd >= 0) {
		ioctl(fd, SIOCGIFMTU, &ifr);
		close(fd);
	}
	return min_u64(ifr.ifr_mtu, UINT16_MAX);
}

struct net_link *net_tap_open(const char *id, const char *name, uint16_t *mtu)
{
	struct net_link *link;
	const char *failed;
	int fd, err;

	if (!*name || strlen(name) >= IFNAMSIZ) {
		log_err("%s: tap=%s: 1 to %d characters are wanted", id, name, IFNAMSIZ - 1);
		errno = EUSAGE;
		return NULL;
	}
	if (!if_nametoindex(name)) { /* which root would make, for this run alone */
		log_err("%s: tap=%s: there is no such interface; as root: ip tuntap add %s mode "
			"tap user YOU, or use --net user", id, name, name);
		errno = ENODEV;
		return NULL;
	}
	fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0) {
		err = errno;
		log_err("%s: tap=%s: /dev/net/tun: %s%s", id, name, strerror(err),
			err == ENOENT || err == ENODEV ? "; as root: modprobe tun" : "");
		errno = err;
		return NULL;
	}
	failed = attach(fd, name);
	if (failed) {
		err = errno;
		log_err("%s: tap=%s: %s: %s%s", id, name, failed, strerror(err), cure(err));
		close(fd);
		errno = err;
		return NULL;
	}
	*mtu = interface_mtu(name);
	link = net_tap_create(fd, probe_features(fd));
	if (!link)
		log_err("%s: tap=%s: %s", id, name, strerror(errno));
	return link;
}
