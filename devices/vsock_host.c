/* SPDX-License-Identifier: MIT */
#include "devices/vsock_host.h"

#include <errno.h>
#include <linux/virtio_vsock.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "virtio/virtio.h"
#include "vmm/core/util.h"

#define STEPS 64             /* packets before it is another's turn */
#define FIRST_PORT (1u << 30) /* of those that are given to who connects to the guest */
#define HDR_LEN sizeof(struct virtio_vsock_hdr)
#define HDR(field) offsetof(struct virtio_vsock_hdr, field)
#define SHUT_BOTH (VIRTIO_VSOCK_SHUTDOWN_RCV | VIRTIO_VSOCK_SHUTDOWN_SEND)

/* What the guest has sent: all that is looked at, and its data. */
struct packet {
	uint64_t src_cid, dst_cid;
	uint32_t src_port, dst_port, len, flags, buf_alloc, fwd_cnt;
	uint16_t type, op;
	struct iovcur data;
};

/* Connections. */

static struct vsock_list *hash_of(struct vsock_host *h, uint32_t host_port, uint32_t guest_port)
{
	return &h->hash[((host_port * 0x9e3779b1u ^ guest_port) * 0x85ebca6bu) >> 22];
}

static struct vsock_conn *find(struct vsock_host *h, uint32_t host_port, uint32_t guest_port)
{
	struct vsock_conn *c;

	LIST_FOREACH(c, hash_of(h, host_port, guest_port), same_hash) {
		if (c->host_port == host_port && c->guest_port == guest_port)
			return c;
	}
	return NULL;
}

static void rest(struct vsock_host *h, struct vsock_conn *c)
{
	if (c->is_ready)
		TAILQ_REMOVE(&h->ready, c, ready);
	c->is_ready = false;
}

/* The guest's ports may be used again. */
static void unknow(struct vsock_conn *c)
{
	if (c->is_known)
		LIST_REMOVE(c, same_hash);
	c->is_known = false;
}

static void forget(struct vsock_host *h, struct vsock_conn *c)
{
	rest(h, c);
	unknow(c);
	LIST_REMOVE(c, all);
	vsock_conn_free(c);
	h->count--;
	vsock_unix_again(&h->unix_side);
}

static void owe(struct vsock_host *h, struct vsock_conn *c, unsigned what)
{
	c->owed |= what;
	if (!c->is_ready)
		TAILQ_INSERT_TAIL(&h->ready, c, ready);
	c->is_ready = true;
	if (h->rx_started)
		loop_defer(h->loop, &h->pump);
}

/* Both sides lose it. */
static void break_off(struct vsock_host *h, struct vsock_conn *c)
{
	vsock_conn_watch(c, false);
	shutdown(c->fd, SHUT_RDWR);
	c->received = c->forwarded; /* nothing is kept */
	vsock_conn_flush(c);
	c->state = VSOCK_OVER;
	c->owed = 0;
	owe(h, c, VSOCK_OWED_RST);
}

/* Something has been written, or nothing was to be. */
static void settle(struct vsock_host *h, struct vsock_conn *c)
{
	if (vsock_conn_kept(c) == 0 && c->state == VSOCK_LEFT) {
		forget(h, c);
		return;
	}
	if (c->state != VSOCK_OPEN)
		return;
	if (vsock_conn_owes_credit(c))
		owe(h, c, VSOCK_OWED_CREDIT);
	if (vsock_conn_kept(c) || !c->shut_by_guest)
		return;
	vsock_conn_shut(c, c->shut_by_guest);
	if (c->shut_by_guest == SHUT_BOTH)
		break_off(h, c);
}

static void readable(void *conn)
{
	struct vsock_conn *c = conn;

	vsock_conn_watch(c, false);
	owe(c->owner, c, VSOCK_OWED_DATA);
}

static void writable(void *conn)
{
	struct vsock_conn *c = conn;
	struct vsock_host *h = c->owner;

	if (vsock_conn_flush(c) == 0)
		settle(h, c);
	else if (c->state == VSOCK_LEFT)
		forget(h, c);
	else
		break_off(h, c);
}

/* NULL: there are too many, or no memory. */
static struct vsock_conn *conn_new(struct vsock_host *h, int fd, uint32_t host_port,
				   uint32_t guest_port)
{
	struct vsock_conn *c;

	if (h->count == h->max) {
		close(fd);
		return NULL;
	}
	c = vsock_conn_new(h->loop, fd, readable, writable);
	if (!c)
		return NULL;
	c->owner = h;
	c->host_port = host_port;
	c->guest_port = guest_port;
	c->is_known = true;
	LIST_INSERT_HEAD(hash_of(h, host_port, guest_port), c, same_hash);
	LIST_INSERT_HEAD(&h->all, c, all);
	h->count++;
	return c;
}

/* A program of the host's wants to speak to the guest. */
static void call_guest(void *arg, int fd, uint32_t guest_port)
{
	struct vsock_host *h = arg;
	struct vsock_conn *c;

	do
		h->next_port = h->next_port < 2 * FIRST_PORT - 1 ? h->next_port + 1 : FIRST_PORT;
	while (find(h, h->next_port, guest_port));
	c = conn_new(h, fd, h->next_port, guest_port);
	if (c)
		owe(h, c, VSOCK_OWED_REQUEST);
}

/* What the guest sends. */

static void refuse(struct vsock_host *h, const struct packet *p)
{
	if (p->op == VIRTIO_VSOCK_OP_RST)
		return;
	h->refusal[(h->first_refusal + h->refusals++) % VSOCK_REFUSALS_MAX] =
		(struct vsock_answer){ .cid = p->dst_cid, .host_port = p->dst_port,
				       .guest_port = p->src_port, .type = p->type,
				       .op = VIRTIO_VSOCK_OP_RST };
	if (h->rx_started)
		loop_defer(h->loop, &h->pump);
}

static void call_host(struct vsock_host *h, const struct packet *p)
{
	int fd = h->count < h->max ? vsock_unix_dial(&h->unix_side, p->dst_port) : -ENOSPC;
	struct vsock_conn *c = fd < 0 ? NULL : conn_new(h, fd, p->dst_port, p->src_port);

	if (!c) {
		refuse(h, p);
		return;
	}
	c->state = VSOCK_OPEN;
	c->peer_alloc = p->buf_alloc;
	c->peer_forwarded = p->fwd_cnt;
	owe(h, c, VSOCK_OWED_RESPONSE | VSOCK_OWED_DATA);
}

/* Each of these may end with the connection gone. */

static void take_wrong(struct vsock_host *h, struct vsock_conn *c, struct packet *p)
{
	(void)p;
	break_off(h, c);
}

static void take_response(struct vsock_host *h, struct vsock_conn *c, struct packet *p)
{
	char line[32];
	int len = snprintf(line, sizeof(line), "OK %u\n", c->host_port);

	if (c->state != VSOCK_ASKED ||
	    send(c->fd, line, (size_t)len, MSG_DONTWAIT | MSG_NOSIGNAL) != len) {
		take_wrong(h, c, p);
		return;
	}
	c->state = VSOCK_OPEN;
	owe(h, c, VSOCK_OWED_DATA);
}

/* What it has sent before that is still written, if it had said that this was all. */
static void take_rst(struct vsock_host *h, struct vsock_conn *c, struct packet *p)
{
	(void)p;
	if (c->state != VSOCK_OPEN || !vsock_conn_kept(c) ||
	    !(c->shut_by_guest & VIRTIO_VSOCK_SHUTDOWN_SEND)) {
		forget(h, c);
		return;
	}
	vsock_conn_watch(c, false);
	rest(h, c);
	unknow(c);
	c->owed = 0;
	c->state = VSOCK_LEFT;
}

static void take_shutdown(struct vsock_host *h, struct vsock_conn *c, struct packet *p)
{
	if (c->state != VSOCK_OPEN) {
		take_wrong(h, c, p);
		return;
	}
	c->shut_by_guest |= p->flags & SHUT_BOTH;
	if (c->shut_by_guest & VIRTIO_VSOCK_SHUTDOWN_RCV) {
		vsock_conn_watch(c, false);
		c->ended = true;
		c->owed &= ~VSOCK_OWED_DATA;
	}
	settle(h, c);
}

static void take_data(struct vsock_host *h, struct vsock_conn *c, struct packet *p)
{
	if (c->state == VSOCK_OPEN && !(c->shut_by_guest & VIRTIO_VSOCK_SHUTDOWN_SEND) &&
	    p->len <= p->data.left && vsock_conn_give(c, iov_split(&p->data, p->len)) == 0)
		settle(h, c);
	else
		take_wrong(h, c, p);
}

static void take_credit(struct vsock_host *h, struct vsock_conn *c, struct packet *p)
{
	if (c->state != VSOCK_OPEN)
		take_wrong(h, c, p);
	else if (p->op == VIRTIO_VSOCK_OP_CREDIT_REQUEST)
		owe(h, c, VSOCK_OWED_CREDIT);
}

static void (*const takers[])(struct vsock_host *h, struct vsock_conn *c, struct packet *p) = {
	[VIRTIO_VSOCK_OP_INVALID] = take_wrong,
	[VIRTIO_VSOCK_OP_REQUEST] = take_wrong,
	[VIRTIO_VSOCK_OP_RESPONSE] = take_response,
	[VIRTIO_VSOCK_OP_RST] = take_rst,
	[VIRTIO_VSOCK_OP_SHUTDOWN] = take_shutdown,
	[VIRTIO_VSOCK_OP_RW] = take_data,
	[VIRTIO_VSOCK_OP_CREDIT_UPDATE] = take_credit,
	[VIRTIO_VSOCK_OP_CREDIT_REQUEST] = take_credit,
};

static void take_known(struct vsock_host *h, struct vsock_conn *c, struct packet *p)
{
	if (c->state == VSOCK_OVER && p->op != VIRTIO_VSOCK_OP_RST)
		return; /* it has not heard yet */
	c->peer_alloc = p->buf_alloc;
	c->peer_forwarded = p->fwd_cnt;
	/* Where there was no credit, nothing is looked for. */
	if (c->state == VSOCK_OPEN && !c->reads && !c->ended && vsock_conn_credit(c))
		owe(h, c, VSOCK_OWED_DATA);
	if (p->op < ARRAY_SIZE(takers))
		takers[p->op](h, c, p);
	else
		take_wrong(h, c, p);
}

static bool parse(struct packet *p, const struct vq_chain *chain)
{
	uint8_t raw[HDR_LEN];

	p->data = iov_cursor(chain->out, chain->nout);
	if (!iov_pull(&p->data, raw, sizeof(raw)))
		return false;
	p->src_cid = le64_get(raw + HDR(src_cid));
	p->dst_cid = le64_get(raw + HDR(dst_cid));
	p->src_port = le32_get(raw + HDR(src_port));
	p->dst_port = le32_get(raw + HDR(dst_port));
	p->len = le32_get(raw + HDR(len));
	p->type = le16_get(raw + HDR(type));
	p->op = le16_get(raw + HDR(op));
	p->flags = le32_get(raw + HDR(flags));
	p->buf_alloc = le32_get(raw + HDR(buf_alloc));
	p->fwd_cnt = le32_get(raw + HDR(fwd_cnt));
	return true;
}

/* Who says that he is another is not answered, as the answer would be for that one. */
static void take(struct vsock_host *h, struct packet *p)
{
	struct vsock_conn *c;

	if (p->src_cid != h->guest_cid)
		return;
	if (p->type != VIRTIO_VSOCK_TYPE_STREAM || p->dst_cid != VSOCK_HOST_CID) {
		refuse(h, p);
		return;
	}
	c = find(h, p->dst_port, p->src_port);
	if (c)
		take_known(h, c, p);
	else if (p->op == VIRTIO_VSOCK_OP_REQUEST)
		call_host(h, p);
	else
		refuse(h, p);
}

/* 1: there may be more; 0: nothing more can be done; -EPROTO. */
static int tx_step(struct vsock_host *h)
{
	struct virtqueue *vq = &h->vdev->vq[VSOCK_TX];
	struct iovec piece[VSOCK_PIECES_MAX];
	struct vq_chain chain;
	struct packet p;
	int r;

	h->tx_waits = h->refusals == VSOCK_REFUSALS_MAX;
	if (h->tx_waits)
		return 0;
	r = vq_pop(vq, &chain, piece, VSOCK_PIECES_MAX);
	if (r <= 0)
		return r;
	if (!parse(&p, &chain)) {
		virtio_refuse(h->vdev, VSOCK_TX, chain.head);
		return 0;
	}
	take(h, &p);
	vq_push(vq, chain.head, 0);
	return 1;
}

static void tx_kick(struct vsock_host *h)
{
	unsigned n = STEPS;
	int r;

	do
		r = tx_step(h);
	while (r > 0 && --n);
	virtio_complete(h->vdev, VSOCK_TX);
	if (r < 0)
		virtio_queue_fault(h->vdev, VSOCK_TX);
	else if (r > 0 || (!h->tx_waits && !virtio_is_broken(h->vdev) &&
			   vq_rearm(&h->vdev->vq[VSOCK_TX])))
		virtio_queue_again(h->vdev, VSOCK_TX);
}

/* What the guest is sent. */

static void put_header(const struct vsock_host *h, struct iovcur *to, const struct vsock_answer *a)
{
	uint8_t raw[HDR_LEN] = { 0 };

	le64_put(raw + HDR(src_cid), a->cid);
	le64_put(raw + HDR(dst_cid), h->guest_cid);
	le32_put(raw + HDR(src_port), a->host_port);
	le32_put(raw + HDR(dst_port), a->guest_port);
	le32_put(raw + HDR(len), a->len);
	le16_put(raw + HDR(type), a->type);
	le16_put(raw + HDR(op), a->op);
	le32_put(raw + HDR(flags), a->flags);
	le32_put(raw + HDR(buf_alloc), VSOCK_BUFFER);
	le32_put(raw + HDR(fwd_cnt), a->forwarded);
	iov_put(to, raw, sizeof(raw));
}

static uint32_t send_refusal(struct vsock_host *h, struct iovcur to)
{
	put_header(h, &to, &h->refusal[h->first_refusal]);
	h->first_refusal = (h->first_refusal + 1) % VSOCK_REFUSALS_MAX;
	h->refusals--;
	if (h->tx_waits)
		virtio_queue_again(h->vdev, VSOCK_TX);
	return HDR_LEN;
}

/* Bytes; everything that is sent tells the guest how much it may send. */
static uint32_t send_packet(struct vsock_host *h, struct vsock_conn *c, struct iovcur to,
			    uint16_t op, uint32_t len)
{
	c->told = c->forwarded;
	put_header(h, &to, &(struct vsock_answer){
		.cid = VSOCK_HOST_CID, .host_port = c->host_port, .guest_port = c->guest_port,
		.type = VIRTIO_VSOCK_TYPE_STREAM, .op = op, .len = len, .forwarded = c->told,
		.flags = op == VIRTIO_VSOCK_OP_SHUTDOWN ? c->shut_told : 0 });
	return HDR_LEN + len;
}

/* There is nothing to read, for now, or for good. */
static void no_data(struct vsock_host *h, struct vsock_conn *c, ssize_t n)
{
	c->owed &= ~VSOCK_OWED_DATA;
	if (n == -EAGAIN && vsock_conn_watch(c, true) == 0)
		return;
	if (n < 0) {
		break_off(h, c);
		return;
	}
	c->ended = true;
	c->shut_told = VIRTIO_VSOCK_SHUTDOWN_SEND;
	if (vsock_conn_is_left(c))
		c->shut_told |= VIRTIO_VSOCK_SHUTDOWN_RCV;
	c->owed |= VSOCK_OWED_SHUTDOWN;
}

/* As much as the guest has room for, in this buffer and at all. 0: nothing. */
static uint32_t send_data(struct vsock_host *h, struct vsock_conn *c, struct iovcur to)
{
	struct iovcur head = to;
	ssize_t n;

	if (!vsock_conn_credit(c)) {
		c->owed = (c->owed & ~VSOCK_OWED_DATA) | VSOCK_OWED_ASK;
		return 0;
	}
	iov_split(&to, HDR_LEN);
	n = vsock_conn_read(c, to);
	if (n > 0)
		return send_packet(h, c, head, VIRTIO_VSOCK_OP_RW, (uint32_t)n);
	no_data(h, c, n);
	return 0;
}

static const uint8_t ops_owed[] = { /* in the order of enum vsock_owed */
	VIRTIO_VSOCK_OP_RST, VIRTIO_VSOCK_OP_REQUEST, VIRTIO_VSOCK_OP_RESPONSE, VIRTIO_VSOCK_OP_RW,
	VIRTIO_VSOCK_OP_SHUTDOWN, VIRTIO_VSOCK_OP_CREDIT_UPDATE, VIRTIO_VSOCK_OP_CREDIT_REQUEST,
};

/* The first that it owes, of some. 0: that has come to nothing. */
static uint32_t send_owed(struct vsock_host *h, struct vsock_conn *c, struct iovcur to)
{
	unsigned bit = (unsigned)__builtin_ctz(c->owed);
	uint32_t n;

	if (1u << bit == VSOCK_OWED_DATA) {
		n = send_data(h, c, to);
	} else {
		c->owed &= ~(1u << bit);
		n = send_packet(h, c, to, ops_owed[bit], 0);
	}
	if (1u << bit == VSOCK_OWED_RST)
		forget(h, c);
	else if (c->owed)
		owe(h, c, 0); /* it is another's turn before */
	return n;
}

/* 0: nobody owes anything. */
static uint32_t send_next(struct vsock_host *h, struct iovcur to)
{
	struct vsock_conn *c;
	uint32_t n = h->refusals ? send_refusal(h, to) : 0;

	while (!n && (c = TAILQ_FIRST(&h->ready))) {
		rest(h, c);
		n = c->owed ? send_owed(h, c, to) : 0; /* it may have ended since */
	}
	return n;
}

/* As tx_step(). */
static int rx_step(struct vsock_host *h)
{
	struct virtqueue *vq = &h->vdev->vq[VSOCK_RX];
	struct iovec piece[VSOCK_PIECES_MAX];
	struct vq_chain chain;
	struct iovcur to;
	uint32_t n;
	int r;

	if (!h->refusals && TAILQ_EMPTY(&h->ready))
		return 0;
	r = vq_pop(vq, &chain, piece, VSOCK_PIECES_MAX);
	if (r == 0)
		return vq_rearm(vq);
	if (r < 0)
		return r;
	to = iov_cursor(chain.in, chain.nin);
	if (to.left <= HDR_LEN) {
		virtio_refuse(h->vdev, VSOCK_RX, chain.head);
		return 0;
	}
	n = send_next(h, to);
	if (n)
		vq_push(vq, chain.head, n);
	else
		vq_unpop(vq, 1);
	return 1;
}

static void pump(void *arg)
{
	struct vsock_host *h = arg;
	unsigned n = STEPS;
	int r;

	if (!h->rx_started || virtio_is_broken(h->vdev))
		return;
	do
		r = rx_step(h);
	while (r > 0 && --n);
	virtio_complete(h->vdev, VSOCK_RX);
	if (r < 0)
		virtio_queue_fault(h->vdev, VSOCK_RX);
	else if (r > 0)
		loop_defer(h->loop, &h->pump);
}

/* The queues. */

void vsock_host_kick(struct vsock_host *h, unsigned q)
{
	if (q == VSOCK_RX)
		pump(h);
	else
		tx_kick(h);
}

int vsock_host_start(struct vsock_host *h, unsigned q)
{
	if (q != VSOCK_RX)
		return 0;
	h->rx_started = true;
	vsock_unix_start(&h->unix_side, h->loop);
	loop_defer(h->loop, &h->pump);
	return 0;
}

void vsock_host_stop(struct vsock_host *h, unsigned q)
{
	if (q != VSOCK_RX)
		return;
	h->rx_started = false;
	loop_cancel(h->loop, &h->pump);
	vsock_unix_stop(&h->unix_side);
}

static int forget_all(void *arg)
{
	struct vsock_host *h = arg;

	while (!LIST_EMPTY(&h->all))
		forget(h, LIST_FIRST(&h->all));
	h->refusals = 0;
	h->tx_waits = false;
	return 0;
}

void vsock_host_reset(struct vsock_host *h)
{
	loop_call(h->loop, forget_all, h);
}

uint64_t vsock_host_memory(unsigned max)
{
	return (uint64_t)max * (VSOCK_BUFFER + sizeof(struct vsock_conn));
}

int vsock_host_open(struct vsock_host *h, const char *id, const char *path)
{
	TAILQ_INIT(&h->ready);
	h->pump = (struct loop_task){ .fn = pump, .arg = h };
	h->next_port = FIRST_PORT - 1;
	h->unix_side.connect = call_guest;
	h->unix_side.arg = h;
	return vsock_unix_open(&h->unix_side, id, path);
}

void vsock_host_close(struct vsock_host *h)
{
	vsock_host_reset(h);
	vsock_unix_close(&h->unix_side);
}
