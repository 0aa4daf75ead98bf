/* SPDX-License-Identifier: MIT */
/*
 * matrix_kept.h - what remains of a matrix: its own reports, and the folder of --keep, in which
 * each run has one of its name.
 */
#ifndef RUN_MATRIX_KEPT_H
#define RUN_MATRIX_KEPT_H

#include "vmm/run/report/report_file.h"

struct claims;
struct matrix;
struct matrix_result;

struct matrix_kept {
	struct report_file json, junit; /* ->path NULL: not wanted */
	char *folder;                   /* an absolute path; NULL: none is wanted */
};

#define MATRIX_KEPT_NOTHING { .json.fd = -1, .junit.fd = -1 }

/* Each path may be NULL. Whatever could not be written later is refused. -errno after one line. */
int matrix_kept_open(struct matrix_kept *k, struct claims *claims, const char *folder,
		     const char *json, const char *junit, const struct matrix *m);
/* Reports that can be written more than once say what there is until now. -errno after one line. */
int matrix_kept_begin(const struct matrix_kept *k, const struct matrix *m,
		      const struct matrix_result *results);
/* Both, even if one cannot be written. -errno after a line for each. */
int matrix_kept_write(const struct matrix_kept *k, const struct matrix *m,
		      const struct matrix_result *results);
void matrix_kept_close(struct matrix_kept *k);

#endif
