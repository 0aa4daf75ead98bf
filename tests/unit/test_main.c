/* SPDX-License-Identifier: MIT */
/* The subcommands are stand-ins, which say how they were called. A real one is linked, too. */
#define main lunette_main
#define ctl_main fake_ctl_main
#define ctl_help fake_ctl_help
int main(int argc, char **argv);
#include "vmm/main.c"
#undef main

#include "tests/unit/unit.h"

#include <stdlib.h>

#include "tests/lib/stderr.h"
#include "tests/lib/stdout.h"

Suite *main_suite(void);

static struct stderr_text out, err;
static int status_of_command;

static int called(const char *name, int argc, char **argv)
{
	int i;

	printf("%s", name);
	for (i = 0; i < argc; i++)
		printf(" [%s]", argv[i]);
	ck_assert_ptr_null(argv[argc]);
	puts("");
	return status_of_command;
}

#define COMMAND(name)                                           \
	int name##_main(int argc, char **argv)                  \
	{                                                       \
		return called(#name, argc, argv);               \
	}                                                       \
								\
	void name##_help(FILE *to)                              \
	{                                                       \
		fputs("help of " #name "\n", to);               \
	}

COMMAND(run)
COMMAND(matrix)
COMMAND(ctl)
COMMAND(doctor)
COMMAND(clean)
COMMAND(kernel)
COMMAND(serve)

void crash_setup(void)
{
}

/* Words, up to NULL. Returns the status. */
static int start(const char *const *words)
{
	char *argv[8] = { strdup("lunette") };
	int argc, status;

	for (argc = 1; words[argc - 1]; argc++)
		argv[argc] = strdup(words[argc - 1]);
	stdout_begin(&out);
	stderr_begin(&err);
	status = lunette_main(argc, argv);
	stderr_end(&err);
	stdout_end(&out);
	while (argc--)
		free(argv[argc]);
	return status;
}

#define START(...) start((const char *const[]){ __VA_ARGS__, NULL })

static const struct {
	const char *words[5], *out;
} right[] = {
	{ { "run" }, "run\n" },
	{ { "run", "--", "true" }, "run [--] [true]\n" },
	{ { "matrix", "m" }, "matrix [m]\n" },
	{ { "ctl", "s", "quit" }, "ctl [s] [quit]\n" },
	{ { "doctor" }, "doctor\n" },
	{ { "clean" }, "clean\n" },
	{ { "kernel", "check", "f" }, "kernel [check] [f]\n" },
	{ { "run", "--help" }, "help of run\n" },
	{ { "ctl", "-h" }, "help of ctl\n" },
	{ { "clean", "help" }, "help of clean\n" },
	{ { "help", "kernel" }, "help of kernel\n" },
	{ { "--help", "matrix" }, "help of matrix\n" },
	{ { "run", "a", "--help" }, "run [a] [--help]\n" }, /* it looks itself */
	{ { "--version" }, "lunette " VERSION "-tests\n" },
	{ { "version" }, "lunette " VERSION "-tests\n" },
};

START_TEST(commands_and_help)
{
	ck_assert_int_eq(start(right[_i].words), 0);
	ck_assert_str_eq(out.text, right[_i].out);
	ck_assert_str_eq(err.text, "");
}
END_TEST

START_TEST(help_of_all)
{
	static const char *const words[] = { "help", "--help", "-h" };
	unsigned i;

	ck_assert_int_eq(START(words[_i]), 0);
	for (i = 0; i < ARRAY_SIZE(commands); i++) {
		if (commands[i].text)
			ck_assert_ptr_nonnull(strstr(out.text, commands[i].text));
	}
	ck_assert_ptr_nonnull(strstr(out.text, "  217   bug "));
	ck_assert_ptr_null(strstr(out.text, "shared-disk")); /* no command of users */
}
END_TEST

static const struct {
	const char *words[5], *err;
} wrong[] = {
	{ { "rnu" }, "'rnu' is not a command; did you mean run?\n" },
	{ { "boot" }, "'boot' is not a command; lunette --help lists them\n" },
	{ { "--kernel", "x" }, "options come after one: lunette run --help lists them\n" },
	{ { "help", "mtrix" }, "'mtrix' is not a command; did you mean matrix?\n" },
	{ { "" }, "'' is not a command" },
};

START_TEST(words_that_are_wrong)
{
	ck_assert_int_eq(start(wrong[_i].words), 200);
	ck_assert_msg(strstr(err.text, wrong[_i].err), "%s", err.text);
	ck_assert_str_eq(out.text, "");
}
END_TEST

START_TEST(no_words)
{
	ck_assert_int_eq(START(NULL), 200);
	ck_assert_ptr_nonnull(strstr(err.text, "usage: lunette COMMAND"));
	ck_assert_str_eq(out.text, "");
}
END_TEST

START_TEST(status_is_the_commands)
{
	status_of_command = 42;
	ck_assert_int_eq(START("run"), 42);
}
END_TEST

/* Answers that got nowhere are none; one that has failed has said so. */
static const struct {
	int command, status;
	bool reader_left;
} outputs[] = { { 0, 211, false }, { 7, 7, false }, { 0, 0, true } };

START_TEST(stdout_that_takes_nothing)
{
	char *argv[] = { (char[]){ "lunette" }, (char[]){ "ctl" }, NULL };
	int saved = dup(STDOUT_FILENO), pipes[2] = { -1, -1 }, full, status;

	signal(SIGPIPE, SIG_IGN);
	ck_assert_int_eq(pipe(pipes), 0);
	close(pipes[0]);
	full = open("/dev/full", O_WRONLY);
	ck_assert_int_ge(full, 0);
	status_of_command = outputs[_i].command;
	dup2(outputs[_i].reader_left ? pipes[1] : full, STDOUT_FILENO);
	stderr_begin(&err);
	status = lunette_main(2, argv);
	stderr_end(&err);
	dup2(saved, STDOUT_FILENO);
	clearerr(stdout);
	ck_assert_int_eq(status, outputs[_i].status);
	if (status == 211)
		ck_assert_str_eq(err.text, "lunette: error: stdout: cannot be written: No space "
					   "left on device\n");
	else
		ck_assert_str_eq(err.text, "");
}
END_TEST

/* No other file gets their numbers; to write to them is an error all the same. */
START_TEST(closed_standard_descriptors)
{
	char *argv[] = { (char[]){ "lunette" }, (char[]){ "--version" }, NULL };
	int saved[3], fd, flags[3], status;

	for (fd = 0; fd < 3; fd++) {
		saved[fd] = fcntl(fd, F_DUPFD, 10);
		close(fd);
	}
	status = lunette_main(2, argv);
	for (fd = 0; fd < 3; fd++) {
		flags[fd] = fcntl(fd, F_GETFL);
		dup2(saved[fd], fd);
	}
	clearerr(stdout);
	for (fd = 0; fd < 3; fd++)
		ck_assert_int_eq(flags[fd] & O_ACCMODE, O_RDONLY);
	ck_assert_int_eq(status, 211);
}
END_TEST

START_TEST(descriptors_for_many_disks)
{
	struct rlimit limit;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = 64;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	START("run");
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	ck_assert_uint_eq(limit.rlim_cur, limit.rlim_max);
}
END_TEST

Suite *main_suite(void)
{
	Suite *s = suite_create("main");
	TCase *tc = unit_case(s, "main");

	tcase_add_loop_test(tc, commands_and_help, 0, ARRAY_SIZE(right));
	tcase_add_loop_test(tc, help_of_all, 0, 3);
	tcase_add_loop_test(tc, words_that_are_wrong, 0, ARRAY_SIZE(wrong));
	tcase_add_test(tc, no_words);
	tcase_add_test(tc, status_is_the_commands);
	tcase_add_loop_test(tc, stdout_that_takes_nothing, 0, ARRAY_SIZE(outputs));
	tcase_add_test(tc, closed_standard_descriptors);
	tcase_add_test(tc, descriptors_for_many_disks);
	return s;
}

UNIT_MAIN(main_suite)
