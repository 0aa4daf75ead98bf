/* SPDX-License-Identifier: MIT */
/*
 * matrix_result.h - how the runs of a matrix ended, for who reads it: lines, the
 * merged reports, the exit status.
 */
#ifndef RUN_MATRIX_RESULT_H
#define RUN_MATRIX_RESULT_H

#include <stdbool.h>
#include <stdio.h>

#include "vmm/machine/cause.h"

struct json_t;
struct matrix;

enum matrix_state {
	MATRIX_WAITING, /* has not begun, or, at the end, never did */
	MATRIX_RUNNING,
	MATRIX_ENDED,
	MATRIX_STOPPED, /* was begun, and ended by us before its time */
};

struct matrix_result {
	enum matrix_state state;
	enum cause cause; /* CAUSE_BUG of a run that could not say: it was killed */
	int status;       /* its exit status, or 128 + its signal's number */
	double seconds;
	char *error;      /* malloc()ed; what is to be said of it; NULL: nothing more */
	struct json_t *report; /* its own; NULL: there is none */
	char *junit;      /* malloc()ed; its own; NULL: there is none */
	char *last;       /* malloc()ed; the last lines of what it printed; NULL: not kept */
};

void matrix_result_fini(struct matrix_result *r);

bool matrix_succeeded(const struct matrix_result *r);
/*
 * What the exit status tells by these runs: 0, all succeeded; 1, a command failed; otherwise the
 * status of the gravest cause, in the order of the README.
 */
int matrix_status(const struct matrix_result *r, unsigned n);

/* "ok NAME CAUSE STATUS SECONDS". */
void matrix_print(FILE *out, const char *name, int width, const struct matrix_result *r);
/* Of those that did not succeed, why, and what they printed last; and the totals. */
void matrix_print_end(FILE *out, const struct matrix *m, const struct matrix_result *r,
		      double seconds);

/* All reports as one, malloc()ed; NULL: no memory. */
char *matrix_json(const struct matrix *m, const struct matrix_result *r);
char *matrix_junit(const struct matrix *m, const struct matrix_result *r);

#endif
