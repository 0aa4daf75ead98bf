/* SPDX-License-Identifier: MIT */
/* How a machine ends, and why. */
#include "tests/unit/machine_fixture.h"

Suite *machine_end_suite(void);

/* Causes */

static const struct {
	enum cause cause, wanted;
	bool on_console, by_device, over; /* a panic was printed, or told; a limit is over */
} ends[] = {
	{ CAUSE_POWEROFF, CAUSE_POWEROFF, false, false, false },
	{ CAUSE_REBOOT, CAUSE_REBOOT, false, false, false },
	{ CAUSE_REBOOT, CAUSE_PANIC, true, false, false },
	{ CAUSE_REBOOT, CAUSE_PANIC, false, true, false },
	{ CAUSE_TRIPLE_FAULT, CAUSE_TRIPLE_FAULT, false, false, false },
	{ CAUSE_TRIPLE_FAULT, CAUSE_PANIC, true, false, false },
	{ CAUSE_HALTED, CAUSE_PANIC, false, true, false },
	{ CAUSE_HALTED, CAUSE_HALTED, false, false, false },
	/* Who powers off, or is ended by others, has got over what he printed. */
	{ CAUSE_POWEROFF, CAUSE_POWEROFF, true, true, false },
	{ CAUSE_QUIT, CAUSE_QUIT, true, true, false },
	{ CAUSE_KVM_ERROR, CAUSE_KVM_ERROR, true, false, false },
	{ CAUSE_REBOOT, CAUSE_TIMEOUT, false, false, true },
	{ CAUSE_REBOOT, CAUSE_TIMEOUT, true, true, true },
};

START_TEST(cause_of_an_end)
{
	saw_panic = ends[_i].on_console;
	atomic_store(&m.panicked, ends[_i].by_device);
	if (ends[_i].over)
		atomic_store(&m.limits.over, CAUSE_TIMEOUT);
	machine_end(&m, ends[_i].cause);
	ck_assert_int_eq(m.cause, ends[_i].wanted);
	machine_end(&m, CAUSE_KVM_ERROR); /* the first one counts */
	ck_assert_int_eq(m.cause, ends[_i].wanted);
	stderr_end(&said);
}
END_TEST

static void reset(void)
{
	m.platform.guest_event(&m.platform, GUEST_RESET);
}

static void triple_fault(void)
{
	m.vcpu_host.ended(m.vcpu_host.arg, CAUSE_TRIPLE_FAULT);
}

static void triple_fault_as_told(void)
{
	m.triple_fault_resets = true;
	triple_fault();
}

static void disk_full(void)
{
	m.platform.disk_full(&m.platform);
}

static void quit(void)
{
	console_host.quit(console_host.arg);
}

static void term(void)
{
	kill(getpid(), SIGTERM);
}

/* A disk that hangs ends more than the guest; here the end of the process returns. */
static void disk_hangs(void)
{
	m.platform.disk_hangs(&m.platform);
	ck_assert(!atomic_load(&m.ended));
	power_off();
}

static void print(void)
{
	console_host.printed(console_host.arg, "hello", 5);
	power_off();
}

/* What may happen in a guest: the cause, what is told, and whether readers are waited for. */
static const struct {
	void (*guest)(void);
	enum cause cause;
	const char *told;
	bool hurry;
} happenings[] = {
	{ power_off, CAUSE_POWEROFF, "", false },
	{ reset, CAUSE_REBOOT, "", false },
	{ triple_fault, CAUSE_TRIPLE_FAULT, "", false },
	{ triple_fault_as_told, CAUSE_REBOOT, "", false },
	{ disk_full, CAUSE_HOST_IO, "", false },
	{ quit, CAUSE_QUIT, "", true },
	{ term, CAUSE_SIGNAL, "", true },
	{ disk_hangs, CAUSE_POWEROFF, "abandon ", false },
	{ print, CAUSE_POWEROFF, "printed:hello ", false },
};

START_TEST(what_happens_in_a_guest)
{
	char wanted[200];

	make();
	called();
	guest = happenings[_i].guest;
	ck_assert_int_eq(machine_run(&m), happenings[_i].cause);
	snprintf(wanted, sizeof(wanted), "sandbox terminal entered start0 start1 start2 %s"
		 "-terminal hurry stop0 stop1 stop2 ", happenings[_i].told);
	ck_assert_str_eq(called(), wanted);
	ck_assert(atomic_load(&m.platform.hurry) == happenings[_i].hurry);
	ck_assert_int_eq(m.signal, happenings[_i].cause == CAUSE_SIGNAL ? SIGTERM : 0);
	stderr_end(&said);
}
END_TEST

/* Only while the loop runs do signals wait for it; no thread of the guest gets one. */
START_TEST(signals_are_caught_meanwhile)
{
	make();
	ck_assert(!is_blocked(SIGTERM));
	guest = power_off;
	machine_run(&m);
	ck_assert(blocked_in_guest);
	ck_assert(!is_blocked(SIGTERM));
	ck_assert(!is_blocked(SIGINT));
	stderr_end(&said);
}
END_TEST

static void hang_up_and_interrupt(void)
{
	kill(getpid(), SIGHUP);
	kill(getpid(), SIGINT);
}

START_TEST(nohup_counts)
{
	machine_fini(&m);
	signal(SIGHUP, SIG_IGN);
	ck_assert_int_eq(machine_init(&m, &spec, &user, &spec), 0);
	make();
	guest = hang_up_and_interrupt;
	ck_assert_int_eq(machine_run(&m), CAUSE_SIGNAL);
	ck_assert_int_eq(m.signal, SIGINT);
	stderr_end(&said);
}
END_TEST

/* A panic is followed by more lines; the end is when the console is silent. */

static void panic(void)
{
	printed = 100;
	m.platform.guest_event(&m.platform, GUEST_PANIC);
	ck_assert(!atomic_load(&m.ended));
	m.platform.guest_event(&m.platform, GUEST_PANIC);
}

static void panic_and_reset(void)
{
	panic();
	reset();
}

START_TEST(panic_without_an_end)
{
	make();
	guest = panic;
	ck_assert_int_eq(machine_run(&m), CAUSE_PANIC);
	ck_assert_uint_eq(m.printed, printed);
	stderr_end(&said);
}
END_TEST

START_TEST(panic_and_its_reset)
{
	make();
	guest = panic_and_reset;
	ck_assert_int_eq(machine_run(&m), CAUSE_PANIC);
	stderr_end(&said);
}
END_TEST

/* Output that is lost ends the run, in one line, and no success is left of it. */

static void lose_output(void)
{
	m.platform.output_failed(&m.platform, "stdout", ENOSPC);
	m.platform.output_failed(&m.platform, "--trace scsi=t", EIO);
}

static void lose_a_file(void)
{
	m.platform.output_failed(&m.platform, "--trace scsi=t", EFBIG);
}

START_TEST(output_that_is_lost)
{
	make();
	guest = lose_output;
	ck_assert_int_eq(machine_run(&m), CAUSE_HOST_IO);
	ck_assert_str_eq(stderr_end(&said), "lunette: error: stdout: cannot be written: No space "
			 "left on device; the run ends here, as what the guest says would be "
			 "lost\n");
	ck_assert_int_eq(machine_drain(&m, CAUSE_EXIT), CAUSE_HOST_IO);
	ck_assert_int_eq(machine_drain(&m, CAUSE_POWEROFF), CAUSE_HOST_IO);
	ck_assert_int_eq(machine_drain(&m, CAUSE_PANIC), CAUSE_PANIC);
}
END_TEST

START_TEST(file_that_is_too_large)
{
	make();
	guest = lose_a_file;
	ck_assert_int_eq(machine_run(&m), CAUSE_HOST_IO);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said),
				     "File too large (--file-limit, ulimit -f);"));
}
END_TEST

/* vCPUs first, then the devices, and back. The end of the run is one of the pause, too. */

static void pause_and_go_on(void)
{
	called();
	ck_assert_int_eq(machine_pause(&m), 0);
	ck_assert_uint_eq(pauses, CPUS);
	ck_assert_int_eq(machine_pause(&m), 0);
	ck_assert_uint_eq(pauses, CPUS);
	ck_assert_str_eq(called(), "");
	machine_resume(&m);
	ck_assert_str_eq(called(), "resume0 resume1 resume2 ");
	machine_resume(&m);
	ck_assert_str_eq(called(), "");

	restless = true;
	ck_assert_int_eq(machine_pause(&m), -EBUSY);
	ck_assert(!m.paused);
	ck_assert_str_eq(called(), "resume0 resume1 resume2 ");

	restless = false;
	ck_assert_int_eq(machine_pause(&m), 0);
	called();
	power_off();
}

START_TEST(paused)
{
	make();
	guest = pause_and_go_on;
	ck_assert_int_eq(machine_run(&m), CAUSE_POWEROFF);
	ck_assert_str_eq(called(), "-terminal hurry stop0 stop1 stop2 resume0 resume1 resume2 ");
	ck_assert(!m.paused);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "cannot be paused now"));
}
END_TEST

Suite *machine_end_suite(void)
{
	Suite *s = suite_create("machine_end");
	TCase *tc = unit_case(s, "end");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_set_timeout(tc, 30);
	tcase_add_loop_test(tc, cause_of_an_end, 0, ARRAY_SIZE(ends));
	tcase_add_loop_test(tc, what_happens_in_a_guest, 0, ARRAY_SIZE(happenings));
	tcase_add_test(tc, signals_are_caught_meanwhile);
	tcase_add_test(tc, nohup_counts);
	tcase_add_test(tc, panic_without_an_end);
	tcase_add_test(tc, panic_and_its_reset);
	tcase_add_test(tc, output_that_is_lost);
	tcase_add_test(tc, paused);
	tcase_add_test(tc, file_that_is_too_large);
	return s;
}

UNIT_MAIN(machine_end_suite)
