/* SPDX-License-Identifier: MIT */
/* How runs end: status, reports, and the end that waits for nobody. */
#include "tests/unit/run_fixture.h"

Suite *run_end_suite(void);

/* How it ends: the status, and what was done until then. */
static const struct {
	enum cause create, run;
	int status;
	const char *done;
} ends[] = {
	{ CAUSE_POWEROFF, CAUSE_POWEROFF, 0, "ran\ndestroyed\n" },
	{ CAUSE_POWEROFF, CAUSE_PANIC, 205, "ran\ndestroyed\n" },
	{ CAUSE_POWEROFF, CAUSE_SIGNAL, 128 + SIGTERM, "ran\ndestroyed\n" },
	{ CAUSE_POWEROFF, CAUSE_EXIT, 7, "ran\ndestroyed\n" },
	{ CAUSE_POWEROFF, CAUSE_SETUP, 201, "ran\ndestroyed\n" },
	/* What cannot be made has cleaned up by itself. */
	{ CAUSE_NO_KVM, CAUSE_POWEROFF, 202, "" },
	{ CAUSE_MEMORY, CAUSE_POWEROFF, 215, "" },
	{ CAUSE_USAGE, CAUSE_POWEROFF, 200, "" },
};

START_TEST(how_it_ends)
{
	const char *done;

	create_cause = ends[_i].create;
	run_cause = ends[_i].run;
	run(K "--json report");
	ck_assert_int_eq(status, ends[_i].status);
	done = strstr(out, "reported=NULL\n");
	ck_assert_ptr_nonnull(done);
	ck_assert_str_eq(done + 14, ends[_i].done);
}
END_TEST

/* Why there is no machine has been said by then: once, whether there is a command or not. */
START_TEST(said_once)
{
	create_cause = CAUSE_NO_KVM;
	run(_i ? K COMMAND : K);
	ck_assert_int_eq(status, 202);
	ck_assert_str_eq(err, "");
}
END_TEST

START_TEST(report_says_how_it_ended)
{
	static char text[16384];

	create_cause = CAUSE_POWEROFF;
	run_cause = CAUSE_PANIC;
	run(K "--json report");
	read_file("report", text, sizeof(text));
	ck_assert_ptr_nonnull(strstr(text, "\"panic\""));
	ck_assert_ptr_nonnull(strstr(text, "205"));
}
END_TEST

/* Also of a run that was not understood, wherever the name stands. */
START_TEST(report_of_nonsense)
{
	static char text[16384];

	run(K "--cpus none --json report -- true");
	ck_assert_int_eq(status, 200);
	read_file("report", text, sizeof(text));
	ck_assert_ptr_nonnull(strstr(text, "\"usage\""));
	ck_assert_int_eq(unlink("report"), 0);
	run(K "--cpus none -- true --json report"); /* the command's */
	ck_assert_int_lt(access("report", F_OK), 0);
}
END_TEST

/* What a guest needs is not an output, too: it is as it was. */
START_TEST(report_is_no_input)
{
	char text[64];

	make_file("vmlinux", "a kernel");
	run("--kernel vmlinux --json vmlinux --cpus none");
	ck_assert_int_eq(status, 200);
	read_file("vmlinux", text, sizeof(text));
	ck_assert_str_eq(text, "a kernel");
}
END_TEST

/* The end that does not wait for the machine's: the report is there, and nothing comes after it. */
START_TEST(abandoned)
{
	static char text[16384];

	create_cause = CAUSE_POWEROFF;
	disk_hangs = true;
	run(K "--json report");
	ck_assert_int_eq(status, 211);
	ck_assert_str_eq(strstr(out, "ran\n"), "ran\nleft\n");
	read_file("report", text, sizeof(text));
	ck_assert_ptr_nonnull(strstr(text, "\"host-io\""));
}
END_TEST

START_TEST(explained)
{
	create_cause = CAUSE_POWEROFF;
	run(K "--explain --json report");
	ck_assert_int_eq(status, 0);
	ck_assert_ptr_null(strstr(out, "ran\n"));
	ck_assert_ptr_nonnull(strstr(out, "destroyed\n"));
	ck_assert_int_lt(access("report", F_OK), 0);
}
END_TEST

Suite *run_end_suite(void)
{
	Suite *s = suite_create("run_end");
	TCase *tc = unit_case(s, "end");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_set_timeout(tc, 30);
	tcase_add_loop_test(tc, how_it_ends, 0, ARRAY_SIZE(ends));
	tcase_add_loop_test(tc, said_once, 0, 2);
	tcase_add_test(tc, report_says_how_it_ended);
	tcase_add_test(tc, report_of_nonsense);
	tcase_add_test(tc, report_is_no_input);
	tcase_add_test(tc, abandoned);
	tcase_add_test(tc, explained);
	return s;
}

UNIT_MAIN(run_end_suite)
