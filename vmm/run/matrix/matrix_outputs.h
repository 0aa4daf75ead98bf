/* SPDX-License-Identifier: MIT */
/*
 * matrix_outputs.h - what the runs of a matrix write to: each has its own, or the last one's is all
 * that is left.
 *
 * Files and folders that are there are compared by device and inode, others by where they would be.
 * What is neither, as /dev/null, may be shared, and so may descriptors (/dev/fd/N).
 */
#ifndef RUN_MATRIX_OUTPUTS_H
#define RUN_MATRIX_OUTPUTS_H

struct matrix;

struct matrix_written {
	unsigned run;
	char *option, *path; /* as they were given */
	char *place;         /* what is compared */
};

struct matrix_outputs {
	const char *dir; /* that paths are relative to; borrowed */
	struct matrix_written *one;
	unsigned count;
};

/* -ENOMEM. */
int matrix_outputs_add(struct matrix_outputs *o, unsigned run, const char *option,
		       const char *path);
/*
 * -EUSAGE after one line that names two runs of @m, and what both would write to, or what one would
 * read and the other write.
 */
int matrix_outputs_check(struct matrix_outputs *o, const struct matrix *m);
void matrix_outputs_free(struct matrix_outputs *o);

#endif
