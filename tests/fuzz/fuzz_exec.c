/* SPDX-License-Identifier: MIT */
/*
 * Frames of commands, from a guest and from clients: however they are cut, a client hears whole
 * frames that make sense, no more of a stream than it has asked for, and the guest whole ones of
 * clients that there are.
 */
#include "vmm/run/exec.c"

#include "tests/fuzz/fuzz.h"

#define CLIENTS 3
#define STEPS 64

struct far {
	int fd; /* -1: it has left */
	uint8_t buf[CLIENT_MAX + EXEC_FRAME_MAX];
	size_t len, stream[EXEC_STREAMS];
	bool over;
};

static void look_at(struct far *c, const struct exec_head *h)
{
	BUG_ON(c->over || h->id || h->zero);
	c->over = h->kind == EXEC_LOST || h->kind == EXEC_FAILED || h->kind == EXEC_EXIT ||
		  h->kind == EXEC_KILLED;
	BUG_ON(h->kind != EXEC_LOST && h->kind != EXEC_READY && !exec_head_is_good(h, true));
	if (h->kind == EXEC_OUT || h->kind == EXEC_ERR)
		c->stream[h->kind == EXEC_OUT ? EXEC_STDOUT : EXEC_STDERR] += EXEC_HEAD + h->len;
	BUG_ON(c->stream[EXEC_STDOUT] > EXEC_WINDOW || c->stream[EXEC_STDERR] > EXEC_WINDOW);
}

static void hear(struct far *c)
{
	ssize_t n;
	size_t at = 0;

	while (c->fd >= 0 && (n = recv(c->fd, c->buf + c->len, sizeof(c->buf) - c->len,
				       MSG_DONTWAIT)) > 0) {
		c->len += (size_t)n;
		for (at = 0; c->len - at >= EXEC_HEAD;) {
			struct exec_head h = exec_head_get(c->buf + at);

			if (c->len - at < EXEC_HEAD + h.len)
				break;
			look_at(c, &h);
			at += EXEC_HEAD + h.len;
		}
		c->len -= at;
		memmove(c->buf, c->buf + at, c->len);
	}
}

/* A frame whose kind, number and length the input chooses, or bytes that it has. */
static size_t make(struct fuzz_input *in, uint8_t *raw, bool guest)
{
	uint8_t how = fuzz_u8(in), kind = fuzz_u8(in), id = fuzz_u8(in), len = fuzz_u8(in);
	size_t n = how & 1 ? len * 64 : len;

	if (how & 2) {
		fuzz_bytes(in, raw, len);
		return len;
	}
	n = min_u64(n, EXEC_DATA_MAX);
	exec_head_put(raw, kind % (EXEC_KINDS + 1), guest ? id % (CLIENTS + 2) : 0, (unsigned)n);
	memset(raw + EXEC_HEAD, kind, n);
	fuzz_bytes(in, raw + EXEC_HEAD, min_u64(n, 8));
	return EXEC_HEAD + n;
}

static void step(struct exec *e, struct far *far, int port, struct fuzz_input *in)
{
	uint8_t raw[EXEC_FRAME_MAX], what = fuzz_u8(in);
	struct call call = { .e = e };
	struct far *c = &far[what / 8 % CLIENTS];
	size_t len;

	if (what % 8 == 7) {
		again(&call);
	} else if (what % 8 == 6 && c->fd >= 0) {
		close(c->fd);
		c->fd = -1;
	} else if (what % 8 == 5) {
		recv(port, raw, sizeof(raw), MSG_DONTWAIT);
	} else if (what % 8 == 4) {
		hear(c);
	} else {
		len = make(in, raw, what % 8 > 1);
		send(what % 8 > 1 ? port : c->fd, raw, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	}
	loop_round(e->loop);
}

static int connect_far(struct exec *e, struct far *far)
{
	struct call call = { .e = e };
	int pair[2], i;

	for (i = 0; i < CLIENTS; i++) {
		BUG_ON(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0);
		far[i].fd = pair[0];
		call.fd = pair[1];
		BUG_ON(take(&call) < 0);
	}
	BUG_ON(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0);
	BUG_ON(watch_both(&e->in, &e->out, pair[0]) < 0);
	watch(e->loop, &e->in, true);
	return pair[1];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct far far[CLIENTS];
	struct fuzz_input in = { data, len };
	struct exec *e = calloc(1, sizeof(*e));
	struct call call = { .e = e, .status = 205, .text = "over" };
	struct loop *loop = loop_create("fuzz");
	unsigned i;
	int port;

	BUG_ON(!e || !loop);
	memset(far, 0, sizeof(far));
	e->loop = loop;
	e->in.src = (struct loop_source){ .fd = -1, .fn = port_readable, .arg = e };
	e->out.src = (struct loop_source){ .fd = -1, .fn = port_writable, .arg = e };
	port = connect_far(e, far);
	for (i = 0; in.left && i < STEPS; i++)
		step(e, far, port, &in);
	for (i = 0; i < CLIENTS; i++)
		hear(&far[i]);
	end(&call);
	for (i = 0; i < CLIENTS; i++) {
		hear(&far[i]);
		if (far[i].fd >= 0)
			close(far[i].fd);
	}
	close(port);
	exec_destroy(e);
	loop_destroy(loop);
	return 0;
}
