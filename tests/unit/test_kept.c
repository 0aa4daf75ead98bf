/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tests/lib/stderr.h"
#include "vmm/run/files/kept.h"

Suite *kept_suite(void);

static char top[64];
static char *folder, *image;
static unsigned made;

static void set_up(void)
{
	strcpy(top, "/tmp/lunette-kept-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(top));
	setenv("XDG_CACHE_HOME", top, 1);
	folder = kept_folder("--x");
	ck_assert_ptr_nonnull(folder);
	made = 0;
}

static void tear_down(void)
{
	char line[100];

	free(folder);
	snprintf(line, sizeof(line), "rm -rf %s", top);
	ck_assert_int_eq(system(line), 0);
}

/* @arg: what it returns. */
static int make(void *arg, const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);

	ck_assert_int_ge(fd, 0);
	close(fd);
	made++;
	return *(const int *)arg;
}

static int get(const char *name, int result)
{
	return kept_image("--x", folder, name, make, &result, &image);
}

/* How many files of this kind there are. */
static int count(const char *pattern)
{
	char line[200];
	FILE *out;
	int n = -1;

	snprintf(line, sizeof(line), "ls %s | grep -c '%s'", folder, pattern);
	out = popen(line, "r");
	ck_assert_int_eq(fscanf(out, "%d", &n), 1);
	pclose(out);
	return n;
}

START_TEST(made_once)
{
	unsigned k;

	for (k = 0; k < 3; k++) {
		ck_assert_int_eq(get("a", 1), 1);
		ck_assert_int_eq(access(image, R_OK), 0);
		free(image);
	}
	ck_assert_uint_eq(made, 1);
	ck_assert_int_eq(count("^a.erofs$"), 1);
}
END_TEST

/* What is not whole, or no longer what its name says, does not stay. */
START_TEST(not_made)
{
	ck_assert_int_eq(get("a", 0), 0);
	ck_assert_int_eq(get("a", -EIO), -EIO);
	ck_assert_uint_eq(made, 2);
	ck_assert_int_eq(count("erofs"), 0);
}
END_TEST

START_TEST(old_ones_go)
{
	struct timespec old[2] = { { .tv_sec = time(NULL) - 31 * 86400 } };
	char path[200];

	old[1] = old[0];
	ck_assert_int_eq(get("a", 1), 1);
	ck_assert_int_eq(utimensat(AT_FDCWD, image, old, 0), 0);
	free(image);
	snprintf(path, sizeof(path), "%s/killed.erofs.tmp", folder);
	close(open(path, O_WRONLY | O_CREAT, 0600));
	ck_assert_int_eq(get("b", 1), 1);
	free(image);
	ck_assert_int_eq(count("^a"), 0);
	ck_assert_int_eq(count("tmp"), 0);
	ck_assert_int_eq(count("^b.erofs$"), 1);
}
END_TEST

START_TEST(no_folder)
{
	struct stderr_text said;
	char wanted[300];

	setenv("XDG_CACHE_HOME", "/proc/none", 1);
	stderr_begin(&said);
	ck_assert_ptr_null(kept_folder("--x y"));
	snprintf(wanted, sizeof(wanted), "lunette: error: --x y: /proc/none/lunette/share: No such "
		 "file or directory; XDG_CACHE_HOME names another place for images\n");
	ck_assert_str_eq(stderr_end(&said), wanted);
}
END_TEST

Suite *kept_suite(void)
{
	Suite *s = suite_create("kept");
	TCase *tc = unit_case(s, "kept");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, made_once);
	tcase_add_test(tc, not_made);
	tcase_add_test(tc, old_ones_go);
	tcase_add_test(tc, no_folder);
	return s;
}

UNIT_MAIN(kept_suite)
