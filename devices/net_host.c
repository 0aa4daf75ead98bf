/* SPDX-License-Identifier: MIT */
#include "devices/net_host.h"

#include <errno.h>
#include <linux/virtio_net.h>
#include <string.h>

#include "virtio/virtio.h"
#include "vmm/core/util.h"

#define STEPS 64 /* frames before it is another queue's turn */
/* A chain may have more pieces than descriptors; so many must be left when one is popped. */
#define CHAIN_PIECES_MAX (2 * NET_QUEUE_SIZE)

/* Where the fields of struct virtio_net_hdr_v1 are. */
#define HDR(field) offsetof(struct virtio_net_hdr_v1, field)

static bool has_feature(const struct net_host *h, unsigned bit)
{
	return h->vdev->accepted & VIRTIO_BIT(bit);
}

static void watch_set(struct net_host *h, struct net_watch *w, bool on)
{
	if (on && !w->on)
		loop_resume(h->loop, &w->src);
	else if (!on && w->on)
		loop_pause(h->loop, &w->src);
	w->on = on;
}

static void link_down(struct net_host *h, int err)
{
	if (atomic_exchange(&h->down, true))
		return;
	virtio_config_changed(h->vdev);
	if (h->gone)
		h->gone(h->arg, err);
}

static void frame_lost(struct net_host *h, unsigned q, const char *why)
{
	h->lost[q]++;
	log_guest(&h->vdev->limit, "%s: a frame is lost: %s", h->vdev->name, why);
}

/* Receiving. */

static bool rx_is_full(const struct net_host *h)
{
	if (!has_feature(h, VIRTIO_NET_F_MRG_RXBUF))
		return h->rx.nchains;
	return h->rx.nchains == NET_QUEUE_SIZE ||
	       h->rx.npieces + CHAIN_PIECES_MAX > NET_PIECES_MAX;
}

/* One more buffer. As vq_pop(). */
static int rx_take(struct net_host *h)
{
	struct iovec *to = h->rx.piece + h->rx.npieces;
	unsigned n = h->rx.nchains;
	struct vq_chain c;
	int r = vq_pop(&h->vdev->vq[NET_RX], &c, to, NET_PIECES_MAX - h->rx.npieces);

	if (r <= 0)
		return r;
	memmove(to, c.in, c.nin * sizeof(*to));
	h->rx.chain[n].head = c.head;
	h->rx.chain[n].pieces = c.nin;
	h->rx.chain[n].room = iov_cursor(to, c.nin).left;
	h->rx.room += h->rx.chain[n].room;
	h->rx.npieces += c.nin;
	h->rx.nchains++;
	return 1;
}

/*
 * Takes buffers for a frame of @len bytes. 1: what there is must do, as there is enough, or never
 * will be, or the link does not wait; 0: the driver has to give more; -EPROTO.
 */
static int rx_gather(struct net_host *h, size_t len)
{
	struct virtqueue *vq = &h->vdev->vq[NET_RX];
	int r;

	while (h->rx.room < NET_HDR_LEN + len && !rx_is_full(h)) {
		r = rx_take(h);
		if (r < 0)
			return r;
		if (r == 0 && !vq_rearm(vq))
			return h->rx.nchains && (!h->link->patient || vq->inflight == vq->s.size);
	}
	return 1;
}

/* The first @n buffers have gone back to the driver. */
static void rx_given(struct net_host *h, unsigned n)
{
	unsigned pieces = 0, i;

	for (i = 0; i < n; i++) {
		pieces += h->rx.chain[i].pieces;
		h->rx.room -= h->rx.chain[i].room;
	}
	h->rx.nchains -= n;
	h->rx.npieces -= pieces;
	memmove(h->rx.chain, h->rx.chain + n, h->rx.nchains * sizeof(h->rx.chain[0]));
	memmove(h->rx.piece, h->rx.piece + pieces, h->rx.npieces * sizeof(h->rx.piece[0]));
}

/* A frame of @len bytes is in the buffers, behind the place of its header. */
static void rx_deliver(struct net_host *h, uint8_t hdr[NET_HDR_LEN], size_t len)
{
	struct iovcur to = iov_cursor(h->rx.piece, h->rx.npieces);
	size_t left = NET_HDR_LEN + len;
	unsigned n;

	for (n = 0; left; n++) {
		size_t part = min_u64(h->rx.chain[n].room, left);

		vq_push(&h->vdev->vq[NET_RX], h->rx.chain[n].head, part);
		left -= part;
	}
	le16_put(hdr + HDR(num_buffers), n);
	iov_put(&to, hdr, NET_HDR_LEN);
	rx_given(h, n);
	h->received++;
}

/* One frame. 1: there may be another; -EAGAIN: none yet; 0: no buffer for it; -EPROTO. */
static int rx_step(struct net_host *h)
{
	const struct net_link_ops *ops = h->link->ops;
	uint8_t hdr[NET_HDR_LEN];
	struct iovcur to;
	ssize_t n = ops->next(h->link);
	int r;

	if (n > 0) {
		r = rx_gather(h, n);
		if (r <= 0)
			return r;
		to = iov_cursor(h->rx.piece, h->rx.npieces);
		iov_split(&to, NET_HDR_LEN);
		n = ops->receive(h->link, hdr, to);
	}
	if (n > 0)
		rx_deliver(h, hdr, n);
	else if (n == -EMSGSIZE)
		frame_lost(h, NET_RX, "the driver's buffers are too small for it");
	else if (n != -EAGAIN)
		link_down(h, n);
	return n > 0 || n == -EMSGSIZE ? 1 : -EAGAIN;
}

static void rx_ready(void *arg)
{
	struct net_host *h = arg;
	unsigned n = STEPS;
	int r;

	do
		r = virtio_is_broken(h->vdev) ? 0 : rx_step(h);
	while (r > 0 && --n);
	virtio_complete(h->vdev, NET_RX);
	if (r == -EPROTO)
		virtio_queue_fault(h->vdev, NET_RX);
	watch_set(h, &h->readable, (r > 0 || r == -EAGAIN) && !atomic_load(&h->down));
}

/* Sending. */

/* What the segments of a frame are, and the feature by which the driver may leave them to us. */
static const struct {
	uint8_t type, feature;
} segments[] = {
	{ VIRTIO_NET_HDR_GSO_TCPV4, VIRTIO_NET_F_HOST_TSO4 },
	{ VIRTIO_NET_HDR_GSO_TCPV6, VIRTIO_NET_F_HOST_TSO6 },
	{ VIRTIO_NET_HDR_GSO_UDP, VIRTIO_NET_F_HOST_UFO },
};

static bool segments_ok(const struct net_host *h, const uint8_t *hdr)
{
	uint8_t type = hdr[HDR(gso_type)] & ~VIRTIO_NET_HDR_GSO_ECN;
	bool ecn = hdr[HDR(gso_type)] & VIRTIO_NET_HDR_GSO_ECN;
	unsigned i;

	if (!(hdr[HDR(flags)] & VIRTIO_NET_HDR_F_NEEDS_CSUM) || !le16_get(hdr + HDR(gso_size)) ||
	    (ecn && !has_feature(h, VIRTIO_NET_F_HOST_ECN)))
		return false;
	for (i = 0; i < ARRAY_SIZE(segments); i++) {
		if (segments[i].type == type)
			return has_feature(h, segments[i].feature);
	}
	return false;
}

/*
 * Is the header right for a frame of @len bytes (§5.1.6.2.1)? What a device is to ignore is made
 * zero, so that no link relies on it.
 */
static bool header_ok(const struct net_host *h, uint8_t *hdr, size_t len)
{
	hdr[HDR(flags)] &= VIRTIO_NET_HDR_F_NEEDS_CSUM;
	le16_put(hdr + HDR(num_buffers), 0);
	le16_put(hdr + HDR(hdr_len), min_u64(le16_get(hdr + HDR(hdr_len)), len));
	if (!hdr[HDR(flags)])
		memset(hdr + HDR(csum_start), 0, 4);
	else if (!has_feature(h, VIRTIO_NET_F_CSUM) ||
		 le16_get(hdr + HDR(csum_start)) + le16_get(hdr + HDR(csum_offset)) + 2ul > len)
		return false;
	if (hdr[HDR(gso_type)])
		return segments_ok(h, hdr);
	le16_put(hdr + HDR(gso_size), 0);
	return true;
}

static void tx_frame(struct net_host *h, const struct vq_chain *c)
{
	struct iovcur frame = iov_cursor(c->out, c->nout);
	uint8_t hdr[NET_HDR_LEN];
	int r;

	if (!iov_pull(&frame, hdr, sizeof(hdr)) || frame.left < NET_ETH_LEN ||
	    frame.left > NET_FRAME_MAX) {
		frame_lost(h, NET_TX, "its length is wrong");
	} else if (!header_ok(h, hdr, frame.left)) {
		frame_lost(h, NET_TX, "its header is wrong");
	} else {
		r = atomic_load(&h->down) ? -ENETDOWN : h->link->ops->send(h->link, hdr, frame);
		h->sent += r == 0;
		h->lost[NET_TX] += r < 0;
		if (r == -EPIPE)
			link_down(h, r);
	}
}

/* One frame. 1: there may be another; 0: there is none; -EAGAIN: no room for it; -EPROTO. */
static int tx_step(struct net_host *h)
{
	struct virtqueue *vq = &h->vdev->vq[NET_TX];
	struct iovec piece[NET_PIECES_MAX];
	struct vq_chain c;
	int r = h->link->ops->flush(h->link);

	if (r < 0)
		return r;
	r = vq_pop(vq, &c, piece, NET_PIECES_MAX);
	if (r <= 0)
		return r;
	tx_frame(h, &c);
	vq_push(vq, c.head, 0);
	return 1;
}

static void tx_ready(void *arg)
{
	struct net_host *h = arg;
	struct virtqueue *vq = &h->vdev->vq[NET_TX];
	unsigned n = STEPS;
	int r;

	do
		r = virtio_is_broken(h->vdev) ? -EAGAIN : tx_step(h);
	while (r > 0 && --n);
	virtio_complete(h->vdev, NET_TX);
	watch_set(h, &h->writable, r == -EAGAIN && !virtio_is_broken(h->vdev));
	if (r == -EPROTO)
		virtio_queue_fault(h->vdev, NET_TX);
	else if (r > 0 || (r == 0 && vq_rearm(vq)))
		virtio_queue_again(h->vdev, NET_TX);
}

/* The queues. */

void net_host_kick(struct net_host *h, unsigned q)
{
	if (q == NET_TX)
		tx_ready(h);
	else
		watch_set(h, &h->readable, !atomic_load(&h->down));
}

int net_host_start(struct net_host *h, unsigned q, struct loop *loop)
{
	int r = q == NET_RX ? h->link->ops->set_features(h->link, h->vdev->accepted) : 0;

	h->loop = loop;
	if (r < 0)
		log_guest(&h->vdev->limit, "%s: the driver's features: %s", h->vdev->name,
			  strerror(-r));
	return r;
}

void net_host_stop(struct net_host *h, unsigned q)
{
	unsigned i;

	if (q == NET_TX) {
		watch_set(h, &h->writable, false);
		return;
	}
	watch_set(h, &h->readable, false);
	h->link->ops->forget(h->link);
	if (virtio_is_paused(h->vdev))
		vq_unpop(&h->vdev->vq[NET_RX], h->rx.nchains);
	for (i = 0; i < h->rx.nchains && !virtio_is_paused(h->vdev); i++)
		vq_push(&h->vdev->vq[NET_RX], h->rx.chain[i].head, 0);
	h->rx.nchains = h->rx.npieces = 0;
	h->rx.room = 0;
}

void net_host_init(struct net_host *h, struct virtio_device *vdev, struct net_link *link)
{
	h->vdev = vdev;
	h->link = link;
	h->readable.src = (struct loop_source){ .fd = link->in, .fn = rx_ready, .arg = h };
	h->writable.src = (struct loop_source){ .fd = link->out, .fn = tx_ready, .arg = h,
						.write = true };
}

void net_host_fini(struct net_host *h)
{
	h->link->ops->destroy(h->link);
}
