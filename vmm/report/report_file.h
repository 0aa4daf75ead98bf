/*
 * report_file.h - a file that a report goes to.
 *
 * A regular file is replaced as a whole, by rename(), so that at any time it
 * has one report and all of it. What cannot be replaced, a pipe, a terminal, or
 * a descriptor that somebody has opened (/dev/stdout, /dev/fd/N), is written
 * once.
 */
#ifndef VMM_REPORT_FILE_H
#define VMM_REPORT_FILE_H

#include <stdbool.h>
#include <stddef.h>

struct report_file {
	const char *option; /* that it was given with */
	char *path;
	int fd; /* to be written once; -1: a file that is replaced */
};

/*
 * A FIFO waits here for its reader. What killed processes have left beside a file is removed.
 * SIGPIPE is ignored from now on: it is an error of a write. @option is borrowed. -errno after one
 * line.
 */
int report_file_open(struct report_file *f, const char *option, const char *path);
/* Nothing happens to what is in the file. */
void report_file_close(struct report_file *f);

/* May this be written more than once? */
bool report_file_is_replaced(const struct report_file *f);
/* The file has this, and nothing else. -errno after one line. */
int report_file_write(const struct report_file *f, const char *text, size_t len);

#endif
