/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/core/util.h"
#include "vmm/run/files/cache.h"

Suite *cache_suite(void);

static char top[64];
static char *path;

static char *under(const char *name)
{
	static char text[300];

	snprintf(text, sizeof(text), "%s/%s", top, name);
	return text;
}

static void run(const char *command)
{
	char line[400];

	snprintf(line, sizeof(line), "cd %s && { %s; }", top, command);
	ck_assert_msg(system(line) == 0, "%s", line);
}

/* Somebody who is not root, as root may write everywhere. */
static void set_up(void)
{
	snprintf(top, sizeof(top), "/tmp/lunette-cache-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(top));
	run("mkdir home tmp && mkdir -m 555 closed && chmod 755 . && chmod 777 home tmp");
	unsetenv("XDG_CACHE_HOME");
	setenv("TMPDIR", under("tmp"), 1);
	if (geteuid() == 0)
		ck_assert_int_eq(seteuid(65534), 0);
}

static void tear_down(void)
{
	free(path);
	ck_assert_int_eq(seteuid(getuid()), 0);
	run("rm -r $PWD");
}

static void is_at(const char *where)
{
	struct stat st;

	ck_assert_int_eq(cache_folder("share", &path), 0);
	ck_assert_str_eq(path, under(where));
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_mode & 07777, 0700);
}

static const char *temporary(const char *name)
{
	static char text[100];

	snprintf(text, sizeof(text), "tmp/lunette-%u%s", geteuid(), name);
	return text;
}

START_TEST(at_home)
{
	setenv("HOME", under("home"), 1);
	is_at("home/.cache/lunette/share");
}
END_TEST

START_TEST(where_the_user_says)
{
	setenv("HOME", under("home"), 1);
	setenv("XDG_CACHE_HOME", under("home/other"), 1);
	is_at("home/other/lunette/share");
}
END_TEST

START_TEST(not_where_the_user_says) /* and nowhere else then */
{
	setenv("HOME", under("home"), 1);
	setenv("XDG_CACHE_HOME", under("closed"), 1);
	ck_assert_int_eq(cache_folder("share", &path), -EACCES);
	ck_assert_str_eq(path, under("closed/lunette/share"));
	ck_assert_int_ne(access(under("home/.cache"), F_OK), 0);
}
END_TEST

/* What HOME may be that is of no use; NULL: not set. */
static const char *const homes[] = {
	NULL, "", "relative", "/nowhere", "/", "/proc", "/dev/null", "closed",
};

START_TEST(no_home)
{
	if (!homes[_i])
		unsetenv("HOME");
	else
		setenv("HOME", strcmp(homes[_i], "closed") ? homes[_i] : under("closed"), 1);
	is_at(temporary("/share"));
	free(path);
	is_at(temporary("/share")); /* again */
}
END_TEST

/* What somebody else has put there before us. */
static const char *const traps[] = {
	"ln -s ../home tmp/lunette-$U", "mkdir -m 777 tmp/lunette-$U",
	"touch tmp/lunette-$U", "mkfifo tmp/lunette-$U", "chmod 555 tmp",
};

START_TEST(somebody_was_first)
{
	char command[200], uid[16];

	snprintf(uid, sizeof(uid), "%u", geteuid());
	setenv("HOME", "/nowhere", 1);
	snprintf(command, sizeof(command), "U=%s; %s", uid, traps[_i]);
	ck_assert_int_eq(seteuid(getuid()), 0);
	run(command);
	ck_assert_int_eq(seteuid(atoi(uid)), 0);
	if (cache_folder("share", &path) == 0) { /* in /var/tmp, or /tmp */
		ck_assert_ptr_null(strstr(path, top));
		rmdir(path);
		*strrchr(path, '/') = 0;
		rmdir(path);
	}
	ck_assert_int_ne(access(under("home/share"), F_OK), 0);
}
END_TEST

Suite *cache_suite(void)
{
	Suite *s = suite_create("cache");
	TCase *tc = unit_case(s, "cache");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, at_home);
	tcase_add_test(tc, where_the_user_says);
	tcase_add_test(tc, not_where_the_user_says);
	tcase_add_loop_test(tc, no_home, 0, ARRAY_SIZE(homes));
	tcase_add_loop_test(tc, somebody_was_first, 0, ARRAY_SIZE(traps));
	return s;
}

UNIT_MAIN(cache_suite)
