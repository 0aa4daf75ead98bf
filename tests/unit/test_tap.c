/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/core/util.h"
#include "vmm/run/report/tap.h"

Suite *tap_suite(void);

static struct tap *t;
static char *text;
static size_t size;

static void set_up(void)
{
	t = tap_create();
}

static void tear_down(void)
{
	tap_destroy(t);
	free(text);
	text = NULL;
}

static void put_path(FILE *out, const struct tap_test *test)
{
	if (test->parent >= 0) {
		put_path(out, tap_test(t, test->parent));
		fputc('/', out);
	}
	fputs(test->name, out);
}

/*
 * A line for each test: + ok, - not ok, s skipped, t to do; its path; and "# why". Then one with !
 * for each problem.
 */
static const char *seen(void)
{
	const struct tap_test *test;
	FILE *out;
	unsigned i;

	tap_end(t);
	out = open_memstream(&text, &size);
	for (i = 0; i < tap_tests(t); i++) {
		test = tap_test(t, i);
		fprintf(out, "%c ", "+-st"[test->result]);
		put_path(out, test);
		fprintf(out, "%s%s\n", test->why ? " # " : "", test->why ? test->why : "");
	}
	for (i = 0; i < tap_problems(t); i++)
		fprintf(out, "! %s\n", tap_problem(t, i));
	fclose(out);
	return text;
}

static void feed(const char *bytes)
{
	tap_feed(t, bytes, strlen(bytes));
}

static const struct {
	const char *in, *wanted;
} rows[] = {
	/* versions 13 and 14, and 12, which does not say so */
	{ "TAP version 13\n1..3\nok 1 - a\nnot ok 2 b\nok 3\n", "+ a\n- b\n+ test 3\n" },
	{ "TAP version 14\n1..2\nok 2 - b\nok 1 - a\n", "+ b\n+ a\n" },
	{ "1..2\r\nok 1 - a\r\nok 2 - b\r\n", "+ a\n+ b\n" },
	{ "ok 1 - a\nok - b\nok\n1..3\n", "+ a\n+ b\n+ test 3\n" },
	{ "ok 1 a\n1..1\nok 1 b\nok 2 c\n1..2\n", "+ a\n+ b\n+ c\n" },
	{ "1..1\nok 1 a\n1..1\nnot ok 1 b\n", "+ a\n- b\n" },
	{ "1..1\nok 1 a", "+ a\n" }, /* the last line has no end */

	/* directives */
	{ "1..4\nok 1 a # SKIP no disk\nnot ok 2 b # TODO later\nok 3 c # todo\n"
	  "not ok 4 - d # TIMEOUT 45 s\n",
	  "s a # SKIP no disk\nt b # TODO later\n+ c # todo\n- d # TIMEOUT 45 s\n" },
	{ "1..2\nok 1 a#b \\# c \\\\ # skip\nok 2 # skip\n",
	  "s a#b # c \\ # skip\ns test 2 # skip\n" },
	{ "1..0 # SKIP no root\n", "s all # SKIP no root\n" },
	{ "1..0 # Foo::Bar \\# 2 is not there\n", "s all # Foo::Bar # 2 is not there\n" },
	{ "TAP version 14\n1..0\n", "s all\n" },
	{ "1..5\nnot ok 1 - a # SKIP no\nok 2 b # Skipped: no root\nnot ok 3 # todo: x\n"
	  "ok # skip\nok 5 - #SkIp y\n",
	  "s a # SKIP no\ns b # Skipped: no root\nt test 3 # todo: x\ns test 4 # skip\n"
	  "s test 5 # SkIp y\n" },
	{ "KTAP version 1\n1..6\nok 1 # XFAIL a\nok 2 b # XFAIL x\nnot ok 3 c # XFAIL y\n"
	  "not ok 4 d # ERROR no memory\nok 5 e # XPASS\nok 6 f # rcode=0\n",
	  "t test 1 # XFAIL a\nt b # XFAIL x\nt c # XFAIL y\n- d # ERROR no memory\n"
	  "+ e # XPASS\n+ f # rcode=0\n" },
	{ "TAP version 14\n1..5\nok 1 - a # todo\nok 2 - b \\# todo\nnot ok 3 - c \\\\# todo\n"
	  "not ok 4 - d \\\\ # todo e \\# f # g\nnot ok 5 - h # i # todo\n",
	  "+ a # todo\n+ b # todo\n- c \\# todo\nt d \\ # todo e # f # g\n- h # i # todo\n" },
	{ "1..1\nok 1 see https://example.com/page.html#skip is a url\n",
	  "+ see https://example.com/page.html#skip is a url\n" },

	/* no tests at all */
	{ "ok, done\nok\nok 2 a\nnot ok 17\n# ok 1 a\n", "" },
	{ "Linux version 6.1\n1..x\nTAP version x\n1..2 3\nok 1a\n", "+ a\n" },
	{ "[ok 1] foo\nok: 1\nokay 1\n", "" },

	/* what is wrong */
	{ "1..3\nok 1 a\nok 2 b\n", "+ a\n+ b\n! 2 of 3 planned tests came\n" },
	{ "1..1\nok 1 a\nok 2 b\n", "+ a\n+ b\n! 2 of 1 planned tests came\n" },
	{ "1..2\nok 1 a\nok 1 b\n", "+ a\n+ b\n! test number 1 came where 2 was due\n" },
	{ "TAP version 13\nok 1 a\n", "+ a\n! there is no plan, so tests may be missing\n" },
	{ "1..9\nok 1 a\nBail out! no disk\n", "+ a\n! Bail out! no disk\n" },
	{ "1..9\nok 1 a\nbAIL OUT! \\# \\\\\n", "+ a\n! bAIL OUT! # \\\n" },
	{ "TAP version 14\n1..2\n    1..9\n    ok 1 a\n    Bail out! b\n", "+ a\n! Bail out! b\n" },
	{ "TAP version 14\n1..3\nok 2 - a\nok 4 - b\nok 1 - c\n",
	  "+ a\n+ b\n+ c\n! test number 4 is not in its plan of 3\n" },
	{ "TAP version 14\nok 2 - a\nok 3 - b\n1..2\n",
	  "+ a\n+ b\n! test number 3 is not in its plan of 2\n" },
	{ "KTAP version 1\nok 1 a\nok 2 b\n", "+ a\n+ b\n" }, /* its plan may be left out */
	{ "1..9\nBail out!\nTAP version 13\n1..2\nok 1 a\n",
	  "+ a\n! Bail out!\n! 1 of 2 planned tests came\n" },

	/* YAML */
	{ "TAP version 13\n1..2\nok 1 a\n  ---\n  ok 7 x\n  duration_ms: 5\n  ...\nok 2 b\n",
	  "+ a\n+ b\n" },
	{ "1..2\nok 1 a\n  ---\n  ok 7 x\nok 2 b\n", "+ a\n+ b\n" }, /* it has no end */
	{ "1..2\nok 1 a\n---\nok 2 b\n", "+ a\n+ b\n" },
	{ "1..2\nok 1 a\n# b\n\n  ---\n  c: |\n    ...\n\n    ok 7 x\n  ...\nok 2 b\n", "+ a\n"
	  "+ b\n" },
	{ "1..1\ndiff\n  ---\n  1..3\nok 1 a\n", "+ a\n! 0 of 3 planned tests came\n" },

	/* special lines */
	{ "TAP version 14\npragma +strict\n1..1\n\n \t\npragma -bail\nok 1 - a\n", "+ a\n" },
	{ "x.t ..\n1..1\nok 1 - a\nok\ny.t ..\nok 1 - b\n1..1\nok\nAll tests successful.\n",
	  "+ a\n+ b\n" }, /* prove -v */
	{ "TAP version 14\n# Subtest: s\n    # Subtest: t\n        1..2\n        ok 1 - a\n"
	  "    ok 1 - t\n    1..1\nok 1 - s\n# Subtest\n    1..0\nok 2\n1..2\n",
	  "+ s/t/a\n+ s/t\n+ s\n+ test 2\n! 1 of 2 planned tests of t came\n" },
	{ "TAP version 14\n        ok 1 - a\n        1..1\n    ok 1 - b\n    1..1\nok 1 - c\n"
	  "1..1\n",
	  "+ c/b/a\n+ c/b\n+ c\n" },

	/* subtests: of TAP 14, of the kernel's KUnit, and of its selftests */
	{ "TAP version 14\n1..2\n# Subtest: s\n    ok 1 - a\n    not ok 2 - b\n    1..2\n"
	  "not ok 1 - s\nok 2 - c\n", "+ s/a\n- s/b\n- s\n+ c\n" },
	{ "KTAP version 1\n1..2\n    KTAP version 1\n    # Subtest: one\n    1..2\n"
	  "        KTAP version 1\n        # Subtest: p\n        ok 1 x=1\n        ok 2 x=2\n"
	  "    ok 1 p\n    # a: EXPECTATION FAILED at x.c:1\n    not ok 2 a\n"
	  "# one: pass:1 fail:1 skip:0 total:2\nnot ok 1 one\n    KTAP version 1\n    1..1\n"
	  "    ok 1 only # SKIP\nok 2 two\n",
	  "+ one/p/x=1\n+ one/p/x=2\n+ one/p\n- one/a\n- one\ns two/only # SKIP\n+ two\n" },
	{ "TAP version 13\n1..1\n# selftests: net: x\n# TAP version 13\n# 1..2\n# ok 1 a\n"
	  "# # ok 3 no\n# not ok 2 b\nnot ok 1 selftests: net: x # exit=1\n",
	  "+ selftests: net: x/a\n- selftests: net: x/b\n- selftests: net: x # exit=1\n" },
	{ "KTAP version 1\n1..1\n    KTAP version 1\n    # Subtest: s\n    1..3\n    ok 1 a\n"
	  "not ok 1 s\n", "+ s/a\n- s\n! 1 of 3 planned tests of s came\n" },
	{ "KTAP version 1\n1..2\n    KTAP version 1\n    # Subtest: s\n    1..1\n    ok 1 a\n",
	  "+ a\n! the test s that has subtests did not end\n! 0 of 2 planned tests came\n" },

	/* the kernel's log, with time stamps, and with what others print */
	{ "[    0.100000] KTAP version 1\n[    0.1] 1..1\n<6>[    0.2][    T1]     ok 1 a\n"
	  "[    0.3] usb 1-1: ok\nok\n[   10.000000] ok 1 s\n", "+ s/a\n+ s\n" },
	{ "KTAP version 1\n1..1\nok 1 a\nKTAP version 1\n1..1\nok 1 b\n", "+ a\n+ b\n" },

	/* run_kselftest.sh, whose programs need not begin with a version, and may run others */
	{ "TAP version 13\n1..3\n# timeout set to 45\n# selftests: cgroup: test_core\n# ok 1 a\n"
	  "# not ok 2 b\nnot ok 1 selftests: cgroup: test_core # exit=1\n"
	  "# selftests: x: y\n# 1..2\n# ok 1 c\n# Bail out! no d\n"
	  "not ok 2 selftests: x: y # exit=1\n# selftests: mm: run.sh\n# TAP version 13\n"
	  "# # TAP version 13\n# # 1..2\n# # # ok 7 no\n# # ok 1 e\n# # not ok 2 f\n"
	  "# not ok 1 g\n# 1..1\nnot ok 3 selftests: mm: run.sh # exit=1\n",
	  "+ selftests: cgroup: test_core/a\n- selftests: cgroup: test_core/b\n"
	  "- selftests: cgroup: test_core # exit=1\n+ selftests: x: y/c\n"
	  "- selftests: x: y # exit=1\n+ selftests: mm: run.sh/g/e\n"
	  "- selftests: mm: run.sh/g/f\n- selftests: mm: run.sh/g\n"
	  "- selftests: mm: run.sh # exit=1\n" },

	/* the kernel's text before a result, behind it, and within */
	{ "TAP version 13\n1..3\n# selftests: net: x\n# Successok 1 selftests: net: x\n"
	  "[   12.345678] random: crng init donenot ok 2 b # exit=1\n"
	  "[   12.345679] usb 1-1: reset ok 3 c\n",
	  "+ selftests: net: x\n- b # exit=1\n+ c\n" },
	{ "1..5\nok 1 a[    1.000000] usb: ok 9 x\nnot ok 2 b # TODO c[    1.2][   T1] d\n"
	  "ok 3 d # SKIP e<6>[   12.345678][  T12] f\n\nnot o[   12.345678] g\n"
	  "[   12.345679] h\nk 4 i\nok 5 j[ 123.456789] k[ 123.456799] l\n\n",
	  "+ a\nt b # TODO c[    1.2][   T1] d\ns d # SKIP e\n- i\n+ j\n" },
	{ "[    0.100000] KTAP version 1\n[    0.100001] 1..2\n[    0.200000] loading... ok 1 x\n"
	  "[    0.300000] sda: sda1ok 1 a\n[    0.400000] ok 2 b[    0.500000] c\n", "+ a\n+ b\n" },
	{ "1..2\nit took 1 s\n# got: 'ok 1 x'\n# (ok 1 x)\nbook 1 of ok 1 x\nok 1 a\nxok 3 b\n"
	  "ok 2 b\n"
	  "xok 3 c\n", "+ a\n+ b\n" }, /* none */
};

START_TEST(documents)
{
	feed(rows[_i].in);
	ck_assert_str_eq(seen(), rows[_i].wanted);
}
END_TEST

/* However the stream is cut. */
START_TEST(documents_in_pieces)
{
	const char *c;

	for (c = rows[_i].in; *c; c++)
		tap_feed(t, c, 1);
	ck_assert_str_eq(seen(), rows[_i].wanted);
}
END_TEST

/* Each failure, and below it what is said of it. */
static const struct {
	const char *in, *wanted;
} talk[] = {
	{ "1..2\nnot ok 1 a\n#   at x.c\n# got 1\nok 2 b\n# fine\n"
	  "KTAP version 1\n1..2\nBUG: oops\n# c: bad\nnot ok 1 c\nBUG: other\nok 2 d\n",
	  "a:\n#   at x.c\n# got 1\nc:\nBUG: oops\n# c: bad\n" },

	/* Test::More */
	{ "# Testing Foo 1.0\nok 1 - load\nnot ok 2 - sum\n#   Failed test 'sum'\n"
	  "#   at t/x.t line 4.\n"
	  "#          got: '1'\n#     expected: '2'\nnot ok 3 - name\n#   Failed test 'name'\n"
	  "# Subtest: in\n    1..2\n    ok 1 - c\n    not ok 2 - d\n    #   Failed test 'd'\n"
	  "    # Looks like you failed 1 test of 2.\nnot ok 4 - in\n#   Failed test 'in'\n"
	  "not ok 5 - later # TODO x\n#   Failed (TODO) test 'later'\n1..5\n"
	  "# Looks like you failed 3 tests of 5.\n",
	  "sum:\n#   Failed test 'sum'\n#   at t/x.t line 4.\n#          got: '1'\n"
	  "#     expected: '2'\nname:\n#   Failed test 'name'\nd:\n    #   Failed test 'd'\n"
	  "    # Looks like you failed 1 test of 2.\nin:\n#   Failed test 'in'\n" },

	/* the kernel's selftests: alone, by their harness, and by their runner */
	{ "TAP version 13\n1..3\n# opening /dev/x\nnot ok 1 open\n# reading\nnot ok 2 read\n"
	  "# closing\nok 3 close\n# Totals: pass:1 fail:2 xfail:0 xpass:0 skip:0 error:0\n",
	  "open:\n# opening /dev/x\nread:\n# reading\n" },
	{ "TAP version 13\n1..2\n# Starting 2 tests from 1 test cases.\n"
	  "#  RUN           global.a ...\n"
	  "# x.c:10:a:Expected 1 (1) == f() (0)\n#          FAIL  global.a\nnot ok 1 global.a\n"
	  "#  RUN           global.b ...\n#            OK  global.b\nok 2 global.b\n"
	  "# FAILED: 1 / 2\n",
	  "global.a:\n# Starting 2 tests from 1 test cases.\n#  RUN           global.a ...\n"
	  "# x.c:10:a:Expected 1 (1) == f() (0)\n#          FAIL  global.a\n" },
	{ "TAP version 13\n1..3\n# selftests: net: a.sh\n# no such device\n"
	  "not ok 1 selftests: net: a.sh # exit=1\n# selftests: net: b\n# TAP version 13\n# 1..2\n"
	  "# # trying c\n# not ok 1 c\n# # trying d\n# ok 2 d\n# # Totals: pass:1 fail:1\n"
	  "not ok 2 selftests: net: b # exit=1\n# selftests: net: e.pl\n# 1..2\n# not ok 1 - f\n"
	  "# #   Failed test 'f'\n# not ok 2 - g\n# #   Failed test 'g'\n"
	  "not ok 3 selftests: net: e.pl # exit=2\n",
	  "selftests: net: a.sh:\n# selftests: net: a.sh\n# no such device\nc:\n# # trying c\n"
	  "selftests: net: b:\n# selftests: net: b\n# # Totals: pass:1 fail:1\nf:\n"
	  "# #   Failed test 'f'\ng:\n# #   Failed test 'g'\nselftests: net: e.pl:\n"
	  "# selftests: net: e.pl\n# #   Failed test 'g'\n" },

	/* KUnit, today's and that of 6.1, and with an oops */
	{ "KTAP version 1\n1..1\n    KTAP version 1\n    # Subtest: s\n    1..2\n"
	  "    # a: EXPECTATION FAILED at lib/x.c:7\n    Expected 1 == 2\n    not ok 1 a\n"
	  "BUG: kernel NULL pointer dereference\n    not ok 2 b\n# s: pass:0 fail:2\nnot ok 1 s\n",
	  "a:\n    # a: EXPECTATION FAILED at lib/x.c:7\n    Expected 1 == 2\n"
	  "b:\nBUG: kernel NULL pointer dereference\ns:\n# s: pass:0 fail:2\n" },
	{ "TAP version 14\n1..1\n    # Subtest: s\n    1..2\n"
	  "    # a: ASSERTION FAILED at lib/x.c:7\n"
	  "    not ok 1 - a\n    # b: ok so far\n    not ok 2 - b\nnot ok 1 - s\n",
	  "a:\n    # a: ASSERTION FAILED at lib/x.c:7\nb:\n    # b: ok so far\ns:\n" },

	/* nobody knows who prints */
	{ "1..1\n# hello\nnot ok 1 a\n# got 1\n", "a:\n# got 1\n" },
	{ "1..1\n# trying\nnot ok 1 a\n", "a:\n# trying\n" },
	{ "1..2\n# x\nnot ok 1 a\n# y\nnot ok 2 b\n", "a:\n# x\nb:\n# y\n" },
	{ "1..2\nnot ok 1 a\n# x\nnot ok 2 b\n# y\n", "a:\n# x\nb:\n# y\n" },
	{ "1..3\n# x\nok 1 a\n# y\nnot ok 2 b\n# z\nok 3 c\n", "b:\n# y\n" },
	{ "1..3\nok 1 a\n# x\nnot ok 2 b\n# y\nok 3 c\n# z\n", "b:\n# y\n" },
	{ "# hello\n1..3\nok 1 a\nnot ok 2 b\n# y\nok 3 c\n", "b:\n# y\n" },

	/* YAML, which tape names the next tests behind */
	{ "TAP version 13\n# first\nok 1 a\nnot ok 2 b\n  ---\n    at: x.js:1\n\n  ...\n"
	  "# second\nnot ok 3 c\n# more\n  ---\n  d: 1\n  ...\n1..3\n",
	  "b:\n    at: x.js:1\n\nc:\n# more\n  d: 1\n" },
	{ "KTAP version 1\n1..2\nnot ok 1 a\n  ---\n  b: 1\n  ...\n# c\nnot ok 2 d\n",
	  "a:\n  b: 1\nd:\n# c\n" },
};

START_TEST(what_is_said)
{
	const struct tap_test *test;
	FILE *out;
	unsigned i;

	feed(talk[_i].in);
	tap_end(t);
	out = open_memstream(&text, &size);
	for (i = 0; i < tap_tests(t); i++) {
		test = tap_test(t, i);
		if (test->result == TAP_NOT_OK)
			fprintf(out, "%s:\n%s", test->name, test->more ? test->more : "");
		else
			ck_assert_ptr_null(test->more);
	}
	fclose(out);
	ck_assert_str_eq(text, talk[_i].wanted);
}
END_TEST

START_TEST(yaml_says_more)
{
	feed("1..2\nnot ok 1 a\n  ---\n  duration_ms: 12.5\n  got: 1\n  ...\nok 2 b\n  ---\n"
	     "  duration_ms: nan\n  ...\n");
	tap_end(t);
	ck_assert_str_eq(tap_test(t, 0)->more, "  duration_ms: 12.5\n  got: 1\n");
	ck_assert_double_eq_tol(tap_test(t, 0)->seconds, 0.0125, 1e-9);
	ck_assert(tap_test(t, 1)->seconds < 0);
}
END_TEST

START_TEST(counts)
{
	feed("1..5\nok 1\nok 2\nnot ok 3\nok 4 # SKIP\nnot ok 5 # TODO\n");
	ck_assert_uint_eq(tap_count(t, TAP_OK), 2);
	ck_assert_uint_eq(tap_count(t, TAP_NOT_OK), 1);
	ck_assert_uint_eq(tap_count(t, TAP_SKIP), 1);
	ck_assert_uint_eq(tap_count(t, TAP_TODO), 1);
}
END_TEST

/* A guest that wants our memory. */

START_TEST(too_many_tests)
{
	unsigned i;
	char line[64];

	feed("TAP version 14\n1..999999999999999999999999\n");
	for (i = 0; i < TAP_TESTS_MAX + 500; i++) {
		snprintf(line, sizeof(line), "%*sok %u\n", (int)(i % 3), "", i + 1);
		feed(line);
	}
	tap_end(t);
	ck_assert_uint_eq(tap_tests(t), TAP_TESTS_MAX);
	ck_assert_uint_eq(tap_count(t, TAP_OK), TAP_TESTS_MAX + 500);
	ck_assert_uint_le(tap_problems(t), TAP_PROBLEMS_MAX);
}
END_TEST

START_TEST(too_long_a_line)
{
	char line[5000];

	memset(line, 'x', sizeof(line));
	feed("1..2\nnot ok 1 ");
	tap_feed(t, line, sizeof(line));
	feed("\n# ");
	tap_feed(t, line, sizeof(line));
	tap_feed(t, "\nok 2 \0z\n", 9);
	tap_end(t);
	ck_assert_uint_eq(tap_tests(t), 2);
	ck_assert_uint_eq(strlen(tap_test(t, 0)->name), TAP_NAME_MAX);
	ck_assert_uint_le(strlen(tap_test(t, 0)->more), TAP_MORE_MAX);
	ck_assert_str_eq(tap_test(t, 1)->name, "?z");
}
END_TEST

START_TEST(too_much_is_said)
{
	unsigned i;

	feed("1..1\nnot ok 1 a\n");
	for (i = 0; i < 1000; i++)
		feed("# twenty characters\n");
	tap_end(t);
	ck_assert_uint_le(strlen(tap_test(t, 0)->more), TAP_MORE_MAX);
	ck_assert_uint_gt(strlen(tap_test(t, 0)->more), TAP_MORE_MAX / 2);
}
END_TEST

START_TEST(too_deep)
{
	unsigned i;
	char line[100];

	feed("TAP version 13\n1..1\n");
	for (i = 1; i < 40; i++) {
		snprintf(line, sizeof(line), "%*sok 1 - a%u\n", (int)i, "", i);
		feed(line);
	}
	feed("ok 1 all\n");
	tap_end(t);
	ck_assert_uint_eq(tap_count(t, TAP_OK), 40);
	ck_assert_str_eq(tap_test(t, tap_tests(t) - 1)->name, "all");
	ck_assert(tap_test(t, tap_tests(t) - 1)->has_parts);
}
END_TEST

Suite *tap_suite(void)
{
	Suite *s = suite_create("tap");
	TCase *tc = unit_case(s, "tap");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_loop_test(tc, documents, 0, ARRAY_SIZE(rows));
	tcase_add_loop_test(tc, documents_in_pieces, 0, ARRAY_SIZE(rows));
	tcase_add_loop_test(tc, what_is_said, 0, ARRAY_SIZE(talk));
	tcase_add_test(tc, yaml_says_more);
	tcase_add_test(tc, counts);
	tcase_add_test(tc, too_many_tests);
	tcase_add_test(tc, too_long_a_line);
	tcase_add_test(tc, too_much_is_said);
	tcase_add_test(tc, too_deep);
	return s;
}

UNIT_MAIN(tap_suite)
