/* SPDX-License-Identifier: MIT */
#include "devices/vsock_conn.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_vsock.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/core/util.h"

struct vsock_conn *vsock_conn_new(struct loop *loop, int fd, void (*readable)(void *conn),
				  void (*writable)(void *conn))
{
	struct vsock_conn *c = calloc(1, sizeof(*c));

	if (!c) {
		close(fd);
		return NULL;
	}
	c->fd = fd;
	c->loop = loop;
	c->readable = (struct loop_source){ .fd = fd, .fn = readable, .arg = c };
	c->writable = (struct loop_source){ .fd = -1, .write = true, .fn = writable, .arg = c };
	return c;
}

static void stop_writing(struct vsock_conn *c)
{
	if (c->writable.fd < 0)
		return;
	loop_del(c->loop, &c->writable);
	close(c->writable.fd);
	c->writable.fd = -1;
}

/* A descriptor can be in a loop once, so this is another one, while it is needed. */
static int start_writing(struct vsock_conn *c)
{
	int r;

	if (c->writable.fd >= 0)
		return 0;
	c->writable.fd = fcntl(c->fd, F_DUPFD_CLOEXEC, 0);
	if (c->writable.fd < 0)
		return -errno;
	r = loop_add(c->loop, &c->writable);
	if (r < 0) {
		close(c->writable.fd);
		c->writable.fd = -1;
	}
	return r;
}

void vsock_conn_free(struct vsock_conn *c)
{
	vsock_conn_watch(c, false);
	stop_writing(c);
	close(c->fd);
	free(c->kept);
	free(c);
}

/* To the guest. */

uint32_t vsock_conn_credit(const struct vsock_conn *c)
{
	uint32_t under_way = c->sent - c->peer_forwarded;

	return under_way < c->peer_alloc ? c->peer_alloc - under_way : 0;
}

bool vsock_conn_owes_credit(const struct vsock_conn *c)
{
	return c->forwarded - c->told >= VSOCK_BUFFER / 4;
}

int vsock_conn_watch(struct vsock_conn *c, bool on)
{
	int r = 0;

	if (on && !c->reads)
		r = loop_add(c->loop, &c->readable);
	else if (!on && c->reads)
		loop_del(c->loop, &c->readable);
	c->reads = on && !r;
	return r;
}

ssize_t vsock_conn_read(struct vsock_conn *c, struct iovcur to)
{
	struct iovcur part = iov_split(&to, min_u64(to.left, vsock_conn_credit(c)));
	struct iovec piece[VSOCK_PIECES_MAX];
	struct msghdr msg = { .msg_iov = piece };
	ssize_t n;

	msg.msg_iovlen = iov_export(&part, piece, VSOCK_PIECES_MAX);
	n = recvmsg(c->fd, &msg, MSG_DONTWAIT);
	if (n < 0)
		return errno == EINTR ? -EAGAIN : -errno;
	c->sent += (uint32_t)n;
	return n;
}

bool vsock_conn_is_left(const struct vsock_conn *c)
{
	struct pollfd p = { .fd = c->fd };

	return poll(&p, 1, 0) == 1 && p.revents & (POLLHUP | POLLERR);
}

/* From the guest. */

uint32_t vsock_conn_kept(const struct vsock_conn *c)
{
	return c->received - c->forwarded;
}

/* Bytes that were taken, or -errno. */
static ssize_t write_some(const struct vsock_conn *c, const struct iovec *piece, unsigned n)
{
	struct msghdr msg = { .msg_iov = (struct iovec *)piece, .msg_iovlen = n };
	ssize_t done = sendmsg(c->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (done >= 0)
		return done;
	return errno == EAGAIN || errno == EINTR ? 0 : -errno;
}

/* Where byte number @at of the stream is kept, and how many lie together from there on. */
static uint8_t *place(const struct vsock_conn *c, uint32_t at, uint32_t *room)
{
	*room = VSOCK_BUFFER - at % VSOCK_BUFFER;
	return c->kept + at % VSOCK_BUFFER;
}

static int keep(struct vsock_conn *c, struct iovcur data)
{
	if (!c->kept)
		c->kept = malloc(VSOCK_BUFFER);
	if (!c->kept)
		return -ENOMEM;
	while (data.left) {
		uint32_t room, len;
		uint8_t *to = place(c, c->received, &room);

		len = (uint32_t)min_u64(room, data.left);
		iov_pull(&data, to, len);
		c->received += len;
	}
	return start_writing(c);
}

int vsock_conn_give(struct vsock_conn *c, struct iovcur data)
{
	struct iovec piece[VSOCK_PIECES_MAX];
	ssize_t n = 0;

	if (data.left > VSOCK_BUFFER - vsock_conn_kept(c))
		return -EPROTO;
	if (!vsock_conn_kept(c) && data.left)
		n = write_some(c, piece, iov_export(&data, piece, VSOCK_PIECES_MAX));
	if (n < 0)
		return (int)n;
	iov_split(&data, (size_t)n);
	c->received += (uint32_t)n;
	c->forwarded += (uint32_t)n;
	return data.left ? keep(c, data) : 0;
}

int vsock_conn_flush(struct vsock_conn *c)
{
	while (vsock_conn_kept(c)) {
		struct iovec piece;
		uint32_t room;
		ssize_t n;

		piece.iov_base = place(c, c->forwarded, &room);
		piece.iov_len = min_u64(room, vsock_conn_kept(c));
		n = write_some(c, &piece, 1);
		if (n < 0)
			return (int)n;
		if (n == 0)
			return 0;
		c->forwarded += (uint32_t)n;
	}
	stop_writing(c);
	return 0;
}

void vsock_conn_shut(const struct vsock_conn *c, unsigned how)
{
	if (how & VIRTIO_VSOCK_SHUTDOWN_SEND)
		shutdown(c->fd, SHUT_WR);
	if (how & VIRTIO_VSOCK_SHUTDOWN_RCV)
		shutdown(c->fd, SHUT_RD);
}
