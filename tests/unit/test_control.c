/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/lib/stderr.h"
#include "tests/lib/testbed.h"
#include "vmm/core/loop.h"
#include "vmm/run/control/command.h"
#include "vmm/run/control/control.h"

Suite *control_suite(void);

static struct testbed tb;
static struct command_host host;
static struct control *control;
static struct stderr_text said;
static char dir[64], path[100];

static int create(void *arg)
{
	control = control_create(arg, tb.main_loop, &host);
	return control ? 0 : -1;
}

static int destroy(void *arg)
{
	(void)arg;
	control_destroy(control);
	control = NULL;
	return 0;
}

static void set_up(void)
{
	snprintf(dir, sizeof(dir), "/tmp/lunette-control-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/socket", dir);
	testbed_init(&tb);
	host = (struct command_host){ .platform = &tb.p, .devices = &tb.devices };
	ck_assert_int_eq(create(path), 0);
	testbed_start(&tb);
}

static void tear_down(void)
{
	char command[100];

	loop_call(tb.main_loop, destroy, NULL);
	testbed_fini(&tb);
	snprintf(command, sizeof(command), "rm -r %s", dir);
	ck_assert_int_eq(system(command), 0);
}

static int client(void)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct timeval limit = { .tv_sec = 20 };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(addr.sun_path, path);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	return fd;
}

static void say(int fd, const char *text)
{
	ck_assert_int_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* A line, without its end; or "" at the end. */
static const char *hear(int fd)
{
	static char line[4096];
	size_t n = 0;

	while (n < sizeof(line) - 1 && recv(fd, line + n, 1, 0) == 1 && line[n] != '\n')
		n++;
	line[n] = 0;
	return line;
}

#define DEVICES "{\"do\":\"devices\"}\n"
#define NO_DEVICES "{\"ok\":true,\"devices\":[]}"

START_TEST(lines)
{
	int one = client(), two = client();

	say(two, "{\"do\":");
	say(one, DEVICES DEVICES);
	ck_assert_str_eq(hear(one), NO_DEVICES);
	ck_assert_str_eq(hear(one), NO_DEVICES);
	say(two, "\"devices\"}\n");
	ck_assert_str_eq(hear(two), NO_DEVICES);
	say(two, "nonsense\n");
	ck_assert_ptr_nonnull(strstr(hear(two), "\"ok\":false"));
	say(two, DEVICES);
	ck_assert_str_eq(hear(two), NO_DEVICES);
	close(one);
	close(two);
}
END_TEST

/* Who has said all, and only listens now, gets all answers. */
START_TEST(half_closed)
{
	int fd = client();

	say(fd, DEVICES DEVICES "{\"do\":");
	shutdown(fd, SHUT_WR);
	ck_assert_str_eq(hear(fd), NO_DEVICES);
	ck_assert_str_eq(hear(fd), NO_DEVICES);
	ck_assert_str_eq(hear(fd), "");
	close(fd);
}
END_TEST

START_TEST(too_long)
{
	static char line[CONTROL_LINE_MAX + 1];
	int fd = client();

	memset(line, ' ', CONTROL_LINE_MAX);
	say(fd, line);
	ck_assert_ptr_nonnull(strstr(hear(fd), "the line is too long"));
	ck_assert_str_eq(hear(fd), "");
	close(fd);

	fd = client();
	memcpy(line + CONTROL_LINE_MAX - strlen(DEVICES), DEVICES, strlen(DEVICES));
	say(fd, line); /* this one just fits */
	ck_assert_str_eq(hear(fd), NO_DEVICES);
	close(fd);
}
END_TEST

/* One that asks and never reads keeps nobody waiting, and gets all once it does read. */
START_TEST(slow_client)
{
	int slow = client(), other = client(), one = 1, asked = 0, heard = 0;

	setsockopt(slow, SOL_SOCKET, SO_RCVBUF, &one, sizeof(one));
	while (send(slow, DEVICES, strlen(DEVICES), MSG_DONTWAIT | MSG_NOSIGNAL) ==
	       (ssize_t)strlen(DEVICES)) {
		asked++;
		if (asked % 1000 == 0)
			testbed_settle(&tb);
	}
	say(other, DEVICES);
	ck_assert_str_eq(hear(other), NO_DEVICES);
	ck_assert_int_gt(asked, 100);
	while (heard < asked && !strcmp(hear(slow), NO_DEVICES))
		heard++;
	ck_assert_int_eq(heard, asked);
	close(slow);
	close(other);
}
END_TEST

START_TEST(too_many)
{
	int fd[CONTROL_CLIENTS_MAX + 1], i;

	for (i = 0; i <= CONTROL_CLIENTS_MAX; i++)
		fd[i] = client();
	say(fd[CONTROL_CLIENTS_MAX - 1], DEVICES);
	ck_assert_str_eq(hear(fd[CONTROL_CLIENTS_MAX - 1]), NO_DEVICES);
	ck_assert_ptr_nonnull(strstr(hear(fd[CONTROL_CLIENTS_MAX]), "too many clients"));
	for (i = 0; i <= CONTROL_CLIENTS_MAX; i++)
		close(fd[i]);
	for (i = 0; i < 1000; i++) { /* until it has seen that the others are gone */
		bool served;

		fd[0] = client();
		send(fd[0], DEVICES, strlen(DEVICES), MSG_NOSIGNAL);
		served = !strcmp(hear(fd[0]), NO_DEVICES);
		close(fd[0]);
		if (served)
			return;
	}
	ck_abort_msg("no place has become free");
}
END_TEST

START_TEST(file_of_the_socket)
{
	struct control *first = control;
	struct stat st;

	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0600);
	stderr_begin(&said);
	ck_assert_int_eq(loop_call(tb.main_loop, create, path), -1);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "another run has it"));
	control = first;
	loop_call(tb.main_loop, destroy, NULL);
	ck_assert_int_eq(stat(path, &st), -1);
	ck_assert_int_eq(errno, ENOENT);
}
END_TEST

/* What a killed run has left is replaced; what is no socket is left alone. */
START_TEST(what_is_there)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct stat st;
	int fd;

	loop_call(tb.main_loop, destroy, NULL);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	strcpy(addr.sun_path, path);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	close(fd);
	ck_assert_int_eq(loop_call(tb.main_loop, create, path), 0);
	fd = client();
	say(fd, DEVICES);
	ck_assert_str_eq(hear(fd), NO_DEVICES);
	close(fd);
	loop_call(tb.main_loop, destroy, NULL);

	fd = open(path, O_CREAT | O_WRONLY, 0600);
	ck_assert_int_ge(fd, 0);
	close(fd);
	stderr_begin(&said);
	ck_assert_int_eq(loop_call(tb.main_loop, create, path), -1);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "is there already, and no socket"));
	ck_assert_int_eq(stat(path, &st), 0);
}
END_TEST

/* Another run's socket, in the place of ours, stays. */
START_TEST(replaced)
{
	struct stat st;
	int fd;

	ck_assert_int_eq(unlink(path), 0);
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	close(fd);
	loop_call(tb.main_loop, destroy, NULL);
	ck_assert_int_eq(stat(path, &st), 0);
}
END_TEST

START_TEST(bad_paths)
{
	struct control *first = control;
	char longer[200];

	memset(longer, 'x', sizeof(longer));
	longer[108] = 0;
	stderr_begin(&said);
	ck_assert_int_eq(loop_call(tb.main_loop, create, longer), -1);
	ck_assert_int_eq(loop_call(tb.main_loop, create, "/nonexistent/socket"), -1);
	ck_assert_int_eq(loop_call(tb.main_loop, create, ""), -1);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "has 108 characters, and that of a socket "
				     "1 to 107"));
	ck_assert_ptr_nonnull(strstr(said.text, "/nonexistent/socket: No such file"));
	control = first;
}
END_TEST

/* What a client has run in the guest is between it and another one. */
static int taken = -1;

static int may(void *arg)
{
	(void)arg;
	return 0;
}

static void take(void *arg, int fd)
{
	(void)arg;
	taken = fd;
	send(fd, "frames\n", 7, MSG_NOSIGNAL);
}

#define EXEC "{\"do\":\"exec\"}\n"

START_TEST(handed_over)
{
	int fd = client(), hasty = client(), i;

	host.exec = may;
	host.take = take;
	say(hasty, EXEC DEVICES); /* it does not wait for the answer */
	ck_assert_str_eq(hear(hasty), "{\"ok\":true}");
	ck_assert_str_eq(hear(hasty), "");
	ck_assert_int_lt(taken, 0);
	say(fd, EXEC);
	ck_assert_str_eq(hear(fd), "{\"ok\":true}");
	ck_assert_str_eq(hear(fd), "frames");
	say(fd, DEVICES); /* it is no command any more */
	for (i = 0; i < 3; i++)
		testbed_settle(&tb);
	ck_assert_int_lt(recv(fd, path, 1, MSG_DONTWAIT), 0);
	close(taken);
	close(hasty);
	close(fd);
}
END_TEST

Suite *control_suite(void)
{
	Suite *s = suite_create("control");
	TCase *tc = unit_case(s, "control");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, lines);
	tcase_add_test(tc, half_closed);
	tcase_add_test(tc, too_long);
	tcase_add_test(tc, slow_client);
	tcase_add_test(tc, too_many);
	tcase_add_test(tc, file_of_the_socket);
	tcase_add_test(tc, what_is_there);
	tcase_add_test(tc, replaced);
	tcase_add_test(tc, bad_paths);
	tcase_add_test(tc, handed_over);
	return s;
}

UNIT_MAIN(control_suite)
