#include "vmm/core/log.h"

#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define ROOM_MS 1000

static enum log_level threshold = LOG_NOTE;

/* Where log_hear() wants the errors of this thread. */
static _Thread_local struct {
	char *text;
	size_t size;
} heard;

static struct {
	void (*fn)(void *arg, enum log_level level, const char *text);
	void *arg;
} watcher;

static atomic_uint lost; /* lines for which there was no room, since there last was some */

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

/* A file's name may have line ends in it, and what makes a terminal do other things. */
static void be_one_line(char *line, size_t len)
{
	while (len--)
		if ((unsigned char)line[len] < ' ' || line[len] == 0x7f)
			line[len] = '?';
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

static void put(enum log_level level, const char *fmt, va_list ap, const char *tail)
{
	char line[1024];
	int head, body;
	size_t len;

	head = snprintf(line, sizeof(line), "lunette: %s", names[level]);
	body = vsnprintf(line + head, sizeof(line) - head, fmt, ap);
	len = head + (body > 0 ? body : 0);
	if (len > sizeof(line) - 1)
		len = sizeof(line) - 1;
	be_one_line(line, len);
	if (level == LOG_ERR && heard.text) {
		snprintf(heard.text, heard.size, "%s", line + head);
		return;
	}
	len += snprintf(line + len, sizeof(line) - len, "%s", tail);
	if (len > sizeof(line) - 1)
		len = sizeof(line) - 1;
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
