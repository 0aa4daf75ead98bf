/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

#include "vmm/core/help.h"
#include "vmm/core/util.h"

Suite *help_suite(void);

#define TEN "123456789 "
#define DOTS "................................................................................"

static const struct {
	const char *left, *text, *wanted;
} rows[] = {
	{ "a", "b", "  a   b\n" },
	{ "abcd", "b", "  abcd\n      b\n" },
	{ "abc", "b", "  abc\n      b\n" },
	{ "ab", "", "  ab  \n" },
	{ "a", TEN TEN TEN TEN TEN TEN TEN "1234", "  a   " TEN TEN TEN TEN TEN TEN TEN "1234\n" },
	{ "a", TEN TEN TEN TEN TEN TEN TEN "12345 678",
	  "  a   " TEN TEN TEN TEN TEN TEN "123456789\n      12345 678\n" },
	{ "a", DOTS " b", "  a   " DOTS "\n      b\n" }, /* what has no blank stays whole */
};

START_TEST(row)
{
	char *text;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	help_row(out, 6, rows[_i].left, rows[_i].text);
	fclose(out);
	ck_assert_str_eq(text, rows[_i].wanted);
	free(text);
}
END_TEST

START_TEST(wanted)
{
	ck_assert(help_wanted("--help") && help_wanted("-h"));
	ck_assert(!help_wanted("help") && !help_wanted("--helps") && !help_wanted(NULL));
}
END_TEST

Suite *help_suite(void)
{
	Suite *s = suite_create("help");
	TCase *tc = unit_case(s, "help");

	tcase_add_loop_test(tc, row, 0, ARRAY_SIZE(rows));
	tcase_add_test(tc, wanted);
	return s;
}

UNIT_MAIN(help_suite)
