/* SPDX-License-Identifier: MIT */
/*
 * "lunette ctl SOCKET cp", and a guest that is a thread here: it runs what it is asked for on this
 * machine, or answers with an archive of its own.
 */
#include "tests/unit/ctl_fixture.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "tests/lib/frames.h"
#include "vmm/core/util.h"

Suite *cp_suite(void);

#define ARGS_MAX 16

static const char *instead; /* an archive that it answers with; NULL: what tar makes */

static void sh(const char *script)
{
	ck_assert_msg(system(script) == 0, "%s", script);
}

/* The guest. */

static struct frame f;

/* All of its stdin. */
static int take_input(int fd)
{
	uint8_t taken[EXEC_TAKEN_LEN] = { EXEC_STDIN };
	int file = memfd_create("in", MFD_CLOEXEC);

	while (frame_hear(fd, &f) && f.head.kind == EXEC_IN && f.head.len) {
		ck_assert_int_eq(write(file, f.data, f.head.len), f.head.len);
		exec_put(taken + 1, EXEC_HEAD + f.head.len, 4);
		frame_say(fd, EXEC_TAKEN, 0, taken, sizeof(taken));
	}
	lseek(file, 0, SEEK_SET);
	return file;
}

static void give_output(int fd, int file)
{
	size_t room = EXEC_WINDOW;
	uint8_t data[4096];
	ssize_t n;

	lseek(file, 0, SEEK_SET);
	while ((n = read(file, data, sizeof(data))) > 0) {
		while (room < EXEC_HEAD + sizeof(data)) {
			ck_assert(frame_hear(fd, &f));
			if (f.head.kind == EXEC_TAKEN)
				room += exec_get(f.data + 1, 4);
		}
		room -= EXEC_HEAD + n;
		frame_say(fd, EXEC_OUT, 0, data, n);
	}
}

static int run_program(char **args, int in, int to)
{
	int status;
	pid_t child = fork();

	if (child == 0) {
		dup2(in, STDIN_FILENO);
		dup2(to, STDOUT_FILENO);
		execvp(args[0], args);
		_exit(127);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	return WEXITSTATUS(status);
}

static void serve_one(int fd)
{
	char *args[ARGS_MAX + 1] = { NULL }, spec[sizeof(f.data)], *at = spec;
	int in, to = memfd_create("out", MFD_CLOEXEC), n = 0;
	uint8_t status;

	frame_say(fd, EXEC_READY, 0, NULL, 0);
	ck_assert(frame_hear(fd, &f));
	memcpy(spec, f.data, sizeof(spec));
	for (; strcmp(at, "go"); at += strlen(at) + 1) {
		if (!strncmp(at, "arg=", 4) && n < ARGS_MAX)
			args[n++] = at + 4;
	}
	frame_say(fd, EXEC_STARTED, 0, NULL, 0);
	in = take_input(fd);
	if (instead && !strcmp(args[1], "-c") && !strcmp(args[0], "tar")) {
		close(to);
		to = open(instead, O_RDONLY | O_CLOEXEC);
		status = 0;
	} else {
		status = (uint8_t)run_program(args, in, to);
	}
	give_output(fd, to);
	frame_say(fd, EXEC_EXIT, 0, &status, 1);
	close(in);
	close(to);
}

static void *serve(void *arg)
{
	char c;
	int fd;

	(void)arg;
	while ((fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		while (recv(fd, &c, 1, 0) == 1 && c != '\n')
			;
		if (send(fd, "{\"ok\":true}\n", 12, MSG_NOSIGNAL) == 12)
			serve_one(fd);
		close(fd);
	}
	return NULL;
}

static pthread_t thread;

static void set_up(void)
{
	listen_there();
	ck_assert_int_eq(pthread_create(&thread, NULL, serve, NULL), 0);
	sh("mkdir -p there/d/sub here; echo one >there/d/one; ln -s ../one there/d/sub/link;"
	   "head -c 200000 /dev/urandom >there/d/sub/large; chmod 750 there/d/one");
}

static void tear_down(void)
{
	shutdown(listening, SHUT_RDWR);
	pthread_join(thread, NULL);
	sh("rm -r *");
	listen_no_more();
}

static int cp(const char *from, const char *to)
{
	const char *const words[] = { "s", "cp", from, to, NULL };
	int status = run(words);

	/* Whatever happens, there is nothing half done. */
	sh("! find . -name '.lunette*' | grep .");
	return status;
}

/* A file or folder gets into a folder that is there, or becomes what is not. */
START_TEST(from_the_guest)
{
	ck_assert_msg(cp(":there/d", "here") == 0, "%s", err.text);
	sh("diff -r there/d here/d && [ -L here/d/sub/link ]");
	ck_assert_int_eq(cp(":there/d/one", "here/other"), 0);
	sh("cmp there/d/one here/other && [ $(stat -c %a here/other) = 750 ]");
	ck_assert_str_eq(err.text, "");
	ck_assert_int_eq(cp(":there/d", "here"), 1);
	ck_assert_ptr_nonnull(strstr(err.text, "ctl cp: here/d: is there already"));
	ck_assert_int_eq(cp(":there/none", "here"), 2); /* of tar */
	ck_assert_int_eq(cp(":there/d", "none/x"), 1);
	ck_assert_ptr_nonnull(strstr(err.text, "ctl cp: none: No such file or directory"));
}
END_TEST

START_TEST(to_the_guest)
{
	ck_assert_msg(cp("there/d", ":here") == 0, "%s", err.text);
	sh("diff -r there/d here/d && [ -L here/d/sub/link ]");
	ck_assert_int_eq(cp("there/d/one", ":here/other"), 0);
	sh("cmp there/d/one here/other");
	ck_assert_int_eq(cp("there/d/", ":here/third"), 0);
	sh("diff -r there/d here/third");
	ck_assert_str_eq(err.text, "");
	ck_assert_int_eq(cp("there/none", ":here"), 1);
	ck_assert_ptr_nonnull(strstr(err.text, "ctl cp: there/none: No such file"));
	ck_assert_int_eq(cp("there/d", ":none/x/y"), 2);
}
END_TEST

/* Archives that no honest guest makes of "d". */
static const struct {
	const char *script;
	int status;
	const char *line;
} tricks[] = {
	{ "cd there && ln -s /etc/passwd d/bad && mkfifo d/pipe && tar -cf ../t d", 0,
	  "2 entries are left out" },
	{ "cd there && ln -s ../x d/bad && ln -s one d/good && tar -cf ../t d", 0,
	  "1 entry is left out" },
	{ "tar -cf t --transform 's,^there,..,' -P there/d", 211, "entries are missing" },
	{ "tar -cf t --transform 's,^there,other,' there", 1,
	  "d: is not in the archive that came" },
	{ "cd there && tar -cf ../t d && truncate -s 100K ../t", 211, "ctl cp: " },
	{ ": >t", 211, "ctl cp: " },
	{ "head -c 100000 /dev/urandom >t", 211, "ctl cp: " },
};

START_TEST(a_guest_that_cheats)
{
	instead = "t";
	sh(tricks[_i].script);
	ck_assert_int_eq(cp(":d", "here"), tricks[_i].status);
	ck_assert_msg(strstr(err.text, tricks[_i].line), "%s", err.text);
	if (tricks[_i].status)
		sh("! ls here | grep .");
	else
		sh("cmp there/d/one here/d/one && [ ! -e here/d/bad ] && [ ! -L here/d/bad ]");
}
END_TEST

static const struct {
	const char *from, *to;
} wrong[] = { { "a", "b" }, { ":a", ":b" }, { ":/", "x" }, { ":a/..", "x" } };

START_TEST(words_that_make_no_sense)
{
	ck_assert_int_eq(cp(wrong[_i].from, wrong[_i].to), 200);
	ck_assert_ptr_nonnull(strstr(err.text, "ctl cp: "));
}
END_TEST

Suite *cp_suite(void)
{
	Suite *s = suite_create("cp");
	TCase *tc = unit_case(s, "cp");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, from_the_guest);
	tcase_add_test(tc, to_the_guest);
	tcase_add_loop_test(tc, a_guest_that_cheats, 0, ARRAY_SIZE(tricks));
	tcase_add_loop_test(tc, words_that_make_no_sense, 0, ARRAY_SIZE(wrong));
	return s;
}

UNIT_MAIN(cp_suite)
