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
#ifndef VMM_JUNIT_H
#define VMM_JUNIT_H

#include <stdbool.h>

struct report;

/* malloc()ed; of a run that has not @finished: one error. NULL: no memory. */
char *junit_text(struct report *r, bool finished);

#endif
