/* SPDX-License-Identifier: MIT */
/* The thread of a vCPU: its end, and what it is asked meanwhile. */
#include "tests/unit/vcpu_fixture.h"

Suite *vcpu_thread_suite(void);

/* The end of another one is this one's, too: before it enters, and when it comes out. */

static void other_one_ends(void)
{
	atomic_store(&over, true);
}

START_TEST(over_before_it_began)
{
	static const struct step steps[] = { { .exit = exit_read4 }, { 0 } };

	other_one_ends();
	run(steps, true);
	ck_assert_uint_eq(runs, 0);
	stderr_end(&said);
}
END_TEST

START_TEST(over_meanwhile)
{
	static const struct step steps[] = { { .exit = exit_write2, .meanwhile = other_one_ends },
					     { .exit = exit_read4 }, { 0 } };

	run(steps, true);
	ck_assert_uint_eq(runs, 1);
	ck_assert_uint_eq(device[8], 0x34); /* what the guest has done counts */
	ck_assert_uint_eq(ncauses, 0);
	stderr_end(&said);
}
END_TEST

/* Questions */

START_TEST(asked_in_the_guest)
{
	static const struct step steps[] = { { 0 } };

	run(steps, false);
	ck_assert(!atomic_load(&vcpu.looked));
	vcpu_ask(&vcpu, VCPU_LOOK);
	await_inside(); /* it has answered, and goes on */
	ck_assert(atomic_load(&vcpu.looked));
	ck_assert_str_eq(vcpu.picture, "here");
	ck_assert_int_eq(vcpu.trouble, VCPU_BUSY);
	ck_assert(!atomic_load(&vcpu.halted));
	vcpu_ask(&vcpu, VCPU_HALTED);
	await_inside();
	ck_assert(atomic_load(&vcpu.halted));
	vcpu_ask(&vcpu, VCPU_NMI);
	await_inside();
	ck_assert_str_eq(calls, "map look halted nmi ");
	ck_assert_uint_eq(vcpu.run->immediate_exit, 0);
	stderr_end(&said);
}
END_TEST

static void ask_two(void)
{
	atomic_fetch_or(&vcpu.asked, VCPU_NMI | VCPU_LOOK);
}

/* An NMI changes where it is, so it is looked at first. */
START_TEST(asked_twice)
{
	static const struct step steps[] = { { .exit = exit_read4, .meanwhile = ask_two }, { 0 } };

	run(steps, false);
	ck_assert_str_eq(calls, "map look nmi ");
	ck_assert_uint_eq(atomic_load(&vcpu.asked), 0);
	stderr_end(&said);
}
END_TEST

/* A guest that begins anew: what it has left KVM for is done with, and its thread is a new one. */
START_TEST(settled_and_started_again)
{
	static const struct step steps[] = { { .exit = exit_read4 }, { 0 } };

	run(steps, false);
	vcpu_ask(&vcpu, VCPU_NMI);
	while (!vcpu_try_stop(&vcpu))
		;
	ck_assert(vcpu_try_stop(&vcpu));
	runs = 0;
	vcpu_settle(&vcpu);
	ck_assert_uint_eq(runs, 1);
	atomic_fetch_or(&vcpu.asked, VCPU_LOOK); /* meant for the last one */
	vcpu.shut_down = true;
	sem_destroy(&inside);
	sem_init(&inside, 0, 0);
	run(steps, false);
	ck_assert_uint_eq(runs, 2);
	ck_assert(!vcpu.shut_down);
	ck_assert_ptr_null(strstr(calls, "look"));
	stderr_end(&said);
}
END_TEST

START_TEST(asked_without_a_thread)
{
	vcpu_ask(&vcpu, VCPU_LOOK);
	ck_assert_uint_eq(atomic_load(&vcpu.asked), 0);
	ck_assert_uint_eq(vcpu_used(&vcpu), 0);
	vcpu_stop(&vcpu); /* nothing to stop */
	vcpu_look(&vcpu);
	ck_assert(atomic_load(&vcpu.looked));
	ck_assert_str_eq(calls, "map look ");
	stderr_end(&said);
}
END_TEST

static void await_rest(void)
{
	unsigned tries = 0;

	while (!vcpu_pause(&vcpu))
		ck_assert_uint_lt(tries++, 1000);
}

/* It rests, answers, goes on, and rests once more. */
START_TEST(paused)
{
	static const struct step steps[] = { { 0 } };
	unsigned before;

	run(steps, false);
	await_rest();
	before = runs;
	ck_assert(vcpu_pause(&vcpu));
	vcpu_ask(&vcpu, VCPU_LOOK);
	while (!atomic_load(&vcpu.looked))
		usleep(1000);
	ck_assert_uint_eq(runs, before);
	vcpu_resume(&vcpu);
	await_inside();
	ck_assert_uint_gt(runs, before);
	await_rest();
	ck_assert_str_eq(calls, "map look paused ");
	vcpu_stop(&vcpu);
	ck_assert_str_eq(calls, "map look paused paused ");
	ck_assert_str_eq(stderr_end(&said), "");
}
END_TEST

static sem_t was_asked;

static void stay_until_asked(void)
{
	sem_post(&inside);
	while (sem_wait(&was_asked) < 0)
		; /* it is asked by a signal */
}

/* What the guest has read goes to KVM, by one more KVM_RUN, before the vCPU rests. */
START_TEST(paused_at_an_exit)
{
	static const struct step steps[] = { { .exit = exit_read4, .meanwhile = stay_until_asked },
					     { 0 } };

	sem_init(&was_asked, 0, 0);
	run(steps, false);
	ck_assert(!vcpu_pause(&vcpu));
	sem_post(&was_asked);
	await_rest();
	ck_assert_uint_eq(runs, 2);
	ck_assert_mem_eq(vcpu.run->mmio.data, "\4\5\6\7", 4);
	ck_assert_str_eq(stderr_end(&said), "");
}
END_TEST

START_TEST(paused_without_a_thread)
{
	ck_assert(vcpu_pause(&vcpu));
	vcpu_resume(&vcpu);
	stderr_end(&said);
}
END_TEST

START_TEST(stopped_in_the_guest)
{
	static const struct step steps[] = { { 0 } };

	run(steps, false);
	vcpu_stop(&vcpu);
	ck_assert(!vcpu.has_thread);
	ck_assert_uint_eq(ncauses, 0);
	ck_assert_uint_eq(runs, 1);
	vcpu_stop(&vcpu);
	stderr_end(&said);
}
END_TEST

Suite *vcpu_thread_suite(void)
{
	Suite *s = suite_create("vcpu_thread");
	TCase *tc = unit_case(s, "thread");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, over_before_it_began);
	tcase_add_test(tc, over_meanwhile);
	tcase_add_test(tc, asked_in_the_guest);
	tcase_add_test(tc, asked_twice);
	tcase_add_test(tc, settled_and_started_again);
	tcase_add_test(tc, asked_without_a_thread);
	tcase_add_test(tc, stopped_in_the_guest);
	tcase_add_test(tc, paused);
	tcase_add_test(tc, paused_at_an_exit);
	tcase_add_test(tc, paused_without_a_thread);
	return s;
}

UNIT_MAIN(vcpu_thread_suite)
