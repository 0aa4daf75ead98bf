/* SPDX-License-Identifier: MIT */
/*
 * Results of tests as a guest prints them. The first byte says in pieces of which size. Whatever is
 * printed, what is kept stays within its bounds, parents come after their parts, and the counts are
 * of at least the tests that are kept.
 */
#include "tests/fuzz/fuzz.h"

#include "vmm/core/log.h"
#include "vmm/run/report/tap.h"

static void check_test(const struct tap *t, int n)
{
	const struct tap_test *test = tap_test(t, n);

	BUG_ON(!test->name || strlen(test->name) > TAP_NAME_MAX);
	BUG_ON(test->why && strlen(test->why) > TAP_NAME_MAX);
	BUG_ON(test->more && strlen(test->more) > TAP_MORE_MAX);
	BUG_ON(test->more && test->result != TAP_NOT_OK);
	BUG_ON(test->parent >= 0 && (test->parent <= n || test->parent >= (int)tap_tests(t)));
	BUG_ON(test->parent >= 0 && !tap_test(t, test->parent)->has_parts);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct fuzz_input in = { data, len };
	size_t piece = 1 + fuzz_u8(&in), n;
	struct tap *t = tap_create();
	unsigned long all = 0;
	unsigned i;

	for (; in.left; in.left -= n, in.at += n) {
		n = in.left < piece ? in.left : piece;
		tap_feed(t, in.at, n);
	}
	tap_end(t);
	BUG_ON(tap_tests(t) > TAP_TESTS_MAX || tap_problems(t) > TAP_PROBLEMS_MAX);
	for (i = 0; i < tap_tests(t); i++)
		check_test(t, (int)i);
	for (i = 0; i < TAP_RESULTS; i++)
		all += tap_count(t, i);
	BUG_ON(tap_tests(t) > all);
	tap_destroy(t);
	return 0;
}
