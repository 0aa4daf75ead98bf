/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "vmm/core/util.h"
#include "vmm/run/files/apart.h"

Suite *apart_suite(void);

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

static struct seen {
	int ran, other_fd, own_fd[2], no_new_privs;
	uint64_t file_max;
} *seen;
static int other, end[2];

static uint64_t in_ms(uint64_t ms)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000ull + t.tv_nsec / 1000000 + ms;
}

static void set_up(void)
{
	seen = mmap(NULL, sizeof(*seen), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(seen, MAP_FAILED);
	ck_assert_int_eq(pipe(end), 0);
	other = open("/dev/null", O_RDONLY);
}

static int run(void (*fn)(void *arg), uint64_t ms, int *sig)
{
	struct apart a = {
		.fn = fn, .arg = seen, .fd = { end[0], end[1] }, .memory = MIB(16),
		.file_max = 4096, .deadline = in_ms(ms),
	};
	int r = apart_run(&a);

	if (sig)
		*sig = a.signal;
	return r;
}

static void look(void *arg)
{
	struct seen *s = arg;
	struct rlimit size;

	s->other_fd = fcntl(other, F_GETFD);
	s->own_fd[0] = fcntl(end[0], F_GETFD);
	s->own_fd[1] = fcntl(end[1], F_GETFD);
	s->no_new_privs = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0);
	getrlimit(RLIMIT_FSIZE, &size);
	s->file_max = size.rlim_max;
	s->ran = 1;
}

START_TEST(returns)
{
	ck_assert_int_eq(run(look, 60000, NULL), 0);
	ck_assert_int_eq(seen->ran, 1);
	ck_assert_int_eq(seen->other_fd, -1);
	ck_assert_int_ge(seen->own_fd[0], 0);
	ck_assert_int_ge(seen->own_fd[1], 0);
	ck_assert_int_eq(seen->no_new_privs, 1);
	ck_assert_uint_eq(seen->file_max, 4096);
	ck_assert_int_ge(fcntl(other, F_GETFD), 0); /* nothing of that is ours */
	ck_assert_int_eq(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 0);
}
END_TEST

/* Somebody has set narrower bounds before. */
START_TEST(limits_of_the_user)
{
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &(struct rlimit){ 1000, 1000 }), 0);
	ck_assert_int_eq(run(look, 60000, NULL), 0);
	ck_assert_uint_eq(seen->file_max, 1000);
}
END_TEST

static void eat(void *arg)
{
	char *p;
	size_t n;

	(void)arg;
	for (n = 0; n < 64; n++) {
		p = malloc(MIB(1));
		if (!p)
			abort();
		memset(p, 1, MIB(1));
	}
}

START_TEST(memory)
{
	if (SANITIZED) /* whose memory is their own affair */
		return;
	ck_assert_int_eq(run(eat, 60000, NULL), -ECHILD);
}
END_TEST

static void crash(void *arg)
{
	(void)arg;
	raise(SIGKILL);
}

START_TEST(crashes)
{
	ck_assert_int_eq(run(crash, 60000, NULL), -ECHILD);
}
END_TEST

static void hang(void *arg)
{
	((struct seen *)arg)->ran = 1;
	for (;;)
		pause();
}

static void is_gone(void)
{
	ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
	ck_assert_int_eq(errno, ECHILD);
}

START_TEST(deadline)
{
	ck_assert_int_eq(run(hang, 100, NULL), -ETIMEDOUT);
	is_gone();
	ck_assert_int_eq(run(hang, 0, NULL), -ETIMEDOUT);
	is_gone();
}
END_TEST

/* One that waits already; it is not seen again later. */
START_TEST(signal_)
{
	sigset_t set;
	int sig = 0;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	raise(SIGINT);
	ck_assert_int_eq(run(hang, 60000, &sig), -EINTR);
	ck_assert_int_eq(sig, SIGINT);
	is_gone();
	sigpending(&set);
	ck_assert(!sigismember(&set, SIGINT));
}
END_TEST

START_TEST(signal_that_is_ignored) /* as nohup does */
{
	sigset_t set;

	signal(SIGHUP, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	raise(SIGHUP);
	ck_assert_int_eq(run(look, 60000, NULL), 0);
}
END_TEST

/* Killed, its parent takes it with it: nobody has the pipe any more. */
START_TEST(parent_dies)
{
	struct pollfd ended = { .fd = end[0] };
	pid_t pid = fork();

	if (pid == 0)
		_exit(run(hang, 60000, NULL));
	close(end[1]);
	while (!*(volatile int *)&seen->ran)
		usleep(1000);
	kill(pid, SIGKILL);
	ck_assert_int_eq(poll(&ended, 1, 30000), 1);
	ck_assert(ended.revents & POLLHUP);
	waitpid(pid, NULL, 0);
}
END_TEST

Suite *apart_suite(void)
{
	Suite *s = suite_create("apart");
	TCase *tc = unit_case(s, "apart");

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, set_up, NULL);
	tcase_add_test(tc, returns);
	tcase_add_test(tc, limits_of_the_user);
	tcase_add_test(tc, memory);
	tcase_add_test(tc, crashes);
	tcase_add_test(tc, deadline);
	tcase_add_test(tc, signal_);
	tcase_add_test(tc, signal_that_is_ignored);
	tcase_add_test(tc, parent_dies);
	return s;
}

UNIT_MAIN(apart_suite)
