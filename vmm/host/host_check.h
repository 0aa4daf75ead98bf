/* SPDX-License-Identifier: MIT */
/*
 * host_check.h - what a host may have beside KVM, and how it gets what it has not.
 *
 * None of it is needed to run a guest: there is another way, or an option that
 * is then not to be had. Each check ends with the command that repairs it.
 */
#ifndef HOST_HOST_CHECK_H
#define HOST_HOST_CHECK_H

#include <stdio.h>

enum host_verdict { HOST_OK, HOST_WARNING, HOST_MISSING, HOST_VERDICTS };

extern const char *const host_verdicts[HOST_VERDICTS]; /* in a word */

struct host_check {
	const char *name; /* one word; NULL ends the table */
	/* Writes a line, without its end. @root: "", or where a test has its /dev, /proc, /sys. */
	enum host_verdict (*fn)(const char *root, FILE *out);
};

extern const struct host_check host_checks[];

/* A line for each check: verdict, name, text. */
void host_check_all(const char *root, FILE *out);
/* One such line. */
void host_check_line(enum host_verdict verdict, const char *name, const char *text, FILE *out);

#endif
