/* SPDX-License-Identifier: MIT */
/*
 * unit.h - what every suite is made of.
 *
 *	Suite *mem_suite(void) { ... }
 *	UNIT_MAIN(mem_suite)
 *
 * CK_FORK=no runs the tests in one process, for a debugger; CK_RUN_CASE picks
 * one case; CK_VERBOSITY=verbose lists them.
 */
#ifndef TESTS_UNIT_H
#define TESTS_UNIT_H

#include <check.h>

#define UNIT_MAIN(suite)                                        \
	int main(void)                                          \
	{                                                       \
		return unit_run(suite());                       \
	}

/* The same of a program that may be called as another: @fn(argc, argv) looks, and ends it then. */
#define UNIT_MAIN_OR(suite, fn)                                 \
	int main(int argc, char **argv)                         \
	{                                                       \
		fn(argc, argv);                                 \
		return unit_run(suite());                       \
	}

static inline int unit_run(Suite *suite)
{
	SRunner *runner = srunner_create(suite);
	int failed;

	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}

/* A case named @name with the tests that follow; each is a START_TEST function. */
static inline TCase *unit_case(Suite *suite, const char *name)
{
	TCase *tc = tcase_create(name);

	suite_add_tcase(suite, tc);
	return tc;
}

/*
 * How many of @n rows of random numbers, or of other changes of what a guest says, a test
 * goes through. With ThreadSanitizer each takes ten times as long, and threads do the same in
 * all of them.
 */
static inline int unit_rows(int n)
{
#ifdef __SANITIZE_THREAD__
	return (n + 3) / 4;
#else
	return n;
#endif
}

#endif
