/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/stderr.h"
#include "tests/lib/stdout.h"
#include "vmm/run/run.h"

Suite *kernel_cmd_suite(void);

static char top[64];
static struct stderr_text out, err;

static void set_up(void)
{
	strcpy(top, "/tmp/lunette-cmd-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(top));
	ck_assert_int_eq(chdir(top), 0);
	setenv("XDG_CACHE_HOME", top, 1);
}

static void tear_down(void)
{
	char line[100];

	snprintf(line, sizeof(line), "rm -rf %s", top);
	ck_assert_int_eq(system(line), 0);
}

/* Words with blanks between them. Returns the status. */
static int run(const char *words)
{
	char *copy = strdup(words), *rest = copy, *argv[8];
	int argc = 0, status;

	while (*copy && argc < 7 && (argv[argc] = strsep(&rest, " ")))
		argc++;
	argv[argc] = NULL;
	stdout_begin(&out);
	stderr_begin(&err);
	status = kernel_main(argc, argv);
	stderr_end(&err);
	stdout_end(&out);
	free(copy);
	return status;
}

static const struct {
	const char *words, *line;
} wrong[] = {
	{ "", "kernel: a command is wanted: list, which, modules, get, build, check" },
	{ "lst", "kernel: 'lst' is no command; did you mean list?" },
	{ "remove", "kernel: 'remove' is no command; there are list, which, modules, get, build, "
		    "check" },
	{ "which", "kernel which: KERNEL is missing" },
	{ "modules a b", "kernel modules: 'b' is one word too many" },
	{ "list all", "kernel list: 'all' is one word too many" },
	{ "get", "kernel get: VERSION is missing" },
	{ "get 6.1 6.2", "kernel get: '6.2' is one word too many" },
	{ "get linux", "kernel get linux: that is no version, as 6.12 or 6.1.0-32-amd64" },
	{ "build micro", "kernel build micro: nothing, full or debug is wanted" },
	{ "check", "kernel check: FILE is missing" },
	{ "check -x", "kernel check: unknown option -x" },
};

START_TEST(words_that_are_wrong)
{
	char line[200];

	ck_assert_int_eq(run(wrong[_i].words), 200);
	snprintf(line, sizeof(line), "lunette: error: %s\n", wrong[_i].line);
	ck_assert_str_eq(err.text, line);
	ck_assert_str_eq(out.text, "");
}
END_TEST

START_TEST(help)
{
	static const char *const words[] = { "--help", "get -h", "check x --help" };

	ck_assert_int_eq(run(words[_i]), 0);
	ck_assert_int_eq(strncmp(out.text, "usage: lunette kernel ", 22), 0);
	ck_assert_ptr_nonnull(strstr(out.text, "\n  build [full|debug]\n"));
	ck_assert_str_eq(err.text, "");
}
END_TEST

/* A suite is not installed. */
START_TEST(no_scripts)
{
	ck_assert_int_eq(run("get 6.12"), 201);
	ck_assert_ptr_nonnull(strstr(err.text, "kernel get 6.12: what fetches it, "));
	ck_assert_int_eq(run("build full"), 201);
	ck_assert_ptr_nonnull(strstr(err.text, "kernel build: the recipe, "));
}
END_TEST

/* The row of @name, its mark first; it lives in @out. */
static const char *row(const char *name)
{
	static char text[200];
	const char *at = out.text, *end;
	size_t len = strlen(name);

	for (; *at; at = end + 1) {
		end = strchr(at, '\n');
		if (strncmp(at + 2, name, len) || at[2 + len] != ' ')
			continue;
		snprintf(text, sizeof(text), "%.*s", (int)(end - at), at);
		return text;
	}
	return "";
}

START_TEST(list_of_nothing)
{
	ck_assert_int_eq(run("list"), 0);
	ck_assert_int_eq(strncmp(out.text, "- micro ", 8), 0);
	ck_assert_ptr_nonnull(strstr(row("full"), " 'lunette kernel build full' makes it"));
	ck_assert_ptr_nonnull(strstr(row("debug"), " 'lunette kernel build debug' makes it"));
	/* of this system, which may have one: then it is what a command has */
	ck_assert_ptr_nonnull(strchr("*-", *row("host")));
	ck_assert_str_eq(row("6.2"), "");
	ck_assert_str_eq(err.text, "");
}
END_TEST

START_TEST(list_of_all)
{
	char wanted[100];

	ck_assert_int_eq(mkdir("lunette", 0700), 0);
	ck_assert_int_eq(system("cd lunette && mkdir -p kernel-micro kernels/6.2-x kernels/7 && "
				"touch kernel-micro/vmlinux kernels/6.2-x/vmlinuz && "
				"ln -s 6.2-x kernels/6.2 && mkdir kernels/.new"), 0);
	ck_assert_int_eq(run("list"), 0);
	ck_assert_int_eq(strncmp(out.text, "* micro ", 8), 0);
	ck_assert_ptr_nonnull(strchr(" -", *row("host")));
	snprintf(wanted, sizeof(wanted), " %s/lunette/kernels/6.2-x/vmlinuz", top);
	ck_assert_ptr_nonnull(strstr(row("6.2-x"), wanted));
	ck_assert_ptr_nonnull(strstr(row("6.2"), wanted));
	ck_assert_str_eq(row("7"), ""); /* has no kernel */
}
END_TEST

/* A tree whose modules are built in: there is a list of none. */
START_TEST(what_a_word_means)
{
	ck_assert_int_eq(system("mkdir -p lunette/kernel-micro tree/arch/x86/boot "
				"tree/include/config && "
				"touch lunette/kernel-micro/vmlinux tree/modules.order "
				"tree/arch/x86/boot/bzImage && "
				"echo 6.1 >tree/include/config/kernel.release"), 0);
	ck_assert_int_eq(run("which tree"), 0);
	ck_assert_str_eq(out.text, "tree/arch/x86/boot/bzImage\n");
	ck_assert_int_eq(run("modules tree"), 0);
	ck_assert_int_eq(strncmp(out.text, "070701", 6), 0);
	ck_assert_str_eq(err.text, "");
	ck_assert_int_eq(run("which micro"), 0);
	ck_assert_ptr_nonnull(strstr(out.text, "/lunette/kernel-micro/vmlinux\n"));
	ck_assert_int_eq(run("modules micro"), 0);
	ck_assert_str_eq(out.text, "");
	ck_assert_str_eq(err.text, "");
}
END_TEST

static const char *const no_kernels[][2] = {
	{ "which none", "--kernel none: No such file or directory" },
	{ "modules none", "--kernel none: No such file or directory" },
	{ "which .", "--kernel .: this folder has no kernel: " },
	{ "modules 6.12", "--kernel 6.12: what fetches it, share/lunette/kernel/fetch.sh, " },
};

START_TEST(what_means_none)
{
	char wanted[200];

	ck_assert_int_eq(run(no_kernels[_i][0]), 201);
	snprintf(wanted, sizeof(wanted), "lunette: error: %s", no_kernels[_i][1]);
	ck_assert_int_eq(strncmp(err.text, wanted, strlen(wanted)), 0);
	ck_assert_ptr_eq(strchr(err.text, '\n'), err.text + strlen(err.text) - 1);
	ck_assert_str_eq(out.text, "");
}
END_TEST

START_TEST(check_of_files)
{
	ck_assert_int_eq(run("check none"), 201);
	ck_assert_str_eq(err.text, "lunette: error: kernel check none: No such file or "
			 "directory\n");
	ck_assert_int_eq(system("echo CONFIG_64BIT=y >config"), 0);
	ck_assert_int_eq(run("check config"), 1);
	ck_assert_ptr_nonnull(strstr(out.text, " missing\n"));
	ck_assert_str_eq(err.text, "");
}
END_TEST

Suite *kernel_cmd_suite(void)
{
	Suite *s = suite_create("kernel_cmd");
	TCase *tc = unit_case(s, "kernel_cmd");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_loop_test(tc, words_that_are_wrong, 0, sizeof(wrong) / sizeof(*wrong));
	tcase_add_loop_test(tc, help, 0, 3);
	tcase_add_test(tc, no_scripts);
	tcase_add_test(tc, list_of_nothing);
	tcase_add_test(tc, list_of_all);
	tcase_add_test(tc, what_a_word_means);
	tcase_add_loop_test(tc, what_means_none, 0, sizeof(no_kernels) / sizeof(*no_kernels));
	tcase_add_test(tc, check_of_files);
	return s;
}

UNIT_MAIN(kernel_cmd_suite)
