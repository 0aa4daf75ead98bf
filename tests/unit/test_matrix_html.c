/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/core/text.h"
#include "vmm/core/util.h"
#include "vmm/run/matrix/matrix_file.h"
#include "vmm/run/matrix/matrix_html.h"
#include "vmm/run/matrix/matrix_result.h"

Suite *matrix_html_suite(void);

#define RUNS 8

static struct matrix m;
static struct matrix_result r[RUNS];
static char *page;

static void tear_down(void)
{
	unsigned i;

	for (i = 0; i < RUNS; i++)
		matrix_result_fini(&r[i]);
	matrix_free(&m);
	free(page);
	page = NULL;
}

static void file(const char *text)
{
	ck_assert_int_eq(matrix_parse(&m, "m", text), 0);
	ck_assert_uint_le(m.runs, RUNS);
}

static void make(void)
{
	free(page);
	page = matrix_html(&m, r);
	ck_assert_ptr_nonnull(page);
}

static void ended(unsigned run, enum cause cause, int status, const char *report)
{
	r[run].state = MATRIX_ENDED;
	r[run].cause = cause;
	r[run].status = status;
	r[run].seconds = 1.5;
	r[run].report = report ? json_loads(report, 0, NULL) : NULL;
	ck_assert(!report || r[run].report);
}

static void has(const char *text)
{
	ck_assert_msg(strstr(page, text), "no %s in: %s", text, page);
}

static void has_not(const char *text)
{
	ck_assert_msg(!strstr(page, text), "%s in: %s", text, page);
}

static unsigned count(const char *text)
{
	const char *at = page;
	unsigned n = 0;

	for (; (at = strstr(at, text)); at += strlen(text))
		n++;
	return n;
}

START_TEST(one_axis)
{
	file("k a\nk b\n");
	ended(0, CAUSE_POWEROFF, 0, NULL);
	make();
	has("<thead>\n<tr><th>k</th><th></th></tr>");
	has("<tr><th scope=\"row\">a</th><td class=\"ok\"><a href=\"#r0\">"
	    "<span class=\"top\"><b>ok</b><span>1.50 s</span></span></a></td></tr>");
	has("<tr><th scope=\"row\">b</th><td class=\"waiting\"><a href=\"#r1\">");
	has("<p>2 runs: <span class=\"mark ok\">1</span> succeeded,"
	    " <span class=\"mark waiting\">1</span> did not run</p>");
}
END_TEST

/* The last one makes columns; what is left out is an empty cell. */
START_TEST(three_axes)
{
	file("a x\na y\nb 1\nb 2\nc p\nc q\nexclude a=x b=2 c=p\n");
	make();
	has("<th rowspan=\"2\">a</th><th rowspan=\"2\">b</th><th colspan=\"2\">c</th></tr>\n"
	    "<tr><th scope=\"col\">p</th><th scope=\"col\">q</th></tr>");
	ck_assert_uint_eq(count("<td class=\"waiting\">"), 7);
	has("<th scope=\"row\">x</th><th scope=\"row\">2</th><td></td><td class=\"waiting\">"
	    "<a href=\"#r2\">");
}
END_TEST

/* One that has been included has no value of the other axis. */
START_TEST(included)
{
	file("a x\nb p\nb q\ninclude a=z --cpus 2\n");
	make();
	has("<th scope=\"row\">z</th><td></td><td></td><td class=\"waiting\"><a href=\"#r2\">");
	has("<th scope=\"col\">-</th>");
}
END_TEST

static const struct {
	enum matrix_state state;
	int status;
	const char *report, *class;
} looks[] = {
	{ MATRIX_WAITING, 0, NULL, "waiting" },
	{ MATRIX_RUNNING, 0, NULL, "running" },
	{ MATRIX_STOPPED, 143, NULL, "stopped" },
	{ MATRIX_ENDED, 0, NULL, "ok" },
	{ MATRIX_ENDED, 0, "{\"tests\": {\"ok\": 1, \"not_ok\": 0}}", "ok" },
	{ MATRIX_ENDED, 0, "{\"tests\": {\"ok\": 1, \"not_ok\": 2}}", "tests" },
	{ MATRIX_ENDED, 3, "{\"tests\": {\"ok\": 1, \"not_ok\": 2}}", "failed" },
	{ MATRIX_ENDED, 0, "{\"tests\": [\"not_ok\"], \"phases\": 3, \"console\": 4}", "ok" },
};

START_TEST(look)
{
	char cell[64];

	file("k a\n");
	ended(0, CAUSE_EXIT, looks[_i].status, looks[_i].report);
	r[0].state = looks[_i].state;
	make();
	snprintf(cell, sizeof(cell), "<td class=\"%s\">", looks[_i].class);
	has(cell);
}
END_TEST

/* In a cell as long as the longest run; of its own it takes all the room. */
START_TEST(bars)
{
	file("k a\nk b\n");
	ended(0, CAUSE_EXIT, 0, "{\"phases\": {\"built\": 10.0, \"entered\": 20.0, \"up\": 60.0,"
	      " \"start\": 60.0, \"end\": 90.0, \"off\": 100.0}}");
	ended(1, CAUSE_TIMEOUT, 212, "{\"phases\": {\"built\": 2, \"entered\": 10, \"up\": null,"
	      " \"start\": null, \"end\": null, \"off\": 50}}");
	make();
	has("<span class=\"bar\">"
	    "<i class=\"p0\" style=\"width: 10.00%\" title=\"set-up 10 ms\"></i>"
	    "<i class=\"p1\" style=\"width: 10.00%\" title=\"entry 10 ms\"></i>"
	    "<i class=\"p2\" style=\"width: 40.00%\" title=\"boot 40 ms\"></i>"
	    "<i class=\"p3\" style=\"width: 0.00%\" title=\"init 0.0 ms\"></i>"
	    "<i class=\"p4\" style=\"width: 30.00%\" title=\"command 30 ms\"></i>"
	    "<i class=\"p5\" style=\"width: 10.00%\" title=\"shutdown 10 ms\"></i></span></a>");
	has("<i class=\"p2\" style=\"width: 40.00%\" title=\"boot 40 ms\"></i></span></a></td>");
	has("<i class=\"p2\" style=\"width: 80.00%\" title=\"boot 40 ms\"></i></span><p");
}
END_TEST

/* Of a report that makes no sense. */
START_TEST(times_that_go_back)
{
	file("k a\n");
	ended(0, CAUSE_EXIT, 0, "{\"phases\": {\"built\": 10.0, \"entered\": -5.0, \"up\": 4,"
	      " \"start\": \"x\", \"end\": 20.0, \"off\": 20.0}}");
	make();
	has("<i class=\"p1\" style=\"width: 50.00%\" title=\"entry 10 ms\"></i><i class=\"p5\"");
	ck_assert_ptr_null(strstr(page, "width: -"));
}
END_TEST

START_TEST(why)
{
	file("k a\nk b\nk c\nk d\n");
	ended(0, CAUSE_EXIT, 3, NULL);
	ended(1, CAUSE_BUG, 137, NULL);
	r[1].error = strdup("killed by signal 9");
	ended(2, CAUSE_SETUP, 201, "{\"error\": \"no such disk\"}");
	ended(3, CAUSE_PANIC, 205, "{\"error\": null, \"console\": [\"one\", \"two\"]}");
	make();
	has("<b>exit</b>, status 3, 1.50 s: <span class=\"said\">the command's status is 3<");
	has("<b>bug</b>, status 137, 1.50 s: <span class=\"said\">killed by signal 9<");
	has("<span class=\"said\">no such disk<");
	has("<span class=\"said\">the guest's kernel panicked<");
	has("<details open><summary>console: the last 2 lines</summary><pre>one\ntwo\n</pre>");
}
END_TEST

/* Whoever looks at the page looks for those that failed. */
START_TEST(failed_runs_come_first)
{
	file("k a\nk b\nk c\n");
	ended(0, CAUSE_EXIT, 0, NULL);
	ended(1, CAUSE_EXIT, 1, NULL);
	ended(2, CAUSE_EXIT, 0, "{\"tests\": {\"not_ok\": 2}}");
	make();
	ck_assert(strstr(page, "id=\"r1\"") < strstr(page, "id=\"r2\""));
	ck_assert(strstr(page, "id=\"r2\"") < strstr(page, "id=\"r0\""));
	has("<span class=\"dim\">exit 1</span></a>");
	has("<span class=\"dim\">2 failed</span></a>");
}
END_TEST

START_TEST(command_line)
{
	file("run --cpus 2\nk a -- sh -c 'echo \"$x\"'\n");
	make();
	has("<code>lunette run --cpus 2 -- sh -c 'echo &quot;$x&quot;'</code>");
}
END_TEST

#define TEST "<testcase classname=\"stdout\" name=\"t%u\"><failure type=\"not ok\"" \
	" message=\"m\">more</failure></testcase>\n"

START_TEST(failed_tests)
{
	unsigned i;
	size_t len;
	FILE *out = open_memstream(&r[0].junit, &len);

	for (i = 0; i <= MATRIX_HTML_TESTS; i++)
		fprintf(out, TEST, i);
	fclose(out);
	file("k a\n");
	ended(0, CAUSE_EXIT, 0, "{\"tests\": {\"not_ok\": 201}}");
	make();
	has("<p>201 tests failed:</p>");
	has("<li><b class=\"said\">stdout: t0</b> <span class=\"said\">m</span>"
	    "<pre>more</pre></li>");
	ck_assert_uint_eq(count("<pre>more"), MATRIX_HTML_TESTS);
	has("<li>no more than 200 are shown</li>");
}
END_TEST

/* Colours, and a line's end as a terminal has it. */
START_TEST(what_steers_a_terminal)
{
	file("k a\n");
	ended(0, CAUSE_EXIT, 3, "{\"console\": [\"\\u001b[1;31mred\\u001b[0m\\r\", \"\\u001b[\","
	      " \"\\u001b]0;t\\u0007\", \"\\u001b[\\u00e4\"]}");
	make();
	has("<pre>red\n\n\xef\xbf\xbd]0;t\xef\xbf\xbd\n\xc3\xa4\n</pre>");
	has_not("\x1b");
}
END_TEST

/* @text everywhere where somebody else says what stands there, in a report for CI systems as
 * @quoted. */
static void fill(const char *text, const char *quoted)
{
	json_t *console = json_array();

	json_array_append_new(console, text_json(text));
	ended(0, CAUSE_EXIT, 3, NULL);
	r[0].report = json_pack("{so so s{si}}", "error", text_json(text), "console", console,
				"tests", "not_ok", 1);
	ck_assert_int_ge(asprintf(&r[0].junit, "<testcase classname=\"%s\" name=\"%s\"><failure "
				  "message=\"%s\">%s</failure></testcase>", quoted, quoted, quoted,
				  quoted), 0);
	r[0].last = strdup(text);
	ended(1, CAUSE_BUG, 217, NULL);
	r[1].error = strdup(text);
	m.path = text;
	free(m.run[0].argv[1]);
	m.run[0].argv[1] = strdup(text);
}

static unsigned marks(void)
{
	return count("<") + 1000 * count(">") + 1000000 * count("\"");
}

/* Whatever is said, the page has as many tags and attributes. */
static const char *const hostile[] = {
	"<script>alert(1)</script>", "\"><img src=x onerror=alert(1)>", "' onmouseover='alert(1)",
	"</pre></section><a href=\"javascript:alert(1)\">", "<!--", "]]>", "</title><style>*{}",
	"&lt;b&gt;&#60;", "\xc3", "\xe2\x80\xae<b>", "<\xff", "\x1b[<b>", "\r<b>\r",
};

START_TEST(nothing_that_is_said_is_html)
{
	char quoted[512] = "";
	unsigned before;
	FILE *out = fmemopen(quoted, sizeof(quoted), "w");

	text_xml(out, hostile[_i], strlen(hostile[_i]));
	fclose(out);
	file("k a -- x\nk b\n");
	fill("harmless", "harmless");
	make();
	before = marks();
	tear_down();
	file("k a -- x\nk b\n");
	fill(hostile[_i], quoted);
	make();
	ck_assert_uint_eq(marks(), before);
	has_not("<script");
	has_not("<img");
}
END_TEST

/* A report for CI systems that somebody else has written. */
START_TEST(report_of_somebody)
{
	file("k a -- x\nk b\n");
	fill("harmless", hostile[_i]);
	make();
	has_not("<script");
	has_not("<img");
	has_not("<style>*");
	has_not("javascript");
	has_not("<b>\r");
}
END_TEST

/* It needs nothing from anywhere, and would get nothing. */
START_TEST(self_contained)
{
	file("k a\n");
	make();
	ck_assert_int_eq(strncmp(page, "<!DOCTYPE html>\n", 16), 0);
	has("content=\"default-src 'none'; style-src 'unsafe-inline'\"");
	has_not("http:");
	has_not("https:");
	has_not("//");
	has_not("src=");
	has_not("url(");
	has_not("<link");
	has_not("<script");
}
END_TEST

Suite *matrix_html_suite(void)
{
	Suite *s = suite_create("matrix_html");
	TCase *tc = unit_case(s, "matrix_html");

	tcase_add_checked_fixture(tc, NULL, tear_down);
	tcase_add_test(tc, one_axis);
	tcase_add_test(tc, three_axes);
	tcase_add_test(tc, included);
	tcase_add_loop_test(tc, look, 0, ARRAY_SIZE(looks));
	tcase_add_test(tc, bars);
	tcase_add_test(tc, times_that_go_back);
	tcase_add_test(tc, why);
	tcase_add_test(tc, failed_runs_come_first);
	tcase_add_test(tc, command_line);
	tcase_add_test(tc, failed_tests);
	tcase_add_test(tc, what_steers_a_terminal);
	tcase_add_loop_test(tc, nothing_that_is_said_is_html, 0, ARRAY_SIZE(hostile));
	tcase_add_loop_test(tc, report_of_somebody, 0, ARRAY_SIZE(hostile));
	tcase_add_test(tc, self_contained);
	return s;
}

UNIT_MAIN(matrix_html_suite)
