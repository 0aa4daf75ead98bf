/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/stderr.h"
#include "tests/lib/tree.h"
#include "vmm/core/claim.h"
#include "vmm/core/fail.h"
#include "vmm/core/util.h"
#include "vmm/run/matrix/matrix_file.h"
#include "vmm/run/matrix/matrix_kept.h"
#include "vmm/run/matrix/matrix_result.h"

Suite *matrix_kept_suite(void);

static struct tree tree;
static struct stderr_text said;
static struct claims *claims;
static struct matrix_kept k;
static struct matrix_run runs[] = { { .name = (char[]){ "one" } }, { .name = (char[]){ "two" } } };
static const struct matrix m = { .path = "m", .run = runs, .runs = 2 };
static struct matrix_result results[2];

static void set_up(void)
{
	tree_create(&tree);
	ck_assert_int_eq(chdir(tree.root), 0);
	claims = claims_create(false);
	k = (struct matrix_kept)MATRIX_KEPT_NOTHING;
	stderr_begin(&said);
}

static void tear_down(void)
{
	matrix_kept_close(&k);
	claims_destroy(claims);
	tree_remove(&tree);
}

static int open_kept(const char *folder, const char *json, const char *junit)
{
	const struct matrix_kept_cfg cfg = { folder, { [MATRIX_JSON] = json,
						       [MATRIX_JUNIT] = junit } };

	return matrix_kept_open(&k, claims, &cfg, &m);
}

static const char *text_of(const char *path)
{
	static char text[4096];
	FILE *f = fopen(path, "r");

	text[f ? fread(text, 1, sizeof(text) - 1, f) : 0] = 0;
	if (f)
		fclose(f);
	return text;
}

START_TEST(nothing_wanted)
{
	ck_assert_int_eq(open_kept(NULL, NULL, NULL), 0);
	ck_assert_int_eq(matrix_kept_begin(&k, &m, results), 0);
	ck_assert_int_eq(matrix_kept_write(&k, &m, results), 0);
	ck_assert_ptr_null(k.folder);
	ck_assert_str_eq(stderr_end(&said), "");
}
END_TEST

/* Whenever we are killed, the reports tell the truth. */
START_TEST(reports_from_the_beginning)
{
	ck_assert_int_eq(open_kept(NULL, "r.json", "r.xml"), 0);
	ck_assert_int_eq(claims_begin(claims), 0);
	ck_assert_int_eq(matrix_kept_begin(&k, &m, results), 0);
	ck_assert_ptr_nonnull(strstr(text_of("r.json"), "\"one\""));
	ck_assert_ptr_null(strstr(text_of("r.json"), "\"poweroff\""));
	ck_assert_ptr_nonnull(strstr(text_of("r.xml"), "<testsuite"));
	results[0].state = results[1].state = MATRIX_ENDED;
	ck_assert_int_eq(matrix_kept_write(&k, &m, results), 0);
	ck_assert_ptr_nonnull(strstr(text_of("r.json"), "\"poweroff\""));
	ck_assert_str_eq(stderr_end(&said), "");
}
END_TEST

/* What cannot be replaced is written once, at the end. */
START_TEST(reports_into_a_pipe)
{
	char path[32], text[4096];
	int pipes[2];
	ssize_t n;

	ck_assert_int_eq(pipe2(pipes, O_NONBLOCK), 0);
	snprintf(path, sizeof(path), "/dev/fd/%d", pipes[1]);
	ck_assert_int_eq(open_kept(NULL, path, NULL), 0);
	ck_assert_int_eq(matrix_kept_begin(&k, &m, results), 0);
	ck_assert_int_lt(read(pipes[0], text, sizeof(text)), 0);
	ck_assert_int_eq(matrix_kept_write(&k, &m, results), 0);
	n = read(pipes[0], text, sizeof(text) - 1);
	ck_assert_int_gt(n, 0);
	text[n] = 0;
	ck_assert_ptr_nonnull(strstr(text, "\"two\""));
}
END_TEST

START_TEST(one_report_that_fails)
{
	ck_assert_int_eq(open_kept(NULL, "/dev/full", "r.xml"), 0);
	ck_assert_int_eq(claims_begin(claims), 0);
	ck_assert_int_eq(matrix_kept_begin(&k, &m, results), 0);
	ck_assert_int_eq(matrix_kept_write(&k, &m, results), -ENOSPC);
	ck_assert_ptr_nonnull(strstr(text_of("r.xml"), "<testsuite"));
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "--json /dev/full: No space left"));
}
END_TEST

/* A page goes the way of the other reports, and is no other one's file. */
START_TEST(page)
{
	const struct matrix_kept_cfg both = { .report = { "r", NULL, "./r" } };
	const struct matrix_kept_cfg cfg = { .report = { [MATRIX_HTML] = "r.html" } };

	ck_assert_int_eq(matrix_kept_open(&k, claims, &cfg, &m), 0);
	ck_assert_int_eq(claims_begin(claims), 0);
	ck_assert_int_eq(matrix_kept_begin(&k, &m, results), 0);
	ck_assert_ptr_nonnull(strstr(text_of("r.html"), "<!DOCTYPE html>"));
	matrix_kept_close(&k);
	ck_assert_int_eq(matrix_kept_open(&k, claims, &both, &m), -EUSAGE);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "--html ./r: is the same file as --json"));
}
END_TEST

START_TEST(folder)
{
	char path[100];

	ck_assert_int_eq(open_kept("k", NULL, NULL), 0);
	snprintf(path, sizeof(path), "%s/k", tree.root);
	ck_assert_str_eq(k.folder, path); /* whatever folder a run is in */
	ck_assert_int_eq(access(path, W_OK), 0);
}
END_TEST

static const struct {
	const char *there; /* a file */
	int error;
	const char *line;
} in_the_way[] = {
	{ "/k", -ENOTDIR, "--keep k: Not a directory" },
	{ "/k/two", -ENOTDIR, "/k/two: Not a directory" },
	{ "/k/two/file", 0, "" }, /* of an earlier matrix */
	{ "/k/three", 0, "" },
};

START_TEST(what_is_there)
{
	tree_put(&tree, in_the_way[_i].there, "");
	ck_assert_int_eq(open_kept("k", NULL, NULL), in_the_way[_i].error);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), in_the_way[_i].line));
	ck_assert(!in_the_way[_i].error || lstat("r.json", &(struct stat){ 0 }) < 0);
}
END_TEST

START_TEST(folder_in_no_folder)
{
	ck_assert_int_eq(open_kept("none/k", NULL, NULL), -ENOENT);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "--keep none/k: No such file"));
}
END_TEST

START_TEST(one_file_for_both)
{
	ck_assert_int_eq(open_kept(NULL, "r", "./r"), -EUSAGE);
	ck_assert_str_eq(stderr_end(&said), "lunette: error: --junit ./r: is the same file as "
			 "--json r; what is written needs a file of its own\n");
}
END_TEST

Suite *matrix_kept_suite(void)
{
	Suite *s = suite_create("matrix_kept");
	TCase *tc = unit_case(s, "kept");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, nothing_wanted);
	tcase_add_test(tc, reports_from_the_beginning);
	tcase_add_test(tc, reports_into_a_pipe);
	tcase_add_test(tc, one_report_that_fails);
	tcase_add_test(tc, page);
	tcase_add_test(tc, folder);
	tcase_add_loop_test(tc, what_is_there, 0, ARRAY_SIZE(in_the_way));
	tcase_add_test(tc, folder_in_no_folder);
	tcase_add_test(tc, one_file_for_both);
	return s;
}

UNIT_MAIN(matrix_kept_suite)
