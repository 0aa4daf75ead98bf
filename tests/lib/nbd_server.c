/* SPDX-License-Identifier: MIT */
#include "tests/lib/nbd_server.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "devices/block/nbd.h"
#include "vmm/core/log.h"
#include "vmm/core/util.h"

#define INIT 0x4e42444d41474943u
#define OPTION 0x49484156454f5054u
#define ANSWER 0x0003e889045565a9u
#define HELD_MAX 8

struct request {
	unsigned flags, call;
	uint64_t cookie, off;
	uint32_t len;
	uint8_t *data; /* malloc()ed: of a write */
};

struct conn {
	struct nbd_server *s;
	int fd;
	bool structured;
	unsigned nheld;
	struct request held[HELD_MAX];
};

static bool get(int fd, void *data, size_t len)
{
	return recv(fd, data, len, MSG_WAITALL) == (ssize_t)len;
}

static bool put(int fd, const void *data, size_t len)
{
	return send(fd, data, len, MSG_NOSIGNAL) == (ssize_t)len;
}

/* Options. */

static bool answer(struct conn *c, uint32_t option, uint32_t type, const void *data, uint32_t len)
{
	uint8_t head[20];

	be64_put(head, ANSWER);
	be32_put(head + 8, option + (c->s->lie == NBD_LIES_ANSWER));
	be32_put(head + 12, type);
	be32_put(head + 16, c->s->lie == NBD_LIES_LENGTH ? 1u << 24 : len);
	return put(c->fd, head, sizeof(head)) && (!len || put(c->fd, data, len));
}

static bool go(struct conn *c)
{
	static atomic_uint times;
	uint8_t info[12] = { 0 }, sizes[14] = { 0, 3 };

	if (c->s->lie == NBD_LIES_NO_EXPORT)
		return answer(c, 7, 0x80000006u, "none", 4);
	be64_put(info + 2, c->s->size + (c->s->lie == NBD_LIES_OTHER_SIZE ? 512 * ++times : 0));
	be16_put(info + 10, c->s->flags & (c->s->lie == NBD_LIES_NO_FLUSH ? ~NBD_HAS_FLUSH : ~0u));
	return answer(c, 7, 3, sizes, sizeof(sizes)) && answer(c, 7, 3, info, sizeof(info)) &&
	       answer(c, 7, 1, NULL, 0);
}

/* False: the connection is over. *@in: from now on there are requests. */
static bool option(struct conn *c, bool *in)
{
	uint8_t head[16], data[256];
	uint32_t what, len;

	if (!get(c->fd, head, 16) || be64_get(head) != OPTION)
		return false;
	what = be32_get(head + 8);
	len = be32_get(head + 12);
	if (len > sizeof(data) || (len && !get(c->fd, data, len)))
		return false;
	if (what == 7) {
		*in = true;
		return go(c);
	}
	if (c->s->lie == NBD_LIES_NO_STATUS)
		return answer(c, what, 0x80000001u, NULL, 0);
	if (what == 8) {
		c->structured = true;
		return answer(c, 8, 1, NULL, 0);
	}
	be32_put(data, 5); /* the number of the context */
	memcpy(data + 4, "base:allocation", 15);
	return answer(c, what, 4, data, 19) && answer(c, what, 1, NULL, 0);
}

static bool greet(struct conn *c)
{
	uint8_t head[18], flags[4];
	bool in = false;

	be64_put(head, c->s->lie == NBD_LIES_GREETING ? OPTION : INIT);
	be64_put(head + 8, OPTION);
	be16_put(head + 16, 3);
	if (!put(c->fd, head, sizeof(head)) || !get(c->fd, flags, 4))
		return false;
	while (!in && option(c, &in))
		;
	return in;
}

/* Requests. */

static void mark(struct nbd_server *s, const struct request *q, bool mapped)
{
	uint64_t i;

	for (i = q->off / NBD_SERVER_BLOCK; i * NBD_SERVER_BLOCK < q->off + q->len; i++)
		s->mapped[i] = mapped;
}

static bool status(struct conn *c, const struct request *q)
{
	struct nbd_server *s = c->s;
	uint64_t first = q->off / NBD_SERVER_BLOCK, end = first;
	uint8_t reply[32];

	while ((end + 1) * NBD_SERVER_BLOCK < s->size && s->mapped[end + 1] == s->mapped[first])
		end++;
	be32_put(reply, 0x668e33ef);
	be16_put(reply + 4, 1);
	be16_put(reply + 6, 5);
	be64_put(reply + 8, q->cookie + (s->lie == NBD_LIES_STATUS));
	be32_put(reply + 16, 12);
	be32_put(reply + 20, 5);
	be32_put(reply + 24, (uint32_t)((end + 1) * NBD_SERVER_BLOCK - q->off));
	be32_put(reply + 28, s->mapped[first] ? 0 : 3);
	return put(c->fd, reply, sizeof(reply));
}

static void change(struct nbd_server *s, const struct request *q)
{
	if (q->call == NBD_WRITE)
		memcpy(s->data + q->off, q->data, q->len);
	else if (q->call == NBD_ZEROES)
		memset(s->data + q->off, 0, q->len);
	if (q->call == NBD_WRITE || q->call == NBD_ZEROES)
		mark(s, q, q->call == NBD_WRITE || q->flags & NBD_NO_HOLE);
	if (q->call == NBD_TRIM)
		mark(s, q, false);
}

static bool reply(struct conn *c, const struct request *q)
{
	struct nbd_server *s = c->s;
	uint8_t head[16];
	uint32_t error = q->call < 2 ? atomic_exchange(&s->fail, 0) : 0;
	bool well;

	pthread_mutex_lock(&s->lock);
	if (!error)
		change(s, q);
	pthread_mutex_unlock(&s->lock);
	be32_put(head, NBD_REPLY + (s->lie == NBD_LIES_MAGIC));
	be32_put(head + 4, error);
	be64_put(head + 8, q->cookie + (s->lie == NBD_LIES_COOKIE ? 77 : 0));
	well = put(c->fd, head, 16) &&
	       (error || q->call != NBD_READ || put(c->fd, s->data + q->off, q->len));
	return well && (s->lie != NBD_LIES_TWICE || put(c->fd, head, 16));
}

static bool answer_held(struct conn *c)
{
	bool well = true;

	while (c->nheld) {
		well = reply(c, &c->held[--c->nheld]) && well;
		free(c->held[c->nheld].data);
	}
	return well;
}

static bool serve(struct conn *c)
{
	uint8_t head[28];
	struct request *q = &c->held[c->nheld];

	if (!get(c->fd, head, 28) || be32_get(head) != NBD_REQUEST)
		return false;
	*q = (struct request){ be16_get(head + 4), be16_get(head + 6), be64_get(head + 8),
			       be64_get(head + 16), be32_get(head + 24), NULL };
	if (q->call > NBD_STATUS || !range_ok(q->off, q->len, c->s->size))
		return false;
	if (q->call == NBD_WRITE) {
		q->data = malloc(q->len + 1);
		if (!get(c->fd, q->data, q->len)) {
			free(q->data);
			return false;
		}
	}
	c->s->calls[q->call]++;
	c->s->fua += q->flags & NBD_FUA;
	c->s->no_hole += !!(q->flags & NBD_NO_HOLE);
	if (q->call == NBD_STATUS)
		return status(c, q);
	c->nheld++;
	return c->nheld < c->s->hold && c->nheld < HELD_MAX ? true : answer_held(c);
}

static void *conn_main(void *arg)
{
	struct conn *c = arg;

	if (greet(c)) {
		while (serve(c))
			;
	}
	while (c->nheld)
		free(c->held[--c->nheld].data);
	shutdown(c->fd, SHUT_RDWR);
	free(c);
	return NULL;
}

static void *accept_main(void *arg)
{
	struct nbd_server *s = arg;
	struct conn *c;
	int fd;

	while ((fd = accept4(s->listening, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		BUG_ON(s->nconns == NBD_SERVER_CONNS);
		c = calloc(1, sizeof(*c));
		*c = (struct conn){ .s = s, .fd = fd };
		s->fd[s->nconns] = fd;
		BUG_ON(pthread_create(&s->conn[s->nconns], NULL, conn_main, c));
		s->nconns++;
	}
	return NULL;
}

void nbd_server_start(struct nbd_server *s, int listening, uint64_t size)
{
	s->listening = listening;
	s->size = size;
	s->data = calloc(1, size);
	s->mapped = calloc(size / NBD_SERVER_BLOCK + 2, sizeof(bool));
	if (!s->flags)
		s->flags = 1 | NBD_HAS_FLUSH | NBD_HAS_FUA | NBD_HAS_TRIM | NBD_HAS_ZEROES;
	pthread_mutex_init(&s->lock, NULL);
	BUG_ON(pthread_create(&s->thread, NULL, accept_main, s));
}

void nbd_server_stop(struct nbd_server *s)
{
	shutdown(s->listening, SHUT_RDWR);
	pthread_join(s->thread, NULL);
	close(s->listening);
	while (s->nconns) {
		s->nconns--;
		shutdown(s->fd[s->nconns], SHUT_RDWR);
		pthread_join(s->conn[s->nconns], NULL);
		close(s->fd[s->nconns]);
	}
	pthread_mutex_destroy(&s->lock);
	free(s->data);
	free(s->mapped);
	*s = (struct nbd_server){ .listening = -1 };
}

int nbd_server_listen(int *at)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	char dir[] = "/tmp/nbd-XXXXXX";
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	BUG_ON(fd < 0 || !mkdtemp(dir));
	snprintf(name.sun_path, sizeof(name.sun_path), "%s/s", dir);
	BUG_ON(bind(fd, (struct sockaddr *)&name, sizeof(name)) < 0 || listen(fd, 16) < 0);
	*at = open(name.sun_path, O_PATH | O_CLOEXEC);
	BUG_ON(*at < 0);
	unlink(name.sun_path);
	rmdir(dir);
	return fd;
}
