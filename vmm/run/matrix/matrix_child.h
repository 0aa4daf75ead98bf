/* SPDX-License-Identifier: MIT */
/*
 * matrix_child.h - a run of a matrix as a process.
 *
 * It has a group of its own, so that a ^C is not for it, and it is told to end
 * when we do, whatever ends us. What it prints and reports goes to files that
 * have no name, unless the user wants to keep them: nothing can be left over.
 */
#ifndef RUN_MATRIX_CHILD_H
#define RUN_MATRIX_CHILD_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct claim;
struct claims;
struct matrix_result;
struct matrix_run;

struct matrix_child_cfg {
	const char *dir;  /* where it runs; names of files in its options are relative to it */
	const char *keep; /* an absolute path: its files go into a folder below; NULL: nowhere */
	struct claims *claims; /* of the matrix's files */
	bool junit;       /* is it to make such a report? The JSON one is always made. */
	sigset_t mask;    /* of signals, that it gets */
};

enum matrix_output { OUTPUT_STDOUT, OUTPUT_STDERR, OUTPUT_JSON, OUTPUT_JUNIT, MATRIX_OUTPUTS };

struct matrix_child {
	pid_t pid;
	int fd[MATRIX_OUTPUTS]; /* -1: none */
	struct claim *claim[MATRIX_OUTPUTS]; /* those that are kept */
	uint64_t begun;         /* CLOCK_MONOTONIC, ns */
};

/* -errno, and nothing has been started. */
int matrix_child_start(struct matrix_child *c, const struct matrix_child_cfg *cfg,
		       const struct matrix_run *run);
/* It is dead, and still a zombie. Fills all of @r but its state. */
void matrix_child_end(struct matrix_child *c, struct matrix_result *r);

#endif
