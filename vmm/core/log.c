/* SPDX-License-Identifier: MIT */
#include "vmm/core/log.h"

#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "vmm/core/utf8.h"

#define ROOM_MS 1000
#define LINE_SIZE 1024

static enum log_level threshold = LOG_NOTE;

/* Where log_hear() wants the errors of this thread. */
static _Thread_local struct {
	char *text;
	size_t size;
} heard;

/* Where log_send() wants its lines. */
static _Thread_local struct {
	bool is_set;
	int sock;
} away;

static struct {
	void (*fn)(void *arg, enum log_level level, const char *text);
	void *arg;
} watcher;

static atomic_uint lost; /* lines for which there was no room, since there last was some */

static atomic_uint errors;

static const char *const names[] = {
	[LOG_ERR] = "error: ",
	[LOG_WARN] = "warning: ",
	[LOG_NOTE] = "",
	[LOG_INFO] = "info: ",
	[LOG_DEBUG] = "debug: ",
};

void log_set_level(enum log_level level)
{
	threshold = level;
}

/*
 * Waits a little for the reader of stderr: one that has stopped must not stop us, too, as who
 * serves signals and limits of time has lines to write. Only the first line to be lost waits.
 */
static bool has_room(void)
{
	struct pollfd room = { .fd = STDERR_FILENO, .events = POLLOUT };
	unsigned n = atomic_load(&lost);

	if (poll(&room, 1, n ? 0 : ROOM_MS) <= 0 && poll(&room, 1, 0) <= 0) {
		atomic_fetch_add(&lost, 1);
		return false;
	}
	n = atomic_exchange(&lost, 0);
	if (n)
		dprintf(STDERR_FILENO, "lunette: nobody has read this for a while: %u line%s "
			"lost\n", n, n == 1 ? " is" : "s are");
	return true;
}

/* One system call, so that lines of several threads do not mix. */
static void print(const char *line, size_t len)
{
	const struct iovec piece[] = { { (void *)line, len }, { (void *)"\n", 1 } };

	if (has_room() && writev(STDERR_FILENO, piece, 2) < 0)
		return; /* nobody to tell */
}

/* Of what is very long, as a value may be that the user gave, the end is wanted, too. */
static bool put_long(char *to, size_t size, const char *fmt, va_list ap)
{
	char *text, *plain = NULL;
	int len = vasprintf(&text, fmt, ap);
	bool fits;

	if (len < 0)
		return false;
	plain = malloc(4 * (size_t)len + 1);
	fits = plain != NULL;
	if (fits)
		utf8_fit(to, size, plain, utf8_plain(plain, 4 * (size_t)len + 1, text, len));
	free(plain);
	free(text);
	return fits;
}

static void put_text(char *to, size_t size, const char *fmt, va_list ap)
{
	char text[LINE_SIZE], plain[4 * LINE_SIZE];
	va_list again;
	int len;

	va_copy(again, ap);
	len = vsnprintf(text, sizeof(text), fmt, ap);
	if (len < (int)sizeof(text) || !put_long(to, size, fmt, again)) {
		len = utf8_plain(plain, sizeof(plain), text, len < 0 ? 0 : strlen(text));
		utf8_fit(to, size, plain, len);
	}
	va_end(again);
}

static void put(enum log_level level, const char *fmt, va_list ap, const char *tail)
{
	char line[LINE_SIZE];
	int head;
	size_t len;

	head = snprintf(line, sizeof(line), "lunette: %s", names[level]);
	put_text(line + head, sizeof(line) - head, fmt, ap);
	len = strlen(line);
	if (level == LOG_ERR)
		atomic_fetch_add(&errors, 1);
	if (level == LOG_ERR && heard.text) {
		utf8_fit(heard.text, heard.size, line + head, len - head);
		return;
	}
	len += snprintf(line + len, sizeof(line) - len, "%s", tail);
	if (len > sizeof(line) - 1)
		len = sizeof(line) - 1;
	if (away.is_set) {
		send(away.sock, line + head, len - head, MSG_DONTWAIT | MSG_NOSIGNAL);
		return;
	}
	if (watcher.fn)
		watcher.fn(watcher.arg, level, line + head);
	print(line, len);
}

void log_text(const char *line)
{
	print(line, strlen(line));
}

void log_hear(char *text, size_t size)
{
	heard.text = text;
	heard.size = size;
	if (text)
		*text = 0;
}

void log_send(int sock)
{
	away.is_set = sock >= 0;
	away.sock = sock;
}

unsigned log_errors(void)
{
	return atomic_load(&errors);
}

int log_if_silent(unsigned before, const char *what, int err)
{
	if (err < 0 && log_errors() == before)
		log_err("%s: %s", what, strerror(-err));
	return err;
}

void log_watch(void (*fn)(void *arg, enum log_level level, const char *text), void *arg)
{
	watcher.fn = fn;
	watcher.arg = arg;
}

void log_line(enum log_level level, const char *fmt, ...)
{
	va_list ap;

	if (level > threshold)
		return;
	va_start(ap, fmt);
	put(level, fmt, ap, "");
	va_end(ap);
}

void log_guest(struct log_limit *limit, const char *fmt, ...)
{
	unsigned n = atomic_fetch_add(&limit->used, 1);
	const char *tail = "";
	unsigned total;
	va_list ap;

	if (n >= LOG_LIMIT) {
		atomic_store(&limit->used, LOG_LIMIT); /* so that it cannot wrap */
		return;
	}
	total = atomic_fetch_add(&limit->total, 1);
	if (total >= LOG_TOTAL) {
		atomic_store(&limit->total, LOG_TOTAL);
		return;
	}
	if (threshold < LOG_WARN)
		return;
	if (total == LOG_TOTAL - 1)
		tail = " (no more of these)";
	else if (n == LOG_LIMIT - 1)
		tail = " (no more of these until a reset)";
	va_start(ap, fmt);
	put(LOG_WARN, fmt, ap, tail);
	va_end(ap);
}

void log_limit_reset(struct log_limit *limit)
{
	atomic_store(&limit->used, 0);
}

void log_bug(const char *file, int line, const char *what)
{
	log_line(LOG_ERR, "bug at %s:%d: %s", file, line, what);
	abort();
}
