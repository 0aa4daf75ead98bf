/* SPDX-License-Identifier: MIT */
#include "devices/vsock_unix.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "vmm/core/fail.h"
#include "vmm/core/log.h"
#include "vmm/core/util.h"

#define PORT_DIGITS 10
#define PATH_MAX_LEN (sizeof(((struct sockaddr_un *)0)->sun_path) - 1 - (1 + PORT_DIGITS))
#define LINE_MAX_LEN 31 /* of "CONNECT PORT" */

/* A program that has connected, and not said yet to which port. */
struct vsock_caller {
	struct vsock_unix *u;
	LIST_ENTRY(vsock_caller) link;
	struct loop_source source;
	size_t len;
	char line[LINE_MAX_LEN + 1];
};

static int unix_socket(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	return fd < 0 ? -errno : fd;
}

static void put_address(struct sockaddr_un *addr, const char *path)
{
	*addr = (struct sockaddr_un){ .sun_family = AF_UNIX };
	snprintf(addr->sun_path, sizeof(addr->sun_path), "%s", path);
}

static int try_connect(int fd, const struct sockaddr_un *addr)
{
	return connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) < 0 ? -errno : 0;
}

int vsock_unix_dial(const struct vsock_unix *u, uint32_t port)
{
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	struct sockaddr_un addr;
	int fd, r;

	snprintf(path, sizeof(path), "%s_%u", u->path, port);
	put_address(&addr, path);
	fd = unix_socket();
	if (fd < 0)
		return fd;
	r = try_connect(fd, &addr);
	if (r == 0)
		return fd;
	close(fd);
	return r;
}

/* Callers. */

static void caller_forget(struct vsock_caller *c)
{
	loop_del(c->u->loop, &c->source);
	LIST_REMOVE(c, link);
	c->u->ncallers--;
	vsock_unix_again(c->u);
	free(c);
}

/* "CONNECT PORT". */
static bool parse(const char *line, uint32_t *port)
{
	static const char word[] = "CONNECT ";
	const char *digits = line + sizeof(word) - 1;
	unsigned long long n;
	char *end;

	if (strncasecmp(line, word, sizeof(word) - 1) || *digits < '0' || *digits > '9')
		return false;
	n = strtoull(digits, &end, 10);
	*port = (uint32_t)n;
	return end - digits <= PORT_DIGITS && n <= UINT32_MAX && (!*end || !strcmp(end, "\r"));
}

static void caller_done(struct vsock_caller *c)
{
	struct vsock_unix *u = c->u;
	int fd = c->source.fd;
	uint32_t port;
	bool ok = parse(c->line, &port);

	caller_forget(c);
	if (ok)
		u->connect(u->arg, fd, port);
	else
		close(fd);
}

/* Byte by byte, as what follows is for the guest. */
static void caller_reads(void *arg)
{
	struct vsock_caller *c = arg;
	ssize_t n;

	for (;;) {
		n = recv(c->source.fd, c->line + c->len, 1, MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0 || c->line[c->len] == '\n')
			break;
		if (++c->len == LINE_MAX_LEN)
			break;
	}
	c->line[n > 0 && c->line[c->len] == '\n' ? c->len : 0] = 0;
	caller_done(c);
}

static int caller_new(struct vsock_unix *u, int fd)
{
	struct vsock_caller *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return -ENOMEM;
	c->u = u;
	c->source = (struct loop_source){ .fd = fd, .fn = caller_reads, .arg = c };
	r = loop_add(u->loop, &c->source);
	if (r < 0) {
		free(c);
		return r;
	}
	LIST_INSERT_HEAD(&u->callers, c, link);
	u->ncallers++;
	return 0;
}

static void set_accepts(struct vsock_unix *u, bool on)
{
	if (on && !u->accepts)
		on = loop_add(u->loop, &u->source) == 0;
	else if (!on && u->accepts)
		loop_del(u->loop, &u->source);
	u->accepts = on;
}

/* Who cannot be taken waits in the queue of those who have connected. */
static void accept_one(void *arg)
{
	struct vsock_unix *u = arg;
	int fd = accept4(u->source.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd >= 0 && caller_new(u, fd) < 0)
		close(fd);
	if (u->ncallers == VSOCK_CALLERS_MAX ||
	    (fd < 0 && errno != EAGAIN && errno != EINTR && errno != ECONNABORTED))
		set_accepts(u, false);
}

void vsock_unix_again(struct vsock_unix *u)
{
	if (u->loop && u->source.fd >= 0 && u->ncallers < VSOCK_CALLERS_MAX)
		set_accepts(u, true);
}

void vsock_unix_start(struct vsock_unix *u, struct loop *loop)
{
	u->loop = loop;
	vsock_unix_again(u);
}

void vsock_unix_stop(struct vsock_unix *u)
{
	struct vsock_caller *c;

	while ((c = LIST_FIRST(&u->callers))) {
		int fd = c->source.fd;

		caller_forget(c);
		close(fd);
	}
	if (u->loop)
		set_accepts(u, false);
	u->loop = NULL;
}

/* The socket. */

static int failed(const char *id, const char *path, int err)
{
	log_err("%s: path=%s: %s", id, path, strerror(err));
	return -err;
}

/* Of a run that was killed, or of one that is there? */
static int check_stale(const char *id, const struct sockaddr_un *addr)
{
	struct stat st;
	int fd, r;

	if (lstat(addr->sun_path, &st) < 0 || !S_ISSOCK(st.st_mode)) {
		log_err("%s: path=%s: is there already, and no socket", id, addr->sun_path);
		return -EEXIST;
	}
	fd = unix_socket();
	if (fd < 0)
		return failed(id, addr->sun_path, -fd);
	r = try_connect(fd, addr);
	close(fd);
	if (r == -ECONNREFUSED)
		return 0;
	log_err("%s: path=%s: another program listens there; choose another path", id,
		addr->sun_path);
	return -EADDRINUSE;
}

static int bind_path(int fd, const char *id, const struct sockaddr_un *addr)
{
	const struct sockaddr *a = (const struct sockaddr *)addr;
	int r;

	if (fchmod(fd, 0600) < 0) /* before there is a file */
		return failed(id, addr->sun_path, errno);
	if (bind(fd, a, sizeof(*addr)) == 0)
		return 0;
	if (errno != EADDRINUSE)
		return failed(id, addr->sun_path, errno);
	r = check_stale(id, addr);
	if (r < 0)
		return r;
	unlink(addr->sun_path);
	return bind(fd, a, sizeof(*addr)) < 0 ? failed(id, addr->sun_path, errno) : 0;
}

static int listen_at(int fd, const char *id, const struct sockaddr_un *addr)
{
	int r = bind_path(fd, id, addr);

	if (r < 0)
		return r;
	return listen(fd, SOMAXCONN) < 0 ? failed(id, addr->sun_path, errno) : 0;
}

int vsock_unix_open(struct vsock_unix *u, const char *id, const char *path)
{
	size_t len = strlen(path);
	struct sockaddr_un addr;
	struct stat st;
	int fd, r;

	u->path = path;
	u->source = (struct loop_source){ .fd = -1, .fn = accept_one, .arg = u };
	if (!len || len > PATH_MAX_LEN) {
		log_err("%s: path=%s: it has %zu characters, and 1 to %zu are wanted; give a "
			"shorter one, from the working directory for instance", id, path, len,
			PATH_MAX_LEN);
		return -EUSAGE;
	}
	fd = unix_socket();
	if (fd < 0)
		return failed(id, path, -fd);
	put_address(&addr, path);
	r = listen_at(fd, id, &addr);
	if (r < 0) {
		close(fd);
		return r;
	}
	if (lstat(path, &st) == 0) {
		u->dev = st.st_dev;
		u->ino = st.st_ino;
	}
	u->source.fd = fd;
	return 0;
}

void vsock_unix_close(struct vsock_unix *u)
{
	struct stat st;

	if (u->source.fd < 0 || !u->path)
		return;
	if (lstat(u->path, &st) == 0 && st.st_dev == u->dev && st.st_ino == u->ino)
		unlink(u->path);
	close(u->source.fd);
	u->source.fd = -1;
}
