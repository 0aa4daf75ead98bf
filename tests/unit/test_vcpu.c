/* SPDX-License-Identifier: MIT */
#include "tests/unit/vcpu_fixture.h"

Suite *vcpu_suite(void);

static const char *what_was_said(void)
{
	return stderr_end(&said);
}

static void exit_read_nobody(struct kvm_run *run)
{
	exit_read4(run);
	run->mmio.phys_addr = DEVICE_BASE + sizeof(device);
}

static void exit_write_nobody(struct kvm_run *run)
{
	exit_write2(run);
	run->mmio.phys_addr = RAM_BASE;
}

START_TEST(reads_are_answered)
{
	static const struct step steps[] = { { .exit = exit_read4 }, { 0 } };

	run(steps, false);
	ck_assert_mem_eq(vcpu.run->mmio.data, "\4\5\6\7\xee\xee\xee\xee", 8);
	ck_assert_str_eq(exits_text(vcpu.exits), "read4 5004=7060504");
	ck_assert_uint_eq(ncauses, 0);
	ck_assert_str_eq(what_was_said(), "");
}
END_TEST

START_TEST(writes_are_done)
{
	static const struct step steps[] = { { .exit = exit_write2 }, { .exit = exit_write2 },
					     { 0 } };

	run(steps, false);
	ck_assert_mem_eq(device + 6, "\6\7\x34\x12\xa\xb", 6);
	ck_assert_str_eq(exits_text(vcpu.exits), "write2 5008=1234 (2 times)");
	ck_assert_str_eq(what_was_said(), "");
}
END_TEST

/* A guest may look for devices wherever it likes. */
START_TEST(nobody_there)
{
	static const struct step steps[] = { { .exit = exit_write_nobody },
					     { .exit = exit_read_nobody }, { 0 } };

	run(steps, false);
	ck_assert_mem_eq(vcpu.run->mmio.data, "\xff\xff\xff\xff", 4);
	ck_assert_uint_eq(ncauses, 0);
	ck_assert_str_eq(what_was_said(), "");
}
END_TEST

/* What KVM has collected was written before: it goes first, each time. */
START_TEST(collected_writes_are_taken_first)
{
	static const struct step steps[] = { { .exit = exit_read4 }, { .err = EINTR },
					     { .exit = exit_write2 }, { 0 } };

	run(steps, false);
	ck_assert_uint_eq(taken, 2);
	ck_assert_str_eq(calls, "map ");
	stderr_end(&said);
}
END_TEST

static void exit_shutdown(struct kvm_run *run)
{
	run->exit_reason = KVM_EXIT_SHUTDOWN;
}

static void event_shutdown(struct kvm_run *run)
{
	run->exit_reason = KVM_EXIT_SYSTEM_EVENT;
	run->system_event.type = KVM_SYSTEM_EVENT_SHUTDOWN;
}

static void event_reset(struct kvm_run *run)
{
	run->exit_reason = KVM_EXIT_SYSTEM_EVENT;
	run->system_event.type = KVM_SYSTEM_EVENT_RESET;
}

static void event_crash(struct kvm_run *run)
{
	run->exit_reason = KVM_EXIT_SYSTEM_EVENT;
	run->system_event.type = KVM_SYSTEM_EVENT_CRASH;
}

static void event_unheard_of(struct kvm_run *run)
{
	run->exit_reason = KVM_EXIT_SYSTEM_EVENT;
	run->system_event.type = 99;
}

static void exit_fail_entry(struct kvm_run *run)
{
	run->exit_reason = KVM_EXIT_FAIL_ENTRY;
	run->fail_entry.hardware_entry_failure_reason = 0x80000021;
}

static void exit_internal(struct kvm_run *run)
{
	run->exit_reason = KVM_EXIT_INTERNAL_ERROR;
	run->internal.suberror = 3;
}

static void exit_unknown(struct kvm_run *run)
{
	run->exit_reason = 77;
}

static void exit_io(struct kvm_run *run)
{
	run->exit_reason = KVM_EXIT_IO;
}

static void exit_intr(struct kvm_run *run)
{
	run->exit_reason = KVM_EXIT_INTR;
}

/* How a guest ends, by the reason of its last exit. */
static const struct ending {
	struct step step;
	enum cause cause;
	const char *said, *calls;
} endings[] = {
	{ { .exit = exit_shutdown }, CAUSE_TRIPLE_FAULT, "", "map " },
	{ { .exit = event_shutdown }, CAUSE_POWEROFF, "", "map " },
	{ { .exit = event_reset }, CAUSE_REBOOT, "", "map " },
	{ { .exit = event_crash }, CAUSE_PANIC, "", "map " },
	{ { .exit = event_unheard_of }, CAUSE_PANIC, "", "map " },
	{ { .exit = exit_fail_entry }, CAUSE_KVM_ERROR,
	  "lunette: error: vCPU 0: the processor refused to enter the guest (0x80000021)\n",
	  "map dump " },
	{ { .exit = exit_internal }, CAUSE_KVM_ERROR,
	  "lunette: error: vCPU 0: KVM internal error (0x3)\n", "map dump " },
	{ { .exit = exit_unknown }, CAUSE_KVM_ERROR,
	  "lunette: error: vCPU 0: unknown KVM exit (0x4d)\n", "map arch dump " },
	{ { .err = EFAULT }, CAUSE_KVM_ERROR,
	  "lunette: error: vCPU 0: Bad address (0xe)\n", "map dump " },
	{ { .err = ENOMEM }, CAUSE_KVM_ERROR,
	  "lunette: error: vCPU 0: Cannot allocate memory (0xc)\n", "map dump " },
};

START_TEST(endings_of_a_guest)
{
	const struct ending *e = &endings[_i];
	const struct step steps[] = { { .exit = exit_read4 }, e->step, { .exit = exit_write2 },
				      { 0 } };

	run(steps, true);
	ck_assert_uint_eq(ncauses, 1);
	ck_assert_int_eq(causes_heard[0], e->cause);
	ck_assert_uint_eq(runs, 2); /* none after it */
	ck_assert_str_eq(what_was_said(), e->said);
	ck_assert_str_eq(calls, e->calls);
	ck_assert(vcpu.shut_down == (e->cause == CAUSE_TRIPLE_FAULT));
}
END_TEST

START_TEST(exits_that_go_on)
{
	static const struct step steps[] = {
		{ .exit = exit_intr }, { .err = EAGAIN }, { .err = EINTR }, { .exit = exit_io },
		{ .exit = exit_read4 }, { 0 }
	};

	run(steps, false);
	ck_assert_uint_eq(runs, ARRAY_SIZE(steps));
	ck_assert_uint_eq(ncauses, 0);
	ck_assert_str_eq(calls, "map arch ");
	ck_assert_str_eq(what_was_said(), "");
}
END_TEST

/* Making one */

START_TEST(failures_leave_nothing)
{
	struct vcpu one = vcpu;
	int next;

	create_error = EEXIST;
	vcpu.id = 3;
	ck_assert_int_eq(vcpu_create(&vcpu, &host, 3), -EEXIST);
	ck_assert_str_eq(what_was_said(),
			 "lunette: error: vCPU 3: KVM_CREATE_VCPU: File exists\n");
	stderr_begin(&said);
	create_error = 0;
	vm.run_size = 0; /* nothing that could be mapped */
	next = dup(STDIN_FILENO);
	close(next);
	ck_assert_int_eq(vcpu_create(&vcpu, &host, 3), -EINVAL);
	ck_assert_int_eq(dup(STDIN_FILENO), next); /* its descriptor is closed */
	ck_assert_str_eq(what_was_said(),
			 "lunette: error: vCPU 3: mapping its run page: Invalid argument\n");
	vm.run_size = RUN_SIZE;
	vcpu = one;
}
END_TEST

/* The page of collected writes is that of the first one. */
START_TEST(first_one_maps_what_is_collected)
{
	struct vcpu one = vcpu;

	ck_assert_str_eq(calls, "map ");
	vcpu.id = 1;
	ck_assert_int_eq(vcpu_create(&vcpu, &host, 1), 0);
	ck_assert_str_eq(calls, "map ");
	vcpu_destroy(&vcpu);
	vcpu = one;
	stderr_end(&said);
}
END_TEST

Suite *vcpu_suite(void)
{
	Suite *s = suite_create("vcpu");
	TCase *tc = unit_case(s, "exits");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, reads_are_answered);
	tcase_add_test(tc, writes_are_done);
	tcase_add_test(tc, nobody_there);
	tcase_add_test(tc, collected_writes_are_taken_first);
	tcase_add_test(tc, exits_that_go_on);
	tcase_add_loop_test(tc, endings_of_a_guest, 0, ARRAY_SIZE(endings));

	tc = unit_case(s, "making");
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, failures_leave_nothing);
	tcase_add_test(tc, first_one_maps_what_is_collected);
	return s;
}

UNIT_MAIN(vcpu_suite)
