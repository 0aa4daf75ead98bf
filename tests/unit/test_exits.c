/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <string.h>

#include "vmm/machine/exits.h"

Suite *exits_suite(void);

static struct exits x;

static void set_up(void)
{
	memset(&x, 0, sizeof(x));
}

static void note(enum exit_kind kind, uint64_t addr, unsigned size, uint64_t data)
{
	exits_note(&x, kind, addr, size)->data = data;
}

START_TEST(none)
{
	ck_assert_str_eq(exits_text(&x), "");
}
END_TEST

START_TEST(newest_first)
{
	note(EXIT_WRITE, 0xd8000014, 4, 3);
	note(EXIT_IN, 0x64, 1, 0xfd);
	note(EXIT_READ, 0xd8000014, 4, 0x1234);
	note(EXIT_OUT, 0x64, 1, 0xfe);
	note(EXIT_OTHER, 8, 0, 0);
	ck_assert_str_eq(exits_text(&x), "exit 8, out1 64=fe, read4 d8000014=1234, "
			 "in1 64=fd, write4 d8000014=3");
}
END_TEST

START_TEST(the_same_are_one)
{
	unsigned i;

	note(EXIT_OUT, 0x600, 1, 0);
	for (i = 0; i < 1000; i++) {
		note(EXIT_IN, 0x3fd, 1, 0x60);
		note(EXIT_OUT, 0x3f8, 1, 'a' + i % 3);
	}
	note(EXIT_OUT, 0x3f8, 2, 0x4141); /* another width is another one */
	ck_assert_str_eq(exits_text(&x), "out2 3f8=4141, out1 3f8=61 (1000 times), "
			 "in1 3fd=60 (1000 times), out1 600=0");
}
END_TEST

START_TEST(the_oldest_goes)
{
	unsigned i;

	note(EXIT_OUT, 1, 1, 0);
	for (i = 0; i < EXITS; i++) {
		note(EXIT_OUT, 0x10 + i, 1, 0);
		note(EXIT_OUT, 0x10, 1, 0);
	}
	ck_assert_uint_eq(x.entry[0].addr, 0x10 + EXITS - 1);
	ck_assert_ptr_nonnull(strstr(exits_text(&x), "out1 10=0 (13 times)"));
	ck_assert_ptr_null(strstr(x.text, "out1 1=0"));
}
END_TEST

START_TEST(text_has_an_end)
{
	unsigned i;

	for (i = 0; i < EXITS; i++) {
		struct exit_entry *e = exits_note(&x, EXIT_WRITE, UINT64_MAX - i, 8);

		e->data = UINT64_MAX;
		e->times = UINT32_MAX;
	}
	ck_assert_uint_lt(strlen(exits_text(&x)), EXITS_TEXT);
	ck_assert_ptr_nonnull(strstr(x.text, "write8 fffffffffffffff4=ffffffffffffffff "
				     "(4294967295 times)"));
	ck_assert_int_eq(x.text[strlen(x.text) - 1], ')');
}
END_TEST

Suite *exits_suite(void)
{
	Suite *s = suite_create("exits");
	TCase *tc = unit_case(s, "exits");

	tcase_add_checked_fixture(tc, set_up, NULL);
	tcase_add_test(tc, none);
	tcase_add_test(tc, newest_first);
	tcase_add_test(tc, the_same_are_one);
	tcase_add_test(tc, the_oldest_goes);
	tcase_add_test(tc, text_has_an_end);
	return s;
}

UNIT_MAIN(exits_suite)
