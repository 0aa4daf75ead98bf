/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/core/outlet.h"

Suite *outlet_suite(void);

static struct outlet o;

/* Fills what is behind it. Returns how many bytes went in. */
static size_t fill(void)
{
	static const char data[1 << 16];
	size_t sum = 0;
	ssize_t n;

	alarm(10); /* a write that waits would wait for ever */
	while ((n = outlet_write(&o, data, sizeof(data))) > 0)
		sum += n;
	ck_assert_int_eq(n, -EAGAIN);
	return sum;
}

static bool waits(int fd)
{
	return !(fcntl(fd, F_GETFL) & O_NONBLOCK);
}

START_TEST(pipe_that_is_full)
{
	int fd[2];
	char got[16];

	ck_assert_int_eq(pipe(fd), 0);
	ck_assert_int_eq(outlet_open(&o, fd[1]), 0);
	ck_assert_int_eq(outlet_write(&o, "hello", 5), 5);
	ck_assert_int_eq(read(fd[0], got, sizeof(got)), 5);
	ck_assert_uint_ge(fill(), 4096);
	ck_assert(waits(fd[1])); /* for others it is as before */
	close(fd[0]);
	signal(SIGPIPE, SIG_IGN);
	ck_assert_int_eq(outlet_write(&o, "x", 1), -EPIPE);
	outlet_close(&o);
	outlet_close(&o);
}
END_TEST

/* Where /proc does not help: it must not wait all the same. */
START_TEST(pipe_that_cannot_be_opened_again)
{
	int fd[2];

	ck_assert_int_eq(pipe(fd), 0);
	o = (struct outlet){ .fd = fd[1], .shared = true };
	ck_assert_uint_ge(fill(), 4096);
	ck_assert(waits(fd[1]));
}
END_TEST

START_TEST(socket_that_is_full)
{
	int fd[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
	ck_assert_int_eq(outlet_open(&o, fd[1]), 0);
	ck_assert_uint_ge(fill(), 1);
	ck_assert(waits(fd[1]));
	close(fd[0]);
	ck_assert_int_eq(outlet_write(&o, "x", 1), -EPIPE); /* and no signal */
	outlet_close(&o);
}
END_TEST

START_TEST(terminal_that_is_full)
{
	int master, slave;

	ck_assert_int_eq(openpty(&master, &slave, NULL, NULL, NULL), 0);
	ck_assert_int_eq(outlet_open(&o, slave), 0);
	ck_assert_uint_ge(fill(), 1);
	ck_assert(waits(slave));
	outlet_close(&o);
}
END_TEST

START_TEST(file_that_others_write_too)
{
	char path[] = "/tmp/outlet-XXXXXX", got[16];
	int fd = mkstemp(path);

	ck_assert_int_eq(write(fd, "one ", 4), 4);
	ck_assert_int_eq(outlet_open(&o, fd), 0);
	ck_assert_int_eq(outlet_write(&o, "two ", 4), 4);
	ck_assert_int_eq(write(fd, "three", 5), 5);
	ck_assert_int_eq(pread(fd, got, sizeof(got), 0), 13);
	ck_assert_mem_eq(got, "one two three", 13);
	outlet_close(&o);
	unlink(path);
}
END_TEST

/* One for reading only, as a closed stdout is here: to open it again would make it writable. */
START_TEST(not_open_for_writing)
{
	int fd = open("/dev/null", O_RDONLY);

	ck_assert_int_eq(outlet_open(&o, fd), 0);
	ck_assert_int_eq(outlet_write(&o, "x", 1), -EBADF);
	outlet_close(&o);
	close(fd);
}
END_TEST

/* Its end, and not a fault of the host's. */
START_TEST(terminal_that_is_gone)
{
	int master, slave;

	ck_assert_int_eq(openpty(&master, &slave, NULL, NULL, NULL), 0);
	ck_assert_int_eq(outlet_open(&o, slave), 0);
	close(master);
	ck_assert_int_eq(outlet_write(&o, "x", 1), -EPIPE);
	ck_assert_int_eq(outlet_error(&o, ENOSPC), ENOSPC);
	outlet_close(&o);
}
END_TEST

/* Who left has not read what was for him, and the socket says more than EPIPE. */
START_TEST(socket_whose_reader_left)
{
	int fd[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
	ck_assert_int_eq(outlet_open(&o, fd[0]), 0);
	ck_assert_int_eq(outlet_write(&o, "x", 1), 1);
	close(fd[1]);
	ck_assert_int_eq(outlet_write(&o, "x", 1), -EPIPE);
	ck_assert_int_eq(outlet_error(&o, ECONNRESET), EPIPE);
	outlet_close(&o);
}
END_TEST

START_TEST(no_descriptor)
{
	ck_assert_int_eq(outlet_open(&o, 9999), -EBADF);
	ck_assert_int_eq(outlet_write(&o, "x", 1), -EBADF);
	outlet_close(&o);
}
END_TEST

Suite *outlet_suite(void)
{
	Suite *s = suite_create("outlet");
	TCase *tc = unit_case(s, "outlet");

	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, pipe_that_is_full);
	tcase_add_test(tc, pipe_that_cannot_be_opened_again);
	tcase_add_test(tc, socket_that_is_full);
	tcase_add_test(tc, terminal_that_is_full);
	tcase_add_test(tc, file_that_others_write_too);
	tcase_add_test(tc, not_open_for_writing);
	tcase_add_test(tc, terminal_that_is_gone);
	tcase_add_test(tc, socket_whose_reader_left);
	tcase_add_test(tc, no_descriptor);
	return s;
}

UNIT_MAIN(outlet_suite)
