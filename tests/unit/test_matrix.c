/* SPDX-License-Identifier: MIT */
/*
 * "lunette matrix" as a whole. Runs are this program itself (fakelunette.h), and any word is one
 * that "lunette run" understands, but for "wrong".
 */
#include "tests/unit/unit.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tests/lib/fakelunette.h"
#include "tests/lib/tree.h"
#include "tests/lib/typed.h"
#include "vmm/core/fail.h"
#include "vmm/core/log.h"
#include "vmm/core/util.h"
#include "vmm/run/run.h"

Suite *matrix_suite(void);


static struct tree tree;
static struct stderr_text out, err;
static uint64_t need = MIB(1); /* of memory, each run's */

int run_check(int argc, char *const *argv, uint64_t *memory, unsigned *cpus, opt_hear *written,
	      void *arg)
{
	int i;

	*memory = need;
	*cpus = 1;
	for (i = 0; i < argc; i++) {
		if (!strcmp(argv[i], "wrong")) {
			log_err("wrong: is no option");
			return -EUSAGE;
		}
		if (!strcmp(argv[i], "--out"))
			written(arg, "--out", argv[i + 1]);
	}
	return 0;
}

static void set_up(void)
{
	tree_create(&tree);
	ck_assert_int_eq(chdir(tree.root), 0);
}

static void tear_down(void)
{
	tree_remove(&tree);
}

static void put(const char *text)
{
	tree_put(&tree, "/m", text);
}

/* Words, up to NULL. Returns the status. Once in a process, as signals stay as they are then. */
static int matrix(const char *const *words)
{
	return command_typed(matrix_main, words, &out, &err);
}

#define MATRIX(...) matrix((const char *const[]){ __VA_ARGS__, NULL })

static bool is_there(const char *path)
{
	return access(path, F_OK) == 0;
}

static bool has(const char *path, const char *what)
{
	char text[8192];
	FILE *f = fopen(path, "r");

	ck_assert_ptr_nonnull(f);
	text[fread(text, 1, sizeof(text) - 1, f)] = 0;
	fclose(f);
	return strstr(text, what);
}

START_TEST(all_succeed)
{
	put("run --x y cause exit\na one --x y say 1\na two --x y say 2\nb p\nb q\n");
	ck_assert_int_eq(MATRIX("m"), 0);
	ck_assert_ptr_nonnull(strstr(out.text, "ok      one,p"));
	ck_assert_ptr_nonnull(strstr(out.text, "two,q"));
	ck_assert_str_eq(err.text, "");
}
END_TEST

/* 1: a command has failed; else the gravest cause. */
static const struct {
	const char *file;
	int status;
} statuses[] = {
	{ "a x --x y cause exit\na y --x y cause exit exit 3\n", 1 },
	{ "a x --x y cause panic exit 205\na y --x y cause timeout exit 212\n", 205 },
	{ "a x --x y cause panic exit 205\na y --x y kill 9\n", 217 },
	{ "a x --x y cause panic exit 205\na y --x y cause exit exit 7\n", 1 },
};

START_TEST(some_fail)
{
	put(statuses[_i].file);
	ck_assert_int_eq(MATRIX("m"), statuses[_i].status);
	ck_assert_ptr_nonnull(strstr(out.text, "y"));
}
END_TEST

START_TEST(what_it_printed_last)
{
	put("a x --x y say out err why cause exit exit 3\na y --x y say fine cause exit\n");
	ck_assert_int_eq(MATRIX("m"), 1);
	ck_assert_ptr_nonnull(strstr(out.text, "out\n"));
	ck_assert_ptr_nonnull(strstr(out.text, "why\n"));
	ck_assert_ptr_null(strstr(out.text, "fine\n"));
}
END_TEST

/* No other begins, and those that run are stopped. */
START_TEST(fail_fast)
{
	put(_i ? "a x --x y file waits wait\na y --x y await waits cause exit exit 3\n"
		 "a z --x y file began\n" :
		 "a x --x y cause exit exit 3\na y --x y file began wait\n");
	ck_assert_int_eq(MATRIX("m", "--fail-fast", "--slots", _i ? "2" : "1"), 1);
	ck_assert(!is_there("began"));
}
END_TEST

START_TEST(kept)
{
	put("a x --x y say out cause exit\na y --x y cause exit\n");
	ck_assert_int_eq(MATRIX("m", "--keep", "k", "--json", "r.json", "--junit", "r.xml"), 0);
	ck_assert(has("k/x/stdout", "out\n"));
	ck_assert(has("k/y/report.json", "exit"));
	ck_assert(has("r.json", "\"x\""));
	ck_assert(has("r.json", "\"y\""));
	ck_assert(has("r.xml", "<testsuite"));
}
END_TEST

/* Paths in a file are relative to its folder. */
START_TEST(folder_of_the_file)
{
	tree_put(&tree, "/sub/m", "a x --x y file here cause exit\n");
	ck_assert_int_eq(MATRIX("sub/m"), 0);
	ck_assert(is_there("sub/here"));
}
END_TEST

START_TEST(list)
{
	put("run --x 'a b'\na one\na two --x y file began\n");
	ck_assert_int_eq(MATRIX("m", "--list"), 0);
	ck_assert_str_eq(out.text, "one  lunette run --x 'a b'\n"
				   "two  lunette run --x 'a b' --x y file began\n");
	ck_assert(!is_there("began"));
}
END_TEST

START_TEST(too_large_for_this_host)
{
	need = 1ull << 60;
	put("a x --x y file began\n");
	ck_assert_int_eq(MATRIX("m"), 215);
	ck_assert_ptr_nonnull(strstr(out.text, "guest and overhead need "));
	ck_assert(!is_there("began"));
}
END_TEST

/* Found before any begins. */
static const struct {
	const char *file, *line;
} wrong[] = {
	{ "a x --x y file began\na y --x wrong\n", "m: y: wrong: is no option" },
	{ "a x --x y file began\na y --json r\n", "m: y: --json is not for a run of a matrix" },
	{ "a x --x y file began --tty\n", "m: x: --tty is not for a run of a matrix" },
	{ "a x --x y file began --out o\na y --out o\n", "m: x and y would write to the same" },
	{ "a x 'began\n", "m:1: a quote is not closed" },
	{ "", "m: no runs" },
};

START_TEST(file_that_is_wrong)
{
	put(wrong[_i].file);
	ck_assert_int_eq(MATRIX("m"), 200);
	ck_assert_msg(strstr(err.text, wrong[_i].line), "%s", err.text);
	ck_assert_str_eq(out.text, "");
	ck_assert(!is_there("began"));
}
END_TEST

/* After -- all is the command's. */
START_TEST(words_of_commands)
{
	put("a x --x y -- --json --tty wrong-not cause exit\n");
	ck_assert_int_eq(MATRIX("m"), 0);
}
END_TEST

START_TEST(words_that_are_wrong)
{
	put("a x --x y\n");
	ck_assert_int_eq(MATRIX(NULL), 200);
	ck_assert_ptr_nonnull(strstr(err.text, "FILE is missing"));
	ck_assert_int_eq(MATRIX("m", "m"), 200);
	ck_assert_ptr_nonnull(strstr(err.text, "one FILE is wanted"));
	ck_assert_int_eq(MATRIX("m", "--slots", "0"), 200);
	ck_assert_int_eq(MATRIX("none"), 200);
	ck_assert_ptr_nonnull(strstr(err.text, "none: No such file"));
	ck_assert_int_eq(MATRIX("m", "--help"), 0);
	ck_assert_ptr_nonnull(strstr(out.text, "usage: lunette matrix"));
}
END_TEST

/* The user's files: 200; the host's: 201. */
START_TEST(reports_that_cannot_be)
{
	put("a x --x y file began\n");
	ck_assert_int_eq(MATRIX("m", "--json", "m"), 200);
	ck_assert_ptr_nonnull(strstr(err.text, "is the same file as"));
	ck_assert_int_eq(MATRIX("m", "--json", "none/r"), 201);
	ck_assert_int_eq(MATRIX("m", "--keep", "none/k"), 201);
	ck_assert(!is_there("began"));
}
END_TEST

/* Once "began" is there. */
static pid_t signal_later(int signal)
{
	static const struct timespec pause = { .tv_nsec = 10000000 };
	pid_t parent = getpid(), pid = fork();

	if (pid)
		return pid;
	while (!is_there("began"))
		nanosleep(&pause, NULL);
	kill(parent, signal);
	_exit(0);
}

START_TEST(stopped_by_the_user)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP };

	put("a x --x y file began wait\na y --x y file second\n");
	signal_later(signals[_i]);
	ck_assert_int_eq(MATRIX("m", "--slots", "1"), 128 + signals[_i]);
	ck_assert_ptr_nonnull(strstr(err.text, "runs are being stopped"));
	ck_assert(!is_there("second"));
}
END_TEST

/* As by nohup. */
START_TEST(signals_that_are_ignored)
{
	signal(SIGHUP, SIG_IGN);
	put("a x --x y file began cause exit\na y --x y cause exit\n");
	signal_later(SIGHUP);
	ck_assert_int_eq(MATRIX("m", "--slots", "1"), 0);
}
END_TEST

Suite *matrix_suite(void)
{
	Suite *s = suite_create("matrix");
	TCase *tc = unit_case(s, "matrix");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, all_succeed);
	tcase_add_loop_test(tc, some_fail, 0, ARRAY_SIZE(statuses));
	tcase_add_test(tc, what_it_printed_last);
	tcase_add_loop_test(tc, fail_fast, 0, 2);
	tcase_add_test(tc, kept);
	tcase_add_test(tc, folder_of_the_file);
	tcase_add_test(tc, list);
	tcase_add_test(tc, too_large_for_this_host);
	tcase_add_loop_test(tc, file_that_is_wrong, 0, ARRAY_SIZE(wrong));
	tcase_add_test(tc, words_of_commands);
	tcase_add_test(tc, words_that_are_wrong);
	tcase_add_test(tc, reports_that_cannot_be);
	tcase_add_loop_test(tc, stopped_by_the_user, 0, 3);
	tcase_add_test(tc, signals_that_are_ignored);
	return s;
}

UNIT_MAIN_OR(matrix_suite, fakelunette_main)
