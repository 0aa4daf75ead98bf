/* SPDX-License-Identifier: MIT */
/* What is done to a guest while it runs, and with what is left of it. */
#include "tests/unit/guest_fixture.h"

Suite *guest_live_suite(void);

/* What commands ask for gets to the machine. */
START_TEST(commands_to_the_machine)
{
	cfg.control = "socket";
	make();
	g.machine.ncpus = 2;
	ck_assert_int_eq(g.host.sysrq(g.host.arg, 'h'), 0);
	ck_assert_int_eq(g.host.nmi(g.host.arg, 1), 0);
	ck_assert_int_eq(g.host.nmi(g.host.arg, 2), -EUSAGE);
	ck_assert_int_eq(g.host.dump(g.host.arg, "core"), 0);
	ck_assert_str_eq(dumped, "core");
	g.machine.paused = true;
	ck_assert_int_eq(g.host.dump(g.host.arg, "core"), 0);
	ck_assert_str_eq(calls, "sysrq nmi pause dump resume pause dump ");
	failing = "pause";
	failure = -EBUSY;
	ck_assert_int_eq(g.host.dump(g.host.arg, "core"), -EBUSY);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "nmi 2: the guest's vCPUs are 0 to 1"));
}
END_TEST

/* A guest that is no success leaves its memory, one that is none. */
START_TEST(dump_on_fail)
{
	cfg.dump = "dumps";
	make();
	ends = _i ? CAUSE_PANIC : CAUSE_POWEROFF;
	ck_assert_int_eq(guest_run(&g), ends);
	if (_i)
		ck_assert_str_eq(dumped, "dumps");
	else
		ck_assert_ptr_null(dumped);
}
END_TEST

/* What has become of commands is in the report. */
START_TEST(commands_by_themselves)
{
	add(&cfg.at, "console:works quit");
	make();
	ck_assert_int_eq(guest_run(&g), CAUSE_POWEROFF);
	ck_assert_uint_eq(json_array_size(report.script), 1);
	free(cfg.at.item);
	guest_destroy(&g);
	is_there = false;
}
END_TEST

/* It resets itself, and gets the same kernel and the same words. */
START_TEST(boots_again)
{
	make();
	ck_assert_int_eq(g.machine.user->reload(g.machine.user_arg), 0);
	ck_assert_str_eq(calls, "load ");
	ck_assert_uint_eq(report.reboots, 1);
	failing = "load";
	failure = -EIO;
	ck_assert_int_eq(g.machine.user->reload(g.machine.user_arg), -EIO);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "begins anew (1)"));
}
END_TEST

Suite *guest_live_suite(void)
{
	Suite *s = suite_create("guest_live");
	TCase *tc = unit_case(s, "live");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, commands_to_the_machine);
	tcase_add_loop_test(tc, dump_on_fail, 0, 2);
	tcase_add_test(tc, commands_by_themselves);
	tcase_add_test(tc, boots_again);
	return s;
}

UNIT_MAIN(guest_live_suite)
