/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/core/words.h"

Suite *words_suite(void);

/* All lines: words in brackets, and a number before each line. */
static void check(const char *text, const char *wanted)
{
	char got[256] = "";
	struct words_line line;
	struct words w;
	unsigned i;
	int r;

	ck_assert_int_eq(words_open(&w, text), 0);
	while ((r = words_next(&w, &line)) > 0) {
		sprintf(got + strlen(got), "%u", line.number);
		for (i = 0; i < line.count; i++)
			sprintf(got + strlen(got), "<%s>", line.word[i]);
		ck_assert_ptr_null(line.word[line.count]);
		free(line.word);
	}
	if (r < 0) {
		ck_assert_int_eq(r, -EBADMSG);
		ck_assert_ptr_null(line.word);
		sprintf(got + strlen(got), "%u!", line.number);
	}
	words_close(&w);
	ck_assert_str_eq(got, wanted);
}

START_TEST(lines)
{
	check("", "");
	check("\n \t\n", "");
	check("a", "1<a>");
	check("a b\n\n  c\td  ", "1<a><b>3<c><d>");
	check("a\r\nb\r\n", "1<a>2<b>");
}
END_TEST

START_TEST(comments)
{
	check("# all of it\na # the rest ' \" \\\nb#c", "2<a>3<b#c>");
	check("#", "");
	check("'#' \\#", "1<#><#>");
}
END_TEST

START_TEST(quotes)
{
	check("'a b'c\"d e\"", "1<a bcd e>");
	check("'' \"\"", "1<><>");
	check("'\\' \"\\\"\\\\\\$\\`\\n\"", "1<\\><\"\\$`\\n>");
	check("\\'\\ \\a", "1<' a>");
	check("$HOME * ~", "1<$HOME><*><~>");
	check("a 'x\ny' b\nc", "1<a><x\ny><b>3<c>");
}
END_TEST

START_TEST(joined_lines)
{
	check("a \\\n  b\nc", "1<a><b>3<c>");
	check("a\\\nb", "1<ab>");
	check("\"a\\\nb\"\nc", "1<ab>3<c>");
	check("'a\\\nb'", "1<a\\\nb>");
	check("\\\na", "2<a>");
}
END_TEST

START_TEST(what_is_not_closed)
{
	check("a\nb 'c\nd", "1<a>2!");
	check("\"", "1!");
	check("\"\\", "1!");
	check("a \\", "1!");
}
END_TEST

START_TEST(printed_for_a_shell)
{
	static const struct {
		const char *word, *printed;
	} rows[] = {
		{ "--cpus=4", " --cpus=4" }, { "", " ''" }, { "a b", " 'a b'" },
		{ "it's", " 'it'\\''s'" }, { "a\\b", " 'a\\b'" }, { "\xc3\xa9", " '\xc3\xa9'" },
		{ "a\nb", " $'a\\nb'" }, { "it's\033\\\xc3\xa9", " $'it\\'s\\x1b\\\\\xc3\xa9'" },
	};
	unsigned i;
	char *text;
	size_t len;
	FILE *out;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		out = open_memstream(&text, &len);
		words_print(out, rows[i].word);
		fclose(out);
		ck_assert_str_eq(text, rows[i].printed);
		free(text);
	}
}
END_TEST

Suite *words_suite(void)
{
	Suite *s = suite_create("words");
	TCase *tc = unit_case(s, "words");

	tcase_add_test(tc, lines);
	tcase_add_test(tc, comments);
	tcase_add_test(tc, quotes);
	tcase_add_test(tc, joined_lines);
	tcase_add_test(tc, what_is_not_closed);
	tcase_add_test(tc, printed_for_a_shell);
	return s;
}

UNIT_MAIN(words_suite)
