/* SPDX-License-Identifier: MIT */
/*
 * tap_keep.h - the tests of one stream that are kept, and what is said of them.
 *
 * Comments stand before the result that they are about in what the kernel's selftests and KUnit
 * print, and after it in what Perl's Test::More and many others do. No version of a protocol tells
 * which. So both are kept for a test that is not ok, until it is known who prints: by what only one
 * of them says, or else by where the comments stand among good results and bad ones.
 */
#ifndef RUN_TAP_KEEP_H
#define RUN_TAP_KEEP_H

#include <stdbool.h>
#include <stddef.h>

#include "vmm/run/report/tap.h"

enum tap_side {
	TAP_BEFORE, /* lines that stand before the result */
	TAP_AFTER,
	TAP_BELOW, /* its YAML */
	TAP_SIDES,
	TAP_UNKNOWN = TAP_SIDES
};

/* Where the comments of one program stand. */
struct tap_guess {
	enum tap_side side;
	unsigned votes[2]; /* for TAP_BEFORE and TAP_AFTER, while it is unknown */
};

/* A test whose result came; what is between two of them is a block of comments. */
struct tap_neighbour {
	bool there, bad;
};

void tap_guess_comment(struct tap_guess *g, const char *text);
/* A block stands between the two; one that is not there is the document's beginning, or its end. */
void tap_guess_block(struct tap_guess *g, struct tap_neighbour before, struct tap_neighbour after);
enum tap_side tap_guess_side(const struct tap_guess *g);

struct tap_kept {
	struct tap_test test;
	char *said[TAP_SIDES]; /* NULL: nothing, or it has become ->test.more */
	bool settled;
};

struct tap_keep {
	struct tap_kept *kept;
	unsigned tests, room;
	size_t text; /* bytes */
	char *problem[TAP_PROBLEMS_MAX];
	unsigned problems;
};

void tap_keep_fini(struct tap_keep *k);

/* Its number; -1: there is no room. @why "": there is none. */
int tap_keep_add(struct tap_keep *k, const struct tap_test *test, const char *name, size_t name_len,
		 const char *why);
/* Lines about test @n, if it is not ok. */
void tap_keep_tell(struct tap_keep *k, int n, enum tap_side side, const char *lines, size_t len);
/* It is known now where that stands which is said of the tests from @first on. */
void tap_keep_settle(struct tap_keep *k, unsigned first, enum tap_side side);

void tap_keep_problem(struct tap_keep *k, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

#endif
