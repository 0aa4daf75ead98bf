/* SPDX-License-Identifier: MIT */
/*
 * log.h - one line per event, on stderr.
 *
 *	lunette: error: disk.img: locked by another process (pid 4711)
 *
 * The place that knows the file, the option or the device writes the line; its
 * callers pass -errno up and write nothing. A line about a user's mistake says
 * what failed, on what, why, and the cure. What a guest can cause goes through
 * a struct log_limit, so that it cannot flood the host. Control characters are
 * shown as utf8_plain() does, and a line of more than 1023 bytes lacks its
 * middle (utf8_fit()): a name may be long, and the reason stands behind it.
 *
 * A note is about a choice that lunette has made for the user; it has no word
 * before it.
 *
 * A line that nobody reads waits a second; then it is lost, as those after it are until somebody
 * reads again, who is told how many.
 *
 * All functions may be called from any thread.
 */
#ifndef CORE_LOG_H
#define CORE_LOG_H

#include <stdatomic.h>
#include <stddef.h>

enum log_level { LOG_ERR, LOG_WARN, LOG_NOTE, LOG_INFO, LOG_DEBUG };

/* Lines above @level are not printed. The default is LOG_NOTE. [setup] */
void log_set_level(enum log_level level);

void log_line(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* A line of another's, as it is: not for log_hear() nor log_watch(). At most 1000 bytes. */
void log_text(const char *line);

/*
 * From now on this thread's error lines do not go to stderr: the last one is in @text, short enough
 * for @size bytes (at least 1); before the first one it is empty. For who tells it to somebody
 * else. NULL: no longer.
 */
void log_hear(char *text, size_t size);

/*
 * From now on the lines of this thread, whose work is another process's, go to @sock, a message for
 * each, without "lunette" and the level. What it has no room for is lost. -1: to stderr again.
 */
void log_send(int sock);

/* How many error lines there have been, also those that log_hear() has. */
unsigned log_errors(void);

/*
 * A line about -errno, unless there has been an error line since log_errors() was @before: for
 * those through whom all failures pass, as who runs out of memory says nothing. Returns @err.
 */
int log_if_silent(unsigned before, const char *what, int err);

/*
 * From now on @fn hears each line that is printed, in the thread that prints it: the text, without
 * what stands before it and without a line's end. It must not log. NULL: nobody does. [setup, or
 * when no other thread runs]
 */
void log_watch(void (*fn)(void *arg, enum log_level level, const char *text), void *arg);

#define log_err(...) log_line(LOG_ERR, __VA_ARGS__)
#define log_warn(...) log_line(LOG_WARN, __VA_ARGS__)
#define log_note(...) log_line(LOG_NOTE, __VA_ARGS__)
#define log_info(...) log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)

/*
 * How many lines one source has written, since its owner last reset it and in its life. A guest may
 * reset its devices in a loop, so the resets do not go on for ever.
 */
struct log_limit {
	atomic_uint used;
	atomic_uint total;
};

#define LOG_LIMIT 5
#define LOG_TOTAL 100

/*
 * A warning that a guest can cause: LOG_LIMIT lines until a reset, LOG_TOTAL in all. The last one
 * says that it is the last.
 */
void log_guest(struct log_limit *limit, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void log_limit_reset(struct log_limit *limit);

/*
 * A bug of ours, never a guest's or a user's mistake. Stays in release builds; @cond must have no
 * side effect.
 */
#define BUG_ON(cond)                                    \
	do {                                            \
		if (__builtin_expect(!!(cond), 0))      \
			log_bug(__FILE__, __LINE__, #cond); \
	} while (0)

_Noreturn void log_bug(const char *file, int line, const char *what);

#endif
