/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <string.h>

#include "vmm/core/loop.h"
#include "vmm/machine/halt.h"

Suite *halt_suite(void);

#define MS 1000000ull

/* A guest that runs for @runs ms between two looks, and whose vCPUs have all halted. */
static struct host {
	uint64_t used, runs;
	bool halted;
	unsigned asked, ended;
} host;

static struct loop *loop;
static struct halt halt = HALT_NONE;

static uint64_t used(void *h)
{
	ck_assert_ptr_eq(h, &host);
	host.used += host.runs * MS;
	return host.used;
}

static void ask(void *h)
{
	(void)h;
	host.asked++;
}

static bool halted(void *h)
{
	(void)h;
	ck_assert_uint_gt(host.asked, 0);
	return host.halted;
}

static void end(void *h)
{
	(void)h;
	host.ended++;
	loop_stop(loop);
}

static const struct halt_ops ops = { used, ask, halted, end };

static void set_up(void)
{
	host = (struct host){ .halted = true };
	loop = loop_create("test");
	ck_assert_ptr_nonnull(loop);
	ck_assert_int_eq(halt_start(&halt, &ops, &host, loop), 0);
}

static void tear_down(void)
{
	halt_stop(&halt);
	halt_stop(&halt);
	loop_destroy(loop);
}

static void look(unsigned times)
{
	while (times--)
		halt_look(&halt);
}

START_TEST(halted_for_good)
{
	look(2);
	ck_assert_uint_eq(host.ended, 0);
	look(1);
	ck_assert_uint_eq(host.ended, 1);
	ck_assert_uint_eq(host.asked, 2);
}
END_TEST

START_TEST(by_the_timer)
{
	loop_run(loop);
	ck_assert_uint_eq(host.ended, 1);
}
END_TEST

START_TEST(who_runs_is_not_asked)
{
	host.runs = 100;
	look(20);
	ck_assert_uint_eq(host.asked + host.ended, 0);
}
END_TEST

START_TEST(who_sleeps_is_asked_and_goes_on)
{
	host.halted = false;
	look(20);
	ck_assert_uint_eq(host.ended, 0);
	ck_assert_uint_ge(host.asked, 10);
}
END_TEST

/* To be asked takes a little of a processor, and that does not count. */
START_TEST(being_asked_is_not_running)
{
	host.runs = 1;
	look(3);
	ck_assert_uint_eq(host.ended, 1);
}
END_TEST

START_TEST(both_answers_count)
{
	look(2);
	host.halted = false; /* woken by one that was asked later */
	look(1);
	host.halted = true;
	look(1);
	ck_assert_uint_eq(host.ended, 0);
	look(1);
	ck_assert_uint_eq(host.ended, 1);
}
END_TEST

START_TEST(who_has_run_begins_anew)
{
	look(2);
	host.runs = 100;
	look(1);
	host.runs = 0;
	look(2);
	ck_assert_uint_eq(host.ended, 0);
	look(1);
	ck_assert_uint_eq(host.ended, 1);
}
END_TEST

Suite *halt_suite(void)
{
	Suite *s = suite_create("halt");
	TCase *tc = unit_case(s, "halt");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, halted_for_good);
	tcase_add_test(tc, by_the_timer);
	tcase_add_test(tc, who_runs_is_not_asked);
	tcase_add_test(tc, who_sleeps_is_asked_and_goes_on);
	tcase_add_test(tc, being_asked_is_not_running);
	tcase_add_test(tc, both_answers_count);
	tcase_add_test(tc, who_has_run_begins_anew);
	return s;
}

UNIT_MAIN(halt_suite)
