/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "vmm/core/bounded.h"

Suite *bounded_suite(void);

static int ends[2]; /* of a pipe */
static atomic_uint times;
static pid_t there;

static void set_up(void)
{
	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	times = 0;
}

static void tear_down(void)
{
	close(ends[0]);
	close(ends[1]);
}

static void count(void *arg)
{
	++*(atomic_uint *)arg;
	there = getpid();
}

static void never(void *arg)
{
	(void)arg;
	ck_abort_msg("late");
}

/* What it does to memory is done here, and nothing is left of the process. */
START_TEST(returns)
{
	const struct bounded b = { 60000, never, NULL };
	sigset_t before, after;

	ck_assert_int_eq(pthread_sigmask(SIG_SETMASK, NULL, &before), 0);
	bounded_call(&b, count, &times);
	bounded_call(&b, count, &times);
	ck_assert_uint_eq(times, 2);
	ck_assert_int_ne(there, getpid());
	ck_assert_int_eq(waitpid(-1, NULL, WNOHANG | __WALL), -1);
	ck_assert_int_eq(pthread_sigmask(SIG_SETMASK, NULL, &after), 0);
	ck_assert_mem_eq(&before, &after, _NSIG / 8);
}
END_TEST

static void wait_for_byte(void *arg)
{
	char byte;

	*(ssize_t *)arg = read(ends[0], &byte, 1);
}

static void release(void *arg)
{
	(void)arg;
	if (++times == 3)
		ck_assert_int_eq(write(ends[1], "", 1), 1);
}

static void *interrupt(void *thread)
{
	unsigned i;

	for (i = 0; i < 100 && times < 3; i++) {
		pthread_kill(*(pthread_t *)thread, SIGURG);
		usleep(5000);
	}
	return NULL;
}

static void heard(int sig)
{
	(void)sig;
}

/* Signals make it no longer. */
START_TEST(signals)
{
	const struct bounded b = { 50, release, NULL };
	pthread_t self = pthread_self(), other;
	ssize_t got = 0;

	signal(SIGURG, heard);
	ck_assert_int_eq(pthread_create(&other, NULL, interrupt, &self), 0);
	bounded_call(&b, wait_for_byte, &got);
	pthread_join(other, NULL);
	ck_assert_int_eq(got, 1);
}
END_TEST

/* Told of again and again, until it returns. */
START_TEST(late)
{
	const struct bounded b = { 20, release, NULL };
	ssize_t got = 0;

	bounded_call(&b, wait_for_byte, &got);
	ck_assert_int_eq(got, 1);
	ck_assert_uint_ge(times, 3);
}
END_TEST

static void leave(void *arg)
{
	(void)arg;
	_exit(33);
}

/* What waits for ever keeps nobody who waits for us. */
START_TEST(ends_without)
{
	const struct bounded b = { 20, leave, NULL };
	pid_t child = fork();
	ssize_t got;
	int status;

	if (!child) {
		bounded_call(&b, wait_for_byte, &got);
		_exit(1);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_int_eq(WEXITSTATUS(status), 33);
	ck_assert_int_eq(write(ends[1], "", 1), 1); /* it ends, too */
}
END_TEST

Suite *bounded_suite(void)
{
	Suite *s = suite_create("bounded");
	TCase *tc = unit_case(s, "bounded");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, returns);
	tcase_add_test(tc, late);
	tcase_add_test(tc, signals);
	tcase_add_test(tc, ends_without);
	return s;
}

UNIT_MAIN(bounded_suite)
