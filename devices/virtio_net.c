/* SPDX-License-Identifier: MIT */
/*
 * Network device (virtio 1.3 §5.1): an Ethernet interface with one pair of queues. What it can do
 * for the guest, and the guest for it, depends on the link behind it.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_net.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "devices/devices.h"
#include "devices/net_host.h"
#include "devices/net_mac.h"
#include "devices/net_passt.h"
#include "devices/net_stream.h"
#include "devices/net_tap.h"
#include "virtio/virtio.h"
#include "vmm/core/fail.h"
#include "vmm/core/platform.h"
#include "vmm/core/state.h"
#include "vmm/core/util.h"

#define FD_MAX 65535
#define FD_NONE (FD_MAX + 1)

/* As large as a frame of passt's can be: each costs as much as a small one. */
#define STREAM_MTU 65520
#define MTU_MIN 68 /* of IPv4 */

/* mac, status, max_virtqueue_pairs, mtu. */
#define CONFIG_LEN (offsetof(struct virtio_net_config, mtu) + sizeof(uint16_t))

struct virtio_net {
	struct device dev;
	struct virtio_device vdev;
	struct virtio_class class; /* with the features of this one */
	struct net_host host;
	struct platform *p;
	unsigned transport;
	struct passt passt;
	const char *behind; /* what the link is, for --explain */
	uint8_t config[CONFIG_LEN];
};

struct net_cfg {
	unsigned transport; /* enum virtio_transport */
	bool user, host_loopback;
	const char *tap, *mac;
	uint32_t fd, mtu;
	struct opt_list publish;
};

static const char *const fd_words[] = { "none", NULL };

static const struct opt net_opts[] = {
	VIRTIO_TRANSPORT_OPT(struct net_cfg, transport),
	{ "user", OPT_BOOL, offsetof(struct net_cfg, user), "off",
	  .help = "a network by passt, which needs no rights" },
	{ "publish", OPT_LIST, offsetof(struct net_cfg, publish),
	  .arg = "[tcp:|udp:][ADDRESS:]HOST:GUEST",
	  .help = "a port of the host that is one of the guest's, with user" },
	{ "host-loopback", OPT_BOOL, offsetof(struct net_cfg, host_loopback), "off",
	  .help = "the guest's gateway is the host itself, with what listens on 127.0.0.1 and "
		  "::1 there; with user" },
	{ "tap", OPT_STR, offsetof(struct net_cfg, tap), .arg = "NAME",
	  .help = "an interface of the host's" },
	{ "fd", OPT_U32, offsetof(struct net_cfg, fd), "none", 0, FD_MAX, fd_words,
	  .arg = "FD", .help = "a stream socket, which lunette has been started with, to a "
			       "program that speaks passt's protocol" },
	{ "mac", OPT_STR, offsetof(struct net_cfg, mac), .arg = "ADDRESS",
	  .help = "02:00:00:00:00:01 for instance; by default another one in each run" },
	{ "mtu", OPT_U32, offsetof(struct net_cfg, mtu), "0", 0, UINT16_MAX,
	  .help = "largest packet; 0: what the host's side takes" },
	{ 0 }
};

/* As a virtio device. */

static struct net_host *host_of(struct virtio_device *vdev)
{
	return &container_of(vdev, struct virtio_net, vdev)->host;
}

static void net_kick(struct virtio_device *vdev, unsigned q)
{
	net_host_kick(host_of(vdev), q);
}

static int net_queue_start(struct virtio_device *vdev, unsigned q, struct loop *loop)
{
	return net_host_start(host_of(vdev), q, loop);
}

static void net_queue_stop(struct virtio_device *vdev, unsigned q)
{
	net_host_stop(host_of(vdev), q);
}

static void put_status(struct virtio_net *net)
{
	le16_put(net->config + offsetof(struct virtio_net_config, status),
		 atomic_load(&net->host.down) ? 0 : VIRTIO_NET_S_LINK_UP);
}

/* The link goes down in the I/O thread, and only who has the lock may write config. */
static void net_config_reading(struct virtio_device *vdev)
{
	put_status(container_of(vdev, struct virtio_net, vdev));
}

/* The link is the host's. */
static void net_visit(struct virtio_device *vdev, struct state *s)
{
	net_mac_visit(vdev->config, s);
	state_same(s, le16_get(vdev->config + offsetof(struct virtio_net_config, mtu)));
}

static const struct virtio_class net_virtio = {
	.name = "network",
	.id = VIRTIO_ID_NET,
	.pci_class = 0x020000, /* Ethernet controller */
	.features = VIRTIO_BIT(VIRTIO_NET_F_MAC) | VIRTIO_BIT(VIRTIO_NET_F_STATUS) |
		    VIRTIO_BIT(VIRTIO_NET_F_MTU) | VIRTIO_BIT(VIRTIO_NET_F_MRG_RXBUF),
	.config_reading = net_config_reading,
	.kick = net_kick,
	.queue_start = net_queue_start,
	.queue_stop = net_queue_stop,
	.state = net_visit,
};

/* The link. */

static int check_choice(const char *id, const struct net_cfg *cfg)
{
	unsigned n = cfg->user + !!cfg->tap + (cfg->fd != FD_NONE);

	if (n != 1)
		log_err("%s: one of user, tap=NAME and fd=FD is wanted", id);
	else if (cfg->publish.count && !cfg->user)
		log_err("%s: publish=%s: needs user; the ports of a guest on tap=NAME or fd=FD "
			"are where it is", id, cfg->publish.item[0]);
	else if (cfg->host_loopback && !cfg->user)
		log_err("%s: host-loopback=on: needs user", id);
	else if (cfg->mtu && cfg->mtu < MTU_MIN)
		log_err("%s: mtu=%u: is less than %u", id, cfg->mtu, MTU_MIN);
	else
		return 0;
	return -EUSAGE;
}

static int check_fd(const char *id, int fd)
{
	int flags = fcntl(fd, F_GETFD), type = 0;
	socklen_t len = sizeof(type);

	/* Descriptors of lunette's own, which have the same kind of number, are closed on exec. */
	if (flags >= 0 && !(flags & FD_CLOEXEC) &&
	    getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_STREAM)
		return 0;
	log_err("%s: fd=%d: lunette was not given it, or it is no stream socket", id, fd);
	return -EBADF;
}

static struct net_link *open_stream(const char *id, int fd, net_refuse_fn *refuse)
{
	struct net_link *link = fd < 0 ? NULL : net_stream_create(fd, refuse);

	if (fd >= 0 && !link)
		log_err("%s: %s", id, strerror(errno));
	return link;
}

/* NULL after one line; errno tells. */
static struct net_link *open_link(struct virtio_net *net, const char *id,
				  const struct net_cfg *cfg, uint16_t *mtu)
{
	const struct passt_cfg passt = { &cfg->publish, cfg->host_loopback };
	bool keep_out = cfg->user && !cfg->host_loopback;
	int fd;

	*mtu = STREAM_MTU;
	if (cfg->tap) {
		net->behind = "an interface of the host's, by /dev/net/tun";
		return net_tap_open(id, cfg->tap, mtu);
	}
	if (cfg->user) {
		net->behind = "passt, at the other end of a socket pair";
		fd = passt_start(&net->passt, id, net->config, &passt);
	} else {
		net->behind = "a socket that was given";
		fd = check_fd(id, cfg->fd);
		fd = fd < 0 ? fd : fcntl(cfg->fd, F_DUPFD_CLOEXEC, 0);
	}
	errno = fd < 0 ? -fd : 0;
	return open_stream(id, fd, keep_out ? passt_is_loopback : NULL);
}

static void link_gone(void *arg, int err)
{
	struct virtio_net *net = arg;

	if (net->passt.pid && err == -EPIPE)
		passt_report(&net->passt, net->vdev.name);
	else
		log_err("%s: the host's side of its link: %s; the guest has no network any more",
			net->vdev.name, err == -EPIPE ? "has ended" : strerror(-err));
}

static int make_link(struct virtio_net *net, const char *id, const struct net_cfg *cfg)
{
	struct net_link *link;
	uint16_t mtu;

	link = open_link(net, id, cfg, &mtu);
	if (!link)
		return -errno;
	net->host.gone = link_gone;
	net->host.arg = net;
	net_host_init(&net->host, &net->vdev, link);
	net->class.features |= link->features;
	put_status(net);
	le16_put(net->config + offsetof(struct virtio_net_config, mtu), cfg->mtu ? cfg->mtu : mtu);
	return 0;
}

/* Making and taking down. */

static int net_ready(struct device *dev)
{
	struct virtio_net *net = container_of(dev, struct virtio_net, dev);
	struct virtio_spec spec = {
		.name = dev->id,
		.class = &net->class,
		.config = net->config,
		.config_len = CONFIG_LEN,
		.nvq = NET_QUEUES,
		.queue_size = NET_QUEUE_SIZE,
		.transport = net->transport,
	};

	return virtio_make(&net->vdev, net->p, &spec);
}

static int net_create(struct platform *p, struct device_list *list, const char *id,
		      const void *config, struct device **dev)
{
	const struct net_cfg *cfg = config;
	struct virtio_net *net = calloc(1, sizeof(*net));
	int r;

	(void)list;
	if (!net) {
		log_err("%s: out of memory", id);
		return -ENOMEM;
	}
	net->p = p;
	net->class = net_virtio;
	net->passt = PASST_NONE;
	net->transport = cfg->transport;
	r = check_choice(id, cfg);
	if (r == 0)
		r = net_mac_choose(id, cfg->mac, net->config);
	if (r == 0)
		r = make_link(net, id, cfg);
	if (r < 0) {
		passt_fini(&net->passt);
		free(net);
		return r;
	}
	*dev = &net->dev;
	return 0;
}

static void net_destroy(struct device *dev)
{
	struct virtio_net *net = container_of(dev, struct virtio_net, dev);
	struct net_host *h = &net->host;

	virtio_unmake(&net->vdev);
	log_info("%s: %llu frames sent and %llu lost, %llu received and %llu lost", dev->id,
		 (unsigned long long)h->sent, (unsigned long long)h->lost[NET_TX],
		 (unsigned long long)h->received, (unsigned long long)h->lost[NET_RX]);
	net_host_fini(h);
	passt_fini(&net->passt);
	free(net);
}

static struct virtio_device *net_vdev(struct device *dev)
{
	return &container_of(dev, struct virtio_net, dev)->vdev;
}

static void net_explain(const struct device *dev, FILE *out)
{
	const struct virtio_net *net = container_of(dev, struct virtio_net, dev);

	fprintf(out, "  transport: %s, %s\n", net->vdev.transport->name,
		net->vdev.transport->help);
	net_mac_explain(net->config, out);
	fprintf(out, "  link: %s\n", net->behind);
	fprintf(out, "  checksums and segments: %s\n", net->host.link->features ?
		"left to each other, where the guest's driver can" : "of each side's own");
}

const struct device_class virtio_net_class = {
	.name = "virtio-net",
	.help = "Ethernet interface",
	.opts = net_opts,
	.cfg_size = sizeof(struct net_cfg),
	.create = net_create,
	.ready = net_ready,
	.virtio_id = VIRTIO_ID_NET,
	.virtio = net_vdev,
	.destroy = net_destroy,
	.explain = net_explain,
};
