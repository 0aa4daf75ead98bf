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
		SRunner *runner = srunner_create(suite());      \
		int failed;                                     \
								\
		srunner_run_all(runner, CK_ENV);                \
		failed = srunner_ntests_failed(runner);         \
		srunner_free(runner);                           \
		return failed ? 1 : 0;                          \
	}

/* A case named @name with the tests that follow; each is a START_TEST function. */
static inline TCase *unit_case(Suite *suite, const char *name)
{
	TCase *tc = tcase_create(name);

	suite_add_tcase(suite, tc);
	return tc;
}

#endif
