/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/run/matrix/matrix_file.h"
#include "vmm/run/matrix/matrix_result.h"

Suite *matrix_result_suite(void);

static struct matrix m;
static struct matrix_result r[4];

static struct matrix_result ended(enum cause cause, int status)
{
	return (struct matrix_result){ .state = MATRIX_ENDED, .cause = cause, .status = status,
				       .seconds = 1.5 };
}

static void set_up(void)
{
	memset(r, 0, sizeof(r));
	ck_assert_int_eq(matrix_parse(&m, "m", "k a\nk b\nk c\nk d\n"), 0);
}

static void tear_down(void)
{
	unsigned i;

	for (i = 0; i < 4; i++)
		matrix_result_fini(&r[i]);
	matrix_free(&m);
}

START_TEST(status)
{
	r[0] = ended(CAUSE_EXIT, 0);
	r[1] = ended(CAUSE_POWEROFF, 0);
	ck_assert_int_eq(matrix_status(r, 2), 0);
	r[2] = ended(CAUSE_TIMEOUT, 212);
	ck_assert_int_eq(matrix_status(r, 3), 212);
	r[1] = ended(CAUSE_PANIC, 205);
	ck_assert_int_eq(matrix_status(r, 3), 205);
	r[3] = ended(CAUSE_EXIT, 42);
	ck_assert_int_eq(matrix_status(r, 4), 1);
	r[3] = ended(CAUSE_EXIT, 205); /* a command's, whatever the number */
	ck_assert_int_eq(matrix_status(r, 4), 1);
	r[0] = ended(CAUSE_POWEROFF, 137); /* killed, once it had reported success */
	ck_assert_int_eq(matrix_status(r, 1), 217);
}
END_TEST

START_TEST(stopped_and_not_run_do_not_count)
{
	r[0] = ended(CAUSE_SIGNAL, 143);
	r[0].state = MATRIX_STOPPED;
	ck_assert_int_eq(matrix_status(r, 4), 0);
	ck_assert(!matrix_succeeded(&r[0]));
	ck_assert(!matrix_succeeded(&r[1]));
}
END_TEST

/* Every cause has its place in the order; a poweroff with a bad status makes no sense. */
START_TEST(no_cause_is_forgotten)
{
	int wanted;
	unsigned c;

	for (c = 0; c < CAUSE_COUNT; c++) {
		r[0] = ended(c, 7);
		wanted = c == CAUSE_EXIT ? 1 : c == CAUSE_SIGNAL ? 7 :
			 c == CAUSE_POWEROFF ? causes[CAUSE_BUG].status : causes[c].status;
		ck_assert_msg(matrix_status(r, 1) == wanted, "%s", causes[c].name);
	}
}
END_TEST

static char *printed(void (*fn)(FILE *out))
{
	char *text;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	fn(out);
	fclose(out);
	return text;
}

static void print_all(FILE *out)
{
	unsigned i;

	for (i = 0; i < 4; i++)
		matrix_print(out, m.run[i].name, 3, &r[i]);
	matrix_print_end(out, &m, r, 2.25);
}

START_TEST(lines)
{
	char *text;

	r[0] = ended(CAUSE_EXIT, 0);
	r[1] = ended(CAUSE_PANIC, 205);
	r[1].last = strdup("one\r\ntwo\x1b[2J\x7f\n");
	r[2] = ended(CAUSE_SIGNAL, 143);
	r[2].state = MATRIX_STOPPED;
	text = printed(print_all);
	ck_assert_str_eq(text,
			 "ok      a    exit          0      1.50 s\n"
			 "FAILED  b    panic       205      1.50 s\n"
			 "stopped c    signal      143      1.50 s\n"
			 "not run d\n"
			 "\nb: the guest's kernel panicked\n"
			 "  | one\n  | two?[2J?\n"
			 "\n4 runs: 1 succeeded, 1 failed, 2 stopped or not run, 2.25 s\n");
	free(text);
}
END_TEST

START_TEST(why_a_run_failed)
{
	char *text;

	r[0] = ended(CAUSE_EXIT, 3);
	r[1] = ended(CAUSE_BUG, 137);
	r[1].error = strdup("killed by signal 9");
	text = printed(print_all);
	ck_assert_ptr_nonnull(strstr(text, "\na: the command's status is 3\n"));
	ck_assert_ptr_nonnull(strstr(text, "\nb: killed by signal 9\n"));
	free(text);
}
END_TEST

START_TEST(json)
{
	char *text;
	json_t *all, *run;

	r[0] = ended(CAUSE_EXIT, 3);
	r[0].report = json_pack("{ss si}", "cause", "exit", "status", 3);
	r[1] = ended(CAUSE_BUG, 137);
	r[1].error = strdup("killed by signal 9");
	r[2] = ended(CAUSE_SIGNAL, 143);
	r[2].state = MATRIX_STOPPED;
	text = matrix_json(&m, r);
	all = json_loads(text, 0, NULL);
	free(text);
	ck_assert_uint_eq(json_array_size(all), 4);
	run = json_array_get(all, 0);
	ck_assert_str_eq(json_string_value(json_object_get(run, "run")), "a");
	ck_assert_str_eq(json_string_value(json_object_get(json_object_get(run, "values"), "k")),
			 "a");
	ck_assert_int_eq(json_integer_value(json_object_get(run, "status")), 3);
	run = json_array_get(all, 1);
	ck_assert_str_eq(json_string_value(json_object_get(run, "cause")), "bug");
	ck_assert_str_eq(json_string_value(json_object_get(run, "error")), "killed by signal 9");
	run = json_array_get(all, 2); /* stopped before it could say anything */
	ck_assert_str_eq(json_string_value(json_object_get(run, "cause")), "signal");
	run = json_array_get(all, 3);
	ck_assert_str_eq(json_string_value(json_object_get(run, "cause")), "unfinished");
	ck_assert(json_is_null(json_object_get(run, "status")));
	json_decref(all);
}
END_TEST

static const char of_one[] = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n"
	"<testsuite name=\"lunette\" tests=\"2\">\n<testcase classname=\"lunette\" name=\"true\">\n"
	"</testcase>\n<testcase classname=\"stdout\" name=\"classname=&quot;x\"/>\n</testsuite>\n"
	"</testsuites>\n";

START_TEST(junit)
{
	char *text;

	r[0] = ended(CAUSE_EXIT, 0);
	r[0].junit = strdup(of_one);
	r[1] = ended(CAUSE_MEMORY, 215);
	r[1].error = strdup("a < b");
	r[2].state = MATRIX_RUNNING;
	text = matrix_junit(&m, r);
	ck_assert_str_eq(text,
		"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n"
		"<testsuite name=\"a\" tests=\"2\">\n"
		"<testcase classname=\"a.lunette\" name=\"true\">\n</testcase>\n"
		"<testcase classname=\"a.stdout\" name=\"classname=&quot;x\"/>\n"
		"</testsuite>\n"
		"<testsuite name=\"b\" tests=\"1\" failures=\"0\" errors=\"1\" skipped=\"0\">\n"
		"<testcase classname=\"b.lunette\" name=\"lunette run\"><error type=\"memory\""
		" message=\"a &lt; b\"/></testcase>\n</testsuite>\n"
		"<testsuite name=\"c\" tests=\"1\" failures=\"0\" errors=\"1\" skipped=\"0\">\n"
		"<testcase classname=\"c.lunette\" name=\"lunette run\"><error type=\"unfinished\""
		" message=\"it runs, or was stopped\"/></testcase>\n</testsuite>\n"
		"<testsuite name=\"d\" tests=\"1\" failures=\"0\" errors=\"0\" skipped=\"1\">\n"
		"<testcase classname=\"d.lunette\" name=\"lunette run\"><skipped"
		" message=\"not run\"/></testcase>\n</testsuite>\n"
		"</testsuites>\n");
	free(text);
}
END_TEST

START_TEST(junit_that_is_not_whole)
{
	char *text;

	r[0] = ended(CAUSE_BUG, 137);
	r[0].junit = strndup(of_one, strlen(of_one) - 20);
	text = matrix_junit(&m, r);
	ck_assert_ptr_nonnull(strstr(text, "<testsuite name=\"a\" tests=\"1\""));
	ck_assert_ptr_null(strstr(text, "stdout"));
	free(text);
}
END_TEST

Suite *matrix_result_suite(void)
{
	Suite *s = suite_create("matrix_result");
	TCase *tc = unit_case(s, "matrix_result");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, status);
	tcase_add_test(tc, stopped_and_not_run_do_not_count);
	tcase_add_test(tc, no_cause_is_forgotten);
	tcase_add_test(tc, lines);
	tcase_add_test(tc, why_a_run_failed);
	tcase_add_test(tc, json);
	tcase_add_test(tc, junit);
	tcase_add_test(tc, junit_that_is_not_whole);
	return s;
}

UNIT_MAIN(matrix_result_suite)
