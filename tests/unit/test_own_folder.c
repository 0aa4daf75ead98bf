/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/core/own_folder.h"
#include "vmm/core/util.h"

Suite *own_folder_suite(void);

static char top[64], path[100];

static void run(const char *command)
{
	char line[400];

	snprintf(line, sizeof(line), "cd %s && { %s; }", top, command);
	ck_assert_msg(system(line) == 0, "%s", line);
}

/* Somebody who is not root, as root may write everywhere. */
static void set_up(void)
{
	snprintf(top, sizeof(top), "/tmp/lunette-own-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(top));
	snprintf(path, sizeof(path), "%s/own", top);
	run("chmod 777 .");
	if (geteuid() == 0)
		ck_assert_int_eq(seteuid(65534), 0);
}

static void tear_down(void)
{
	ck_assert_int_eq(seteuid(getuid()), 0);
	run("rm -r $PWD");
}

START_TEST(is_made)
{
	struct stat st;

	ck_assert_int_eq(own_folder(path, false), -ENOENT);
	ck_assert_int_eq(own_folder(path, true), 0);
	ck_assert_int_eq(own_folder(path, true), 0);
	ck_assert_int_eq(own_folder(path, false), 0);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_mode & 07777, 0700);
	ck_assert_int_eq(chmod(path, 0500), 0);
	ck_assert_int_eq(own_folder(path, true), -EACCES);
}
END_TEST

/* What somebody has put there before us. */
static const struct {
	const char *command;
	bool ours;
	int r;
} traps[] = {
	{ "mkdir -m 777 own", true, -EPERM },
	{ "mkdir -m 720 own", true, -EPERM },
	{ "mkdir -m 700 it && ln -s it own", true, -EPERM },
	{ "touch own", true, -EPERM },
	{ "mkfifo own", true, -EPERM },
	{ "mkdir -m 755 own && chown 1 own", false, -EPERM },
};

START_TEST(somebody_was_first)
{
	if (!traps[_i].ours && getuid())
		return; /* nobody but root has another's */
	ck_assert_int_eq(seteuid(getuid()), 0);
	run(traps[_i].command);
	if (traps[_i].ours && geteuid() == 0)
		run("chown -h 65534 own; [ ! -e it ] || chown 65534 it");
	if (geteuid() == 0)
		ck_assert_int_eq(seteuid(65534), 0);
	ck_assert_int_eq(own_folder(path, true), traps[_i].r);
	ck_assert_int_eq(own_folder(path, false), traps[_i].r);
}
END_TEST

START_TEST(temporary_ones)
{
	char at[PATH_MAX], wanted[100];

	setenv("TMPDIR", top, 1);
	ck_assert(own_temporary(0, at));
	snprintf(wanted, sizeof(wanted), "%s/lunette-%u", top, geteuid());
	ck_assert_str_eq(at, wanted);
	ck_assert(own_temporary(1, at));
	ck_assert_ptr_eq(strstr(at, "/var/tmp/lunette-"), at);
	ck_assert(own_temporary(2, at));
	ck_assert_ptr_eq(strstr(at, "/tmp/lunette-"), at);
	ck_assert(!own_temporary(3, at));
}
END_TEST

static const char *const useless[] = { NULL, "", "relative" };

START_TEST(variables)
{
	char at[PATH_MAX];

	if (useless[_i])
		setenv("TMPDIR", useless[_i], 1);
	else
		unsetenv("TMPDIR");
	ck_assert_ptr_null(own_variable("TMPDIR"));
	ck_assert(own_temporary(0, at));
	ck_assert_ptr_eq(strstr(at, "/var/tmp/lunette-"), at);
	ck_assert(!own_temporary(2, at));
	setenv("TMPDIR", "/x", 1);
	ck_assert_str_eq(own_variable("TMPDIR"), "/x");
}
END_TEST

Suite *own_folder_suite(void)
{
	Suite *s = suite_create("own_folder");
	TCase *tc = unit_case(s, "folder");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, is_made);
	tcase_add_loop_test(tc, somebody_was_first, 0, ARRAY_SIZE(traps));
	tcase_add_test(tc, temporary_ones);
	tcase_add_loop_test(tc, variables, 0, ARRAY_SIZE(useless));
	return s;
}

UNIT_MAIN(own_folder_suite)
