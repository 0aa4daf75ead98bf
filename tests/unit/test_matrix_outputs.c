/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/stderr.h"
#include "tests/lib/tree.h"
#include "vmm/core/fail.h"
#include "vmm/core/util.h"
#include "vmm/run/matrix/matrix_file.h"
#include "vmm/run/matrix/matrix_outputs.h"

Suite *matrix_outputs_suite(void);

#define RUNS 3

static struct tree tree;
static struct stderr_text said;
static struct matrix_outputs o;
static char *words[RUNS][3]; /* of each run's command line */
static struct matrix_run runs[RUNS] = {
	{ .name = (char[]){ "one" }, .argv = words[0] },
	{ .name = (char[]){ "two" }, .argv = words[1] },
	{ .name = (char[]){ "three" }, .argv = words[2] },
};
static const struct matrix m = { .path = "m", .run = runs, .runs = RUNS };

static void set_up(void)
{
	tree_create(&tree);
	tree_put(&tree, "/file", "");
	tree_put(&tree, "/folder/file", "");
	o.dir = tree.root;
	ck_assert_int_eq(chdir("/"), 0); /* paths are relative to the matrix's file */
	stderr_begin(&said);
}

static void tear_down(void)
{
	matrix_outputs_free(&o);
	tree_remove(&tree);
}

static void add(unsigned run, const char *path)
{
	ck_assert_int_eq(matrix_outputs_add(&o, run, "--out", path), 0);
}

static void fine(void)
{
	ck_assert_int_eq(matrix_outputs_check(&o, &m), 0);
	ck_assert_str_eq(stderr_end(&said), "");
}

static void refused(const char *line)
{
	ck_assert_int_eq(matrix_outputs_check(&o, &m), -EUSAGE);
	ck_assert_str_eq(stderr_end(&said), line);
}

#define CURE "; {run} in a path makes it one of each run's own, as in "

START_TEST(nothing_written)
{
	fine();
}
END_TEST

START_TEST(one_each)
{
	add(0, "a");
	add(1, "b");
	add(2, "folder/a");
	add(0, "file");
	add(0, "file"); /* a run's own are its own affair */
	fine();
}
END_TEST

/* The same, by other names. */
static const char *const same[][2] = {
	{ "new", "new" },
	{ "new", "./new" },
	{ "new", "folder/../new" },
	{ "nowhere/new", "nowhere/new" },
	{ "file", "folder/../file" },
	{ "file", "link" },
	{ "file", "hard" },
	{ "folder", "folder/" },
	{ "folder", "to-folder" },
	{ "folder/new", "to-folder/new" },
};

START_TEST(the_same)
{
	char line[400], name[200], hard[200];

	snprintf(name, sizeof(name), "%s/file", tree.root);
	snprintf(hard, sizeof(hard), "%s/hard", tree.root);
	ck_assert_int_eq(link(name, hard), 0);
	snprintf(hard, sizeof(hard), "%s/link", tree.root);
	ck_assert_int_eq(symlink("file", hard), 0);
	snprintf(hard, sizeof(hard), "%s/to-folder", tree.root);
	ck_assert_int_eq(symlink("folder", hard), 0);
	add(2, same[_i][0]);
	add(1, "other");
	add(0, same[_i][1]);
	snprintf(line, sizeof(line), "lunette: error: m: one and three would write to the same: "
		 "--out %s, --out %s" CURE "%s/{run}\n", same[_i][1], same[_i][0], same[_i][1]);
	refused(line);
}
END_TEST

START_TEST(absolute_paths)
{
	char path[200], line[600];

	snprintf(path, sizeof(path), "%s/file", tree.root);
	add(0, "file");
	add(1, path);
	snprintf(line, sizeof(line), "lunette: error: m: one and two would write to the same: "
		 "--out file, --out %s" CURE "file/{run}\n", path);
	refused(line);
}
END_TEST

/* Neither files nor folders: what is written there is not lost by another. */
START_TEST(what_may_be_shared)
{
	static const char *const paths[] = { "/dev/null", "/dev/stdout", "/dev/fd/7" };

	add(0, paths[_i]);
	add(1, paths[_i]);
	fine();
}
END_TEST

START_TEST(what_another_run_reads)
{
	char disk[] = "--disk", file[] = "file,readonly=on";

	words[2][0] = disk;
	words[2][1] = file;
	add(1, "folder/../file");
	refused("lunette: error: m: --out folder/../file of two is the same file as file of three, "
		"which would be lost\n");
}
END_TEST

/* What it reads itself its own check finds; a folder may be one's results and another's source. */
START_TEST(what_may_be_read)
{
	char disk[] = "--disk", file[] = "file", share[] = "--share", folder[] = "folder";

	words[1][0] = disk;
	words[1][1] = file;
	words[2][0] = share;
	words[2][1] = folder;
	add(1, "file");
	add(0, "folder");
	fine();
}
END_TEST

Suite *matrix_outputs_suite(void)
{
	Suite *s = suite_create("matrix_outputs");
	TCase *tc = unit_case(s, "outputs");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, nothing_written);
	tcase_add_test(tc, one_each);
	tcase_add_loop_test(tc, the_same, 0, ARRAY_SIZE(same));
	tcase_add_test(tc, absolute_paths);
	tcase_add_loop_test(tc, what_may_be_shared, 0, 3);
	tcase_add_test(tc, what_another_run_reads);
	tcase_add_test(tc, what_may_be_read);
	return s;
}

UNIT_MAIN(matrix_outputs_suite)
