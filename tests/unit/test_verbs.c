/* SPDX-License-Identifier: MIT */
/* "lunette ctl SOCKET exec", and a socket whose other end, a thread, answers as it is told to. */
#include "tests/unit/ctl_fixture.h"

#include <pthread.h>
#include <string.h>

#include "tests/lib/frames.h"
#include "vmm/core/util.h"
#include "vmm/run/control/verbs.h"

Suite *verbs_suite(void);

#define WORDS_MAX 12

/* The other end: an answer, and what it hears then; its status is 7. */

static const char *answer;
static char line[100];
static struct frame f;

static void *serve(void *arg)
{
	int fd = accept(listening, NULL, NULL);
	size_t n = 0;

	(void)arg;
	while (n < sizeof(line) - 1 && recv(fd, line + n, 1, 0) == 1 && line[n] != '\n')
		n++;
	line[n] = 0;
	if (answer && send(fd, answer, strlen(answer), MSG_NOSIGNAL) > 0) {
		frame_say(fd, EXEC_READY, 0, NULL, 0);
		frame_hear(fd, &f);
		frame_say(fd, EXEC_STARTED, 0, NULL, 0);
		frame_say(fd, EXEC_OUT, 0, "said", 4);
		frame_say(fd, EXEC_EXIT, 0, "\007", 1);
	}
	close(fd);
	return NULL;
}

static int ask(const char *const *words, const char *with)
{
	pthread_t thread;
	int status;

	answer = with;
	ck_assert_int_eq(pthread_create(&thread, NULL, serve, NULL), 0);
	status = run(words);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	return status;
}

#define OK "{\"ok\":true}\n"

/* What is said, its NULs as line ends. */
static const struct {
	const char *words[WORDS_MAX], *spec;
} good[] = {
	{ { "s", "exec", "--", "a", "-b" }, "arg=a\narg=-b\ngo\n" },
	{ { "s", "exec", "--", "a", "--help" }, "arg=a\narg=--help\ngo\n" },
	{ { "s", "exec", "--cwd=/d", "--user", "u:g", "--env", "A=b", "--", "--", "c" },
	  "cwd=/d\nuser=u:g\nenv=A=b\narg=--\narg=c\ngo\n" },
	{ { "s", "shell" }, "arg=sh\narg=-l\ngo\n" },
	{ { "s", "shell", "--user", "u" }, "user=u\narg=sh\narg=-l\ngo\n" },
};

START_TEST(words_of_a_command)
{
	unsigned i;

	ck_assert_int_eq(ask(good[_i].words, OK), 7);
	ck_assert_str_eq(line, "{\"do\":\"exec\"}");
	ck_assert_uint_eq(f.head.kind, EXEC_SPEC);
	for (i = 0; i < f.head.len; i++)
		f.data[i] = f.data[i] ? f.data[i] : '\n';
	ck_assert_str_eq((char *)f.data, good[_i].spec);
	ck_assert_str_eq(out.text, "said");
	ck_assert_str_eq(err.text, "");
}
END_TEST

static const struct {
	const char *words[WORDS_MAX], *line;
} wrong[] = {
	{ { "s", "exec" }, "ctl exec: no command after --" },
	{ { "s", "exec", "--" }, "ctl exec: no command after --" },
	{ { "s", "exec", "--sue", "x" }, "--sue" },
	{ { "s", "exec", "a", "-x" }, "'a' is no option of it, and a command stands behind --" },
	{ { "s", "exec", "--cwd", "d", "--", "x" }, "a path in the guest is wanted" },
	{ { "s", "exec", "-t", "--", "x" }, "ctl exec: --tty: stdin is not a terminal" },
	{ { "s", "shell", "x" }, "ctl shell: 'x' is no option" },
	{ { "s", "shell", "--", "x" }, "ctl shell: 'x' is one word too many" },
	{ { "--json", "s", "exec", "--", "x" }, "ctl exec: --json and --wait are not for it" },
};

START_TEST(words_that_make_no_sense)
{
	ck_assert_int_eq(run(wrong[_i].words), 200);
	ck_assert_msg(strstr(err.text, wrong[_i].line), "%s", err.text);
	ck_assert_str_eq(out.text, "");
}
END_TEST

static const struct {
	const char *answer, *line;
} refusals[] = {
	{ "{\"ok\":false,\"error\":\"not now\"}\n", "ctl exec: not now\n" },
	{ "{\"ok\":false}\n", "ctl exec: the answer makes no sense\n" },
	{ "nonsense\n", "ctl exec: the answer makes no sense\n" },
	{ NULL, "ctl exec: s: the run has ended\n" },
};

START_TEST(refused)
{
	static const char *const words[] = { "s", "exec", "--", "x", NULL };

	ck_assert_int_eq(ask(words, refusals[_i].answer), 1);
	ck_assert_ptr_nonnull(strstr(err.text, refusals[_i].line));
}
END_TEST

START_TEST(no_such_socket)
{
	static const char *const words[] = { "none", "exec", "--", "x", NULL };

	ck_assert_int_eq(run(words), 1);
	ck_assert_ptr_nonnull(strstr(err.text, "ctl: none: No such file or directory"));
}
END_TEST

START_TEST(help)
{
	static const char *const words[] = { "--help", NULL };

	ck_assert_int_eq(run(words), 0);
	ck_assert_ptr_nonnull(strstr(out.text, "  exec [OPTION...] -- CMD..."));
	ck_assert_ptr_nonnull(strstr(out.text, "  --env NAME[=VALUE]"));
}
END_TEST

Suite *verbs_suite(void)
{
	Suite *s = suite_create("verbs");
	TCase *tc = unit_case(s, "verbs");

	tcase_add_checked_fixture(tc, listen_there, listen_no_more);
	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, words_of_a_command, 0, ARRAY_SIZE(good));
	tcase_add_loop_test(tc, words_that_make_no_sense, 0, ARRAY_SIZE(wrong));
	tcase_add_loop_test(tc, refused, 0, ARRAY_SIZE(refusals));
	tcase_add_test(tc, no_such_socket);
	tcase_add_test(tc, help);
	return s;
}

UNIT_MAIN(verbs_suite)
