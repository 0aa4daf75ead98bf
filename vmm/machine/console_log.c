/* SPDX-License-Identifier: MIT */
#include "vmm/machine/console_log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/core/claim.h"
#include "vmm/core/log.h"
#include "vmm/core/utf8.h"
#include "vmm/core/util.h"

#define KEPT KIB(64)

struct console_log {
	pthread_mutex_t lock;
	char ring[KEPT];
	uint64_t printed; /* bytes in all; the next one's place in the ring is the remainder */

	const char *path; /* NULL: there is no file, or no longer */
	struct claims *claims;
	struct claim *file, *before; /* FILE, and FILE.1 */
	char *what, *what_before;    /* what they are called in messages, ... */
	char *path_before;           /* ... and where that one is */
	int fd;
	void (*failed)(void *arg);
	void *failed_arg;
	uint64_t half;    /* how large a file may become */
	uint64_t size;    /* of the one that is written, ... */
	uint64_t older;   /* ... and of the one before; 0: none */
	uint64_t dropped; /* bytes that were in files before these */
};

struct console_log *console_log_create(void)
{
	struct console_log *log = calloc(1, sizeof(*log));

	if (!log)
		return NULL;
	pthread_mutex_init(&log->lock, NULL);
	log->fd = -1;
	return log;
}

void console_log_destroy(struct console_log *log)
{
	if (!log)
		return;
	claim_drop(log->file);
	claim_drop(log->before);
	free(log->what);
	free(log->what_before);
	free(log->path_before);
	pthread_mutex_destroy(&log->lock);
	free(log);
}

/* The file that FILE is to become is one that is lost then. */
static int open_files(struct console_log *log, const char *path)
{
	if (asprintf(&log->what, "--console-log %s", path) < 0 ||
	    asprintf(&log->what_before, "--console-log %s: %s.1", path, path) < 0)
		return -ENOMEM;
	log->fd = claim_open(log->claims, log->what, path, CLAIM_REGULAR | CLAIM_APPEND,
			     &log->file);
	if (log->fd < 0)
		return log->fd;
	log->path = claim_path(log->file);
	if (!log->path || asprintf(&log->path_before, "%s.1", log->path) < 0)
		return -ENOMEM;
	return claim_name(log->claims, log->what_before, log->path_before, &log->before);
}

int console_log_open(struct console_log *log, struct claims *claims, const char *path,
		     uint64_t limit, void (*failed)(void *arg), void *arg)
{
	int r;

	log->claims = claims;
	log->failed = failed;
	log->failed_arg = arg;
	log->half = limit / 2;
	r = open_files(log, path);
	if (r == -ENOMEM)
		log_err("--console-log %s: %s", path, strerror(ENOMEM));
	if (r < 0)
		log->path = NULL;
	return r;
}

static void give_up(struct console_log *log, const char *why, int err)
{
	log_err("%s: %s: %s", log->what, why, strerror(err));
	log->path = NULL;
	log->failed(log->failed_arg);
}

static void put(struct console_log *log, const char *data, size_t len)
{
	while (len && log->path) {
		ssize_t n = write(log->fd, data, len);

		if (n >= 0) {
			data += n;
			len -= n;
			log->size += n;
		} else if (errno != EINTR) {
			give_up(log, "cannot be written", errno);
		}
	}
}

/* FILE becomes FILE.1, unless that has become a disk of this run meanwhile. Returns an errno. */
static int set_aside(struct console_log *log)
{
	claim_drop(log->before);
	if (claim_name(log->claims, log->what_before, log->path_before, &log->before) < 0)
		return EBUSY;
	if (rename(log->path, log->path_before) < 0)
		return errno;
	claim_renew(log->before, dup(log->fd));
	log->fd = open(log->path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0666);
	if (log->fd < 0)
		return errno;
	claim_renew(log->file, log->fd);
	return 0;
}

static void begin_anew(struct console_log *log)
{
	int err = set_aside(log), n;
	char line[160];

	if (err) {
		give_up(log, "cannot go on in a new file", err);
		return;
	}
	log->dropped += log->older;
	log->older = log->size;
	log->size = 0;
	n = snprintf(line, sizeof(line), "lunette: %llu bytes before this line are in the file .1; "
		     "%llu bytes before those were dropped\n", (unsigned long long)log->older,
		     (unsigned long long)log->dropped);
	put(log, line, n);
}

static void put_bounded(struct console_log *log, const char *data, size_t len)
{
	while (len && log->path) {
		size_t n = min_u64(len, log->half - log->size);

		if (n) {
			put(log, data, n);
			data += n;
			len -= n;
		} else {
			begin_anew(log);
		}
	}
}

void console_log_write(struct console_log *log, const void *data, size_t len)
{
	const char *from = data;

	pthread_mutex_lock(&log->lock);
	put_bounded(log, from, len);
	while (len) {
		size_t at = log->printed % KEPT, n = min_u64(len, KEPT - at);

		memcpy(log->ring + at, from, n);
		log->printed += n;
		from += n;
		len -= n;
	}
	pthread_mutex_unlock(&log->lock);
}

/* One line, clean and cut, with a zero at its end. Returns the place behind that. */
static char *clean(char *to, const char *from, size_t len)
{
	const char *start = to, *end = from + len;

	while (from < end) {
		size_t n = utf8_char(from, end - from);

		if (*from == '\r') { /* before the end of a line; elsewhere of no use either */
			from++;
			continue;
		}
		if (to - start + n > CONSOLE_LOG_LINE_MAX - 3) {
			memcpy(to, "...", 3);
			to += 3;
			break;
		}
		if (n == 0 || (n == 1 && *from != '\t' && (*from < ' ' || *from == 0x7f))) {
			*to++ = '?';
			from++;
			continue;
		}
		memcpy(to, from, n);
		to += n;
		from += n;
	}
	*to++ = 0;
	return to;
}

/* The lines of what was kept, in one piece of memory. */
struct lines {
	char *text;  /* one after the other, each with a zero at its end */
	char **line; /* NULL: there was no memory */
	size_t count;
};

/* In order, from the first whole line on. */
static size_t copy_kept(struct console_log *log, char *to)
{
	size_t len, at, skip = 0;
	char *end;

	pthread_mutex_lock(&log->lock);
	len = min_u64(log->printed, KEPT);
	at = (log->printed - len) % KEPT;
	memcpy(to, log->ring + at, min_u64(len, KEPT - at));
	memcpy(to + min_u64(len, KEPT - at), log->ring, len - min_u64(len, KEPT - at));
	if (log->printed > KEPT && (end = memchr(to, '\n', len)))
		skip = end + 1 - to;
	pthread_mutex_unlock(&log->lock);
	memmove(to, to + skip, len - skip);
	return len - skip;
}

static void split(struct lines *l, char *from, size_t len)
{
	char *to = l->text, *end;
	size_t n;

	while (len) {
		end = memchr(from, '\n', len);
		n = end ? (size_t)(end - from) : len;
		l->line[l->count++] = to;
		to = clean(to, from, n);
		from += n + !!end;
		len -= n + !!end;
	}
}

static bool read_lines(struct console_log *log, struct lines *l)
{
	char *kept = malloc(KEPT);
	size_t len;

	*l = (struct lines){ .text = malloc(2 * KEPT), .line = malloc(KEPT * sizeof(*l->line)) };
	if (kept && l->text && l->line) {
		len = copy_kept(log, kept);
		split(l, kept, len);
	}
	free(kept);
	return l->count;
}

/* The first line from @at on with one of the words in it; @count: none. */
static size_t find(const struct lines *l, size_t at, const char *const *words)
{
	const char *const *word;

	for (; at < l->count; at++) {
		for (word = words; *word; word++) {
			if (strstr(l->line[at], *word))
				return at;
		}
	}
	return l->count;
}

/* Where the last lines begin; see the header. */
static size_t tail_start(const struct lines *l)
{
	static const char *const panic[] = { "Kernel panic - not syncing", NULL };
	static const char *const again[] = { "] Linux version ", NULL };
	static const char *const trouble[] = { "BUG: ", "Oops: ", "------------[ cut here ]",
					       "general protection fault", "divide error",
					       "Kernel panic - not syncing", NULL };
	size_t start = l->count > CONSOLE_LOG_LINES ? l->count - CONSOLE_LOG_LINES : 0;
	size_t panicked = find(l, 0, panic), replay, first;

	if (panicked == l->count)
		return start;
	replay = find(l, panicked, again);
	if (replay == l->count)
		replay = 0;
	first = find(l, replay, trouble);
	if (start < replay)
		start = replay;
	return first < start ? first : start;
}

void console_log_tail(struct console_log *log, void (*fn)(void *arg, const char *line), void *arg)
{
	struct lines l;
	size_t i;

	if (read_lines(log, &l)) {
		for (i = tail_start(&l); i < l.count; i++)
			fn(arg, l.line[i]);
	}
	free(l.text);
	free(l.line);
}
