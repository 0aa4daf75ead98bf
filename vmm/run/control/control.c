/* SPDX-License-Identifier: MIT */
#include "vmm/run/control/control.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "vmm/core/log.h"
#include "vmm/core/loop.h"
#include "vmm/core/util.h"
#include "vmm/run/control/command.h"

struct client {
	struct control *control;
	struct loop_source source; /* readable, or writable while an answer waits */
	char line[CONTROL_LINE_MAX];
	size_t have;   /* bytes in @line */
	bool last;     /* nothing more is read */
	bool over;     /* after the answer the socket is another one's */
	char *answer;  /* that is not all written; NULL: none */
	size_t at, len;
};

struct control {
	struct loop *loop;
	const struct command_host *host;
	struct loop_source source;
	char *path;
	dev_t dev; /* of the socket's file: another run may have put its own there */
	ino_t ino;
	struct client *client[CONTROL_CLIENTS_MAX];
};

/* Clients. */

static void client_drop(struct client *c)
{
	struct control *control = c->control;
	unsigned i;

	for (i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		if (control->client[i] == c)
			control->client[i] = NULL;
	}
	loop_del(control->loop, &c->source);
	free(c->answer);
	free(c);
}

static void client_free(struct client *c)
{
	int fd = c->source.fd;

	client_drop(c);
	close(fd);
}

/* Who has said more before it had the answer would not be understood. */
static void hand_over(struct client *c)
{
	const struct command_host *host = c->control->host;
	int fd = c->source.fd;

	if (c->have || c->last) {
		client_free(c);
		return;
	}
	client_drop(c);
	host->take(host->arg, fd);
}

/* Puts the line end in the place of the final zero. */
static void set_answer(struct client *c, char *answer)
{
	c->answer = answer;
	c->at = 0;
	c->len = answer ? strlen(answer) + 1 : 0;
	if (answer)
		answer[c->len - 1] = '\n';
	else /* no memory */
		c->last = true;
}

/* The first line of those that are here. False: there is none. */
static bool serve_line(struct client *c)
{
	char *end = memchr(c->line, '\n', c->have);
	size_t len;

	if (end) {
		len = end - c->line;
		set_answer(c, command_run(c->control->host, c->line, len, &c->over));
		c->have -= len + 1;
		memmove(c->line, end + 1, c->have);
		return true;
	}
	if (c->have == sizeof(c->line)) {
		c->have = 0;
		c->last = true;
		set_answer(c, strdup("{\"ok\":false,\"error\":\"the line is too long\"}"));
		return true;
	}
	return false;
}

/* False: the client is to go. */
static bool send_answer(struct client *c)
{
	ssize_t n;

	while (c->answer && c->at < c->len) {
		n = send(c->source.fd, c->answer + c->at, c->len - c->at,
			 MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0)
			return errno == EAGAIN || errno == EINTR;
		c->at += n;
	}
	free(c->answer);
	c->answer = NULL;
	return true;
}

/* False: the client is to go, for it reads no more or is wrong. */
static bool read_some(struct client *c)
{
	ssize_t n = recv(c->source.fd, c->line + c->have, sizeof(c->line) - c->have, MSG_DONTWAIT);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	c->last = !n;
	c->have += n;
	return true;
}

static void wait_for(struct client *c, bool room)
{
	if (c->source.write == room)
		return;
	loop_del(c->control->loop, &c->source);
	c->source.write = room;
	if (loop_add(c->control->loop, &c->source) < 0)
		client_free(c);
}

static void client_ready(void *arg)
{
	struct client *c = arg;
	bool stays = c->answer || read_some(c);

	do
		stays = stays && send_answer(c);
	while (stays && !c->answer && !c->over && serve_line(c));
	if (stays && !c->answer && c->over)
		hand_over(c);
	else if (!stays || (c->last && !c->answer))
		client_free(c);
	else
		wait_for(c, c->answer);
}

static void add_client(struct control *control, int fd)
{
	static const char full[] = "{\"ok\":false,\"error\":\"too many clients\"}\n";
	struct client **place = control->client, *c;

	while (place < control->client + CONTROL_CLIENTS_MAX && *place)
		place++;
	c = place < control->client + CONTROL_CLIENTS_MAX ? calloc(1, sizeof(*c)) : NULL;
	if (!c) {
		send(fd, full, sizeof(full) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
		close(fd);
		return;
	}
	c->control = control;
	c->source = (struct loop_source){ .fd = fd, .fn = client_ready, .arg = c };
	*place = c;
	if (loop_add(control->loop, &c->source) < 0)
		client_free(c);
}

static void client_comes(void *arg)
{
	struct control *control = arg;
	int fd = accept4(control->source.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd >= 0)
		add_client(control, fd);
}

/* The socket. */

static int failed(const char *path, int err)
{
	log_err("--control %s: %s", path, strerror(err));
	return -err;
}

/* 0: what is there is a socket of nobody's. -errno after one line: it is to be left alone. */
static int check_stale(const struct sockaddr_un *addr)
{
	int fd, r, err;
	struct stat st;

	if (lstat(addr->sun_path, &st) < 0 || !S_ISSOCK(st.st_mode)) {
		log_err("--control %s: is there already, and no socket", addr->sun_path);
		return -EEXIST;
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	r = connect(fd, (const struct sockaddr *)addr, sizeof(*addr));
	err = r < 0 ? errno : EADDRINUSE;
	if (fd >= 0)
		close(fd);
	if (err == ECONNREFUSED)
		return 0;
	if (err != EADDRINUSE && err != EAGAIN)
		return failed(addr->sun_path, err);
	log_err("--control %s: another run has it; choose another path", addr->sun_path);
	return -EADDRINUSE;
}

/* -errno after one line. */
static int bind_path(int fd, const struct sockaddr_un *addr)
{
	const struct sockaddr *a = (const struct sockaddr *)addr;
	int r;

	/* Before there is a file: so nobody finds it with another mode. */
	if (fchmod(fd, 0600) < 0)
		return failed(addr->sun_path, errno);
	if (bind(fd, a, sizeof(*addr)) == 0)
		return 0;
	if (errno != EADDRINUSE)
		return failed(addr->sun_path, errno);
	r = check_stale(addr);
	if (r < 0)
		return r;
	unlink(addr->sun_path);
	return bind(fd, a, sizeof(*addr)) < 0 ? failed(addr->sun_path, errno) : 0;
}

static int fill_address(struct sockaddr_un *addr, const char *path)
{
	size_t len = strlen(path);

	*addr = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (!len || len >= sizeof(addr->sun_path)) {
		log_err("--control %s: its path has %zu characters, and that of a socket 1 to %zu; "
			"give a shorter one, from the working directory for instance", path, len,
			sizeof(addr->sun_path) - 1);
		return -ENAMETOOLONG;
	}
	memcpy(addr->sun_path, path, len);
	return 0;
}

static int listen_at(struct control *control, const struct sockaddr_un *addr)
{
	struct stat st;
	int r;

	control->source.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (control->source.fd < 0)
		return failed(addr->sun_path, errno);
	r = bind_path(control->source.fd, addr);
	if (r < 0)
		return r;
	if (lstat(addr->sun_path, &st) == 0) {
		control->dev = st.st_dev;
		control->ino = st.st_ino;
	}
	if (listen(control->source.fd, CONTROL_CLIENTS_MAX) < 0)
		return failed(addr->sun_path, errno);
	r = loop_add(control->loop, &control->source);
	return r < 0 ? failed(addr->sun_path, -r) : 0;
}

struct control *control_create(const char *path, struct loop *loop,
			       const struct command_host *host)
{
	struct control *control;
	struct sockaddr_un addr;
	int r;

	if (fill_address(&addr, path) < 0)
		return NULL;
	control = calloc(1, sizeof(*control));
	if (!control)
		return NULL;
	control->loop = loop;
	control->host = host;
	control->source = (struct loop_source){ .fd = -1, .fn = client_comes, .arg = control };
	control->path = strdup(path);
	r = control->path ? listen_at(control, &addr) : -ENOMEM;
	if (r == 0)
		return control;
	control_destroy(control);
	return NULL;
}

static void remove_socket(const struct control *control)
{
	struct stat st;

	if (control->ino && lstat(control->path, &st) == 0 && st.st_dev == control->dev &&
	    st.st_ino == control->ino)
		unlink(control->path);
}

void control_destroy(struct control *control)
{
	unsigned i;

	if (!control)
		return;
	for (i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		if (control->client[i])
			client_free(control->client[i]);
	}
	if (control->source.fd >= 0) {
		remove_socket(control);
		loop_del(control->loop, &control->source);
		close(control->source.fd);
	}
	free(control->path);
	free(control);
}
