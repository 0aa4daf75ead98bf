/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <string.h>

#include "devices/why.h"

Suite *why_suite(void);

START_TEST(text_and_error)
{
	struct why why;

	ck_assert_int_eq(why_not(&why, -EBUSY, "%s: %d", "a", 7), -EBUSY);
	ck_assert_str_eq(why.text, "a: 7");
	ck_assert_int_eq(why_not(&why, 0, "again"), 0);
	ck_assert_str_eq(why.text, "again");
}
END_TEST

START_TEST(long_text_is_cut)
{
	char text[2 * sizeof(struct why)];
	struct why why;

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = 0;
	why_not(&why, 0, "%s", text);
	ck_assert_uint_eq(strlen(why.text), sizeof(why.text) - 1);
}
END_TEST

Suite *why_suite(void)
{
	Suite *s = suite_create("why");
	TCase *tc = unit_case(s, "why");

	tcase_add_test(tc, text_and_error);
	tcase_add_test(tc, long_text_is_cut);
	return s;
}

UNIT_MAIN(why_suite)
