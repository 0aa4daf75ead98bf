/* SPDX-License-Identifier: MIT */
/*
 * matrix_html.h - how the runs of a matrix ended, as a page for people.
 *
 * One file that needs nothing else: no script, no picture, no network, and a
 * policy in it that allows none. The last axis makes the columns of a table, the
 * others its rows; each cell says how its run ended, and how long each of its
 * phases took. Below, a part for each run: why, which tests failed, what the
 * console printed last. What guests have printed is text there, whatever it is.
 */
#ifndef RUN_MATRIX_HTML_H
#define RUN_MATRIX_HTML_H

struct matrix;
struct matrix_result;

#define MATRIX_HTML_TESTS 200 /* failed tests that are shown of a run; more are counted */

/* malloc()ed; runs may wait or run still. NULL: no memory. */
char *matrix_html(const struct matrix *m, const struct matrix_result *r);

#endif
