/* SPDX-License-Identifier: MIT */
/* Runs are this program itself, which is called by the name of lunette then (fakelunette.h). */
#include "tests/unit/unit.h"

#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/lib/fakelunette.h"
#include "tests/lib/tree.h"
#include "vmm/core/claim.h"
#include "vmm/core/util.h"
#include "vmm/run/matrix/matrix_child.h"
#include "vmm/run/matrix/matrix_file.h"
#include "vmm/run/matrix/matrix_result.h"

Suite *matrix_child_suite(void);

#define WORDS_MAX 24

static struct tree tree;
static struct matrix_child_cfg cfg;
static struct matrix_child child;
static struct matrix_result result;

static void set_up(void)
{
	tree_create(&tree);
	tree_put(&tree, "/d/file", "");
	tree_put(&tree, "/k/file", "");
	ck_assert_int_eq(chdir(tree.root), 0);
	cfg.dir = "d";
	cfg.claims = claims_create(false);
	ck_assert_int_eq(claims_begin(cfg.claims), 0);
	sigprocmask(SIG_SETMASK, NULL, &cfg.mask);
}

static void tear_down(void)
{
	matrix_result_fini(&result);
	claims_destroy(cfg.claims);
	tree_remove(&tree);
}

static void keep(void)
{
	static char path[100];

	snprintf(path, sizeof(path), "%s/k", tree.root);
	cfg.keep = path;
}

static int start(const char *const *words)
{
	struct matrix_run run = { .name = (char[]){ "a,b" }, .argv = (char **)words };

	while (words[run.argc])
		run.argc++;
	return matrix_child_start(&child, &cfg, &run);
}

/* It is dead, and a zombie. */
static void await(void)
{
	siginfo_t info;

	ck_assert_int_eq(waitid(P_PID, child.pid, &info, WEXITED | WNOWAIT), 0);
}

static void run(const char *const *words)
{
	ck_assert_int_eq(start(words), 0);
	await();
	matrix_child_end(&child, &result);
	ck_assert_int_eq(child.pid, 0);
}

#define WORDS(...) ((const char *const[]){ __VA_ARGS__, NULL })

static const struct {
	const char *words[WORDS_MAX];
	int status;
	enum cause cause;
	const char *error; /* NULL: none */
} ends[] = {
	{ { "cause", "poweroff" }, 0, CAUSE_POWEROFF, NULL },
	{ { "cause", "exit", "exit", "3" }, 3, CAUSE_EXIT, NULL },
	{ { "cause", "panic", "exit", "205" }, 205, CAUSE_PANIC, NULL },
	{ { "exit", "7" }, 7, CAUSE_BUG, "lunette ended with status 7, and no report" },
	{ { "cause", "nonsense" }, 0, CAUSE_BUG, NULL },
	{ { "kill", "9" }, 137, CAUSE_BUG, "lunette was killed by signal 9" },
	{ { "kill", "15" }, 143, CAUSE_SIGNAL, "lunette was killed by signal 15" },
	{ { "cause", "timeout", "kill", "9" }, 137, CAUSE_TIMEOUT, "was killed by signal 9" },
};

START_TEST(how_it_ended)
{
	run(ends[_i].words);
	ck_assert_int_eq(result.status, ends[_i].status);
	ck_assert_int_eq(result.cause, ends[_i].cause);
	if (ends[_i].error)
		ck_assert_ptr_nonnull(strstr(result.error, ends[_i].error));
	else
		ck_assert_ptr_null(result.error);
	ck_assert(result.seconds >= 0 && result.seconds < 60);
}
END_TEST

START_TEST(reports)
{
	cfg.junit = _i;
	run(WORDS("cause", "poweroff", "junit"));
	ck_assert_str_eq(json_string_value(json_object_get(result.report, "cause")), "poweroff");
	if (_i)
		ck_assert_str_eq(result.junit, "<testsuites></testsuites>");
	else
		ck_assert_ptr_null(result.junit);
}
END_TEST

/* Of one that has failed, and of both streams. */
START_TEST(last_lines)
{
	const char *words[90] = { NULL };
	char number[30][8];
	unsigned i, n = 0;

	for (i = 0; i < 30; i++) {
		snprintf(number[i], sizeof(number[i]), "%u", i);
		words[n++] = "say";
		words[n++] = number[i];
	}
	words[n++] = "err";
	words[n++] = "why";
	words[n++] = "exit";
	words[n] = "1";
	run(words);
	ck_assert_ptr_eq(strstr(result.last, "10\n11\n"), result.last);
	ck_assert_ptr_nonnull(strstr(result.last, "28\n29\nwhy\n"));
	matrix_result_fini(&result);
	run(WORDS("say", "all is well"));
	ck_assert_ptr_null(result.last);
}
END_TEST

START_TEST(where_it_runs)
{
	run(WORDS("file", "here"));
	ck_assert_int_eq(access("d/here", F_OK), 0);
}
END_TEST

static const char *text_of(const char *path)
{
	static char text[256];
	FILE *f = fopen(path, "r");

	ck_assert_ptr_nonnull(f);
	text[fread(text, 1, sizeof(text) - 1, f)] = 0;
	fclose(f);
	return text;
}

START_TEST(kept)
{
	keep();
	cfg.junit = true;
	run(WORDS("say", "out", "err", "why", "cause", "poweroff", "junit"));
	ck_assert_str_eq(text_of("k/a,b/stdout"), "out\n");
	ck_assert_str_eq(text_of("k/a,b/stderr"), "why\n");
	ck_assert_str_eq(text_of("k/a,b/report.json"), "{\"cause\": \"poweroff\"}");
	ck_assert_str_eq(text_of("k/a,b/report.xml"), "<testsuites></testsuites>");
	matrix_result_fini(&result);
	run(WORDS("say", "again")); /* replaces what was there */
	ck_assert_str_eq(text_of("k/a,b/stdout"), "again\n");
}
END_TEST

/* Nothing is left over, by name or open. */
START_TEST(nothing_is_left)
{
	int before = dup(0), after;

	close(before);
	setenv("TMPDIR", tree.root, 1);
	run(WORDS("say", "x", "cause", "poweroff"));
	after = dup(0);
	close(after);
	ck_assert_int_eq(after, before);
	ck_assert_int_eq(system("[ \"$(ls -A | tr '\\n' ' ')\" = 'd k ' ]"), 0);
}
END_TEST

/* Whom a run has left behind goes with it. */
START_TEST(processes_left_behind)
{
	int pipes[2];
	char byte;

	ck_assert_int_eq(pipe(pipes), 0);
	ck_assert_int_eq(start(WORDS("behind", "exit", "0")), 0);
	close(pipes[1]);
	await();
	matrix_child_end(&child, &result);
	ck_assert_int_eq(read(pipes[0], &byte, 1), 0); /* nobody has the other end any more */
}
END_TEST

/* A ^C at the terminal is not for it. */
START_TEST(group_of_its_own)
{
	static const struct timespec pause = { .tv_nsec = 5000000 };

	ck_assert_int_eq(start(WORDS("file", "began", "wait")), 0);
	while (access("d/began", F_OK) < 0)
		nanosleep(&pause, NULL);
	ck_assert_int_eq(getpgid(child.pid), child.pid);
	ck_assert_int_ne(getpgid(child.pid), getpgid(0));
	kill(-child.pid, SIGTERM);
	await();
	matrix_child_end(&child, &result);
	ck_assert_int_eq(result.status, 128 + SIGTERM);
}
END_TEST

START_TEST(no_folder_to_run_in)
{
	cfg.dir = "none";
	run(WORDS("say", "x"));
	ck_assert_int_eq(result.status, causes[CAUSE_BUG].status);
}
END_TEST

START_TEST(no_folder_to_keep_in)
{
	cfg.keep = "none";
	ck_assert_int_eq(start(WORDS("say", "x")), -ENOENT);
	ck_assert_int_eq(child.pid, 0);
}
END_TEST

Suite *matrix_child_suite(void)
{
	Suite *s = suite_create("matrix_child");
	TCase *tc = unit_case(s, "child");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_loop_test(tc, how_it_ended, 0, ARRAY_SIZE(ends));
	tcase_add_loop_test(tc, reports, 0, 2);
	tcase_add_test(tc, last_lines);
	tcase_add_test(tc, where_it_runs);
	tcase_add_test(tc, kept);
	tcase_add_test(tc, nothing_is_left);
	tcase_add_test(tc, processes_left_behind);
	tcase_add_test(tc, group_of_its_own);
	tcase_add_test(tc, no_folder_to_run_in);
	tcase_add_test(tc, no_folder_to_keep_in);
	return s;
}

UNIT_MAIN_OR(matrix_child_suite, fakelunette_main)
