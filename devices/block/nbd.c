/* SPDX-License-Identifier: MIT */
#include "devices/block/nbd.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "vmm/core/clock.h"
#include "vmm/core/util.h"

/* The handshake. */
#define MAGIC_INIT 0x4e42444d41474943u   /* "NBDMAGIC" */
#define MAGIC_OPTION 0x49484156454f5054u /* "IHAVEOPT" */
#define MAGIC_ANSWER 0x0003e889045565a9u
#define FIXED_NEWSTYLE 1u
#define NO_ZEROES 2u
#define OPT_GO 7u
#define OPT_STRUCTURED 8u
#define OPT_SET_CONTEXT 10u
#define ANSWER_ACK 1u
#define ANSWER_INFO 3u
#define ANSWER_CONTEXT 4u
#define ANSWER_ERROR 0x80000000u
#define INFO_EXPORT 0u
#define CONTEXT "base:allocation"

/* Structured replies. */
#define CHUNK 0x668e33efu
#define CHUNK_DONE 1u
#define CHUNK_STATUS 5u
#define HOLE 1u
#define ZERO 2u

#define NEEDED (NBD_HAS_FLUSH | NBD_HAS_FUA | NBD_HAS_ZEROES)
#define PAYLOAD_MAX 4096 /* of what is waited for here */
#define OTHERS_MAX 64    /* messages that are passed over */

/* A connection, and until when it is waited for. */
struct talk {
	int fd;
	uint64_t until; /* CLOCK_MONOTONIC, ms */
};

static struct talk talk_begin(int fd)
{
	return (struct talk){ fd, now_ms() + NBD_MS };
}

static int await(const struct talk *t, short events)
{
	struct pollfd ready = { .fd = t->fd, .events = events };
	uint64_t now = now_ms();
	int r = now >= t->until ? 0 : poll(&ready, 1, (int)(t->until - now));

	return r > 0 || (r < 0 && errno == EINTR) ? 0 : r < 0 ? -errno : -ETIMEDOUT;
}

/* All of it, in or out. -EPIPE: the server has gone. */
static int move(const struct talk *t, void *data, size_t len, bool out)
{
	uint8_t *at = data;
	ssize_t n;
	int r;

	while (len) {
		r = await(t, out ? POLLOUT : POLLIN);
		if (r < 0)
			return r;
		n = out ? send(t->fd, at, len, MSG_NOSIGNAL | MSG_DONTWAIT) :
			  recv(t->fd, at, len, MSG_DONTWAIT);
		if (n == 0 || (n < 0 && (errno == ECONNRESET || errno == EPIPE)))
			return -EPIPE;
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
		if (n > 0) {
			at += n;
			len -= n;
		}
	}
	return 0;
}

static int get(const struct talk *t, void *data, size_t len)
{
	return move(t, data, len, false);
}

static int put(const struct talk *t, void *data, size_t len)
{
	return move(t, data, len, true);
}

/* What follows is of no interest. */
static int skip(const struct talk *t, size_t len)
{
	uint8_t rest[512];
	size_t n;
	int r = 0;

	for (; len && !r; len -= n) {
		n = min_u64(len, sizeof(rest));
		r = get(t, rest, n);
	}
	return r;
}

/* The server's greeting, and ours. */
static int greet(const struct talk *t)
{
	uint8_t head[18], flags[4];
	int r = get(t, head, sizeof(head));

	if (r < 0)
		return r;
	if (be64_get(head) != MAGIC_INIT || be64_get(head + 8) != MAGIC_OPTION ||
	    !(be16_get(head + 16) & FIXED_NEWSTYLE))
		return -EPROTO;
	be32_put(flags, FIXED_NEWSTYLE | (be16_get(head + 16) & NO_ZEROES));
	return put(t, flags, sizeof(flags));
}

static int ask(const struct talk *t, uint32_t option, const void *data, uint32_t len)
{
	uint8_t head[16 + 64];

	be64_put(head, MAGIC_OPTION);
	be32_put(head + 8, option);
	be32_put(head + 12, len);
	if (len)
		memcpy(head + 16, data, len);
	return put(t, head, 16 + len);
}

/* The next answer to @option; what is in it, up to @size bytes, is in @data. Its type; -errno. */
static int64_t answer(const struct talk *t, uint32_t option, uint8_t *data, uint32_t size,
		      uint32_t *len)
{
	uint8_t head[20];
	int r = get(t, head, sizeof(head));

	if (r < 0)
		return r;
	if (be64_get(head) != MAGIC_ANSWER || be32_get(head + 8) != option)
		return -EPROTO;
	*len = be32_get(head + 16);
	if (*len > PAYLOAD_MAX)
		return -EPROTO;
	r = get(t, data, min_u64(*len, size));
	if (!r && *len > size)
		r = skip(t, *len - size);
	return r < 0 ? r : (int64_t)be32_get(head + 12);
}

/*
 * Answers up to the last one; the first of type @wanted is in @data. 1: it came; 0: the server will
 * not; -errno.
 */
static int answers(const struct talk *t, uint32_t option, uint32_t wanted, uint8_t *data,
		   uint32_t size)
{
	uint8_t head[64];
	bool found = false;
	uint32_t len, n;
	int64_t type;

	for (n = 0; n < OTHERS_MAX; n++) {
		type = answer(t, option, head, sizeof(head), &len);
		if (type < 0)
			return (int)type;
		if (type & ANSWER_ERROR)
			return 0;
		if (type == ANSWER_ACK)
			return found || wanted == ANSWER_ACK;
		if (type != wanted || len < size ||
		    (wanted == ANSWER_INFO && be16_get(head) != INFO_EXPORT))
			continue;
		memcpy(data, head, size);
		found = true;
	}
	return -EPROTO;
}

/* The whole image has one name: none. Then size and flags are known, and requests may come. */
static int enter(const struct talk *t, uint64_t *size, uint16_t *flags)
{
	static const uint8_t go[6]; /* no name, and no more than is told anyway */
	uint8_t info[12];
	int r = ask(t, OPT_GO, go, sizeof(go));

	if (!r)
		r = answers(t, OPT_GO, ANSWER_INFO, info, sizeof(info));
	if (r <= 0)
		return r < 0 ? r : -EPROTO;
	*size = be64_get(info + 2);
	*flags = be16_get(info + 10);
	return 0;
}

/* Block status, if the server has it: 0 if it has not. */
static int agree(const struct talk *t, struct nbd *nbd)
{
	uint8_t query[4 + 4 + 4 + sizeof(CONTEXT) - 1] = { 0 }, id[4];
	int r = ask(t, OPT_STRUCTURED, NULL, 0);

	if (!r)
		r = answers(t, OPT_STRUCTURED, ANSWER_ACK, NULL, 0);
	if (r <= 0)
		return r;
	be32_put(query + 4, 1);
	be32_put(query + 8, sizeof(CONTEXT) - 1);
	memcpy(query + 12, CONTEXT, sizeof(CONTEXT) - 1);
	r = ask(t, OPT_SET_CONTEXT, query, sizeof(query));
	if (!r)
		r = answers(t, OPT_SET_CONTEXT, ANSWER_CONTEXT, id, sizeof(id));
	if (r <= 0)
		return r;
	nbd->context = be32_get(id);
	nbd->tells = true;
	return 0;
}

/* A socket may have lost its name by now; its file has not. */
static int connect_at(int at)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), r;

	if (fd < 0)
		return -errno;
	snprintf(name.sun_path, sizeof(name.sun_path), "/proc/self/fd/%d", at);
	if (connect(fd, (struct sockaddr *)&name, sizeof(name)) == 0)
		return fd;
	r = errno == ECONNREFUSED ? -EPIPE : -errno;
	close(fd);
	return r;
}

int nbd_connect(const struct nbd *nbd)
{
	struct talk t = talk_begin(connect_at(nbd->at));
	uint16_t flags;
	uint64_t size;
	int r;

	if (t.fd < 0)
		return t.fd;
	r = greet(&t);
	if (!r)
		r = enter(&t, &size, &flags);
	/* What else a flag tells may depend on what the other connection has agreed on. */
	if (!r && (size != nbd->size || (flags ^ nbd->flags) & (NBD_READ_ONLY | NEEDED)))
		r = -EPROTO;
	if (r < 0)
		close(t.fd);
	return r < 0 ? r : t.fd;
}

int nbd_init(struct nbd *nbd)
{
	struct talk t = talk_begin(connect_at(nbd->at));
	int r;

	nbd->asks = t.fd;
	if (t.fd < 0)
		return t.fd;
	r = greet(&t);
	if (!r)
		r = agree(&t, nbd);
	if (!r)
		r = enter(&t, &nbd->size, &nbd->flags);
	if (!r && !nbd->block.readonly &&
	    (nbd->flags & NBD_READ_ONLY || (nbd->flags & NEEDED) != NEEDED))
		r = -EPROTO;
	if (!r && nbd->size > INT64_MAX)
		r = -EPROTO;
	if (r < 0) {
		close(t.fd);
		nbd->asks = -1;
		return r;
	}
	pthread_mutex_init(&nbd->lock, NULL);
	return 0;
}

void nbd_fini(struct nbd *nbd)
{
	if (nbd->asks < 0)
		return;
	close(nbd->asks);
	nbd->asks = -1;
	pthread_mutex_destroy(&nbd->lock);
}

/* A process that ends closes its connections one by one. */
#define LOST_MS 100

bool nbd_is_lost(const struct nbd *nbd)
{
	struct pollfd gone = { .fd = nbd->asks };

	return poll(&gone, 1, LOST_MS) > 0;
}

/* Questions. */

/* The first extent that a reply has; -ENODATA: it has none. All of the reply is read. */
static int extent(const struct talk *t, const struct nbd *nbd, uint32_t *len, uint32_t *flags)
{
	uint8_t head[20], data[12];
	int r, found = -ENODATA;
	unsigned i;

	for (i = 0; i < OTHERS_MAX; i++) {
		uint32_t size, take;

		r = get(t, head, sizeof(head));
		if (r < 0)
			return r;
		size = be32_get(head + 16);
		if (be32_get(head) != CHUNK || be64_get(head + 8) != nbd->cookie ||
		    size > PAYLOAD_MAX)
			return -EPROTO;
		take = min_u64(size, sizeof(data));
		r = get(t, data, take);
		if (!r)
			r = skip(t, size - take);
		if (r < 0)
			return r;
		if (be16_get(head + 6) == CHUNK_STATUS && take == sizeof(data) &&
		    be32_get(data) == nbd->context) {
			*len = be32_get(data + 4);
			*flags = be32_get(data + 8);
			found = 0;
		}
		if (be16_get(head + 4) & CHUNK_DONE)
			return found;
	}
	return -EPROTO;
}

/* After a broken answer nobody knows where the next one begins, so there is none. */
bool nbd_is_mapped(struct nbd *nbd, uint64_t off, uint64_t *end)
{
	uint8_t head[NBD_REQUEST_LEN];
	uint32_t len = 0, flags = 0;
	struct talk t;
	int r = -ENODATA;

	pthread_mutex_lock(&nbd->lock);
	if (nbd->tells && off < nbd->size) {
		t = talk_begin(nbd->asks);
		nbd_put_request(head, NBD_STATUS, NBD_ONE, ++nbd->cookie, off,
				(uint32_t)min_u64(nbd->size - off, GIB(1)));
		r = put(&t, head, sizeof(head));
		if (!r)
			r = extent(&t, nbd, &len, &flags);
		nbd->tells = !r || r == -ENODATA;
	}
	pthread_mutex_unlock(&nbd->lock);
	if (r < 0 || !len)
		return true;
	*end = min_u64(*end, off + len);
	return (flags & (HOLE | ZERO)) != (HOLE | ZERO);
}

/* What both kinds of connections say. */

void nbd_put_request(uint8_t head[NBD_REQUEST_LEN], enum nbd_call call, unsigned flags,
		     uint64_t cookie, uint64_t off, uint32_t len)
{
	be32_put(head, NBD_REQUEST);
	be16_put(head + 4, (uint16_t)flags);
	be16_put(head + 6, (uint16_t)call);
	be64_put(head + 8, cookie);
	be64_put(head + 16, off);
	be32_put(head + 24, len);
}

int nbd_error(uint32_t error)
{
	static const struct {
		uint32_t there;
		int here;
	} rows[] = {
		{ 0, 0 }, { 1, EPERM }, { 12, ENOMEM }, { 28, ENOSPC },
		{ 95, EOPNOTSUPP },
	};
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		if (rows[i].there == error)
			return -rows[i].here;
	}
	return -EIO;
}
