/* SPDX-License-Identifier: MIT */
/* The guest's side of commands: its process serves on this machine, and the test is lunette. */
#include "tests/unit/unit.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest/ending.h"
#include "guest/init.h"
#include "tests/lib/frames.h"
#include "vmm/core/log.h"
#include "vmm/core/util.h"

Suite *guest_exec_suite(void);

static char dir[] = "/tmp/lunette-guest-XXXXXX";
static int listening, port;
static struct frame f;

/* What it has of the first process. */

const char *init_word(const char *name)
{
	return strcmp(name, EXEC_WORD) ? NULL : "";
}

int init_write(const char *path, const char *text)
{
	(void)path, (void)text;
	return 0;
}

void init_greet(void)
{
}

void ending_forget(void)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static void connect_or_listen(int fd, bool far)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX, .sun_path = "port" };
	struct sockaddr *a = (struct sockaddr *)&addr;

	BUG_ON((far ? connect(fd, a, sizeof(addr)) : bind(fd, a, sizeof(addr))) < 0);
}

/* In the server, which has closed what the test's own words go to. */
int init_port(const char *name)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	BUG_ON(strcmp(name, EXEC_PORT));
	connect_or_listen(fd, true);
	return fd;
}

static void hears(enum exec_kind kind, uint32_t id)
{
	ck_assert(frame_hear(port, &f));
	ck_assert_msg(f.head.kind == kind, "%u, not %u: %s", f.head.kind, kind, f.data);
	ck_assert_uint_eq(f.head.id, id);
	ck_assert_uint_eq(f.head.zero, 0);
}

/* A server that has said hello. */
static void meet(void)
{
	struct timeval limit = { .tv_sec = 20 };

	port = accept(listening, NULL, NULL);
	ck_assert_int_ge(port, 0);
	setsockopt(port, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	hears(EXEC_HELLO, 0);
	ck_assert_uint_eq(f.head.len, EXEC_NONCE);
}

static void answer(void)
{
	ck_assert_int_eq(send(port, EXEC_MARK, EXEC_MARK_LEN, MSG_NOSIGNAL), EXEC_MARK_LEN);
	ck_assert_int_eq(send(port, f.data, EXEC_NONCE, MSG_NOSIGNAL), EXEC_NONCE);
}

static void set_up(void)
{
	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_int_eq(chdir(dir), 0);
	listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	connect_or_listen(listening, false);
	ck_assert_int_eq(listen(listening, 1), 0);
	exec_start(dir);
	meet();
	answer();
}

static void tear_down(void)
{
	char line[100];

	close(port);
	close(listening);
	while (wait(NULL) > 0)
		;
	snprintf(line, sizeof(line), "cd /; rm -r %s", dir);
	ck_assert_int_eq(system(line), 0);
}

/* A shell that runs @script, with these records before it, each up to a line's end. */
static void run_with(uint32_t id, const char *records, const char *script)
{
	char spec[4096];
	int n = snprintf(spec, sizeof(spec), "%sarg=sh\narg=-c\narg=%s\ngo\n", records, script), i;

	for (i = 0; i < n; i++)
		spec[i] = spec[i] == '\n' ? 0 : spec[i];
	/* In two pieces. */
	ck_assert(frame_say(port, EXEC_SPEC, id, spec, 5));
	ck_assert(frame_say(port, EXEC_SPEC, id, spec + 5, n - 5));
}

static void run(uint32_t id, const char *script)
{
	run_with(id, "", script);
	hears(EXEC_STARTED, id);
}

/* All that this command prints, on both; then its last frame. */
static char printed[2][EXEC_WINDOW + 1];

static enum exec_kind end_of(uint32_t id)
{
	size_t len[2] = { 0 };

	for (;;) {
		ck_assert(frame_hear(port, &f));
		if (f.head.id != id)
			continue;
		if (f.head.kind == EXEC_OUT || f.head.kind == EXEC_ERR) {
			unsigned i = f.head.kind == EXEC_ERR;

			memcpy(printed[i] + len[i], f.data, f.head.len);
			len[i] += f.head.len;
			printed[i][len[i]] = 0;
		} else if (f.head.kind != EXEC_TAKEN && f.head.kind != EXEC_STARTED) {
			printed[0][len[0]] = printed[1][len[1]] = 0;
			return f.head.kind;
		}
	}
}

START_TEST(streams_and_status)
{
	run(7, "cat; echo two >&2; exit 3");
	frame_say(port, EXEC_IN, 7, "one\n", 4);
	frame_say(port, EXEC_IN, 7, NULL, 0);
	ck_assert_uint_eq(end_of(7), EXEC_EXIT);
	ck_assert_uint_eq(f.data[0], 3);
	ck_assert_str_eq(printed[0], "one\n");
	ck_assert_str_eq(printed[1], "two\n");
	run(7, "kill -9 $$"); /* the number is free again */
	ck_assert_uint_eq(end_of(7), EXEC_KILLED);
	ck_assert_uint_eq(f.data[0], 9);
}
END_TEST

START_TEST(surroundings)
{
	run_with(1, "env=A=b c\ncwd=/usr\n", "echo $A; pwd");
	ck_assert_uint_eq(end_of(1), EXEC_EXIT);
	ck_assert_str_eq(printed[0], "b c\n/usr\n");
	run(2, "pwd"); /* the job's */
	end_of(2);
	ck_assert_msg(!strncmp(printed[0], dir, strlen(dir)), "%s", printed[0]);
	run_with(3, "cwd=/none\n", "true");
	ck_assert_uint_eq(end_of(3), EXEC_EXIT);
	ck_assert_uint_eq(f.data[0], 126);
	ck_assert_str_eq(printed[1], "lunette: /none: No such file or directory\n");
}
END_TEST

static const struct {
	const char *records, *why;
} bad[] = {
	{ "user=nobody-knows-them\n", "no such user" },
	{ "what=x\n", "does not know what the command needs" },
};

START_TEST(does_not_run)
{
	run_with(1, bad[_i].records, "true");
	ck_assert_uint_eq(end_of(1), EXEC_FAILED);
	ck_assert_ptr_nonnull(strstr((char *)f.data, bad[_i].why));
	frame_say(port, EXEC_SPEC, 2, "a\0go", 5);
	ck_assert_uint_eq(end_of(2), EXEC_FAILED);
	frame_say(port, EXEC_SPEC, 3, "x=\0go", 6);
	ck_assert_uint_eq(end_of(3), EXEC_FAILED);
	run(4, "exit 4");
	ck_assert_uint_eq(end_of(4), EXEC_EXIT);
}
END_TEST

/* No more than its client asks for, and others go on; with its client it goes. */
/* In as many frames as the command's writes and the pipe make of it. */
static void hears_all(size_t room)
{
	size_t sum = 0;

	while (sum + EXEC_HEAD < room) {
		hears(EXEC_OUT, 1);
		sum += EXEC_HEAD + f.head.len;
		ck_assert_uint_le(sum, room);
	}
}

START_TEST(slow_client)
{
	static uint8_t taken[EXEC_TAKEN_LEN] = { EXEC_STDOUT };

	run(1, "echo $$ >pid; exec cat /dev/zero");
	hears_all(EXEC_WINDOW);
	run(2, "echo quick");
	ck_assert_uint_eq(end_of(2), EXEC_EXIT);
	ck_assert_str_eq(printed[0], "quick\n");
	exec_put(taken + 1, 1000, 4);
	frame_say(port, EXEC_TAKEN, 1, taken, sizeof(taken));
	hears_all(1000);
	ck_assert_int_eq(system("kill -0 $(cat pid)"), 0);
	frame_say(port, EXEC_GONE, 1, NULL, 0);
	run(3, "while kill -0 $(cat pid) 2>/dev/null; do sleep 0.05; done");
	ck_assert_uint_eq(end_of(3), EXEC_EXIT);
}
END_TEST

/* One that does not heed a signal has a second. */
START_TEST(stubborn)
{
	run(1, "trap '' HUP TERM; echo $$ >pid; echo; while :; do sleep 0.1; done");
	hears(EXEC_OUT, 1);
	frame_say(port, EXEC_GONE, 1, NULL, 0);
	run(3, "while kill -0 $(cat pid) 2>/dev/null; do sleep 0.05; done");
	ck_assert_uint_eq(end_of(3), EXEC_EXIT);
}
END_TEST

START_TEST(input_has_an_end)
{
	static uint8_t data[EXEC_DATA_MAX];
	unsigned i;

	run(1, "head -c 1 >/dev/null; echo read; sleep 0.3; cat >/dev/null");
	for (i = 0; i < 4; i++)
		frame_say(port, EXEC_IN, 1, data, EXEC_DATA_MAX);
	frame_say(port, EXEC_TAKEN, 1, "\0\0\0\0\0", 5); /* of no stream that it writes */
	do
		ck_assert(frame_hear(port, &f));
	while (f.head.kind == EXEC_OUT);
	ck_assert_uint_eq(f.head.kind, EXEC_TAKEN);
	ck_assert_uint_eq(f.data[0], EXEC_STDIN);
	ck_assert_uint_ge(exec_get(f.data + 1, 4), EXEC_TAKEN_STEP);
	frame_say(port, EXEC_IN, 1, NULL, 0);
	ck_assert_uint_eq(end_of(1), EXEC_EXIT);
	run(2, "sleep 1000"); /* it never reads */
	for (i = 0; i < 12; i++)
		frame_say(port, EXEC_IN, 2, data, EXEC_DATA_MAX);
	ck_assert_uint_eq(end_of(2), EXEC_FAILED);
	ck_assert_str_eq((char *)f.data, "its stdin has more than was allowed");
}
END_TEST

START_TEST(signals)
{
	run(1, "trap 'echo got; exit 5' TERM; echo; while :; do sleep 0.05; done");
	hears(EXEC_OUT, 1);
	frame_say(port, EXEC_SIGNAL, 1, "\0", 1);
	frame_say(port, EXEC_SIGNAL, 1, "\377", 1);
	frame_say(port, EXEC_SIGNAL, 1, "\017", 1);
	ck_assert_uint_eq(end_of(1), EXEC_EXIT);
	ck_assert_uint_eq(f.data[0], 5);
	ck_assert_str_eq(printed[0], "got\n");
}
END_TEST

START_TEST(reader_leaves)
{
	static const uint8_t out = EXEC_STDOUT;

	run(1, "exec yes");
	frame_say(port, EXEC_SHUT, 1, &out, 1);
	ck_assert_uint_eq(end_of(1), EXEC_KILLED);
	ck_assert_uint_eq(f.data[0], SIGPIPE);
}
END_TEST

/* What a command leaves running has its streams, and keeps nobody waiting. */
START_TEST(left_behind)
{
	run(1, "while :; do echo more; sleep 0.01; done & echo $! >pid");
	ck_assert_uint_eq(end_of(1), EXEC_EXIT);
	run(2, "kill $(cat pid)");
	end_of(2);
}
END_TEST

START_TEST(terminal)
{
	static const uint8_t size[] = { 43, 0, 132, 0 };
	char size_said[20] = "";

	run_with(1, "tty=30 100\n", "stty size; read line; stty size; tty; exit 9");
	hears(EXEC_STARTED, 1);
	do { /* a terminal writes a line's end by itself */
		hears(EXEC_OUT, 1);
		ck_assert_uint_lt(strlen(size_said) + f.head.len, sizeof(size_said));
		strcat(size_said, (char *)f.data);
	} while (!strchr(size_said, '\n'));
	ck_assert_str_eq(size_said, "30 100\r\n");
	frame_say(port, EXEC_SIZE, 1, size, sizeof(size));
	frame_say(port, EXEC_IN, 1, "go\n", 3);
	ck_assert_uint_eq(end_of(1), EXEC_EXIT);
	ck_assert_uint_eq(f.data[0], 9);
	ck_assert_ptr_nonnull(strstr(printed[0], "43 132\r\n/dev/pts/"));
	run_with(2, "tty=0 0\n", "echo; exec sleep 1000");
	hears(EXEC_STARTED, 2);
	hears(EXEC_OUT, 2); /* the terminal is its own */
	frame_say(port, EXEC_IN, 2, "\003", 1);
	ck_assert_uint_eq(end_of(2), EXEC_KILLED);
	ck_assert_uint_eq(f.data[0], SIGINT);
}
END_TEST

START_TEST(many)
{
	uint32_t id;
	unsigned left = 100, sum = 0;

	for (id = 1; id <= 100; id++) {
		run_with(id, "", "cat");
		frame_say(port, EXEC_IN, id, &id, sizeof(id));
		frame_say(port, EXEC_IN, id, NULL, 0);
	}
	while (left && frame_hear(port, &f)) {
		if (f.head.kind == EXEC_OUT)
			ck_assert_int_eq(memcmp(f.data, &f.head.id, sizeof(id)), 0);
		sum += f.head.kind == EXEC_OUT ? f.head.id : 0;
		left -= f.head.kind == EXEC_EXIT && !f.data[0];
	}
	ck_assert_uint_eq(left, 0);
	ck_assert_uint_eq(sum, 5050);
}
END_TEST

/*
 * The first process makes another one; what was said to the one before is not for it. The commands
 * of that one are over, whoever they are.
 */
START_TEST(server_is_killed)
{
	struct pollfd command = { .events = POLLIN };
	struct ucred who;
	socklen_t len = sizeof(who);
	int status;

	run_with(1, getuid() ? "" : "cwd=/\nuser=1234:1234\n", "echo $$; exec sleep 1000");
	hears(EXEC_STARTED, 1);
	hears(EXEC_OUT, 1);
	command.fd = (int)syscall(SYS_pidfd_open, atoi((char *)f.data), 0);
	ck_assert_int_ge(command.fd, 0);
	ck_assert_int_eq(getsockopt(port, SOL_SOCKET, SO_PEERCRED, &who, &len), 0);
	ck_assert_int_eq(kill(who.pid, SIGKILL), 0);
	ck_assert_int_eq(waitpid(who.pid, &status, 0), who.pid);
	ck_assert_int_eq(poll(&command, 1, 20000), 1);
	close(command.fd);
	close(port);
	exec_ended(who.pid + 1, status);
	exec_ended(who.pid, status);
	meet();
	ck_assert_int_eq(send(port, "\5\0\1\0old old news", 16, MSG_NOSIGNAL), 16);
	ck_assert_int_eq(send(port, EXEC_MARK "and not these bytes", 32, MSG_NOSIGNAL), 32);
	answer();
	run(2, "exit 2");
	ck_assert_uint_eq(end_of(2), EXEC_EXIT);
}
END_TEST

/* With all others it is told to go, and does when its commands have. */
START_TEST(end_of_the_guest)
{
	struct ucred who;
	socklen_t len = sizeof(who);
	int status;

	run(1, "trap 'exit 6' TERM; echo $$ >pid; echo; while :; do sleep 0.05; done");
	hears(EXEC_OUT, 1);
	ck_assert_int_eq(getsockopt(port, SOL_SOCKET, SO_PEERCRED, &who, &len), 0);
	ck_assert_int_eq(kill(who.pid, SIGTERM), 0);
	ck_assert_int_eq(system("kill $(cat pid)"), 0);
	ck_assert_uint_eq(end_of(1), EXEC_EXIT);
	ck_assert_uint_eq(f.data[0], 6);
	ck_assert_int_eq(waitpid(who.pid, &status, 0), who.pid);
	ck_assert_int_eq(status, 0);
}
END_TEST

Suite *guest_exec_suite(void)
{
	Suite *s = suite_create("guest_exec");
	TCase *tc = unit_case(s, "guest_exec");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, streams_and_status);
	tcase_add_test(tc, surroundings);
	tcase_add_loop_test(tc, does_not_run, 0, ARRAY_SIZE(bad));
	tcase_add_test(tc, slow_client);
	tcase_add_test(tc, stubborn);
	tcase_add_test(tc, input_has_an_end);
	tcase_add_test(tc, signals);
	tcase_add_test(tc, reader_leaves);
	tcase_add_test(tc, left_behind);
	tcase_add_test(tc, terminal);
	tcase_add_test(tc, many);
	tcase_add_test(tc, server_is_killed);
	tcase_add_test(tc, end_of_the_guest);
	return s;
}

UNIT_MAIN(guest_exec_suite)
