/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "tests/lib/stderr.h"
#include "vmm/core/platform.h"
#include "vmm/core/stream.h"

Suite *stream_suite(void);

static struct platform p;
static struct stream s;
static struct stderr_text said;
static int failures, error;
static atomic_bool stopped;
static char path[] = "/tmp/lunette-stream-XXXXXX";

static void failed(struct platform *platform, const char *what, int err)
{
	ck_assert_ptr_eq(platform, &p);
	ck_assert_str_eq(what, "stdout");
	failures++;
	error = err;
}

static void set_up(void)
{
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	p = (struct platform){ .output_failed = failed };
	strcpy(path + strlen(path) - 6, "XXXXXX");
	close(mkstemp(path));
	failures = 0;
}

static void tear_down(void)
{
	stream_close(&s);
	stream_close(&s);
	unlink(path);
}

static void begin(int fd)
{
	ck_assert_int_eq(stream_open(&s, &p, "stdout", fd), 0);
}

static const struct {
	const char *path;
	int flags, err;
} bad[] = {
	{ "/dev/full", O_WRONLY, ENOSPC },
	{ "/dev/null", O_RDONLY, EBADF },
	{ path, O_RDONLY, EBADF },
	{ "/proc/self/oom_score_adj", O_WRONLY, EINVAL },
};

START_TEST(errors)
{
	int fd = open(bad[_i].path, bad[_i].flags);

	begin(fd);
	ck_assert_int_eq(stream_try(&s, "text", 4), -bad[_i].err);
	ck_assert_int_eq(failures, 1);
	ck_assert_int_eq(error, bad[_i].err);
	stream_put(&s, "text", 4);
	ck_assert_int_eq(failures, 2);
	close(fd);
}
END_TEST

/* What there is room for is written before. */
START_TEST(file_that_is_too_large)
{
	const struct rlimit limit = { 6, RLIM_INFINITY };
	int fd = open(path, O_WRONLY);

	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	begin(fd);
	stream_put(&s, "12345", 5);
	ck_assert_int_eq(failures, 0);
	stream_put(&s, "67890", 5);
	ck_assert_int_eq(failures, 1);
	ck_assert_int_eq(error, EFBIG);
	ck_assert_int_eq(lseek(fd, 0, SEEK_END), 6);
	close(fd);
}
END_TEST

/* The same by a limit of our own, which is one for files. */
START_TEST(file_limit)
{
	int fd = open(path, O_WRONLY), pipes[2];

	p.file_limit = 6;
	begin(fd);
	stream_limit(&s);
	ck_assert_int_eq(stream_try(&s, "1234", 4), 4);
	ck_assert_int_eq(stream_try(&s, "5678", 4), 2);
	ck_assert_int_eq(failures, 0);
	ck_assert_int_eq(stream_try(&s, "78", 2), -EFBIG);
	stream_put(&s, "78", 2);
	ck_assert_int_eq(failures, 2);
	ck_assert_int_eq(error, EFBIG);
	ck_assert_int_eq(lseek(fd, 0, SEEK_END), 6);
	close(fd);
	stream_close(&s);

	ck_assert_int_eq(pipe(pipes), 0);
	begin(pipes[1]);
	stream_limit(&s);
	ck_assert_int_eq(stream_try(&s, "12345678", 8), 8);
	ck_assert_int_eq(failures, 2);
	close(pipes[0]);
	close(pipes[1]);
}
END_TEST

START_TEST(reader_that_leaves)
{
	int fd[2];

	ck_assert_int_eq(pipe(fd), 0);
	begin(fd[1]);
	close(fd[0]);
	ck_assert_int_eq(stream_try(&s, "text", 4), -EPIPE);
	stream_put(&s, "text", 4);
	ck_assert_int_eq(failures, 0);
	close(fd[1]);
}
END_TEST

static void *read_slowly(void *arg)
{
	static char buf[1 << 10];
	size_t sum = 0;
	ssize_t n;

	while ((n = read(*(int *)arg, buf, sizeof(buf))) > 0)
		sum += n;
	return (void *)sum;
}

START_TEST(slow_reader)
{
	static char data[1 << 20];
	pthread_t thread;
	void *sum;
	int fd[2];

	ck_assert_int_eq(pipe(fd), 0);
	begin(fd[1]);
	close(fd[1]);
	ck_assert_int_eq(pthread_create(&thread, NULL, read_slowly, fd), 0);
	stream_put(&s, data, sizeof(data));
	stream_close(&s);
	pthread_join(thread, &sum);
	ck_assert_uint_eq((size_t)sum, sizeof(data));
	close(fd[0]);
}
END_TEST

/* Nobody reads: the deadline of the run ends it. */
START_TEST(nobody_reads)
{
	static char data[1 << 20];
	struct timespec now;
	int fd[2];

	ck_assert_int_eq(pipe(fd), 0);
	begin(fd[1]);
	alarm(30);
	clock_gettime(CLOCK_MONOTONIC, &now);
	p.deadline = now.tv_sec * 1000ull + now.tv_nsec / 1000000 + 50;
	stream_put(&s, data, sizeof(data));
	ck_assert(platform_hurries(&p));
	ck_assert_int_eq(failures, 0);
	close(fd[0]);
	close(fd[1]);
}
END_TEST

/* The deadline is over: so much is still written, and what is more counts as written. */
START_TEST(late)
{
	static char data[3 * PLATFORM_LATE_MAX / 2];
	int fd = open(path, O_WRONLY);

	begin(fd);
	stream_put(&s, data, sizeof(data));
	ck_assert_int_eq(lseek(fd, 0, SEEK_END), sizeof(data));
	p.deadline = 1;
	stream_put(&s, data, 1000);
	ck_assert_int_eq(lseek(fd, 0, SEEK_END), sizeof(data) + 1000);
	stream_put(&s, data, sizeof(data));
	ck_assert_int_eq(lseek(fd, 0, SEEK_END), sizeof(data) + PLATFORM_LATE_MAX);
	ck_assert_int_eq(stream_try(&s, data, 4711), 4711);
	ck_assert_int_eq(lseek(fd, 0, SEEK_END), sizeof(data) + PLATFORM_LATE_MAX);
	close(fd);
}
END_TEST

static void nothing(int sig)
{
	(void)sig;
}

static void *signal_it(void *arg)
{
	while (!usleep(1000) && !atomic_load(&stopped))
		pthread_kill(*(pthread_t *)arg, SIGUSR1);
	return NULL;
}

/* As a vCPU is told to stop. */
START_TEST(signal_comes)
{
	const struct sigaction sa = { .sa_handler = nothing };
	static char data[1 << 20];
	pthread_t self = pthread_self(), other;
	int fd[2];

	ck_assert_int_eq(sigaction(SIGUSR1, &sa, NULL), 0);
	ck_assert_int_eq(pipe(fd), 0);
	begin(fd[1]);
	alarm(30);
	ck_assert_int_eq(pthread_create(&other, NULL, signal_it, &self), 0);
	stream_put(&s, data, sizeof(data));
	atomic_store(&stopped, true);
	pthread_join(other, NULL);
	close(fd[0]);
	close(fd[1]);
}
END_TEST

START_TEST(no_descriptor)
{
	stderr_begin(&said);
	ck_assert_int_eq(stream_open(&s, &p, "stdout", 9999), -EBADF);
	ck_assert_str_eq(stderr_end(&said), "lunette: error: stdout: Bad file descriptor\n");
	ck_assert_ptr_null(s.what);
}
END_TEST

Suite *stream_suite(void)
{
	Suite *suite = suite_create("stream");
	TCase *tc = unit_case(suite, "stream");

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_loop_test(tc, errors, 0, sizeof(bad) / sizeof(*bad));
	tcase_add_test(tc, file_that_is_too_large);
	tcase_add_test(tc, file_limit);
	tcase_add_test(tc, reader_that_leaves);
	tcase_add_test(tc, slow_reader);
	tcase_add_test(tc, nobody_reads);
	tcase_add_test(tc, late);
	tcase_add_test(tc, signal_comes);
	tcase_add_test(tc, no_descriptor);
	return suite;
}

UNIT_MAIN(stream_suite)
