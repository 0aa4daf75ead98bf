/* SPDX-License-Identifier: MIT */
/*
 * tap.h - the results of tests in what a guest prints.
 *
 * Reads the Test Anything Protocol, versions 12 to 14, and the kernel's KTAP, out
 * of a stream that may hold anything else as well: a document begins with its
 * version, a plan, or a test with the number 1. Subtests are indented, or stand
 * behind "# " as the kernel's selftests print those of their programs; what is
 * less indented than they are is the test that they belong to, and comes after
 * them. Time stamps of the kernel's log before a line are no part of it.
 *
 * What comes from a guest may be hostile: there are bounds to the tests and the
 * text that are kept, and to the depth. Beyond them results are only counted.
 */
#ifndef RUN_TAP_H
#define RUN_TAP_H

#include <stdbool.h>
#include <stddef.h>

#define TAP_TESTS_MAX 10000
#define TAP_PROBLEMS_MAX 16
#define TAP_NAME_MAX 200  /* bytes of a name, or of a reason */
#define TAP_MORE_MAX 4096 /* bytes of what is said of one test */
#define TAP_TEXT_MAX (4u << 20) /* bytes of all of them */

enum tap_result {
	TAP_OK,
	TAP_NOT_OK,
	TAP_SKIP, /* ok, and was not run */
	TAP_TODO, /* not ok, as was expected */
	TAP_RESULTS
};

/* Strings are what the guest printed, without control over their bytes but that none is 0. */
struct tap_test {
	char *name;
	char *why;      /* what follows the name and "#"; NULL: nothing */
	char *more;     /* lines about a test that is not ok; NULL: none */
	int parent;     /* the test that it is a part of; -1: none */
	bool has_parts;
	double seconds; /* below 0: nobody said how long it took */
	enum tap_result result;
};

struct tap;

/* NULL: no memory. */
struct tap *tap_create(void);
/* NULL is fine. */
void tap_destroy(struct tap *t);

/* More of the stream. One thread at a time. */
void tap_feed(struct tap *t, const void *data, size_t len);
/* It is over. */
void tap_end(struct tap *t);

/* Those that are kept: in the order of their ends, so that parts come before what they are of. */
unsigned tap_tests(const struct tap *t);
const struct tap_test *tap_test(const struct tap *t, unsigned n);
/* All that came with this result. */
unsigned long tap_count(const struct tap *t, enum tap_result result);

/* What is wrong with the whole, a sentence each: a plan that was not kept, or "Bail out!". */
unsigned tap_problems(const struct tap *t);
const char *tap_problem(const struct tap *t, unsigned n);

#endif
