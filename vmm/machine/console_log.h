/* SPDX-License-Identifier: MIT */
/*
 * console_log.h - what the guest's console has printed, within bounds.
 *
 * The last 64 KiB stay in memory: their last lines are shown when a run fails,
 * and go into its report. All of it can go to a file too, which then has at most
 * half of the limit; when it is full it becomes FILE.1, in place of an older
 * one, and FILE begins anew, with a line that says so and how much is lost.
 *
 * A guest prints what it likes: what is handed out is clean, what is in the file
 * is as it was printed.
 */
#ifndef MACHINE_CONSOLE_LOG_H
#define MACHINE_CONSOLE_LOG_H

#include <stddef.h>
#include <stdint.h>

#define CONSOLE_LOG_LINES 100
#define CONSOLE_LOG_LINE_MAX 500 /* bytes; longer lines are cut, and end with "..." */

struct claims;
struct console_log;

/* NULL: errno tells. */
struct console_log *console_log_create(void);
/* NULL is fine. */
void console_log_destroy(struct console_log *log);

/*
 * From now on it is written to @path too, a regular file, which is made or emptied; it and FILE.1
 * together have at most @limit bytes. When it cannot be written any more a line says why, and
 * failed(@arg) is called, by who prints. -errno after one line. [setup]
 */
int console_log_open(struct console_log *log, struct claims *claims, const char *path,
		     uint64_t limit, void (*failed)(void *arg), void *arg);

/* Adds what was printed. May wait for the file's disk. Any thread. */
void console_log_write(struct console_log *log, const void *data, size_t len);

/*
 * Calls @fn for each of the last lines, the oldest first, with no end of line, no control character
 * but tabs, and valid UTF-8 only: at most CONSOLE_LOG_LINES. Of a Linux that panicked and then
 * printed its whole log again only that is shown, so that nothing comes twice, and from the
 * beginning of its trouble, even if there are more lines. Any thread.
 */
void console_log_tail(struct console_log *log, void (*fn)(void *arg, const char *line), void *arg);

#endif
