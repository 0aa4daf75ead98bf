/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/lib/stderr.h"
#include "vmm/core/child.h"

Suite *child_suite(void);

#define LONG 60000

static struct child child;

/* sh -c @script; @n descriptors of @given. */
static int start(const char *script, const int *given, unsigned n, int out)
{
	const char *const argv[] = { "sh", "-c", script, NULL };
	const struct child_spec spec = { .argv = argv, .given = given, .ngiven = n, .out = out,
					 .listens = n > 0, .sig = SIGKILL };

	child = CHILD_NONE;
	return child_start(&child, &spec);
}

static const char *all_of(int fd, char *text, size_t size)
{
	ssize_t n = pread(fd, text, size - 1, 0);

	ck_assert_int_ge(n, 0);
	text[n] = 0;
	return text;
}

/* It has what it is given, in order, and nothing else; a server knows that the socket is for it. */
START_TEST(what_it_has)
{
	int out = memfd_create("out", 0), a = memfd_create("a", 0);
	int b = memfd_create("b", MFD_CLOEXEC);
	const int given[] = { b, a };
	char text[512], wanted[64];

	ck_assert_int_eq(write(a, "aa", 2), 2);
	ck_assert_int_eq(write(b, "bb", 2), 2);
	/* No pipe: its shell would have ends of it open while "ls" looks. */
	ck_assert_int_eq(start("cat /proc/self/fd/3 /proc/self/fd/4; echo; ls /proc/$$/fd; "
			       "echo $LISTEN_FDS $((LISTEN_PID == $$)) "
			       "$(cut -d ' ' -f 6 /proc/$$/stat); cat",
			       given, 2, out), 0);
	snprintf(wanted, sizeof(wanted), "bbaa\n0\n1\n2\n3\n4\n1 1 %d\n", (int)child.pid);
	ck_assert(child_await(&child, -1, LONG));
	ck_assert_str_eq(all_of(out, text, sizeof(text)), wanted);
	ck_assert(child_end(&child, 0, LONG));
	ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
	close(out);
	close(a);
	close(b);
}
END_TEST

START_TEST(last_words)
{
	char text[64];

	ck_assert_int_eq(start("echo one >&2; printf 'the last\\n\\n' >&2", NULL, 0, -1), 0);
	ck_assert(child_await(&child, -1, LONG));
	child_words(&child, text, sizeof(text));
	ck_assert_str_eq(text, "the last");
	child_words(&child, text, sizeof(text));
	ck_assert_str_eq(text, "");
	ck_assert(child_end(&child, 0, LONG));
	ck_assert_int_eq(child.messages, -1);
}
END_TEST

START_TEST(no_such_program)
{
	const char *const argv[] = { "lunette-no-such-program", NULL };
	const struct child_spec spec = { .argv = argv, .out = -1, .sig = SIGKILL };

	child = CHILD_NONE;
	ck_assert_int_eq(child_start(&child, &spec), -ENOENT);
	ck_assert_int_eq(child.fd, -1);
	ck_assert_int_eq(child.pid, 0);
	ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
	ck_assert(child_end(&child, SIGTERM, 0));
}
END_TEST

START_TEST(is_ended)
{
	int pipe_[2];
	char byte;

	ck_assert_int_eq(start("exec sleep 1000", NULL, 0, -1), 0);
	ck_assert(!child_await(&child, -1, 10));
	ck_assert(child_end(&child, SIGTERM, LONG));
	ck_assert_int_eq(pipe2(pipe_, O_CLOEXEC), 0);
	ck_assert_int_eq(start("trap '' TERM; echo ready; while :; do sleep 0.1; done", NULL, 0,
			       pipe_[1]), 0);
	ck_assert(child_await(&child, pipe_[0], LONG));
	ck_assert_int_eq(read(pipe_[0], &byte, 1), 1);
	ck_assert(!child_end(&child, SIGTERM, 50)); /* it had to be killed */
	ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
}
END_TEST

/* Whoever has started it is killed: so is it, and the pipe that it holds is closed. */
START_TEST(ends_with_us)
{
	struct pollfd ended = { .events = POLLIN };
	int pipe_[2];
	char byte;
	pid_t pid;

	ck_assert_int_eq(pipe2(pipe_, O_CLOEXEC), 0);
	pid = fork();
	if (!pid) {
		start("echo; exec sleep 1000", NULL, 0, pipe_[1]);
		pause();
	}
	close(pipe_[1]);
	ck_assert_int_eq(read(pipe_[0], &byte, 1), 1);
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	ended.fd = pipe_[0];
	ck_assert_int_eq(poll(&ended, 1, LONG), 1);
	ck_assert_int_eq(read(pipe_[0], &byte, 1), 0);
}
END_TEST

static int say(void *arg)
{
	*(int *)arg += 1; /* our memory is its memory */
	return dprintf(2, "prepared\n") > 0 ? -EXDEV * (*(int *)arg > 1) : -EIO;
}

/* In its process, with its descriptors; and what fails there is known here. */
START_TEST(prepared)
{
	const char *const argv[] = { "sh", "-c", "echo begun >&2", NULL };
	int calls = 0;
	const struct child_spec spec = { .argv = argv, .out = -1, .sig = SIGKILL, .prepare = say,
					 .arg = &calls };
	char text[64];

	child = CHILD_NONE;
	ck_assert_int_eq(child_start(&child, &spec), 0);
	ck_assert(child_await(&child, -1, LONG));
	ck_assert_int_eq(read(child.messages, text, sizeof(text)), 15);
	ck_assert_int_eq(memcmp(text, "prepared\nbegun\n", 15), 0);
	ck_assert(child_end(&child, 0, LONG));
	ck_assert_int_eq(calls, 1);
	ck_assert_int_eq(child_start(&child, &spec), -EXDEV);
	ck_assert_int_eq(calls, 2);
	ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
}
END_TEST

/* Nobody finds it by a name, and it is connected to all the same. */
START_TEST(unseen_socket)
{
	char dir[] = "/tmp/lunette-child-XXXXXX", text[200];
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	struct stderr_text said;
	int at, fd, to, from;

	ck_assert_ptr_nonnull(mkdtemp(dir));
	setenv("TMPDIR", dir, 1);
	fd = child_listen("x", &at);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(rmdir(dir), 0); /* nothing is in it */
	to = socket(AF_UNIX, SOCK_STREAM, 0);
	snprintf(name.sun_path, sizeof(name.sun_path), "/proc/self/fd/%d", at);
	ck_assert_int_eq(connect(to, (struct sockaddr *)&name, sizeof(name)), 0);
	from = accept(fd, NULL, NULL);
	ck_assert_int_ge(from, 0);
	close(from);
	close(to);
	close(fd);
	close(at);
	stderr_begin(&said);
	ck_assert_int_eq(child_listen("x", &at), -ENOENT);
	snprintf(text, sizeof(text), "lunette: error: x: no socket can be made in %s: No such file "
		 "or directory; set TMPDIR to another folder\n", dir);
	ck_assert_str_eq(stderr_end(&said), text);
	ck_assert_int_eq(at, -1);
	unsetenv("TMPDIR");
}
END_TEST

Suite *child_suite(void)
{
	Suite *s = suite_create("child");
	TCase *tc = unit_case(s, "child");

	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, what_it_has);
	tcase_add_test(tc, last_words);
	tcase_add_test(tc, no_such_program);
	tcase_add_test(tc, is_ended);
	tcase_add_test(tc, ends_with_us);
	tcase_add_test(tc, prepared);
	tcase_add_test(tc, unseen_socket);
	return s;
}

UNIT_MAIN(child_suite)
