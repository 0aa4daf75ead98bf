/* SPDX-License-Identifier: MIT */
#include "vmm/run/exec.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "devices/devices.h"
#include "vmm/core/clock.h"
#include "vmm/core/log.h"
#include "vmm/core/loop.h"
#include "vmm/core/platform.h"
#include "vmm/core/util.h"
#include "vmm/machine/cause.h"
#include "vmm/run/exec_client.h"

#define BUS "exec" /* the id of the console device */

#define PORT_MAX (4 * EXEC_FRAME_MAX)
#define LINGER_MS 1000
#define LAST_READS 256 /* of the port when the run is over: more than its socket holds */

struct exec {
	struct loop *loop;
	struct watch in, out; /* our end of a socket pair, of which the port has the other */
	bool ready;           /* somebody serves in the guest */
	bool broken;          /* who has said what makes no sense */
	uint32_t ids;
	unsigned turn;        /* the first of clients that is looked at next */
	size_t from_len, to_len;
	uint8_t from[2 * EXEC_FRAME_MAX], to[PORT_MAX];
	struct client *client[EXEC_COMMANDS_MAX];
};

/* To the port; there is room. */
static void port_put(struct exec *e, enum exec_kind kind, uint32_t id, const void *data,
		     size_t len)
{
	exec_head_put(e->to + e->to_len, kind, id, (unsigned)len);
	if (len)
		memcpy(e->to + e->to_len + EXEC_HEAD, data, len);
	e->to_len += EXEC_HEAD + len;
	watch(e->loop, &e->out, true);
}

static bool port_has_room(const struct exec *e, size_t len)
{
	return sizeof(e->to) - e->to_len >= EXEC_HEAD + len;
}

/* It is told to the guest as soon as that can be. */
static void client_leaves(struct client *c)
{
	struct exec *e = c->exec;

	watch_end(e->loop, &c->in);
	watch_end(e->loop, &c->out);
	c->gone = true;
	if (!c->begun || c->over || !e->ready) {
		client_free(c);
	} else if (port_has_room(e, 0)) {
		port_put(e, EXEC_GONE, c->id, NULL, 0);
		client_free(c);
	}
}

/* Of all that the guest has heard of, or of all. */
static void end_all(struct exec *e, bool begun_only, unsigned status, const char *text)
{
	unsigned i;

	for (i = 0; i < EXEC_COMMANDS_MAX; i++) {
		struct client *c = e->client[i];

		if (c && c->gone)
			client_free(c);
		else if (c && (c->begun || !begun_only))
			client_ends(c, status, text);
	}
}

/* One whole frame to the guest. False: it makes no sense. */
static bool pass_on(struct client *c, const struct exec_head *h)
{
	uint8_t *data = c->from + EXEC_HEAD;
	uint32_t taken;

	if (h->id)
		return false;
	if (h->kind == EXEC_TAKEN) {
		taken = exec_get(data + 1, 4);
		if ((data[0] != EXEC_STDOUT && data[0] != EXEC_STDERR) ||
		    taken > EXEC_WINDOW - c->room[data[0]])
			return false;
		c->room[data[0]] += taken;
	}
	port_put(c->exec, h->kind, c->id, data, h->len);
	c->begun = true;
	return true;
}

/* All that the port has room for. False: the client makes no sense. */
static bool pass_all_on(struct client *c)
{
	struct exec *e = c->exec;

	while (e->ready && !c->over && c->from_len >= EXEC_HEAD) {
		struct exec_head h = exec_head_get(c->from);
		size_t len = EXEC_HEAD + h.len;

		if (!exec_head_is_good(&h, false))
			return false;
		if (c->from_len < len || !port_has_room(e, h.len))
			break;
		if (!pass_on(c, &h))
			return false;
		c->from_len -= len;
		memmove(c->from, c->from + len, c->from_len);
	}
	watch(e->loop, &c->in, !c->over && c->from_len < sizeof(c->from));
	return true;
}

static void client_goes_on(struct client *c)
{
	if (pass_all_on(c))
		return;
	if (c->begun && !port_has_room(c->exec, 0)) {
		client_leaves(c); /* the guest hears of it later */
		return;
	}
	if (c->begun)
		port_put(c->exec, EXEC_GONE, c->id, NULL, 0);
	client_ends(c, causes[CAUSE_USAGE].status, "the client says what makes no sense");
}

static void client_readable(void *arg)
{
	struct client *c = arg;
	ssize_t n = recv(c->in.src.fd, c->from + c->from_len, sizeof(c->from) - c->from_len,
			 MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		client_leaves(c);
		return;
	}
	c->from_len += n;
	client_goes_on(c);
}

static void client_writable(void *arg)
{
	struct client *c = arg;

	if (!client_flush(c))
		client_leaves(c);
}

/* The guest. */

/* It is not heard any more, and hears that its port is closed. */
static void break_off(struct exec *e)
{
	log_warn("%s: what the guest says of commands makes no sense; there are no more of them",
		 EXEC_PORT);
	e->broken = true;
	e->ready = false;
	e->from_len = e->to_len = 0;
	watch(e->loop, &e->in, false);
	watch(e->loop, &e->out, false);
	shutdown(e->in.src.fd, SHUT_RDWR);
	end_all(e, false, causes[CAUSE_NO_RESULT].status,
		"what the guest says of its commands makes no sense");
}

/* The client waits for a command from now on, and no more for an init. */
static void tell_ready(struct client *c)
{
	client_put(c, EXEC_READY, NULL, 0); /* the first that it hears: there is room */
	watch(c->loop, &c->out, true);
}

static void tell_all_ready(struct exec *e)
{
	unsigned i;

	for (i = 0; i < EXEC_COMMANDS_MAX; i++) {
		if (e->client[i] && !e->client[i]->over && !e->client[i]->gone)
			tell_ready(e->client[i]);
	}
}

/* Who has had the port last is the last to have it again, as there is room for a few at a time. */
static void all_go_on(struct exec *e)
{
	unsigned i, first = e->turn;

	for (i = 0; i < EXEC_COMMANDS_MAX; i++) {
		unsigned at = (first + i) % EXEC_COMMANDS_MAX;
		struct client *c = e->client[at];
		size_t before = e->to_len;

		if (c && c->gone)
			client_leaves(c);
		else if (c && c->from_len)
			client_goes_on(c);
		if (e->to_len != before)
			e->turn = (at + 1) % EXEC_COMMANDS_MAX;
	}
}

/* What was on its way to who was there before is of no use to anybody. */
static void heard_hello(struct exec *e, const uint8_t nonce[EXEC_NONCE])
{
	end_all(e, true, causes[CAUSE_NO_RESULT].status,
		"the guest's init has begun anew, and has lost its commands");
	memcpy(e->to, EXEC_MARK, EXEC_MARK_LEN);
	memcpy(e->to + EXEC_MARK_LEN, nonce, EXEC_NONCE);
	e->to_len = EXEC_MARK_LEN + EXEC_NONCE;
	watch(e->loop, &e->out, true);
	e->ready = true;
	tell_all_ready(e);
	all_go_on(e);
}

static struct client *client_of(const struct exec *e, uint32_t id)
{
	unsigned i;

	for (i = 0; i < EXEC_COMMANDS_MAX; i++) {
		if (e->client[i] && e->client[i]->id == id)
			return e->client[i];
	}
	return NULL;
}

/* False: it has said more of a stream than was allowed. */
static bool take_room(struct client *c, enum exec_stream stream, size_t len)
{
	if (c->room[stream] < len)
		return false;
	c->room[stream] -= len;
	return true;
}

/* To the client that it is for. False: it makes no sense. */
static bool hand_out(struct exec *e, const struct exec_head *h, const uint8_t *data)
{
	struct client *c = client_of(e, h->id);

	if (!c || c->over || c->gone) /* has left, which the guest did not know */
		return true;
	if ((h->kind == EXEC_OUT && !take_room(c, EXEC_STDOUT, EXEC_HEAD + h->len)) ||
	    (h->kind == EXEC_ERR && !take_room(c, EXEC_STDERR, EXEC_HEAD + h->len)) ||
	    (h->kind == EXEC_TAKEN && data[0] != EXEC_STDIN))
		return false;
	if (!client_put(c, h->kind, data, h->len)) { /* it does not read, whoever is to blame */
		client_leaves(c);
		return true;
	}
	c->over = h->kind == EXEC_FAILED || h->kind == EXEC_EXIT || h->kind == EXEC_KILLED;
	if (c->over)
		watch(e->loop, &c->in, false);
	if (!client_flush(c))
		client_leaves(c);
	return true;
}

static bool take_frame(struct exec *e, const struct exec_head *h, const uint8_t *data)
{
	if (h->kind != EXEC_HELLO)
		return hand_out(e, h, data);
	if (h->id)
		return false;
	heard_hello(e, data);
	return true;
}

static void take_frames(struct exec *e)
{
	size_t at = 0;

	while (!e->broken && e->from_len - at >= EXEC_HEAD) {
		struct exec_head h = exec_head_get(e->from + at);

		if (!exec_head_is_good(&h, true)) {
			break_off(e);
			return;
		}
		if (e->from_len - at - EXEC_HEAD < h.len)
			break;
		if (!take_frame(e, &h, e->from + at + EXEC_HEAD)) {
			break_off(e);
			return;
		}
		at += EXEC_HEAD + h.len;
	}
	e->from_len -= at;
	memmove(e->from, e->from + at, e->from_len);
}

/* False: there was nothing. */
static bool port_read(struct exec *e)
{
	ssize_t n = e->broken ? 0 : recv(e->in.src.fd, e->from + e->from_len,
					 sizeof(e->from) - e->from_len, MSG_DONTWAIT);

	if (n == 0) /* the devices are gone */
		watch(e->loop, &e->in, false);
	if (n <= 0)
		return false;
	e->from_len += n;
	take_frames(e);
	return true;
}

static void port_readable(void *arg)
{
	port_read(arg);
}

static void port_writable(void *arg)
{
	struct exec *e = arg;
	ssize_t n = e->to_len ? send(e->out.src.fd, e->to, e->to_len,
				     MSG_NOSIGNAL | MSG_DONTWAIT) : 0;

	if (n > 0) {
		e->to_len -= n;
		memmove(e->to, e->to + n, e->to_len);
	}
	watch(e->loop, &e->out, e->to_len && (n > 0 || errno == EAGAIN || errno == EINTR));
	if (n > 0)
		all_go_on(e);
}

/* What the main thread asks for, in the thread of the clients. */

struct call {
	struct exec *e;
	int fd;
	unsigned status;
	const char *text;
};

static int count(void *arg)
{
	const struct exec *e = ((struct call *)arg)->e;
	int i, n = 0;

	if (e->broken)
		return -EPROTO;
	for (i = 0; i < EXEC_COMMANDS_MAX; i++)
		n += !!e->client[i];
	return n;
}

int exec_may(struct exec *e)
{
	struct call call = { .e = e };
	int n = e ? loop_call(e->loop, count, &call) : 0;

	if (n == -EPROTO)
		log_err("exec: what the guest says of its commands makes no sense");
	else if (n == EXEC_COMMANDS_MAX)
		log_err("exec: the guest has %d commands already", EXEC_COMMANDS_MAX);
	else if (!e)
		log_err("exec: there is no port for it");
	else
		return 0;
	return n == -EPROTO ? n : -EBUSY;
}

static int take(void *arg)
{
	struct call *call = arg;
	struct exec *e = call->e;
	struct client *c = calloc(1, sizeof(*c));
	unsigned i;

	for (i = 0; i < EXEC_COMMANDS_MAX && e->client[i]; i++)
		;
	if (!c || i == EXEC_COMMANDS_MAX || e->broken) {
		close(call->fd);
		free(c);
		return -ENOMEM;
	}
	*c = (struct client){ .exec = e, .loop = e->loop, .place = &e->client[i],
			      .room = { EXEC_WINDOW, EXEC_WINDOW, EXEC_WINDOW },
			      .in.src = { .fn = client_readable, .arg = c },
			      .out.src = { .fn = client_writable, .arg = c } };
	c->id = e->ids = e->ids == UINT32_MAX ? 1 : e->ids + 1;
	e->client[i] = c;
	if (watch_both(&c->in, &c->out, call->fd) < 0) {
		client_free(c);
		return -ENOMEM;
	}
	watch(e->loop, &c->in, true);
	if (e->ready)
		tell_ready(c);
	return 0;
}

void exec_take(struct exec *e, int fd)
{
	struct call call = { .e = e, .fd = fd };

	loop_call(e->loop, take, &call);
}

static int again(void *arg)
{
	struct exec *e = ((struct call *)arg)->e;
	unsigned reads = 0;

	while (reads++ < LAST_READS && port_read(e))
		;
	e->from_len = e->to_len = 0;
	e->ready = false;
	end_all(e, true, causes[CAUSE_REBOOT].status, "the guest has reset itself");
	return 0;
}

void exec_again(struct exec *e)
{
	struct call call = { .e = e };

	if (e)
		loop_call(e->loop, again, &call);
}

/* Who has still something to read? False: nobody. */
static bool wait_for_readers(const struct exec *e, int ms)
{
	struct pollfd fd[EXEC_COMMANDS_MAX];
	unsigned i, n = 0;

	for (i = 0; i < EXEC_COMMANDS_MAX; i++) {
		if (e->client[i] && e->client[i]->to_at < e->client[i]->to_end)
			fd[n++] = (struct pollfd){ .fd = e->client[i]->out.src.fd,
						   .events = POLLOUT };
	}
	return n && poll(fd, n, ms) > 0;
}

static void flush_all(struct exec *e)
{
	unsigned i;

	for (i = 0; i < EXEC_COMMANDS_MAX; i++) {
		if (e->client[i] && !client_flush(e->client[i]))
			client_free(e->client[i]);
	}
}

static int end(void *arg)
{
	struct call *call = arg;
	struct exec *e = call->e;
	uint64_t until = now_ms() + LINGER_MS, now;
	unsigned reads = 0;

	while (reads++ < LAST_READS && port_read(e))
		;
	e->ready = false;
	shutdown(e->in.src.fd, SHUT_RDWR);
	end_all(e, false, call->status, call->text);
	do {
		flush_all(e);
		now = now_ms();
	} while (now < until && wait_for_readers(e, (int)(until - now)));
	return 0;
}

void exec_end(struct exec *e, unsigned status, const char *text)
{
	struct call call = { .e = e, .status = status, .text = text };

	if (e)
		loop_call(e->loop, end, &call);
}

/* Making and taking down. */

/* A port takes descriptors as programs get them: one that is open after an exec. */
static int add_port(struct platform *p, struct device_list *devices, int fd)
{
	char text[128];

	fcntl(fd, F_SETFD, 0);
	snprintf(text, sizeof(text), "console-port,bus=" BUS ",name=" EXEC_PORT
		 ",in-fd=%d,out-fd=%d", fd, fd);
	return device_create(p, devices, text);
}

static int connect_port(struct exec *e, struct platform *p, struct device_list *devices)
{
	int pair[2], r;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	r = watch_both(&e->in, &e->out, pair[0]);
	if (r == 0)
		r = add_port(p, devices, pair[1]);
	close(pair[1]);
	return r;
}

struct exec *exec_create(struct platform *p, struct device_list *devices)
{
	struct exec *e = calloc(1, sizeof(*e));
	unsigned before = log_errors();
	int r = -ENOMEM;

	if (e) {
		e->in.src = (struct loop_source){ .fd = -1, .fn = port_readable, .arg = e };
		e->out.src = (struct loop_source){ .fd = -1, .fn = port_writable, .arg = e };
		e->loop = p->iothread(p, "exec-clients");
		r = e->loop ? 0 : -errno;
	}
	if (r == 0)
		r = device_create(p, devices, "virtio-console,id=" BUS ",terminal=off");
	if (r == 0)
		r = connect_port(e, p, devices);
	if (r == 0) {
		watch(e->loop, &e->in, true);
		return e;
	}
	log_if_silent(before, "--control: no port for commands", r);
	if (e && e->loop)
		exec_destroy(e);
	else
		free(e);
	errno = -r;
	return NULL;
}

static int destroy(void *arg)
{
	struct exec *e = ((struct call *)arg)->e;
	unsigned i;

	for (i = 0; i < EXEC_COMMANDS_MAX; i++) {
		if (e->client[i])
			client_free(e->client[i]);
	}
	watch_end(e->loop, &e->in);
	watch_end(e->loop, &e->out);
	return 0;
}

void exec_destroy(struct exec *e)
{
	struct call call = { .e = e };

	if (!e)
		return;
	loop_call(e->loop, destroy, &call);
	free(e);
}
