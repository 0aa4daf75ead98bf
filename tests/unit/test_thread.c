/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vmm/core/thread.h"
#include "vmm/core/util.h"

Suite *thread_suite(void);

/* What a thread finds of itself. */
struct seen {
	sigset_t blocked;
	char name[THREAD_NAME_MAX + 1];
	pthread_t id;
};

static void look(void *arg)
{
	struct seen *seen = arg;

	pthread_sigmask(SIG_SETMASK, NULL, &seen->blocked);
	pthread_getname_np(pthread_self(), seen->name, sizeof(seen->name));
	seen->id = pthread_self();
}

static struct seen look_as(enum thread_role role, const char *name)
{
	struct seen seen = { .name = "" };
	struct thread t;

	ck_assert_int_eq(thread_start(&t, role, name, look, &seen), 0);
	thread_join(&t);
	ck_assert(pthread_equal(seen.id, t.id));
	ck_assert_uint_eq(t.role, role);
	return seen;
}

static const struct {
	const char *given, *has;
} names[] = {
	{ "vcpu0", "vcpu0" },
	{ "exactly-fifteen", "exactly-fifteen" },
	{ "more-than-fifteen", "more-than-fifte" },
};

START_TEST(has_its_name)
{
	ck_assert_str_eq(look_as(_i % THREAD_ROLES, names[_i].given).name, names[_i].has);
}
END_TEST

/* Signals, and the role whose threads take them; -1: all do, THREAD_ROLES: none does. */
static const struct {
	int signal, role;
} takes[] = {
	{ SIGSEGV, -1 }, { SIGBUS, -1 }, { SIGILL, -1 }, { SIGFPE, -1 }, { SIGTRAP, -1 },
	{ SIGSYS, -1 }, { SIGABRT, -1 }, { SIGTSTP, -1 }, { SIGTTOU, -1 }, { SIGTTIN, -1 },
	{ SIGTERM, THREAD_ROLES }, { SIGINT, THREAD_ROLES }, { SIGHUP, THREAD_ROLES },
	{ SIGQUIT, THREAD_ROLES }, { SIGWINCH, THREAD_ROLES }, { SIGCHLD, THREAD_ROLES },
	{ SIGUSR1, THREAD_ROLES }, { SIGALRM, THREAD_ROLES },
	{ THREAD_KICK, THREAD_VCPU },
};

/* Whatever its maker has blocked, and that stays as it was. */
START_TEST(takes_the_signals_of_its_role)
{
	sigset_t mine, after;
	unsigned i, role;

	if (_i)
		sigfillset(&mine);
	else
		sigemptyset(&mine);
	pthread_sigmask(SIG_SETMASK, &mine, NULL);
	pthread_sigmask(SIG_SETMASK, NULL, &mine);
	for (role = 0; role < THREAD_ROLES; role++) {
		struct seen seen = look_as(role, "looks");

		for (i = 0; i < ARRAY_SIZE(takes); i++) {
			bool open = takes[i].role < 0 || (unsigned)takes[i].role == role;

			ck_assert_msg(!sigismember(&seen.blocked, takes[i].signal) == open,
				      "SIG%s, role %u", sigabbrev_np(takes[i].signal), role);
		}
	}
	pthread_sigmask(SIG_SETMASK, NULL, &after);
	for (i = 1; i < NSIG; i++)
		ck_assert_int_eq(sigismember(&mine, i), sigismember(&after, i));
}
END_TEST

static atomic_bool kicked;

static void on_kick(int sig)
{
	(void)sig;
	atomic_store(&kicked, true);
}

/* Reads from a pipe that stays empty. */
static void wait_for_kick(void *arg)
{
	const int *fd = arg;
	char c;

	ck_assert_int_eq(read(*fd, &c, 1), -1);
	ck_assert_int_eq(errno, EINTR);
}

START_TEST(kick_ends_a_wait)
{
	struct sigaction sa = { .sa_handler = on_kick };
	struct thread t;
	int fd[2];

	ck_assert_int_eq(pipe(fd), 0);
	sigaction(THREAD_KICK, &sa, NULL);
	ck_assert_int_eq(thread_start(&t, THREAD_VCPU, "waits", wait_for_kick, &fd[0]), 0);
	do { /* a kick before the read() is lost */
		pthread_kill(t.id, THREAD_KICK);
		usleep(1000);
	} while (pthread_tryjoin_np(t.id, NULL));
	ck_assert(atomic_load(&kicked));
	close(fd[0]);
	close(fd[1]);
}
END_TEST

/* Of the process: another than main would run the handler. */
static atomic_bool on_main;
static pthread_t main_id;

static void on_term(int sig)
{
	(void)sig;
	atomic_store(&on_main, pthread_equal(pthread_self(), main_id));
}

static void wait_for_end(void *arg)
{
	char c;

	ck_assert_int_eq(read(*(const int *)arg, &c, 1), 0);
}

START_TEST(signals_of_the_process_are_mains)
{
	struct sigaction sa = { .sa_handler = on_term };
	struct thread t[THREAD_ROLES];
	sigset_t term, none;
	unsigned i;
	int fd[2];

	main_id = pthread_self();
	sigemptyset(&none);
	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	ck_assert_int_eq(pipe(fd), 0);
	sigaction(SIGTERM, &sa, NULL);
	for (i = 0; i < THREAD_ROLES; i++)
		ck_assert_int_eq(thread_start(&t[i], i, "waits", wait_for_end, &fd[0]), 0);
	pthread_sigmask(SIG_BLOCK, &term, NULL);
	kill(getpid(), SIGTERM);
	sigsuspend(&none);
	ck_assert(atomic_load(&on_main));
	close(fd[1]);
	for (i = 0; i < THREAD_ROLES; i++)
		thread_join(&t[i]);
	close(fd[0]);
}
END_TEST

/* No room for a stack of this size; the maker's mask is as before all the same. */
START_TEST(no_thread_to_be_had)
{
	pthread_attr_t attr;
	struct seen seen;
	struct thread t;
	sigset_t mask;

	ck_assert_int_eq(pthread_attr_init(&attr), 0);
	ck_assert_int_eq(pthread_attr_setstacksize(&attr, (size_t)1 << 50), 0);
	ck_assert_int_eq(pthread_setattr_default_np(&attr), 0);
	ck_assert_int_eq(thread_start(&t, THREAD_IO, "none", look, &seen), -EAGAIN);
	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	ck_assert(!sigismember(&mask, SIGTERM));
	pthread_attr_destroy(&attr);
}
END_TEST

Suite *thread_suite(void)
{
	Suite *s = suite_create("thread");
	TCase *tc = unit_case(s, "thread");

	tcase_add_loop_test(tc, has_its_name, 0, ARRAY_SIZE(names));
	tcase_add_loop_test(tc, takes_the_signals_of_its_role, 0, 2);
	tcase_add_test(tc, kick_ends_a_wait);
	tcase_add_test(tc, signals_of_the_process_are_mains);
	tcase_add_test(tc, no_thread_to_be_had);
	return s;
}

UNIT_MAIN(thread_suite)
