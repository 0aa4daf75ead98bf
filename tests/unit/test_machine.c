/* SPDX-License-Identifier: MIT */
#include "tests/unit/machine_fixture.h"

Suite *machine_suite(void);

START_TEST(a_life)
{
	make();
	ck_assert_str_eq(called(), "vm layout memory arch vcpu0 vcpu1 vcpu2 features console "
				   "tables registers ");
	guest = power_off;
	ck_assert_int_eq(machine_run(&m), CAUSE_POWEROFF);
	ck_assert_str_eq(called(), "sandbox terminal entered start0 start1 start2 -terminal hurry "
				   "stop0 stop1 stop2 ");
	ck_assert_int_eq(machine_drain(&m, CAUSE_POWEROFF), CAUSE_POWEROFF);
	ck_assert_str_eq(called(), "drain ");
	take_down();
	ck_assert_str_eq(called(), "closing -device -vcpu2 -vcpu1 -vcpu0 -console -vm ");
	ck_assert_str_eq(stderr_end(&said), "");
}
END_TEST

START_TEST(build_that_fails)
{
	const struct failure *f = &build_failures[_i];
	int r;

	failing = f->call;
	failure = f->error;
	r = machine_build(&m);
	ck_assert_int_eq(r, f->error);
	ck_assert_int_eq(cause_of_err(r), f->cause);
	ck_assert_str_eq(called(), f->done);
	take_down();
	ck_assert_str_eq(called(), f->undone);
	stderr_end(&said);
}
END_TEST

static const struct failure load_failures[] = {
	{ "tables", -ENOSPC, .done = "tables ",
	  .undone = "closing -device -vcpu2 -vcpu1 -vcpu0 -console -vm " },
	{ "registers", -EIO, .done = "tables registers ",
	  .undone = "closing -device -vcpu2 -vcpu1 -vcpu0 -console -vm " },
};

START_TEST(load_that_fails)
{
	const struct failure *f = &load_failures[_i];

	ck_assert_int_eq(machine_build(&m), 0);
	add_device();
	called();
	failing = f->call;
	failure = f->error;
	ck_assert_int_eq(load(), f->error);
	ck_assert_str_eq(called(), f->done);
	take_down();
	ck_assert_str_eq(called(), f->undone);
	stderr_end(&said);
}
END_TEST

START_TEST(kernel_that_is_none)
{
	ck_assert_int_eq(machine_build(&m), 0);
	called();
	ck_assert_int_eq(truncate(path, 10), 0);
	ck_assert_int_lt(load(), 0);
	ck_assert_str_eq(called(), "");
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), path));
}
END_TEST

/* No right is left to begin with, so nothing is begun. */
START_TEST(sandbox_that_fails)
{
	make();
	called();
	failing = "sandbox";
	failure = -EPERM;
	ck_assert_int_eq(machine_run(&m), CAUSE_SETUP);
	ck_assert_str_eq(called(), "sandbox ");
	ck_assert(!atomic_load(&m.ended));
	stderr_end(&said);
}
END_TEST

/* Those that run already are stopped; the terminal is given back first. */
START_TEST(vcpu_that_does_not_start)
{
	make();
	called();
	failing = "start1";
	failure = -EAGAIN;
	ck_assert_int_eq(machine_run(&m), CAUSE_SETUP);
	ck_assert_str_eq(called(), "sandbox terminal entered start0 start1 -terminal hurry stop0 "
				   "stop1 stop2 ");
	stderr_end(&said);
}
END_TEST

START_TEST(memory_beyond_the_limit)
{
	struct rlimit limit;

	ck_assert_int_eq(getrlimit(RLIMIT_AS, &limit), 0);
	limit.rlim_cur = 1ull << 50;
	ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
	m.spec.memory = 1ull << 52;
	ck_assert_int_eq(machine_build(&m), -EOVERLIMIT);
	ck_assert_str_eq(called(), "");
	stderr_end(&said);
}
END_TEST

START_TEST(console_log_in_no_folder)
{
	check_log("/nowhere/console.log", -ENOENT);
}
END_TEST

/* The user is wrong: it is another of the run's files, too. */
START_TEST(console_log_that_is_another_file)
{
	struct claim *claim;

	ck_assert_int_ge(claim_open(spec.claims, "--trace", path, 0, &claim), 0);
	check_log(path, -EUSAGE);
}
END_TEST

START_TEST(no_more_iothreads)
{
	unsigned i;

	ck_assert_int_eq(machine_build(&m), 0);
	for (i = 0; i < MACHINE_IOTHREADS_MAX; i++)
		ck_assert_ptr_nonnull(m.platform.iothread(&m.platform, "io"));
	ck_assert_ptr_null(m.platform.iothread(&m.platform, "io"));
	ck_assert_int_eq(errno, ENOSPC);
	stderr_end(&said);
}
END_TEST

Suite *machine_suite(void)
{
	Suite *s = suite_create("machine");
	TCase *tc = unit_case(s, "life");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, a_life);
	tcase_add_loop_test(tc, build_that_fails, 0, ARRAY_SIZE(build_failures));
	tcase_add_loop_test(tc, load_that_fails, 0, ARRAY_SIZE(load_failures));
	tcase_add_test(tc, kernel_that_is_none);
	tcase_add_test(tc, sandbox_that_fails);
	tcase_add_test(tc, vcpu_that_does_not_start);
	tcase_add_test(tc, memory_beyond_the_limit);
	tcase_add_test(tc, console_log_in_no_folder);
	tcase_add_test(tc, console_log_that_is_another_file);
	tcase_add_test(tc, no_more_iothreads);
	return s;
}

UNIT_MAIN(machine_suite)
