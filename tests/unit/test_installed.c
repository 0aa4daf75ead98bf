/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/core/log.h"
#include "vmm/run/files/installed.h"

Suite *installed_suite(void);

static char top[64];

static void make_folder(const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", top, name);
	ck_assert_int_eq(mkdir(path, 0755), 0);
}

static void set_up(void)
{
	snprintf(top, sizeof(top), "/tmp/lunette-installed-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(top));
	make_folder("share");
	setenv("XDG_CACHE_HOME", top, 1);
}

static void tear_down(void)
{
	char line[128];

	snprintf(line, sizeof(line), "rm -rf %s", top);
	ck_assert_int_eq(system(line), 0);
}

START_TEST(beside_the_program)
{
	char program[128], wanted[128], *path;

	snprintf(program, sizeof(program), "%s/bin/lunette", top);
	ck_assert_ptr_null(installed_beside(program, "kernel-micro/vmlinux"));
	make_folder("share/lunette");
	snprintf(wanted, sizeof(wanted), "%s/share/lunette/kernel-micro/vmlinux", top);
	path = installed_beside(program, "kernel-micro/vmlinux");
	ck_assert_str_eq(path, wanted);
	free(path);
}
END_TEST

START_TEST(no_place_for_it)
{
	ck_assert_ptr_null(installed_beside("lunette", "words"));
	ck_assert_ptr_null(installed_beside("./lunette", "words"));
	ck_assert_ptr_null(installed_path("words")); /* a suite is not installed */
	ck_assert_ptr_null(installed_script("build.sh"));
}
END_TEST

START_TEST(part_in_the_cache)
{
	char line[256], wanted[256], name[128], *path;
	FILE *f;

	log_hear(line, sizeof(line));
	ck_assert_ptr_null(installed_part("--x", "vmlinux", "no cure"));
	snprintf(wanted, sizeof(wanted), "--x: %s/lunette/vmlinux: No such file or directory; "
		 "no cure", top);
	ck_assert_str_eq(line, wanted);
	log_hear(NULL, 0);
	make_folder("lunette");
	snprintf(name, sizeof(name), "%s/lunette/vmlinux", top);
	f = fopen(name, "w");
	ck_assert_ptr_nonnull(f);
	fclose(f);
	path = installed_part("--x", "vmlinux", "no cure");
	ck_assert_str_eq(path, name);
	free(path);
}
END_TEST

Suite *installed_suite(void)
{
	Suite *s = suite_create("installed");
	TCase *tc = unit_case(s, "installed");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, beside_the_program);
	tcase_add_test(tc, no_place_for_it);
	tcase_add_test(tc, part_in_the_cache);
	return s;
}

UNIT_MAIN(installed_suite)
