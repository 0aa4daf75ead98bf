/* SPDX-License-Identifier: MIT */
/*
 * matrix_file.h - the file of "lunette matrix": which runs there are to be.
 *
 * A line is some words (words.h). AXIS NAME OPTION... is a value of an axis: a
 * word that the user chose, and what it adds to the command line of "lunette
 * run". The runs are the product of all axes, the last one changing fastest. As
 * everything is said in options of "lunette run", there is nothing else to
 * learn, and a line can be tried by itself.
 *
 *	run OPTION...                         every run has these
 *	exclude AXIS=NAME...                  runs with all of these values are left out
 *	include AXIS=NAME... [OPTION...]      runs with all of these values get the options;
 *	                                      where there is none there will be one. A NAME
 *	                                      that its axis has not is one more, for this
 *	                                      run alone.
 *
 * Exclusions come before inclusions, wherever they stand. The command of a run,
 * behind --, may be of any one of its lines. {run} in an option is the name of
 * the run.
 */
#ifndef RUN_MATRIX_FILE_H
#define RUN_MATRIX_FILE_H

#include "vmm/core/words.h"

#define MATRIX_RUNS_MAX 10000
#define MATRIX_NAME_MAX 200 /* bytes of a run's name: it can be a folder's */

struct matrix_run {
	char *name;   /* its values, with commas between them */
	char **value; /* one of each axis, borrowed; NULL: none, of a run that was included */
	char **argv;  /* for "lunette run": options and command; the words are its own */
	unsigned argc;
};

struct matrix {
	const char *path; /* for messages; borrowed */
	char **axis;      /* names of axes, borrowed */
	unsigned axes;
	struct matrix_run *run;
	unsigned runs;

	struct words words;      /* the text that is borrowed from */
	struct matrix_lines *lines;
};

/* @text is what is in @path. -EUSAGE after one line with the line's number; -ENOMEM after one. */
int matrix_parse(struct matrix *m, const char *path, const char *text);
/* The same from a file. One that cannot be read is the user's mistake, too. */
int matrix_read(struct matrix *m, const char *path);
void matrix_free(struct matrix *m);

#endif
