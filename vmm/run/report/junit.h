/* SPDX-License-Identifier: MIT */
/*
 * junit.h - a report as JUnit XML, as CI systems read it (the schema is that of
 * Jenkins' xunit plugin).
 *
 * One test suite: the run as a whole is its first test case, with the end of the
 * console in it; each test whose result came on the command's stdout or on the
 * console is another one, its class being the stream and the tests that it is a
 * part of. A test that only sums up its parts is not repeated.
 *
 * The run fails when its cause says so, or when the tests that were planned did
 * not come; tests that are not ok fail for themselves.
 */
#ifndef RUN_JUNIT_H
#define RUN_JUNIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct report;

/* malloc()ed; of a run that has not @finished: one error. NULL: no memory. */
char *junit_text(struct report *r, bool finished);

/*
 * Parts of a report on several runs. The test suite in a junit_text(), called @name and with that
 * before the classes of its tests, since there are readers that know tests by class and name alone.
 * False: @text is not whole, and nothing has been written.
 */
bool junit_put_suite(FILE *out, const char *text, const char *name);
/* One of a run that has no report, an error of this type; NULL: it is skipped. */
void junit_put_lost(FILE *out, const char *name, const char *type, const char *message);

/* A piece of a junit_text(), as it stands there: no <, and none of its & ends early. */
struct junit_part {
	const char *text;
	size_t len;
};

struct junit_failed {
	struct junit_part class, name, message, more;
};

/*
 * The next test that is not ok, the run itself left out, behind @at: a junit_text(), or what the
 * last call returned. NULL: there is none.
 */
const char *junit_next_failed(const char *at, struct junit_failed *f);

#endif
