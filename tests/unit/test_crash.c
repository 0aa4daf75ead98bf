/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/lib/stderr.h"
#include "vmm/machine/arch/arch.h"
#include "vmm/machine/crash.h"

Suite *crash_suite(void);

extern const char __executable_start[];

static struct stderr_text said;
static int status; /* as of waitpid() */

uintptr_t arch_crash_pc(const void *context)
{
	return (uintptr_t)__executable_start + (context ? 0x1234 : 0); /* in a signal's handler */
}

/* A process that may leave a core dump of @core bytes does @what. */
static const char *crash(void (*what)(void), rlim_t core)
{
	pid_t child;

	stderr_begin(&said);
	child = fork();
	if (child == 0) {
		struct rlimit limit;

		getrlimit(RLIMIT_CORE, &limit);
		limit.rlim_cur = core;
		if (setrlimit(RLIMIT_CORE, &limit) < 0)
			_exit(99);
		crash_setup();
		what();
		_exit(0);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	return stderr_end(&said);
}

static void touch_nothing(void)
{
	volatile int *nothing = (int *)8;

	__asm__("" : "+r"(nothing));
	*nothing = 1;
}

static void give_up(void)
{
	abort();
}

static void go_wrong(void)
{
	raise(SIGILL);
}

static void be_killed(void)
{
	pid_t child = fork();

	if (child == 0) {
		kill(getppid(), SIGSEGV);
		_exit(0);
	}
	for (;;)
		pause();
}

static void leave(void)
{
	crash_leave(42);
}

static void check_report(const char *signal, const char *address)
{
	char wanted[300];

	snprintf(wanted, sizeof(wanted), "lunette: error: this is a bug in lunette " VERSION
		 "-tests: %s in test_crash at program address 0x1234, data address %s; please "
		 "report this line, those before it, and the command\n", signal, address);
	ck_assert_str_eq(said.text, wanted);
}

START_TEST(wrong_address)
{
	crash(touch_nothing, 0);
	check_report("SIGSEGV", "0x8");
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), 217);
}
END_TEST

START_TEST(aborted)
{
	crash(give_up, 0);
	check_report("SIGABRT", "0");
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), 217);
}
END_TEST

/* Who wants a core dump gets the signal's own end. */
START_TEST(core_is_wanted)
{
	crash(touch_nothing, 1);
	check_report("SIGSEGV", "0x8");
	ck_assert(WIFSIGNALED(status));
	ck_assert_int_eq(WTERMSIG(status), SIGSEGV);
}
END_TEST

START_TEST(sent_by_itself)
{
	crash(go_wrong, 0);
	ck_assert_ptr_nonnull(strstr(said.text,
				     ": SIGILL in test_crash at program address 0x1234,"));
	ck_assert_int_eq(WEXITSTATUS(status), 217);
}
END_TEST

/* That is no bug. */
START_TEST(sent_by_somebody)
{
	ck_assert_str_eq(crash(be_killed, 0), "");
	ck_assert(WIFSIGNALED(status));
	ck_assert_int_eq(WTERMSIG(status), SIGSEGV);
}
END_TEST

START_TEST(left)
{
	ck_assert_str_eq(crash(leave, 0), "");
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), 42);
}
END_TEST

Suite *crash_suite(void)
{
	Suite *s = suite_create("crash");
	TCase *tc = unit_case(s, "crash");

	tcase_add_test(tc, wrong_address);
	tcase_add_test(tc, aborted);
	tcase_add_test(tc, core_is_wanted);
	tcase_add_test(tc, sent_by_itself);
	tcase_add_test(tc, sent_by_somebody);
	tcase_add_test(tc, left);
	return s;
}

UNIT_MAIN(crash_suite)
