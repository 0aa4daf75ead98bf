/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/lib/stderr.h"
#include "vmm/core/lock.h"

Suite *lock_suite(void);

static struct stderr_text said;
static char path[] = "/tmp/lunette-lock-XXXXXX";

static void set_up(void)
{
	strcpy(path + strlen(path) - 6, "XXXXXX");
	close(mkstemp(path));
}

static void tear_down(void)
{
	unlink(path);
}

static int open_again(void)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	return fd;
}

/* Who comes second gets in only if both read. */
static const struct {
	bool first, second;
	int result;
} pairs[] = {
	{ false, false, 0 },
	{ false, true, -EBUSY },
	{ true, false, -EBUSY },
	{ true, true, -EBUSY },
};

START_TEST(pairs_of_users)
{
	int a = open_again(), b = open_again();

	ck_assert_int_eq(lock_image(a, path, pairs[_i].first), 0);
	stderr_begin(&said);
	ck_assert_int_eq(lock_image(b, path, pairs[_i].second), pairs[_i].result);
	ck_assert_int_eq(!*stderr_end(&said), !pairs[_i].result);
	close(a);
	ck_assert_int_eq(lock_image(b, path, true), 0);
	close(b);
}
END_TEST

START_TEST(own_process_holds_it)
{
	int a = open_again(), b = open_again();
	char want[200];

	ck_assert_int_eq(lock_image(a, path, true), 0);
	stderr_begin(&said);
	ck_assert_int_eq(lock_image(b, path, true), -EBUSY);
	snprintf(want, sizeof(want), "lunette: error: %s: is attached twice\n", path);
	ck_assert_str_eq(stderr_end(&said), want);
	close(a);
	close(b);
}
END_TEST

/* The line names the process. */
START_TEST(other_process_holds_it)
{
	int fd, ready[2];
	char want[200], byte;
	pid_t pid;

	ck_assert_int_eq(pipe(ready), 0);
	pid = fork();
	if (!pid) {
		if (!lock_image(open_again(), path, true))
			(void)!write(ready[1], "y", 1);
		pause();
	}
	ck_assert_int_eq(read(ready[0], &byte, 1), 1);
	fd = open_again();
	stderr_begin(&said);
	ck_assert_int_eq(lock_image(fd, path, true), -EBUSY);
	snprintf(want, sizeof(want), "lunette: error: %s: in use by process %d (", path, (int)pid);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), want));
	stderr_begin(&said);
	ck_assert_int_eq(lock_image(fd, path, false), -EBUSY);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "both need readonly=on"));
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	/* Dead, and the lock with it. */
	ck_assert_int_eq(lock_image(fd, path, true), 0);
	close(fd);
	close(ready[0]);
	close(ready[1]);
}
END_TEST

START_TEST(closed_descriptor)
{
	stderr_begin(&said);
	ck_assert_int_eq(lock_image(-1, "x", true), -EBADF);
	ck_assert_str_eq(stderr_end(&said),
			 "lunette: error: x: cannot be locked: Bad file descriptor\n");
}
END_TEST

Suite *lock_suite(void)
{
	Suite *s = suite_create("lock");
	TCase *tc = unit_case(s, "lock");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_loop_test(tc, pairs_of_users, 0, sizeof(pairs) / sizeof(pairs[0]));
	tcase_add_test(tc, own_process_holds_it);
	tcase_add_test(tc, other_process_holds_it);
	tcase_add_test(tc, closed_descriptor);
	return s;
}

UNIT_MAIN(lock_suite)
