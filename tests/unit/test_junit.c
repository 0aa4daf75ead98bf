/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/stderr.h"
#include "vmm/core/log.h"
#include "vmm/core/util.h"
#include "vmm/machine/console_log.h"
#include "vmm/run/guest.h"
#include "vmm/run/report/junit.h"
#include "vmm/run/report/report.h"
#include "vmm/run/report/tap.h"

Suite *junit_suite(void);

static struct guest_cfg cfg;
static struct report r;
static char *xml;
static struct stderr_text said;

static void set_up(void)
{
	report_init(&r, &cfg);
	ck_assert_int_eq(report_listen(&r), 0);
}

static void tear_down(void)
{
	report_fini(&r);
	free(xml);
	xml = NULL;
}

static void feed(enum report_stream stream, const char *text)
{
	report_feed(&r, stream, text, strlen(text));
}

static void make(bool finished)
{
	report_end_streams(&r);
	free(xml);
	xml = junit_text(&r, finished);
	ck_assert_ptr_nonnull(xml);
}

static void has(const char *text)
{
	ck_assert_msg(strstr(xml, text), "no %s in: %s", text, xml);
}

static void has_not(const char *text)
{
	ck_assert_msg(!strstr(xml, text), "%s in: %s", text, xml);
}

static void ended(enum cause cause, int exit, int signal)
{
	r.cause = cause;
	report_command(&r, exit, signal);
	make(true);
}

START_TEST(the_run)
{
	char *const argv[] = { "grep", "<a&b>", NULL };

	r.argv = argv;
	r.at[PHASE_START] = r.at[PHASE_BEGUN] + 1;
	r.at[PHASE_END] = r.at[PHASE_BEGUN] + 1500000001;
	ended(CAUSE_EXIT, 0, 0);
	has("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n"
	    "<testsuite name=\"lunette\"");
	has(" tests=\"1\" failures=\"0\" errors=\"0\" skipped=\"0\" ");
	has("<testcase classname=\"lunette\" name=\"grep &lt;a&amp;b&gt;\" time=\"1.500\">\n"
	    "<system-out></system-out>\n</testcase>\n");

	ended(CAUSE_EXIT, 3, 0);
	has("failures=\"1\" errors=\"0\"");
	has("<failure type=\"exit\" message=\"exit status 3\"></failure>");
	ended(CAUSE_EXIT, 0, 11);
	has("<failure type=\"exit\" message=\"killed by signal 11\"></failure>");
}
END_TEST

#define NINETY "123456789 123456789 123456789 123456789 123456789 123456789 123456789 123456789 " \
	       "123456789 "

/* A script's first line is its name. */
START_TEST(the_name)
{
	static const struct {
		const char *script, *wanted;
	} rows[] = {
		{ "make && ./all", "sh -c make &amp;&amp; ./all x" },
		{ "set -e\ncd /tests\n./all", "sh -c set -e ..." },
		{ "\n\t set -e\r\n./all\n", "sh -c set -e ..." },
		{ "", "sh -c  x" },
		{ NINETY "1234\xc3\xa4", "sh -c " NINETY "1234 ..." },
		{ NINETY "123\xc3\xa4", "sh -c " NINETY "123 ..." },
		{ NINETY "12\xc3\xa4 x", "sh -c " NINETY "12\xc3\xa4 ..." },
	};
	char script[200], wanted[250];
	char *const argv[] = { "sh", "-c", script, "x", NULL };

	snprintf(script, sizeof(script), "%s", rows[_i].script);
	snprintf(wanted, sizeof(wanted), " name=\"%s\"", rows[_i].wanted);
	r.argv = argv;
	ended(CAUSE_EXIT, 0, 0);
	has(wanted);
}
END_TEST

/* Two tests of one name are two cases. */
START_TEST(distinct_names)
{
	feed(STREAM_STDOUT, "1..5\nok 1 a\nok 2 a\nok 3 a (2)\nnot ok 4 a\nok 5\n");
	feed(STREAM_CONSOLE, "KTAP version 1\n1..2\n  1..2\n  ok 1 x\n  ok 2 x\nok 1 s\n"
	     "  1..1\n  ok 1 x\nok 2 s\n");
	ended(CAUSE_EXIT, 0, 0);
	has("classname=\"stdout\" name=\"a\"/>");
	has("classname=\"stdout\" name=\"a (2)\"/>");
	has("classname=\"stdout\" name=\"a (2) (2)\"/>");
	has("classname=\"stdout\" name=\"a (3)\"><failure");
	has("classname=\"console.s\" name=\"x\"/>");
	has("classname=\"console.s\" name=\"x (2)\"/>");
	has("classname=\"console.s (2)\" name=\"x\"/>");
}
END_TEST

/* Every cause but two means that something is wrong. */
START_TEST(causes_are_faults)
{
	ended(_i, 0, 0);
	if (_i == CAUSE_POWEROFF || _i == CAUSE_EXIT) {
		has("failures=\"0\" errors=\"0\"");
		return;
	}
	has_not("failures=\"0\" errors=\"0\"");
	has(causes[_i].name);
}
END_TEST

START_TEST(unfinished)
{
	make(false);
	has("errors=\"1\"");
	has("<error type=\"unfinished\" message=\"");
}
END_TEST

START_TEST(the_error_line)
{
	stderr_begin(&said);
	log_err("\"x\": no");
	stderr_end(&said);
	ended(CAUSE_SETUP, 0, 0);
	has("<error type=\"setup\" message=\"&quot;x&quot;: no\">");
}
END_TEST

START_TEST(tests)
{
	feed(STREAM_STDOUT, "1..3\nok 1 - a\nnot ok 2 - <b>\n# at x\nok 3 - c # SKIP none\n");
	feed(STREAM_CONSOLE, "KTAP version 1\n1..2\n  KTAP version 1\n  1..2\n  not ok 1 d\n"
	     "  ok 2 e\nnot ok 1 s\n  KTAP version 1\n  1..1\n  ok 1 f\nnot ok 2 z # exit=1\n");
	ended(CAUSE_EXIT, 0, 0); /* the command's word on the run as a whole */
	has(" tests=\"8\" failures=\"3\" errors=\"0\" skipped=\"1\" ");
	has("<testcase classname=\"stdout\" name=\"a\"/>\n");
	has("<testcase classname=\"stdout\" name=\"&lt;b&gt;\">"
	    "<failure type=\"not ok\" message=\"not ok\"># at x\n</failure></testcase>\n");
	has("name=\"c\"><skipped message=\"SKIP none\"></skipped></testcase>\n");
	has("<testcase classname=\"console.s\" name=\"d\"><failure");
	has("<testcase classname=\"console.s\" name=\"e\"/>");
	has_not("name=\"s\""); /* whose failure is d's */
	has("<testcase classname=\"console\" name=\"z\"><failure type=\"not ok\" "
	    "message=\"exit=1\">"); /* whose parts are ok */
}
END_TEST

/* One after the other, without the run itself and without sums; and then there are no more. */
START_TEST(failed_ones)
{
	static const char *const wanted[] = { "stdout|&lt;b&gt;|not ok|# at x\n",
					      "console.s|d|not ok|", "console|z|exit=1|" };
	struct junit_failed f;
	char line[200];
	const char *at;
	unsigned i;

	feed(STREAM_STDOUT, "1..3\nok 1 - a\nnot ok 2 - <b>\n# at x\nok 3 - c # SKIP none\n");
	feed(STREAM_CONSOLE, "KTAP version 1\n1..2\n  KTAP version 1\n  1..2\n  not ok 1 d\n"
	     "  ok 2 e\nnot ok 1 s\n  KTAP version 1\n  1..1\n  ok 1 f\nnot ok 2 z # exit=1\n");
	ended(CAUSE_EXIT, 1, 0);
	at = xml;
	for (i = 0; i < ARRAY_SIZE(wanted); i++) {
		at = junit_next_failed(at, &f);
		ck_assert_ptr_nonnull(at);
		snprintf(line, sizeof(line), "%.*s|%.*s|%.*s|%.*s", (int)f.class.len, f.class.text,
			 (int)f.name.len, f.name.text, (int)f.message.len, f.message.text,
			 (int)f.more.len, f.more.text);
		ck_assert_str_eq(line, wanted[i]);
	}
	ck_assert_ptr_null(junit_next_failed(at, &f));
}
END_TEST

static const char *const cut[] = {
	"<testcase", "<testcase>", "<testcase><failure", "<testcase classname=\"x", "",
	"<testcase classname=\"x\" name=\"y\"/>", "<testcase classname=\"lunette\"><failure>",
};

START_TEST(failed_ones_of_a_report_that_is_cut)
{
	struct junit_failed f = { .more = { "", 0 } };

	ck_assert(!junit_next_failed(cut[_i], &f) || !f.more.len);
}
END_TEST

START_TEST(plan_is_not_kept)
{
	feed(STREAM_STDOUT, "1..3\nok 1 - a\n");
	ended(CAUSE_EXIT, 0, 0);
	has("failures=\"1\"");
	has("<failure type=\"tap\" message=\"1 of 3 planned tests came\">"
	    "stdout: 1 of 3 planned tests came\n</failure>");
	ended(CAUSE_EXIT, 1, 0); /* of two reasons the command's is the first */
	has("<failure type=\"exit\" message=\"exit status 1\">stdout: 1 of 3");
}
END_TEST

START_TEST(times)
{
	feed(STREAM_STDOUT, "1..1\nok 1 - a\n  ---\n  duration_ms: 2.7\n  ...\n");
	make(true);
	has("name=\"a\" time=\"0.003\"/>");
}
END_TEST

/* A reader refuses the whole file for one character. */
START_TEST(whatever_is_printed)
{
	struct console_log *log = console_log_create();
	char bytes[256];
	unsigned i;

	for (i = 0; i < sizeof(bytes); i++)
		bytes[i] = (char)i;
	console_log_write(log, bytes, sizeof(bytes));
	console_log_write(log, "]]>\xef\xbf\xbf", 6);
	report_console(&r, log);
	console_log_destroy(log);
	feed(STREAM_STDOUT, "1..1\nnot ok 1 ");
	report_feed(&r, STREAM_STDOUT, bytes, sizeof(bytes));
	feed(STREAM_STDOUT, "\n");
	make(true);
	has("]]&gt;\xef\xbf\xbd");
	for (i = 0; xml[i]; i++)
		ck_assert((unsigned char)xml[i] >= ' ' || xml[i] == '\n' || xml[i] == '\t');
}
END_TEST

START_TEST(more_than_is_kept)
{
	unsigned i;

	feed(STREAM_STDOUT, "TAP version 14\n1..10007\n");
	for (i = 0; i < TAP_TESTS_MAX + 7; i++)
		feed(STREAM_STDOUT, "ok\n");
	make(true);
	has("tests=\"10001\"");
	has("<system-out>7 more tests on stdout are not listed\n");
}
END_TEST

Suite *junit_suite(void)
{
	Suite *s = suite_create("junit");
	TCase *tc = unit_case(s, "junit");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, the_run);
	tcase_add_loop_test(tc, the_name, 0, 7);
	tcase_add_test(tc, distinct_names);
	tcase_add_loop_test(tc, causes_are_faults, 0, CAUSE_COUNT);
	tcase_add_test(tc, unfinished);
	tcase_add_test(tc, the_error_line);
	tcase_add_test(tc, tests);
	tcase_add_test(tc, failed_ones);
	tcase_add_loop_test(tc, failed_ones_of_a_report_that_is_cut, 0, ARRAY_SIZE(cut));
	tcase_add_test(tc, plan_is_not_kept);
	tcase_add_test(tc, times);
	tcase_add_test(tc, whatever_is_printed);
	tcase_add_test(tc, more_than_is_kept);
	return s;
}

UNIT_MAIN(junit_suite)
