/* SPDX-License-Identifier: MIT */
/* A guest that resets itself, and comes back. */
#include "tests/unit/machine_fixture.h"

Suite *restart_suite(void);

static unsigned boots;
static void (*last_boot)(void); /* what the guest does in the end, ... */
static unsigned resets;         /* ... after so many resets */

static void reset(void)
{
	m.platform.guest_event(&m.platform, GUEST_RESET);
}

/* It leaves traces, and resets itself. */
static void boot(void)
{
	uint8_t *ram = m.mem.region[0].hva;
	unsigned i;

	ck_assert_mem_eq(ram + MIB(16), "sixteen bytes...", 16);
	ck_assert_uint_eq(ram[100], 0);
	ck_assert_uint_eq(vm_number, 7);
	for (i = 0; i < CPUS; i++)
		ck_assert_uint_eq(vcpu_number[i], 7 + i);
	if (++boots > resets) {
		last_boot();
		return;
	}
	memset(ram, 'x', MIB(32));
	vm_number = vcpu_number[0] = vcpu_number[2] = 1000;
	reset();
	ck_assert(atomic_load(&m.over));
	ck_assert(!atomic_load(&m.ended));
}

static void begin(void)
{
	unsigned i;

	m.spec.on_reboot = REBOOT_RESTART;
	m.spec.reboot_limit = 10;
	vm_number = 7;
	for (i = 0; i < CPUS; i++)
		vcpu_number[i] = 7 + i;
	guest = boot;
	last_boot = power_off;
	resets = 1;
	make();
	called();
}

static const char restored[] = "vmstate state0 state1 state2 vmstate state0 state1 state2 ";

START_TEST(comes_back)
{
	char wanted[600];

	begin();
	ck_assert_int_eq(machine_run(&m), CAUSE_POWEROFF);
	ck_assert_uint_eq(boots, 2);
	snprintf(wanted, sizeof(wanted), "sandbox terminal entered start0 start1 start2 "
		 "try0 try1 try2 settle0 settle1 settle2 %sreload tables registers "
		 "start0 start1 start2 -terminal hurry stop0 stop1 stop2 ", restored);
	ck_assert_str_eq(called(), wanted);
	stderr_end(&said);
}
END_TEST

/* Without the option nothing is kept, and the run ends. */
START_TEST(ends_as_ever)
{
	begin();
	m.spec.on_reboot = REBOOT_END;
	restart_free(&m.restart);
	guest = reset;
	ck_assert_int_eq(machine_run(&m), CAUSE_REBOOT);
	stderr_end(&said);
}
END_TEST

static void run_for_long(void)
{
	m.restart.begun -= RESTART_QUICK_MS;
	boot();
}

/* As many as it likes, if they do not come at once. */
START_TEST(not_a_loop)
{
	begin();
	m.spec.reboot_limit = 2;
	resets = 5;
	guest = run_for_long;
	ck_assert_int_eq(machine_run(&m), CAUSE_POWEROFF);
	ck_assert_uint_eq(boots, 6);
	ck_assert_str_eq(stderr_end(&said), "");
}
END_TEST

START_TEST(loop_ends)
{
	begin();
	m.spec.reboot_limit = 3;
	resets = 1000;
	ck_assert_int_eq(machine_run(&m), CAUSE_REBOOT);
	ck_assert_uint_eq(boots, 3);
	ck_assert_str_eq(stderr_end(&said), "lunette: error: --on-reboot restart: the guest has "
			 "reset itself 3 times in a row, each time less than 10 s after it had "
			 "begun: the run ends here (--reboot-limit)\n");
}
END_TEST

static void panic(void)
{
	saw_panic = true;
	reset();
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

static void quit(void)
{
	console_host.quit(console_host.arg);
}

/* What does not bring it back. */
static const struct {
	void (*guest)(void);
	enum cause cause;
} ends[] = {
	{ panic, CAUSE_PANIC },
	{ triple_fault, CAUSE_TRIPLE_FAULT },
	{ quit, CAUSE_QUIT },
};

START_TEST(other_ends)
{
	begin();
	last_boot = ends[_i].guest;
	ck_assert_int_eq(machine_run(&m), ends[_i].cause);
	ck_assert_uint_eq(boots, 2);
	stderr_end(&said);
}
END_TEST

static void reset_by_triple_fault(void)
{
	guest = boot;
	boots++;
	triple_fault_as_told();
	triple_fault(); /* of another vCPU, which had not been told yet */
	machine_end(&m, CAUSE_HALTED);
	reset();
}

START_TEST(resets_in_every_way)
{
	begin();
	guest = reset_by_triple_fault;
	resets = 2;
	ck_assert_int_eq(machine_run(&m), CAUSE_POWEROFF);
	ck_assert_uint_eq(boots, 3);
	stderr_end(&said);
}
END_TEST

/* It was paused in between, and goes on. */
static void reset_and_pause(void)
{
	guest = boot;
	boots++;
	ck_assert_int_eq(machine_pause(&m), 0);
	reset();
}

START_TEST(pause_is_over)
{
	begin();
	guest = reset_and_pause;
	ck_assert_int_eq(machine_run(&m), CAUSE_POWEROFF);
	ck_assert(!m.paused);
	ck_assert_ptr_nonnull(strstr(called(), "resume0 resume1 resume2 settle0"));
	stderr_end(&said);
}
END_TEST

/* An end that comes while vCPUs are waited for, as a signal. */
static void reset_and_term(void)
{
	boots++;
	stubborn = 1000000;
	reset();
	kill(getpid(), SIGTERM);
}

START_TEST(signal_meanwhile)
{
	begin();
	guest = reset_and_term;
	ck_assert_int_eq(machine_run(&m), CAUSE_SIGNAL);
	ck_assert_uint_eq(boots, 1);
	ck_assert_ptr_null(strstr(called(), "reload"));
	stderr_end(&said);
}
END_TEST

START_TEST(waits_for_vcpus)
{
	begin();
	stubborn = 3;
	ck_assert_int_eq(machine_run(&m), CAUSE_POWEROFF);
	ck_assert_uint_eq(stubborn, 0);
	ck_assert_uint_eq(boots, 2);
	stderr_end(&said);
}
END_TEST

static const char *const steps[] = { "vmstate", "state1", "reload", "tables", "registers",
				     "start1" };

static int failing_step;

static void reset_and_fail(void)
{
	boots++;
	failing = steps[failing_step];
	failure = -EINVAL;
	reset();
}

START_TEST(step_that_fails)
{
	failing_step = _i;
	begin();
	guest = reset_and_fail;
	ck_assert_int_eq(machine_run(&m), CAUSE_KVM_ERROR);
	ck_assert_uint_eq(boots, 1);
	stderr_end(&said);
}
END_TEST

/* KVM does not tell: that is known before the guest begins. */
START_TEST(cannot_be_kept)
{
	m.spec.on_reboot = REBOOT_RESTART;
	ck_assert_int_eq(machine_build(&m), 0);
	failing = "state1";
	failure = -EOPNOTSUPP;
	ck_assert_int_eq(load(), -EOPNOTSUPP);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "--on-reboot restart: what processors"));
}
END_TEST

Suite *restart_suite(void)
{
	Suite *s = suite_create("restart");
	TCase *tc = unit_case(s, "restart");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, comes_back);
	tcase_add_test(tc, ends_as_ever);
	tcase_add_test(tc, not_a_loop);
	tcase_add_test(tc, loop_ends);
	tcase_add_loop_test(tc, other_ends, 0, ARRAY_SIZE(ends));
	tcase_add_test(tc, resets_in_every_way);
	tcase_add_test(tc, pause_is_over);
	tcase_add_test(tc, signal_meanwhile);
	tcase_add_test(tc, waits_for_vcpus);
	tcase_add_loop_test(tc, step_that_fails, 0, ARRAY_SIZE(steps));
	tcase_add_test(tc, cannot_be_kept);
	return s;
}

UNIT_MAIN(restart_suite)
