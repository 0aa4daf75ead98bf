/* SPDX-License-Identifier: MIT */
/*
 * tap_line.h - what a line of a test's output is, by itself.
 *
 * All that the Test Anything Protocol (12, 13, 14) and KTAP know, without the spaces before it:
 *
 * line                    where it stands                what it says
 * "TAP version N",        first in a document; in KTAP   a document begins; from 14 on numbers
 * "KTAP version N"        first in each subtest's, too   may come in any order, within the plan
 * "1..N", "1..N # WHY"    once, before or after tests    how many there are; "1..0": all skipped
 * "ok [N] [-] [NAME]",    anywhere in a document; KTAP   a test's result. Without a number it has
 * "not ok ..."            numbers each                   the one that is due
 * "... # SKIP WHY"        behind either result           it was not run: no failure
 * "... # TODO WHY"        behind "not ok"                expected: no failure ("ok": it is ok)
 * "... # XFAIL WHY"       behind either (KTAP)           failed, as was expected: no failure
 * "... # TIMEOUT WHY",    behind "not ok" (KTAP)         why; any other word too, but in TAP 14,
 * "... # ERROR WHY"                                      where it is part of the name
 * "# Subtest: NAME"       above a subtest's lines, or    what the subtest is of
 *                         first among them
 * "# TEXT"                anywhere                       about a test: the one that follows, or
 *                                                        the one before (see tap_keep.h)
 * "---" to "..."          indented, below a result;      YAML about that test
 *                         only comments between
 * "Bail out! WHY"         anywhere, in any case          no more tests come
 * "pragma +KEY", -KEY     anywhere                       nothing here
 *
 * Words behind "#" are in any case, and may go on ("Skipped:").
 * "\#" and "\\" are "#" and "\" in names and reasons, and begin no directive.
 */
#ifndef RUN_TAP_LINE_H
#define RUN_TAP_LINE_H

#include <stdbool.h>
#include <stddef.h>

#include "vmm/run/report/tap.h"

enum tap_kind {
	TAP_TEXT, /* none of the others */
	TAP_BLANK,
	TAP_VERSION,
	TAP_PLAN,
	TAP_TEST,
	TAP_SUBTEST,
	TAP_COMMENT,
	TAP_YAML, /* its first line */
	TAP_BAIL_OUT,
	TAP_PRAGMA,
};

struct tap_line {
	enum tap_kind kind;
	const char *body;
	unsigned long number; /* a version's, a plan's or a test's; 0: it has none */
	bool kernel;          /* a version of KTAP's */
	enum tap_result result;
	bool directive;       /* "why" begins with a word that the protocols know */
	const char *name;     /* a test's or a subtest's, in @body, as it is written there */
	size_t name_len;
	const char *why;      /* behind "#", in @body; "": nothing */
};

void tap_line_parse(struct tap_line *l, const char *body);

/* A name or a reason without its backslashes, TAP_NAME_MAX bytes at most. Returns the length. */
size_t tap_unescape(char to[TAP_NAME_MAX + 1], const char *from, size_t len);

/* "<6>[   12.345678][   T1] ", or parts of it, as the kernel's log has it before its lines. */
const char *tap_skip_stamp(const char *line);
/* Where such a stamp begins behind the first byte; NULL: nowhere. */
char *tap_find_stamp(char *line);

/*
 * Where the result of the test @number begins in a line whose first part is something else, which
 * ended without a newline. That part has no space at its end, unless @spaced. NULL: nowhere.
 */
const char *tap_find_glued(const char *body, unsigned long number, bool spaced);

#endif
