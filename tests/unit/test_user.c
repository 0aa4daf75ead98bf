/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest/user.h"

Suite *user_suite(void);

static char dir[] = "/tmp/lunette-user-XXXXXX";

static void make(const char *name, const char *text)
{
	FILE *f = fopen(name, "w");

	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
}

static void set_up(void)
{
	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_int_eq(chdir(dir), 0);
	make("passwd", "root:x:0:0:root:/root:/bin/sh\nbroken\n"
		       "ann:x:1000:100:,,,:/home/ann:/bin/sh\n");
	make("group", "root:x:0:\nusers:x:100:\ndisk:x:6:bob,ann\nkvm:x:106:ann\n12:x:7:\n");
}

static void tear_down(void)
{
	unlink("passwd");
	unlink("group");
	ck_assert_int_eq(rmdir(dir), 0);
}

/* What is found of each: its numbers, how many more groups, and where it is at home. */
static const struct {
	const char *text;
	uid_t uid;
	gid_t gid;
	size_t more;
	const char *home;
} rows[] = {
	{ "root", 0, 0, 0, "/root" },
	{ "ann", 1000, 100, 2, "/home/ann" },
	{ "1000", 1000, 100, 2, "/home/ann" },
	{ "ann:disk", 1000, 6, 0, "/home/ann" },
	{ "ann:12", 1000, 12, 0, "/home/ann" },
	{ "4711", 4711, 0, 0, "/" },
	{ "4711:kvm", 4711, 106, 0, "/" },
	{ "4711:4712", 4711, 4712, 0, "/" },
};

START_TEST(found)
{
	struct user u;

	ck_assert_int_eq(user_find(rows[_i].text, "passwd", "group", &u), 0);
	ck_assert_uint_eq(u.uid, rows[_i].uid);
	ck_assert_uint_eq(u.gid, rows[_i].gid);
	ck_assert_uint_eq(u.ngroups, rows[_i].more);
	ck_assert_str_eq(u.home, rows[_i].home);
}
END_TEST

static const char *const nobody[] = { "bob", "", "ann:nogroup", "ann:", "-1", "4294967295",
				      "broken" };

START_TEST(not_found)
{
	struct user u;

	ck_assert_int_eq(user_find(nobody[_i], "passwd", "group", &u), -ENOENT);
}
END_TEST

/* A root file system without these files has numbers alone. */
START_TEST(no_files)
{
	struct user u;

	ck_assert_int_eq(user_find("0", "none", "none", &u), 0);
	ck_assert_int_eq(user_find("root", "none", "none", &u), -ENOENT);
}
END_TEST

START_TEST(become)
{
	struct user u;
	int status;
	pid_t pid;

	ck_assert_int_eq(user_find("ann", "passwd", "group", &u), 0);
	pid = fork();
	if (pid == 0) {
		gid_t got[3] = { 0 };

		if (user_become(&u) < 0)
			_exit(geteuid() ? 0 : 1); /* who is not root may not */
		_exit(getuid() == 1000 && getgid() == 100 && getgroups(3, got) == 2 ? 0 : 2);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
}
END_TEST

Suite *user_suite(void)
{
	Suite *s = suite_create("user");
	TCase *tc = unit_case(s, "user");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_loop_test(tc, found, 0, 8);
	tcase_add_loop_test(tc, not_found, 0, 7);
	tcase_add_test(tc, no_files);
	tcase_add_test(tc, become);
	return s;
}

UNIT_MAIN(user_suite)
