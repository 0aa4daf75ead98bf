/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "devices/vsock_unix.h"
#include "tests/lib/tree.h"
#include "tests/lib/vsock_driver.h"
#include "vmm/core/fail.h"
#include "vmm/core/log.h"
#include "vmm/core/util.h"

Suite *vsock_unix_suite(void);

static struct tree tree;
static struct vsock_unix u;
static struct loop *loop;
static char path[80], said[512];
static int taken;
static uint32_t port;
static unsigned calls;

static void connect_guest(void *arg, int fd, uint32_t to)
{
	ck_assert_ptr_eq(arg, &u);
	calls++;
	taken = fd;
	port = to;
}

static int stop_it(void *arg)
{
	vsock_unix_stop(arg);
	return 0;
}

static void set_up(void)
{
	tree_create(&tree);
	snprintf(path, sizeof(path), "%s/v", tree.root);
	log_hear(said, sizeof(said));
	loop = loop_create("test");
	ck_assert_int_eq(loop_start(loop), 0);
	u = (struct vsock_unix){ .connect = connect_guest, .arg = &u };
}

static void tear_down(void)
{
	loop_call(loop, stop_it, &u);
	vsock_unix_close(&u);
	loop_join(loop);
	loop_destroy(loop);
	log_hear(NULL, 0);
	tree_remove(&tree);
}

static int nothing(void *arg)
{
	(void)arg;
	return 0;
}

/* What there is to do for the loop is done. */
static void turn(void)
{
	unsigned i;

	for (i = 0; i < 4; i++)
		loop_call(loop, nothing, NULL);
}

static int look(void *arg)
{
	return (int)*(unsigned *)arg;
}

/* What the loop's thread counts. */
static unsigned count(unsigned *of)
{
	return (unsigned)loop_call(loop, look, of);
}

static int start_it(void *arg)
{
	vsock_unix_start(arg, loop);
	return 0;
}

static void open_it(void)
{
	ck_assert_int_eq(vsock_unix_open(&u, "vsock0", path), 0);
	loop_call(loop, start_it, &u);
}

static const struct {
	const char *line;
	bool ok;
	uint32_t port;
} lines[] = {
	{ "CONNECT 0\n", true, 0 },
	{ "CONNECT 52\n", true, 52 },
	{ "connect 52\r\n", true, 52 },
	{ "CONNECT 4294967295\n", true, UINT32_MAX },
	{ "CONNECT 4294967296\n", false, 0 },
	{ "CONNECT 99999999999999999999\n", false, 0 },
	{ "CONNECT -1\n", false, 0 },
	{ "CONNECT  1\n", false, 0 },
	{ "CONNECT 1x\n", false, 0 },
	{ "CONNECT\n", false, 0 },
	{ "CONNECT \n", false, 0 },
	{ "GET / HTTP/1.1\n", false, 0 },
	{ "\n", false, 0 },
	{ "CONNECT 000000000000000000000000000000000001\n", false, 0 },
	{ "a line that does not come to its end, but is long", false, 0 },
};

START_TEST(what_is_asked_for)
{
	const char *line = lines[_i].line;
	char c;
	int fd;

	open_it();
	fd = vsock_connect(path);
	ck_assert_int_eq(send(fd, line, 4 < strlen(line) ? 4 : strlen(line), 0) > 0, 1);
	turn();
	if (strlen(line) > 4)
		send(fd, line + 4, strlen(line) - 4, MSG_NOSIGNAL);
	send(fd, "rest", 4, MSG_NOSIGNAL);
	turn();
	ck_assert_uint_eq(count(&calls), lines[_i].ok);
	ck_assert_uint_eq(count(&u.ncallers), 0);
	if (lines[_i].ok) {
		ck_assert_uint_eq(port, lines[_i].port);
		ck_assert_int_eq(recv(taken, &c, 1, 0), 1);
		ck_assert_int_eq(c, 'r'); /* all behind the line is still there */
		close(taken);
	} else {
		ck_assert_int_le(recv(fd, &c, 1, 0), 0);
	}
	close(fd);
}
END_TEST

START_TEST(caller_leaves)
{
	int fd;

	open_it();
	fd = vsock_connect(path);
	ck_assert_int_eq(send(fd, "CONN", 4, 0), 4);
	turn();
	ck_assert_uint_eq(count(&u.ncallers), 1);
	close(fd);
	turn();
	ck_assert_uint_eq(count(&u.ncallers), 0);
	ck_assert_uint_eq(count(&calls), 0);
}
END_TEST

/* Those above the bound wait, until others have gone. */
START_TEST(many_callers)
{
	int fd[VSOCK_CALLERS_MAX + 2];
	unsigned i;

	open_it();
	for (i = 0; i < ARRAY_SIZE(fd); i++) {
		fd[i] = vsock_connect(path);
		turn();
	}
	ck_assert_uint_eq(count(&u.ncallers), VSOCK_CALLERS_MAX);
	ck_assert_int_eq(send(fd[ARRAY_SIZE(fd) - 1], "CONNECT 9\n", 10, 0), 10);
	turn();
	ck_assert_uint_eq(count(&calls), 0);
	close(fd[0]);
	close(fd[1]);
	turn();
	turn();
	ck_assert_uint_eq(count(&calls), 1);
	close(taken);
	loop_call(loop, stop_it, &u);
	ck_assert_uint_eq(count(&u.ncallers), 0);
	for (i = 2; i < ARRAY_SIZE(fd); i++)
		close(fd[i]);
}
END_TEST

START_TEST(dial)
{
	int listener, fd;

	open_it();
	ck_assert_int_eq(vsock_unix_dial(&u, 700), -ENOENT);
	listener = vsock_listen(path, 700);
	fd = vsock_unix_dial(&u, 700);
	ck_assert_int_ge(fd, 0);
	close(fd);
	close(listener);
	ck_assert_int_eq(vsock_unix_dial(&u, 700), -ECONNREFUSED);
}
END_TEST

START_TEST(the_file)
{
	struct stat st;

	open_it();
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert(S_ISSOCK(st.st_mode));
	ck_assert_uint_eq(st.st_mode & 0777, 0600);
	loop_call(loop, stop_it, &u);
	vsock_unix_close(&u);
	ck_assert_int_lt(stat(path, &st), 0);
}
END_TEST

/* One that a killed run has left goes; one that is another's stays, now and at the end. */
START_TEST(a_file_that_is_there)
{
	struct vsock_unix second = { 0 };
	struct stat st;

	open_it();
	ck_assert_int_eq(vsock_unix_open(&second, "vsock1", path), -EADDRINUSE);
	ck_assert_ptr_nonnull(strstr(said, "vsock1: path="));
	ck_assert_ptr_nonnull(strstr(said, "another program listens there; choose another path"));
	loop_call(loop, stop_it, &u);
	close(u.source.fd); /* as if it had been killed */
	ck_assert_int_eq(vsock_unix_open(&second, "vsock1", path), 0);
	u.source.fd = -1;
	unlink(path);
	tree_put(&tree, "/v", "text");
	vsock_unix_close(&second);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(vsock_unix_open(&second, "vsock1", path), -EEXIST);
	ck_assert_ptr_nonnull(strstr(said, "is there already, and no socket"));
}
END_TEST

START_TEST(no_room_for_the_path)
{
	char long_path[200];

	memset(long_path, 'x', sizeof(long_path) - 1);
	long_path[sizeof(long_path) - 1] = 0;
	ck_assert_int_eq(vsock_unix_open(&u, "vsock0", long_path), -EUSAGE);
	ck_assert_ptr_nonnull(strstr(said, "it has 199 characters, and 1 to 96 are wanted"));
	ck_assert_int_eq(vsock_unix_open(&u, "vsock0", ""), -EUSAGE);
	ck_assert_int_lt(vsock_unix_open(&u, "vsock0", "/no/such/folder/v"), 0);
	ck_assert_ptr_nonnull(strstr(said, "path=/no/such/folder/v: No such file or directory"));
}
END_TEST

Suite *vsock_unix_suite(void)
{
	Suite *s = suite_create("vsock_unix");
	TCase *tc = unit_case(s, "vsock_unix");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_loop_test(tc, what_is_asked_for, 0, ARRAY_SIZE(lines));
	tcase_add_test(tc, caller_leaves);
	tcase_add_test(tc, many_callers);
	tcase_add_test(tc, dial);
	tcase_add_test(tc, the_file);
	tcase_add_test(tc, a_file_that_is_there);
	tcase_add_test(tc, no_room_for_the_path);
	return s;
}

UNIT_MAIN(vsock_unix_suite)
