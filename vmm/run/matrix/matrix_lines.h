/* SPDX-License-Identifier: MIT */
/*
 * matrix_lines.h - what the lines of a matrix's file say, between those who read
 * it and those who make runs of it.
 */
#ifndef RUN_MATRIX_LINES_H
#define RUN_MATRIX_LINES_H

#include <stdbool.h>
#include <stddef.h>

#include "vmm/core/fail.h"
#include "vmm/core/log.h"

struct matrix;

/* What a run's command line is made of: the words of one line, from the first option on. */
struct part {
	char **word; /* ends with NULL */
	unsigned line;
	struct part *next;
};

struct value {
	char *name;
	struct part part;
};

struct axis {
	char *name;
	struct value **value;
	/* All; and those that are not for included runs only, which come first. */
	unsigned values, listed;
};

struct rule {
	struct value **want; /* of each axis; NULL: any */
	struct part part;
	unsigned pairs, line;
	char **pair;
	bool include;
};

struct matrix_lines {
	char ***word; /* each line's list */
	unsigned words;
	struct axis *axis;
	unsigned axes;
	struct rule *rule;
	unsigned rules;
	struct part *common;
	unsigned commons;
};

/*
 * One more element, all zero, for the array that @array points to the pointer of. NULL: no memory;
 * the array is as it was.
 */
void *matrix_grow(void *array, unsigned *count, size_t size);
/* -ENOMEM, after one line. */
int matrix_no_memory(const struct matrix *m);
/* -EUSAGE, after one line about the line of that number. */
#define matrix_bad(m, line, fmt, ...) \
	(log_err("%s:%u: " fmt, (m)->path, line, ##__VA_ARGS__), -EUSAGE)

/* The runs of what has been read. -errno after one line. */
int matrix_combine(struct matrix *m);

#endif
