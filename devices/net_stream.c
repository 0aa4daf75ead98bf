/* SPDX-License-Identifier: MIT */
#include "devices/net_stream.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "devices/net_link.h"
#include "vmm/core/util.h"

#define PREFIX_LEN 4
#define TRASH_LEN 4096

struct net_stream {
	struct net_link link;

	net_refuse_fn *refuse;

	/* The frame that is being received. */
	uint8_t prefix[PREFIX_LEN];
	size_t prefix_got;
	size_t got; /* of the frame itself */
	bool unwanted;

	/* Of the frame that is being sent, prefix and all: what the socket had no room for. */
	size_t sent, kept;
	uint8_t rest[PREFIX_LEN + NET_FRAME_MAX];
};

static struct net_stream *stream_of(struct net_link *link)
{
	return container_of(link, struct net_stream, link);
}

/* What a call for a socket has come to: > 0, or -errno; -EPIPE: the other side has ended. */
static ssize_t outcome(ssize_t n)
{
	if (n > 0)
		return n;
	if (n == 0 || errno == ECONNRESET)
		return -EPIPE;
	return errno == EINTR ? -EAGAIN : -errno;
}

/* Reads of a frame that nobody wants. > 0: some. */
static ssize_t throw_away(struct net_stream *s, size_t left)
{
	uint8_t trash[TRASH_LEN];
	ssize_t n = outcome(recv(s->link.in, trash, min_u64(left, sizeof(trash)), MSG_DONTWAIT));

	if (n > 0)
		s->got += n;
	return n;
}

static void next_frame(struct net_stream *s)
{
	s->prefix_got = s->got = 0;
	s->unwanted = false;
}

/* A length that no frame has: what follows cannot be told apart any more. */
static ssize_t frame_len(const struct net_stream *s)
{
	uint32_t len = be32_get(s->prefix);

	return len && len <= NET_FRAME_MAX ? (ssize_t)len : -EPROTO;
}

static ssize_t stream_next(struct net_link *link)
{
	struct net_stream *s = stream_of(link);
	ssize_t n = 0, len;

	for (;;) {
		if (s->prefix_got < PREFIX_LEN) {
			n = outcome(recv(link->in, s->prefix + s->prefix_got,
					 PREFIX_LEN - s->prefix_got, MSG_DONTWAIT));
			if (n < 0)
				return n;
			s->prefix_got += n;
			continue;
		}
		len = frame_len(s);
		if (!s->unwanted || len < 0)
			return len;
		n = throw_away(s, len - s->got);
		if (n < 0)
			return n;
		if (s->got == (size_t)len)
			next_frame(s);
	}
}

/* Together with the frame the beginning of the next one is read. */
static ssize_t stream_receive(struct net_link *link, uint8_t hdr[NET_HDR_LEN], struct iovcur to)
{
	struct net_stream *s = stream_of(link);
	size_t len = be32_get(s->prefix), left = len - s->got;
	struct iovec piece[NET_PIECES_MAX + 1];
	struct msghdr msg = { .msg_iov = piece };
	uint8_t prefix[PREFIX_LEN];
	ssize_t n;

	if (len > to.left) {
		s->unwanted = true;
		return -EMSGSIZE;
	}
	iov_split(&to, s->got);
	to = iov_split(&to, left);
	msg.msg_iovlen = iov_export(&to, piece, NET_PIECES_MAX);
	piece[msg.msg_iovlen++] = (struct iovec){ prefix, PREFIX_LEN };
	n = outcome(recvmsg(link->in, &msg, MSG_DONTWAIT));
	if (n < 0)
		return n;
	if ((size_t)n < left) {
		s->got += n;
		return -EAGAIN;
	}
	next_frame(s);
	s->prefix_got = n - left;
	memcpy(s->prefix, prefix, s->prefix_got);
	memset(hdr, 0, NET_HDR_LEN);
	return len;
}

static void stream_forget(struct net_link *link)
{
	struct net_stream *s = stream_of(link);

	s->unwanted = s->got;
}

/* What is looked at is what is sent: a copy, as the guest may change its own meanwhile. */
static int stream_send(struct net_link *link, const uint8_t hdr[NET_HDR_LEN], struct iovcur frame)
{
	struct net_stream *s = stream_of(link);
	struct iovec piece[1 + NET_PIECES_MAX];
	struct msghdr msg = { .msg_iov = piece };
	struct iovcur all;
	uint8_t begin[PREFIX_LEN + NET_HEAD_MAX];
	size_t head = min_u64(frame.left, NET_HEAD_MAX);
	ssize_t n;

	(void)hdr; /* no feature, nothing in it */
	be32_put(begin, frame.left);
	iov_pull(&frame, begin + PREFIX_LEN, head);
	if (s->refuse && s->refuse(begin + PREFIX_LEN, head))
		return -EACCES;
	piece[0] = (struct iovec){ begin, PREFIX_LEN + head };
	msg.msg_iovlen = 1 + iov_export(&frame, piece + 1, NET_PIECES_MAX);
	n = outcome(sendmsg(link->out, &msg, MSG_DONTWAIT | MSG_NOSIGNAL));
	if (n < 0 && n != -EAGAIN)
		return -EPIPE;
	all = iov_cursor(piece, msg.msg_iovlen);
	iov_split(&all, n < 0 ? 0 : n);
	s->sent = 0;
	s->kept = all.left;
	iov_pull(&all, s->rest, all.left);
	return 0;
}

static int stream_flush(struct net_link *link)
{
	struct net_stream *s = stream_of(link);
	ssize_t n;

	while (s->sent < s->kept) {
		n = outcome(send(link->out, s->rest + s->sent, s->kept - s->sent,
				 MSG_DONTWAIT | MSG_NOSIGNAL));
		if (n == -EAGAIN)
			return n;
		s->sent = n < 0 ? s->kept : s->sent + n; /* send() will find out why */
	}
	return 0;
}

static int stream_set_features(struct net_link *link, uint64_t features)
{
	(void)link;
	(void)features;
	return 0;
}

static void stream_destroy(struct net_link *link)
{
	close(link->in);
	close(link->out);
	free(stream_of(link));
}

static const struct net_link_ops stream_ops = {
	.next = stream_next,
	.receive = stream_receive,
	.forget = stream_forget,
	.send = stream_send,
	.flush = stream_flush,
	.set_features = stream_set_features,
	.destroy = stream_destroy,
};

struct net_link *net_stream_create(int fd, net_refuse_fn *refuse)
{
	struct net_stream *s = calloc(1, sizeof(*s));
	int out = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	if (!s || out < 0) {
		int err = s ? errno : ENOMEM;

		if (out >= 0)
			close(out);
		close(fd);
		free(s);
		errno = err;
		return NULL;
	}
	s->refuse = refuse;
	s->link = (struct net_link){ .ops = &stream_ops, .in = fd, .out = out, .patient = true };
	return &s->link;
}
