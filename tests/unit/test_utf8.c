/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

#include "vmm/core/utf8.h"
#include "vmm/core/util.h"

Suite *utf8_suite(void);

START_TEST(characters)
{
	static const struct {
		const char *text;
		unsigned len;
	} rows[] = {
		{ "a", 1 }, { "\x7f", 1 }, { "\x80", 0 }, { "\xc1\x80", 0 }, { "\xc2\x80", 2 },
		{ "\xdf\xbf", 2 }, { "\xc2", 0 }, { "\xc2\x7f", 0 }, { "\xe0\x9f\xbf", 0 },
		{ "\xe0\xa0\x80", 3 }, { "\xe2\x82", 0 }, { "\xe2\x82\xac", 3 },
		{ "\xed\x9f\xbf", 3 }, { "\xed\xa0\x80", 0 }, { "\xee\x80\x80", 3 },
		{ "\xf0\x8f\xbf\xbf", 0 }, { "\xf0\x90\x80\x80", 4 }, { "\xf4\x8f\xbf\xbf", 4 },
		{ "\xf4\x90\x80\x80", 0 }, { "\xf5\x80\x80\x80", 0 }, { "\xff", 0 },
		{ "\xf1\x80\x80\xc0", 0 }, { "\xf1\x80\x80", 0 },
	};
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(rows); i++)
		ck_assert_msg(utf8_char(rows[i].text, strlen(rows[i].text)) == rows[i].len, "%u",
			      i);
	ck_assert_uint_eq(utf8_char("", 0), 0);
	ck_assert_uint_eq(utf8_char("\0", 1), 1);
}
END_TEST

static const struct {
	const char *text, *plain;
} lines[] = {
	{ "", "" },
	{ "disk.img", "disk.img" },
	{ "a\nb\tc\rd\a", "a\\nb\\tc\\rd\\a" },
	{ "\033[2J", "\\x1b[2J" },
	{ "\x7f", "\\x7f" },
	{ "\xc3\xa9\xe2\x82\xac\xf0\x9f\x90\xa7", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x90\xa7" },
	{ "\xc2\x9b" "31m", "\\xc2\\x9b31m" }, /* a CSI of one character */
	{ "\x9b" "31m", "\\x9b31m" },
	{ "\xc2\xa0", "\xc2\xa0" },
	{ "caf\xe9", "caf\\xe9" },
	{ "\xe2\x80\xa8", "\\xe2\\x80\\xa8" },
	{ "a\\nb", "a\\nb" },
};

START_TEST(plain)
{
	char to[64], again[64];
	size_t len = utf8_plain(to, sizeof(to), lines[_i].text, strlen(lines[_i].text));

	ck_assert_str_eq(to, lines[_i].plain);
	ck_assert_uint_eq(len, strlen(to));
	utf8_plain(again, sizeof(again), to, len);
	ck_assert_str_eq(again, to);
}
END_TEST

START_TEST(plain_zero)
{
	char to[64];

	ck_assert_uint_eq(utf8_plain(to, sizeof(to), "a\0b", 3), 6);
	ck_assert_str_eq(to, "a\\x00b");
}
END_TEST

/* No room for all: neither a character nor what stands for a byte is cut up. */
START_TEST(plain_is_cut)
{
	static const char text[] = "a\xe2\x82\xac\n\033";
	static const char *const cut[] = {
		"", "a", "a", "a", "a\xe2\x82\xac", "a\xe2\x82\xac", "a\xe2\x82\xac\\n",
		"a\xe2\x82\xac\\n", "a\xe2\x82\xac\\n", "a\xe2\x82\xac\\n",
		"a\xe2\x82\xac\\n\\x1b",
	};
	char to[16];
	size_t size;

	for (size = 1; size <= ARRAY_SIZE(cut); size++) {
		memset(to, 'x', sizeof(to));
		utf8_plain(to, size, text, strlen(text));
		ck_assert_str_eq(to, cut[size - 1]);
	}
}
END_TEST

/* What has no room is missing in the middle, at characters' ends. */
START_TEST(fit)
{
	static const struct {
		const char *text, *fits;
		size_t size;
	} rows[] = {
		{ "", "", 1 },
		{ "abc", "abc", 4 },
		{ "abc", "", 1 },
		{ "abcdefghijklmnopq", "abcdefghijklmnopq", 18 },
	};
	static const char long_one[] = "--disk aaaaaaaaaaaaaaaaaaaaaaaaaa: no such file";
	static const char wide[] = "\u00fc\u00fc\u00fc\u00fc\u00fc\u00fc\u00fc\u00fc\u00fc\u00fc";
	char to[64];
	size_t size, len, i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		ck_assert_uint_eq(utf8_fit(to, rows[i].size, rows[i].text, strlen(rows[i].text)),
				  strlen(rows[i].fits));
		ck_assert_str_eq(to, rows[i].fits);
	}
	ck_assert_uint_eq(utf8_fit(to, 30, long_one, strlen(long_one)), 29);
	ck_assert_str_eq(to, "--disk aaaaaaaaa ... uch file");
	for (size = 1; size < sizeof(wide) + 2; size++) {
		memset(to, 'x', sizeof(to));
		len = utf8_fit(to, size, wide, strlen(wide));
		ck_assert_uint_lt(len, size);
		ck_assert_uint_eq(strlen(to), len);
		for (i = 0; i < len; i += utf8_char(to + i, len - i))
			ck_assert_uint_gt(utf8_char(to + i, len - i), 0);
	}
}
END_TEST

START_TEST(line)
{
	char *text;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	utf8_line(out, "%s: %d", "no\nsuch", 1);
	utf8_line(out, "%s", "");
	fclose(out);
	ck_assert_str_eq(text, "no\\nsuch: 1\n\n");
	free(text);
}
END_TEST

Suite *utf8_suite(void)
{
	Suite *s = suite_create("utf8");
	TCase *tc = unit_case(s, "utf8");

	tcase_add_test(tc, characters);
	tcase_add_loop_test(tc, plain, 0, ARRAY_SIZE(lines));
	tcase_add_test(tc, plain_zero);
	tcase_add_test(tc, plain_is_cut);
	tcase_add_test(tc, fit);
	tcase_add_test(tc, line);
	return s;
}

UNIT_MAIN(utf8_suite)
