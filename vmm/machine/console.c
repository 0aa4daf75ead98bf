/* SPDX-License-Identifier: MIT */
#include "vmm/machine/console.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "vmm/core/log.h"
#include "vmm/core/loop.h"
#include "vmm/core/outlet.h"
#include "vmm/core/platform.h"
#include "vmm/core/util.h"
#include "vmm/machine/console_log.h"
#include "vmm/machine/tty.h"

#define ESCAPE 1 /* Ctrl-A */

static const char panic_line[] = "Kernel panic - not syncing";

struct console {
	struct console_host host;
	struct loop *loop;
	const struct console_user *user;
	void *dev;
	const struct console_user *sysrq; /* the last one that takes such keys; NULL: none */
	void *sysrq_dev;

	struct loop_source in;   /* stdin, or an eventfd that is always ready in its place */
	struct loop_source room; /* an eventfd: the device takes input again */
	struct loop_source winch; /* a signalfd: the terminal has another size */
	struct outlet out;       /* stdout, for those who must not wait */
	struct platform *platform;
	struct console_log *log;
	bool quiet; /* nothing to stdout, */
	bool keys;  /* and is what is typed wanted? */
	bool reading;
	bool is_tty, escaped;
	char buf[1024]; /* read and not yet taken by the device */
	size_t at, end;
	atomic_bool full; /* the device has left something in buf */

	atomic_bool hurry;
	atomic_size_t late; /* as of struct stream */
	atomic_uint panic_matched; /* characters of panic_line; by whichever vCPU prints */
	atomic_bool panic;
	atomic_ulong printed;
};

/* vCPUs that print at the same time may spoil a match, but @panic_matched stays in the line. */
static void watch_for_panic(struct console *con, char c)
{
	unsigned at = atomic_load(&con->panic_matched);

	if (c != panic_line[at])
		at = 0;
	if (c == panic_line[at] && !panic_line[++at]) {
		atomic_store(&con->panic, true);
		at = 0;
	}
	atomic_store(&con->panic_matched, at);
}

static void watch(struct console *con, const char *data, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		watch_for_panic(con, data[i]);
	console_log_write(con->log, data, len);
	con->host.printed(con->host.arg, data, len);
	atomic_fetch_add(&con->printed, len);
}

/* When nobody reads any more, what comes is lost, by design. */
static void not_written(struct console *con, int err)
{
	if (err != EPIPE)
		platform_output_failed(con->platform, "stdout", err);
}

static void console_write(void *console, const void *data, size_t len)
{
	struct console *con = console;
	const char *from = data;

	len = platform_allows(con->platform, &con->late, len);
	platform_wrote(con->platform, &con->late, len);
	watch(con, data, len);
	while (len && !con->quiet && !atomic_load(&con->hurry)) {
		ssize_t n = write(STDOUT_FILENO, from, len);

		if (n >= 0) {
			from += n;
			len -= n;
		} else if (errno == EAGAIN) { /* somebody else made it non-blocking */
			poll(&(struct pollfd){ .fd = STDOUT_FILENO, .events = POLLOUT }, 1, 100);
		} else if (errno != EINTR) {
			not_written(con, outlet_error(&con->out, errno));
			return;
		}
	}
}

static ssize_t console_try_write(void *console, const void *data, size_t len)
{
	struct console *con = console;
	size_t allowed = platform_allows(con->platform, &con->late, len);
	ssize_t n;

	if (!allowed)
		return (ssize_t)len;
	n = con->quiet ? (ssize_t)allowed : outlet_write(&con->out, data, allowed);
	if (n > 0) {
		platform_wrote(con->platform, &con->late, n);
		watch(con, data, n);
	} else if (n < 0 && n != -EAGAIN) {
		not_written(con, (int)-n);
	}
	return n;
}

static int console_room(void *console)
{
	struct console *con = console;

	return con->out.fd;
}

static void console_more(void *console)
{
	struct console *con = console;

	if (atomic_exchange(&con->full, false))
		eventfd_write(con->room.fd, 1);
}

static const struct console_ops console_ops = {
	.write = console_write,
	.try_write = console_try_write,
	.room = console_room,
	.more = console_more,
};

/* Takes the escape sequences out of buf. */
static void filter(struct console *con)
{
	size_t i, to = 0;

	for (i = 0; i < con->end; i++) {
		char c = con->buf[i];

		if (!con->escaped && c == ESCAPE) {
			con->escaped = true;
			continue;
		}
		if (con->escaped && (c == 'x' || c == 'X'))
			con->host.quit(con->host.arg);
		else
			con->buf[to++] = c;
		con->escaped = false;
	}
	con->end = to;
}

static void stop_reading(struct console *con)
{
	loop_del(con->loop, &con->in);
	if (con->in.fd != STDIN_FILENO)
		close(con->in.fd);
	con->reading = false;
}

static void deliver(struct console *con)
{
	/* Before input(), so that a more() that comes right after it is not missed. */
	atomic_store(&con->full, true);
	con->at += con->user->input(con->dev, con->buf + con->at, con->end - con->at);
	if (con->at == con->end)
		atomic_store(&con->full, false);
	else if (con->reading)
		loop_pause(con->loop, &con->in);
}

static void stdin_ready(void *arg)
{
	struct console *con = arg;
	ssize_t n;

	if (con->at < con->end)
		return;
	n = read(STDIN_FILENO, con->buf, sizeof(con->buf));
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0) {
		stop_reading(con);
		return;
	}
	con->at = 0;
	con->end = n;
	if (con->is_tty)
		filter(con);
	deliver(con);
}

static void room_ready(void *arg)
{
	struct console *con = arg;
	eventfd_t count;

	eventfd_read(con->room.fd, &count);
	if (con->at < con->end)
		deliver(con);
	if (con->at == con->end && con->reading)
		loop_resume(con->loop, &con->in);
}

static void tell_size(struct console *con)
{
	struct winsize size = { 0 };

	if (!con->user->resized)
		return;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0)
		ioctl(STDIN_FILENO, TIOCGWINSZ, &size);
	con->user->resized(con->dev, size.ws_col, size.ws_row);
}

static void winch_ready(void *arg)
{
	struct signalfd_siginfo info;
	struct console *con = arg;

	if (read(con->winch.fd, &info, sizeof(info)) == sizeof(info))
		tell_size(con);
}

static void attach(void *console, const struct console_user *user, void *dev)
{
	struct console *con = console;

	con->user = user;
	con->dev = dev;
	if (user->sysrq) {
		con->sysrq = user;
		con->sysrq_dev = dev;
	}
	tell_size(con);
}

/* Blocked, and inherited so by all threads that are made from now on. */
static void watch_size(struct console *con)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGWINCH);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	con->winch = (struct loop_source){ .fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK),
					   .fn = winch_ready, .arg = con };
	if (con->winch.fd >= 0)
		loop_add(con->loop, &con->winch);
	tell_size(con); /* it may have changed while nobody watched */
}

struct console *console_create(const struct console_host *host, struct platform *p,
			       struct loop *loop)
{
	struct console *con = calloc(1, sizeof(*con));

	if (!con) {
		log_err("console: %s", strerror(errno));
		return NULL;
	}
	con->host = *host;
	con->loop = loop;
	con->platform = p;
	con->winch.fd = -1;
	con->in = (struct loop_source){ .fd = STDIN_FILENO, .fn = stdin_ready, .arg = con };
	con->room = (struct loop_source){ .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
					  .fn = room_ready, .arg = con };
	con->log = console_log_create();
	if (!con->log || con->room.fd < 0 || loop_add(loop, &con->room) < 0) {
		log_err("console: %s", strerror(errno));
		console_log_destroy(con->log);
		free(con);
		return NULL;
	}
	tty_watch();
	outlet_open(&con->out, STDOUT_FILENO); /* without one, all that is written fails */
	p->console = con;
	p->console_ops = &console_ops;
	p->console_attach = attach;
	return con;
}

void console_destroy(struct console *con)
{
	tty_unwatch();
	loop_del(con->loop, &con->room);
	close(con->room.fd);
	if (con->winch.fd >= 0)
		close(con->winch.fd);
	outlet_close(&con->out);
	console_log_destroy(con->log);
	free(con);
}

void console_start(struct console *con)
{
	int r;

	if (!con->user || (con->quiet && !con->keys))
		return;
	con->is_tty = tty_make_raw();
	if (con->is_tty)
		watch_size(con);
	r = loop_add(con->loop, &con->in);
	if (r == -EPERM) { /* a file: always readable, but epoll wants to hear it from an eventfd */
		con->in.fd = eventfd(1, EFD_CLOEXEC);
		r = loop_add(con->loop, &con->in);
	}
	con->reading = r == 0;
}

int console_sysrq(struct console *con, char key)
{
	if (con->sysrq && con->sysrq->sysrq(con->sysrq_dev, key))
		return 0;
	log_err("sysrq: the guest's kernel takes no input from its console now: no program there "
		"has it open, or it is behind");
	return -EAGAIN;
}

void console_hurry(struct console *con)
{
	atomic_store(&con->hurry, true);
}

void console_stop(struct console *con)
{
	if (con->reading)
		stop_reading(con);
	tty_restore();
}

void console_set_quiet(struct console *con, bool keys)
{
	con->quiet = true;
	con->keys = keys;
}

bool console_is_quiet(const struct console *con)
{
	return con->quiet;
}

struct console_log *console_get_log(const struct console *con)
{
	return con->log;
}

unsigned long console_printed(const struct console *con)
{
	return atomic_load(&con->printed);
}

bool console_saw_panic(const struct console *con)
{
	return atomic_load(&con->panic);
}
