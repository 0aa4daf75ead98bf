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

enum matrix_report { MATRIX_JSON, MATRIX_JUNIT, MATRIX_HTML, MATRIX_REPORTS };

/* Paths, borrowed; NULL: not wanted. */
struct matrix_kept_cfg {
	const char *folder, *report[MATRIX_REPORTS];
};

struct matrix_kept {
	struct report_file report[MATRIX_REPORTS]; /* ->path NULL: not wanted */
	char *folder;                              /* an absolute path; NULL: none is wanted */
};

#define MATRIX_KEPT_NOTHING { .report = { { .fd = -1 }, { .fd = -1 }, { .fd = -1 } } }

/* Whatever could not be written later is refused. -errno after one line. */
int matrix_kept_open(struct matrix_kept *k, struct claims *claims,
		     const struct matrix_kept_cfg *cfg, const struct matrix *m);
/* Reports that can be written more than once say what there is until now. -errno after one line. */
int matrix_kept_begin(const struct matrix_kept *k, const struct matrix *m,
		      const struct matrix_result *results);
/* All, even if one cannot be written. -errno after a line for each. */
int matrix_kept_write(const struct matrix_kept *k, const struct matrix *m,
		      const struct matrix_result *results);
void matrix_kept_close(struct matrix_kept *k);

#endif
