/* SPDX-License-Identifier: MIT */
/*
 * nbd_chan.c - the channel of an NBD server's store: requests go out in the order of their
 * submission, replies come in any.
 *
 * Neither way waits: what the socket does not take is sent when it is writable. The bytes of a read
 * are received where they belong, and with them, by the same call, the head of the next reply.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "devices/block/nbd.h"
#include "vmm/core/iov.h"
#include "vmm/core/loop.h"
#include "vmm/core/util.h"

#define OPS 128             /* in the server's hands at a time; a power of two */
#define DATA_MAX MIB(32)    /* bytes of one read or write; servers need take no more */
#define RANGE_MAX GIB(1)    /* of one that has no data */
#define PIECES 64           /* of memory in one call */
#define FIRST 32            /* heads that are sent together */

/* A request on its way, one call of the protocol after the other. */
struct op {
	struct block_req *req;
	uint64_t done; /* bytes that earlier calls have done */
	uint32_t len;  /* of this one */
	uint32_t call; /* its number: no two have one cookie, so that none is answered twice */
	bool sent;     /* so a reply may come */
	struct op *next_free;
};

struct nbd_chan {
	struct block_chan chan;
	struct nbd *nbd;
	struct loop_source in, out; /* two descriptors of one socket */
	bool blocked;               /* @out is waited for */
	struct loop_task over;      /* there is what ends without the server */
	struct loop_task send;
	struct block_queue waiting; /* requests without an op */
	struct op op[OPS], *free;
	uint32_t calls; /* until now */

	unsigned first, count, order[OPS]; /* ops that are to be sent: a ring */
	uint64_t sent;                     /* bytes of the first of them, with its data */

	uint8_t reply[NBD_REPLY_LEN]; /* its head, ... */
	size_t got;                   /* ... of which so much is there */
	struct op *into;              /* whose bytes follow; NULL: a head does */
	uint64_t left;                /* of them */
	bool lost;                    /* the server has gone, or makes no sense */
};

static bool has_data(const struct block_req *req)
{
	return req->io == BLOCK_READ || req->io == BLOCK_WRITE;
}

/* The memory of the call under way, from @from on. */
static struct iovcur memory_of(const struct op *op, uint64_t from)
{
	struct iovcur cur = iov_cursor(op->req->iov, op->req->niov);

	iov_split(&cur, op->done + from);
	return iov_split(&cur, op->len - from);
}

/* The next call of a request. */
static void plan(struct nbd_chan *nc, struct op *op)
{
	uint64_t rest = op->req->io == BLOCK_FLUSH ? 0 : op->req->len - op->done;

	op->len = (uint32_t)min_u64(rest, has_data(op->req) ? DATA_MAX : RANGE_MAX);
	op->sent = false;
	op->call = nc->calls++;
	nc->order[(nc->first + nc->count++) % OPS] = (unsigned)(op - nc->op);
	loop_defer(nc->chan.loop, &nc->send);
}

/* Nothing comes any more: all that waits fails, later. */
static void lose(struct nbd_chan *nc)
{
	if (nc->lost)
		return;
	nc->lost = true;
	loop_del(nc->chan.loop, &nc->in);
	if (nc->blocked)
		loop_del(nc->chan.loop, &nc->out);
	nc->blocked = false;
	loop_defer(nc->chan.loop, &nc->over);
}

static void start(struct nbd_chan *nc, struct op *op, struct block_req *req)
{
	*op = (struct op){ .req = req };
	plan(nc, op);
}

static void end(struct nbd_chan *nc, struct op *op, int err)
{
	struct block_req *req = op->req, *next = STAILQ_FIRST(&nc->waiting);

	op->req = NULL;
	if (next && !nc->lost) {
		STAILQ_REMOVE_HEAD(&nc->waiting, link);
		start(nc, op, next);
	} else {
		op->next_free = nc->free;
		nc->free = op;
	}
	block_done(&nc->chan, req, err);
}

static void fail_all(void *arg)
{
	struct nbd_chan *nc = arg;
	struct block_req *req;
	unsigned i;

	for (i = 0; i < OPS; i++) {
		if (nc->op[i].req)
			end(nc, &nc->op[i], -EIO);
	}
	while ((req = STAILQ_FIRST(&nc->waiting))) {
		STAILQ_REMOVE_HEAD(&nc->waiting, link);
		block_done(&nc->chan, req, -EIO);
	}
}

/* Out. */

static void put_head(const struct op *op, const struct nbd_chan *nc, uint8_t *head)
{
	static const enum nbd_call call[] = {
		[BLOCK_READ] = NBD_READ, [BLOCK_WRITE] = NBD_WRITE, [BLOCK_FLUSH] = NBD_FLUSH,
		[BLOCK_DISCARD] = NBD_TRIM, [BLOCK_ZERO] = NBD_ZEROES,
	};
	const struct block_req *req = op->req;
	uint64_t cookie = (uint64_t)op->call << 32 | (uint64_t)(op - nc->op);
	bool changes = req->io != BLOCK_READ && req->io != BLOCK_FLUSH;
	unsigned flags = changes && req->flags & BLOCK_FUA ? NBD_FUA : 0;

	if (req->io == BLOCK_ZERO && !(req->flags & BLOCK_MAY_UNMAP))
		flags |= NBD_NO_HOLE;
	nbd_put_request(head, call[req->io], flags, cookie,
			req->io == BLOCK_FLUSH ? 0 : req->off + op->done, op->len);
}

static struct op *to_send(struct nbd_chan *nc, unsigned i)
{
	return &nc->op[nc->order[(nc->first + i) % OPS]];
}

static uint64_t length_of(const struct op *op)
{
	return NBD_REQUEST_LEN + (op->req->io == BLOCK_WRITE ? op->len : 0);
}

/* @n bytes have gone out. */
static void sent(struct nbd_chan *nc, uint64_t n)
{
	nc->sent += n;
	while (nc->count && nc->sent >= length_of(to_send(nc, 0))) {
		struct op *op = to_send(nc, 0);

		nc->sent -= length_of(op);
		op->sent = true;
		nc->first = (nc->first + 1) % OPS;
		nc->count--;
	}
}

/* What one call sends: heads, and what follows the last of them. How many pieces. */
static unsigned gather(struct nbd_chan *nc, uint8_t heads[FIRST][NBD_REQUEST_LEN],
		       struct iovec *iov)
{
	uint64_t skip = nc->sent;
	struct iovcur data;
	unsigned n = 0, i;

	for (i = 0; i < nc->count && i < FIRST; i++) {
		struct op *op = to_send(nc, i);

		put_head(op, nc, heads[i]);
		if (skip < NBD_REQUEST_LEN)
			iov[n++] = (struct iovec){ heads[i] + skip, NBD_REQUEST_LEN - skip };
		if (op->req->io == BLOCK_WRITE) {
			data = memory_of(op, skip > NBD_REQUEST_LEN ? skip - NBD_REQUEST_LEN : 0);
			return n + (unsigned)min_u64(iov_export(&data, iov + n, PIECES), PIECES);
		}
		skip = 0;
	}
	return n;
}

static void set_blocked(struct nbd_chan *nc, bool blocked)
{
	if (nc->blocked == blocked)
		return;
	nc->blocked = blocked;
	if (!blocked)
		loop_del(nc->chan.loop, &nc->out);
	else if (loop_add(nc->chan.loop, &nc->out) < 0)
		lose(nc);
}

static void send_all(void *arg)
{
	struct nbd_chan *nc = arg;
	uint8_t heads[FIRST][NBD_REQUEST_LEN];
	struct iovec iov[FIRST + PIECES];
	struct msghdr msg = { .msg_iov = iov };
	ssize_t n = 0;

	while (nc->count && !nc->lost && n >= 0) {
		msg.msg_iovlen = gather(nc, heads, iov);
		n = sendmsg(nc->out.fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n > 0)
			sent(nc, (uint64_t)n);
		else if (n < 0 && errno == EINTR)
			n = 0;
	}
	if (n < 0 && errno != EAGAIN)
		lose(nc);
	else if (!nc->lost)
		set_blocked(nc, nc->count > 0);
}

/* In. */

/* A call has come back well. */
static void call_done(struct nbd_chan *nc, struct op *op)
{
	op->done += op->len;
	if (op->req->io != BLOCK_FLUSH && op->done < op->req->len)
		plan(nc, op);
	else
		end(nc, op, 0);
}

/* The head of a reply is there. False: it makes no sense. */
static bool take_head(struct nbd_chan *nc)
{
	uint64_t cookie = be64_get(nc->reply + 8);
	uint32_t error = be32_get(nc->reply + 4);
	uint32_t i = (uint32_t)cookie;
	struct op *op = i < OPS ? &nc->op[i] : NULL;

	nc->got = 0;
	if (be32_get(nc->reply) != NBD_REPLY || !op || !op->req || !op->sent ||
	    op->call != cookie >> 32)
		return false;
	op->sent = false; /* once */
	if (error) {
		end(nc, op, nbd_error(error));
	} else if (op->req->io == BLOCK_READ && op->len) {
		nc->into = op;
		nc->left = op->len;
	} else {
		call_done(nc, op);
	}
	return true;
}

/* @n bytes have come in. False: they make no sense. */
static bool received(struct nbd_chan *nc, uint64_t n)
{
	uint64_t data = min_u64(n, nc->left);
	struct op *op = nc->into;

	nc->left -= data;
	nc->got += n - data;
	if (op && !nc->left) {
		nc->into = NULL;
		call_done(nc, op);
	}
	return nc->got < NBD_REPLY_LEN || take_head(nc);
}

/* One call. False: there is no more for now. */
static bool receive(struct nbd_chan *nc)
{
	struct iovec iov[PIECES + 1];
	struct msghdr msg = { .msg_iov = iov };
	struct iovcur data;
	unsigned n = 0;
	ssize_t r;

	if (nc->into) {
		data = memory_of(nc->into, nc->into->len - nc->left);
		n = iov_export(&data, iov, PIECES);
	}
	msg.msg_iovlen = min_u64(n, PIECES);
	if (n <= PIECES) /* all of the bytes, and the next head */
		iov[msg.msg_iovlen++] = (struct iovec){ nc->reply + nc->got,
							NBD_REPLY_LEN - nc->got };
	r = recvmsg(nc->in.fd, &msg, MSG_DONTWAIT);
	if (r < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (r <= 0 || !received(nc, (uint64_t)r))
		lose(nc);
	return !nc->lost;
}

static void readable(void *arg)
{
	struct nbd_chan *nc = arg;
	unsigned i;

	/* Some of them; then other sources have their turn. */
	for (i = 0; i < OPS && !nc->lost && receive(nc); i++)
		;
}

/* As a channel. */

static void submit(struct block_chan *chan, struct block_req *req)
{
	struct nbd_chan *nc = container_of(chan, struct nbd_chan, chan);
	struct op *op = nc->free;

	if (op && !nc->lost) {
		nc->free = op->next_free;
		start(nc, op, req);
		return;
	}
	STAILQ_INSERT_TAIL(&nc->waiting, req, link);
	if (nc->lost)
		loop_defer(chan->loop, &nc->over);
}

static bool drain(struct block_chan *chan, int ms)
{
	struct nbd_chan *nc = container_of(chan, struct nbd_chan, chan);
	struct block_wait wait = block_wait_begin(chan, ms);
	struct pollfd ready = { .fd = nc->in.fd };
	int left;

	while (chan->inflight) {
		left = block_wait_left(&wait);
		send_all(nc);
		ready.events = POLLIN | (nc->count ? POLLOUT : 0);
		if (!nc->lost)
			poll(&ready, 1, left);
		if (!nc->lost)
			readable(nc);
		if (nc->lost)
			fail_all(nc);
		if (chan->inflight && !left)
			return false;
	}
	return true;
}

static void nbd_chan_free(struct nbd_chan *nc)
{
	if (nc->in.fd >= 0)
		close(nc->in.fd);
	if (nc->out.fd >= 0)
		close(nc->out.fd);
	free(nc);
}

static void chan_close(struct block_chan *chan)
{
	struct nbd_chan *nc = container_of(chan, struct nbd_chan, chan);

	if (!nc->lost)
		loop_del(chan->loop, &nc->in);
	if (nc->blocked)
		loop_del(chan->loop, &nc->out);
	loop_cancel(chan->loop, &nc->over);
	loop_cancel(chan->loop, &nc->send);
	nbd_chan_free(nc);
}

static const struct block_ops nbd_ops = {
	.name = "nbd",
	.chan_close = chan_close,
	.submit = submit,
	.drain = drain,
};

struct block_chan *nbd_chan_open(struct nbd *nbd, struct loop *loop)
{
	struct nbd_chan *nc = calloc(1, sizeof(*nc));
	unsigned i;
	int r;

	if (!nc)
		return NULL;
	nc->chan = (struct block_chan){ .block = &nbd->block, .loop = loop, .ops = &nbd_ops };
	nc->nbd = nbd;
	nc->over = (struct loop_task){ .fn = fail_all, .arg = nc };
	nc->send = (struct loop_task){ .fn = send_all, .arg = nc };
	STAILQ_INIT(&nc->waiting);
	for (i = 0; i < OPS; i++) {
		nc->op[i].next_free = nc->free;
		nc->free = &nc->op[i];
	}
	nc->in = (struct loop_source){ .fd = nbd_connect(nbd), .fn = readable, .arg = nc };
	nc->out = (struct loop_source){ .fd = -1, .write = true, .fn = send_all, .arg = nc };
	r = nc->in.fd;
	if (r >= 0)
		nc->out.fd = dup(nc->in.fd);
	if (r >= 0)
		r = nc->out.fd < 0 ? -errno : loop_add(loop, &nc->in);
	if (r < 0) {
		nbd_chan_free(nc);
		errno = -r;
		return NULL;
	}
	return &nc->chan;
}
