/* SPDX-License-Identifier: MIT */
/*
 * report_file.h - a file that a report goes to.
 *
 * A regular file is replaced as a whole, by rename(), so that at any time it
 * has one report and all of it. What cannot be replaced, a pipe, a terminal, or
 * a descriptor that somebody has opened (/dev/stdout, /dev/fd/N), is written
 * once.
 */
#ifndef RUN_REPORT_FILE_H
#define RUN_REPORT_FILE_H

#include <stdbool.h>
#include <stddef.h>

struct claim;
struct claims;

struct report_file {
	const char *option; /* that it was given with */
	char *path;
	struct claim *claim;
	int fd; /* to be written once; borrowed. -1: a file that is replaced */
};

/*
 * A FIFO waits here for its reader. What killed processes have left beside a file is removed.
 * SIGPIPE and SIGXFSZ are ignored from now on: they are errors of a write. @option is borrowed, and
 * @claims outlives it. -errno after one line.
 */
int report_file_open(struct report_file *f, struct claims *claims, const char *option,
		     const char *path);
/* Nothing happens to what is in the file. */
void report_file_close(struct report_file *f);

/* May this be written more than once? */
bool report_file_is_replaced(const struct report_file *f);
/* May it be written already, as there was no such file before? */
bool report_file_is_new(const struct report_file *f);
/*
 * The file has this, and nothing else. One that turned out to be another of the run's files is left
 * alone. -errno after one line.
 */
int report_file_write(const struct report_file *f, const char *text, size_t len);

#endif
