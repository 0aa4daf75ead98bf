/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <string.h>

#include "tests/lib/stderr.h"
#include "vmm/core/loop.h"
#include "vmm/machine/limits.h"

Suite *limits_suite(void);

/* A guest whose CPUs answer at the @answers-th question, and whose console prints @prints times. */
static struct host {
	unsigned answers, prints;
	char calls[64]; /* a letter each */
	unsigned long printed;
	enum cause cause;
} host;

static struct loop *loop;
static struct limits limits = LIMITS_NONE;
static struct stderr_text err;

static void call(char letter)
{
	size_t at = strlen(host.calls);

	ck_assert_uint_lt(at, sizeof(host.calls) - 1);
	host.calls[at] = letter;
}

static void look(void *h)
{
	ck_assert_ptr_eq(h, &host);
	call('l');
}

static bool looked(void *h)
{
	(void)h;
	return host.answers && --host.answers == 0;
}

static void show(void *h)
{
	(void)h;
	call('s');
}

static unsigned long printed(void *h)
{
	(void)h;
	if (strchr(host.calls, 's') && host.prints) {
		host.prints--;
		host.printed++;
	}
	return host.printed;
}

static void end(void *h, enum cause cause)
{
	(void)h;
	call('e');
	host.cause = cause;
	loop_stop(loop);
}

static const struct limits_ops ops = { look, looked, show, printed, end };

static void set_up(void)
{
	host = (struct host){ .answers = 1 };
	loop = loop_create("test");
	ck_assert_ptr_nonnull(loop);
}

static void tear_down(void)
{
	limits_stop(&limits);
	limits = (struct limits)LIMITS_NONE;
	loop_destroy(loop);
}

static void run(uint64_t run_ms, uint64_t boot_ms)
{
	struct limits_cfg cfg = { run_ms, boot_ms };

	ck_assert_int_eq(limits_start(&limits, &cfg, &ops, &host, loop), 0);
	limits.step_ms = 1;
	stderr_begin(&err);
	loop_run(loop);
	stderr_end(&err);
}

START_TEST(timeout)
{
	run(1, 0);
	ck_assert_str_eq(host.calls, "lse");
	ck_assert_int_eq(host.cause, CAUSE_TIMEOUT);
	ck_assert_ptr_nonnull(strstr(err.text, "error: --timeout 1ms: "));
	ck_assert_ptr_eq(strchr(err.text, '\n'), strrchr(err.text, '\n'));
}
END_TEST

START_TEST(boot_timeout)
{
	run(3600000, 2);
	ck_assert_str_eq(host.calls, "lse");
	ck_assert_int_eq(host.cause, CAUSE_BOOT);
	ck_assert_ptr_nonnull(strstr(err.text, "error: --boot-timeout 2ms: "));
}
END_TEST

/* Both at once: the steps are done for one of them. */
START_TEST(both)
{
	run(1, 1);
	ck_assert_str_eq(host.calls, "lse");
	ck_assert_int_eq(host.cause, limits_cause(&limits, CAUSE_REBOOT));
	ck_assert_ptr_eq(strchr(err.text, '\n'), strrchr(err.text, '\n'));
}
END_TEST

/* The guest is up before any timer has been looked at: the other limit is what ends it. */
START_TEST(boot_in_time)
{
	struct limits_cfg cfg = { 20, 1 };

	ck_assert_int_eq(limits_start(&limits, &cfg, &ops, &host, loop), 0);
	limits.step_ms = 1;
	limits_up(&limits);
	limits_up(&limits); /* once more does no harm */
	stderr_begin(&err);
	loop_run(loop);
	stderr_end(&err);
	ck_assert_int_eq(host.cause, CAUSE_TIMEOUT);
	ck_assert_ptr_null(strstr(err.text, "--boot-timeout"));
}
END_TEST

/* CPUs that do not answer are not waited for, and what they are asked is asked once. */
START_TEST(no_answer)
{
	host.answers = 0;
	run(1, 0);
	ck_assert_str_eq(host.calls, "lse");
}
END_TEST

START_TEST(late_answer)
{
	host.answers = 5;
	run(1, 0);
	ck_assert_str_eq(host.calls, "lse");
	ck_assert_uint_eq(host.answers, 0);
}
END_TEST

/* What a guest has to say is waited for, ... */
START_TEST(console_is_heard)
{
	host.prints = 40;
	run(1, 0);
	ck_assert_str_eq(host.calls, "lse");
	ck_assert_uint_eq(host.prints, 0);
}
END_TEST

/* ... but not for ever. */
START_TEST(console_that_never_ends)
{
	host.prints = 1000000;
	run(1, 0);
	ck_assert_str_eq(host.calls, "lse");
	ck_assert_uint_gt(host.prints, 1000000 - 1000);
}
END_TEST

/* A guest that ends by itself: as it wants before a limit is over, by that afterwards. */
START_TEST(cause_of_the_end)
{
	struct limits none = LIMITS_NONE;

	ck_assert_int_eq(limits_cause(&none, CAUSE_PANIC), CAUSE_PANIC);
	run(1, 0);
	ck_assert_int_eq(limits_cause(&limits, CAUSE_PANIC), CAUSE_TIMEOUT);
	ck_assert_int_eq(limits_cause(&limits, CAUSE_EXIT), CAUSE_TIMEOUT);
}
END_TEST

/* The guest had ended in time, but not its output. */
START_TEST(output_that_nobody_reads)
{
	struct limits_cfg cfg = { 3600000, 0 };

	ck_assert_int_eq(limits_start(&limits, &cfg, &ops, &host, loop), 0);
	ck_assert_uint_gt(limits.deadline, 3600000);
	limits_stop(&limits);
	ck_assert_int_eq(limits_cause(&limits, CAUSE_EXIT), CAUSE_EXIT);
	stderr_begin(&err);
	limits_unread(&limits);
	ck_assert_ptr_nonnull(strstr(stderr_end(&err), "error: --timeout 1h: "));
	ck_assert_int_eq(limits_cause(&limits, CAUSE_EXIT), CAUSE_TIMEOUT);
}
END_TEST

START_TEST(never_started)
{
	struct limits_cfg cfg = { 0, 0 };
	struct limits none = LIMITS_NONE;

	limits_up(&none);
	limits_stop(&none);
	ck_assert_int_eq(limits_start(&limits, &cfg, &ops, &host, loop), 0);
	ck_assert_int_eq(limits.run.fd, -1);
	ck_assert_int_eq(limits.boot.fd, -1);
	ck_assert_uint_eq(limits.deadline, 0);
}
END_TEST

Suite *limits_suite(void)
{
	Suite *s = suite_create("limits");
	TCase *tc = unit_case(s, "limits");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, timeout);
	tcase_add_test(tc, boot_timeout);
	tcase_add_test(tc, both);
	tcase_add_test(tc, boot_in_time);
	tcase_add_test(tc, no_answer);
	tcase_add_test(tc, late_answer);
	tcase_add_test(tc, console_is_heard);
	tcase_add_test(tc, console_that_never_ends);
	tcase_add_test(tc, cause_of_the_end);
	tcase_add_test(tc, output_that_nobody_reads);
	tcase_add_test(tc, never_started);
	return s;
}

UNIT_MAIN(limits_suite)
