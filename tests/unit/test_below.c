/* SPDX-License-Identifier: MIT */
/*
 * What needs no loop device; the rest is in tests/cli/outputs.sh and tests/vm/disks.sh.
 */
#include "tests/unit/unit.h"

#include "vmm/core/below.h"

Suite *below_suite(void);

START_TEST(none)
{
	static const char *const paths[] = { "/proc/self/exe", "/dev/null", "/" };
	char path[PATH_MAX];
	struct stat st, file;

	ck_assert_int_eq(stat(paths[_i], &st), 0);
	ck_assert(!below_find(&st, path, &file));
}
END_TEST

START_TEST(no_such_device)
{
	struct stat st = { .st_mode = S_IFBLK, .st_rdev = 0 }, file;
	char path[PATH_MAX];

	ck_assert(!below_find(&st, path, &file));
}
END_TEST

Suite *below_suite(void)
{
	Suite *s = suite_create("below");
	TCase *tc = unit_case(s, "below");

	tcase_add_loop_test(tc, none, 0, 3);
	tcase_add_test(tc, no_such_device);
	return s;
}

UNIT_MAIN(below_suite)
