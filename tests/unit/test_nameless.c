/* SPDX-License-Identifier: MIT */
#include "tests/unit/nameless_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/core/nameless.h"

Suite *nameless_suite(void);

static char top[64];

static void set_up(void)
{
	strcpy(top, "/tmp/lunette-nameless-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(top));
}

/* Nothing is left in it. */
static void tear_down(void)
{
	ck_assert_int_eq(rmdir(top), 0);
}

static void check_file(void)
{
	int fd = nameless_open(top);
	char text[5] = "";
	struct stat st;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert(S_ISREG(st.st_mode));
	ck_assert_int_eq(st.st_mode & 0777, 0600);
	ck_assert_int_eq(st.st_nlink, 0);
	ck_assert_int_eq(st.st_size, 0);
	ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
	ck_assert_int_eq(pwrite(fd, "text", 4, 0), 4);
	ck_assert_int_eq(pread(fd, text, 4, 0), 4);
	ck_assert_str_eq(text, "text");
	ck_assert_int_eq(rmdir(top), 0); /* while it is open */
	ck_assert_int_eq(mkdir(top, 0700), 0);
	close(fd);
}

START_TEST(never_had_a_name)
{
	umask(0);
	check_file();
}
END_TEST

START_TEST(had_a_name)
{
	forbid_nameless_files();
	umask(0);
	check_file();
}
END_TEST

static void check_errors(void)
{
	char path[100];
	int fd;

	snprintf(path, sizeof(path), "%s/none", top);
	ck_assert_int_eq(nameless_open(path), -ENOENT);
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	ck_assert_int_ge(fd, 0);
	close(fd);
	ck_assert_int_eq(nameless_open(path), -ENOTDIR);
	unlink(path);
}

START_TEST(nowhere)
{
	check_errors();
	forbid_nameless_files();
	check_errors();
}
END_TEST

START_TEST(folder)
{
	setenv("TMPDIR", top, 1);
	ck_assert_str_eq(nameless_folder(), top);
	setenv("TMPDIR", "", 1);
	ck_assert_str_eq(nameless_folder(), "/var/tmp");
	unsetenv("TMPDIR");
	ck_assert_str_eq(nameless_folder(), "/var/tmp");
}
END_TEST

Suite *nameless_suite(void)
{
	Suite *s = suite_create("nameless");
	TCase *tc = unit_case(s, "nameless");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, never_had_a_name);
	tcase_add_test(tc, had_a_name);
	tcase_add_test(tc, nowhere);
	tcase_add_test(tc, folder);
	return s;
}

UNIT_MAIN(nameless_suite)
