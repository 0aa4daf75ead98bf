/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/run/files/bundle.h"

Suite *bundle_suite(void);

static char dir[] = "/tmp/lunette-bundle-XXXXXX";
static char why[300];
static unsigned left_out;

static void sh(const char *script)
{
	ck_assert_msg(system(script) == 0, "%s", script);
}

static void set_up(void)
{
	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_int_eq(chdir(dir), 0);
}

static void tear_down(void)
{
	char line[100];

	ck_assert_int_eq(chdir("/"), 0);
	snprintf(line, sizeof(line), "rm -r %s", dir);
	sh(line);
}

static int bundle(const char *path, const char *name)
{
	int fd = open("a.tar", O_CREAT | O_TRUNC | O_WRONLY, 0600), r;

	ck_assert_int_ge(fd, 0);
	r = bundle_write(path, name, fd, &left_out, why, sizeof(why));
	close(fd);
	return r;
}

/* What this machine's tar makes of it. */
START_TEST(folder)
{
	sh("mkdir -p d/sub/empty; echo one >d/one; head -c 300000 /dev/urandom >d/sub/large;"
	   "ln -s ../one d/sub/link; chmod 4750 d/one; touch -d @1000 d/one; mkfifo d/pipe;"
	   "long=$(printf %0200d 7); mkdir d/$long; echo long >d/$long/$long;"
	   ": >d/$(printf '\\377');"
	   "mkdir out");
	ck_assert_int_eq(bundle("d", "other name"), 0);
	ck_assert_uint_eq(left_out, 1);
	sh("tar -C out -xpf a.tar && rm d/pipe && diff -r d 'out/other name'");
	sh("[ $(stat -c %a-%Y 'out/other name/one') = 4750-1000 ]");
	sh("[ \"$(readlink 'out/other name/sub/link')\" = ../one ]");
	sh("[ \"$(tar --numeric-owner -tvf a.tar | grep -c ' 0/0 ')\" = 9 ]");
}
END_TEST

START_TEST(one_file)
{
	sh("echo text >f");
	ck_assert_int_eq(bundle("f", "g"), 0);
	sh("[ \"$(tar -xOf a.tar g)\" = text ] && [ \"$(tar -tf a.tar)\" = g ]");
}
END_TEST

/* Errors name the file. */
START_TEST(what_cannot_be)
{
	int fd[2];

	ck_assert_int_eq(bundle("none", "n"), -ENOENT);
	ck_assert_str_eq(why, "n: No such file or directory");
	sh("head -c 300000 /dev/zero >f");
	ck_assert_int_eq(pipe(fd), 0);
	close(fd[0]);
	ck_assert_ptr_ne(signal(SIGPIPE, SIG_IGN), SIG_ERR);
	ck_assert_int_eq(bundle_write("f", "f", fd[1], &left_out, why, sizeof(why)), -EPIPE);
	ck_assert_str_eq(why, "the archive: Broken pipe");
	close(fd[1]);
}
END_TEST

Suite *bundle_suite(void)
{
	Suite *s = suite_create("bundle");
	TCase *tc = unit_case(s, "bundle");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, folder);
	tcase_add_test(tc, one_file);
	tcase_add_test(tc, what_cannot_be);
	return s;
}

UNIT_MAIN(bundle_suite)
