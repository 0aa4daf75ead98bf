/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <stdio.h>
#include <string.h>

#include "tests/lib/stderr.h"
#include "vmm/core/log.h"
#include "vmm/run/guest.h"
#include "vmm/run/report/report.h"

Suite *report_suite(void);

static struct guest_cfg cfg;
static struct report r;
static struct stderr_text said;

static void set_up(void)
{
	report_init(&r, &cfg);
}

static void tear_down(void)
{
	report_fini(&r);
}

START_TEST(phases)
{
	int64_t built;

	ck_assert_int_eq(report_time(&r, PHASE_BEGUN), 0);
	ck_assert_int_eq(report_time(&r, PHASE_BUILT), -1);
	report_mark(&r, PHASE_BUILT);
	built = report_time(&r, PHASE_BUILT);
	ck_assert_int_ge(built, 0);
	report_mark(&r, PHASE_UP);
	report_mark(&r, PHASE_BUILT); /* the first time counts */
	ck_assert_int_eq(report_time(&r, PHASE_BUILT), built);
	ck_assert_int_ge(report_time(&r, PHASE_UP), built);
	ck_assert_int_eq(report_time(&r, PHASE_ENTERED), -1);
}
END_TEST

START_TEST(names)
{
	unsigned i;

	for (i = 0; i < PHASE_COUNT; i++)
		ck_assert_ptr_nonnull(report_phases[i]);
}
END_TEST

START_TEST(times_in_a_line)
{
	stderr_begin(&said);
	log_set_level(LOG_INFO);
	r.at[PHASE_BUILT] = r.at[PHASE_BEGUN] + 1500000;
	r.at[PHASE_OFF] = r.at[PHASE_BEGUN] + 23000000;
	report_log_times(&r);
	ck_assert_str_eq(stderr_end(&said), "lunette: info: since the start of lunette: "
			 "built 1.5 ms, off 23.0 ms\n");
}
END_TEST

START_TEST(command)
{
	ck_assert_int_eq(r.exit, -1);
	ck_assert_int_eq(r.signal, -1);
	report_command(&r, 0, 0);
	ck_assert_int_eq(r.exit, 0);
	ck_assert_int_eq(r.signal, -1);
	report_command(&r, 0, 11);
	ck_assert_int_eq(r.exit, -1);
	ck_assert_int_eq(r.signal, 11);
}
END_TEST

START_TEST(lines)
{
	unsigned i;

	ck_assert_ptr_null(r.error);
	stderr_begin(&said);
	log_warn("w");
	log_err("e");
	log_note("n");
	for (i = 0; i < REPORT_LINES_MAX; i++)
		log_err("error %u", i);
	stderr_end(&said);
	ck_assert_uint_eq(r.lines, REPORT_LINES_MAX);
	ck_assert_uint_eq(r.lost, 3);
	ck_assert_int_eq(r.line[0].level, LOG_WARN);
	ck_assert_str_eq(r.line[1].text, "e");
	ck_assert_str_eq(r.error, "error 63"); /* the last one, though it is not kept as a line */
}
END_TEST

Suite *report_suite(void)
{
	Suite *s = suite_create("report");
	TCase *tc = unit_case(s, "report");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, phases);
	tcase_add_test(tc, names);
	tcase_add_test(tc, times_in_a_line);
	tcase_add_test(tc, command);
	tcase_add_test(tc, lines);
	return s;
}

UNIT_MAIN(report_suite)
