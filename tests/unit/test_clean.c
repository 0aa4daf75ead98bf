/* SPDX-License-Identifier: MIT */
/* Folders are the test's own; the devices' part is a stand-in, as the kernel is everybody's. */
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "devices/devices.h"
#include "tests/lib/stderr.h"
#include "tests/lib/stdout.h"
#include "tests/lib/tree.h"
#include "vmm/core/util.h"
#include "vmm/run/run.h"

Suite *clean_suite(void);

static struct tree tree;
static struct stderr_text out, err;
static int devices_error;
static long dead; /* a process that is no more */
static unsigned long long space;

int __wrap_device_clean_all(FILE *to);

int __wrap_device_clean_all(FILE *to)
{
	fputs("devices\n", to);
	return devices_error;
}

static void set_up(void)
{
	struct stat st;

	tree_create(&tree);
	setenv("TMPDIR", tree.root, 1);
	setenv("XDG_CACHE_HOME", tree.root, 1);
	dead = fork();
	if (!dead)
		_exit(0);
	ck_assert_int_eq(waitpid((pid_t)dead, NULL, 0), dead);
	ck_assert_int_eq(stat("/proc/self/ns/pid", &st), 0);
	space = st.st_ino;
}

static void tear_down(void)
{
	tree_remove(&tree);
}

static int clean(const char *word)
{
	char copy[32], *argv[] = { word ? strcpy(copy, word) : NULL, NULL };
	int status;

	stdout_begin(&out);
	stderr_begin(&err);
	status = clean_main(!!word, argv);
	stderr_end(&err);
	stdout_end(&out);
	return status;
}

/* @format has the numbers of a process and of its namespace. */
static void __attribute__((format(printf, 1, 0)))
put(const char *format, long pid, unsigned long long of)
{
	char name[200];

	snprintf(name, sizeof(name), format, pid, of);
	tree_put(&tree, name, "");
}

static bool is_there(const char *name)
{
	char path[400];

	snprintf(path, sizeof(path), "%s/%s", tree.root, name);
	return access(path, F_OK) == 0;
}

/* How many there are, of all names. */
static unsigned count(const char *folder)
{
	char command[400];
	unsigned n = 0;
	FILE *f;

	snprintf(command, sizeof(command), "ls -A %s/%s | wc -l", tree.root, folder);
	f = popen(command, "r");
	ck_assert_int_eq(fscanf(f, "%u", &n), 1);
	pclose(f);
	return n;
}

#define TEMPORARY "lunette-%ld-%llu.AbCd12"
#define CACHED "lunette/initramfs-17.cpio.%ld-%llu"

START_TEST(what_the_dead_have_left)
{
	put(TEMPORARY "/sub/file", dead, space);
	put(CACHED, dead, space);
	ck_assert_int_eq(clean(NULL), 0);
	ck_assert_uint_eq(count(""), 1);
	ck_assert_uint_eq(count("lunette"), 0);
	ck_assert_ptr_eq(strstr(out.text, "devices\nremoved "), out.text);
	ck_assert_ptr_nonnull(strstr(out.text, "/lunette/initramfs-17.cpio."));
	ck_assert_str_eq(err.text, "");
}
END_TEST

/* Of those who live, of those in another namespace, and what is not ours. */
static const struct {
	const char *format;
	bool lives, elsewhere;
} others[] = {
	{ TEMPORARY, true, false },
	{ TEMPORARY, false, true },
	{ CACHED, true, false },
	{ CACHED, false, true },
	{ "lunette-%ld-%llu.AbCd12x", false, false },
	{ "lunette-%ld-%llu.AbCd1-", false, false },
	{ "lunette-%ld-%llu.", false, false },
	{ "lunette--%ld-%llu.AbCd12", false, false },
	{ "lunette/initramfs-x.cpio.%ld-%llu", false, false },
	{ "lunette/initramfs-17.cpio.%ld-%llu.old", false, false },
	{ "lunette/initramfs-17.cpio", false, false },
};

START_TEST(what_others_have)
{
	put(others[_i].format, others[_i].lives ? getpid() : dead, space + others[_i].elsewhere);
	ck_assert_int_eq(clean(NULL), 0);
	ck_assert_uint_eq(count(strchr(others[_i].format, '/') ? "lunette" : ""), 1);
	ck_assert_str_eq(out.text, "devices\n");
}
END_TEST

/* A link to a folder is removed, and nothing behind it. */
START_TEST(links_are_not_followed)
{
	char name[300], target[200];

	tree_put(&tree, "/kept/file", "");
	snprintf(name, sizeof(name), "%s/" TEMPORARY, tree.root, dead, space);
	snprintf(target, sizeof(target), "%s/kept", tree.root);
	ck_assert_int_eq(symlink(target, name), 0);
	ck_assert_int_eq(clean(NULL), 0);
	ck_assert(is_there("kept/file"));
	ck_assert_uint_eq(count(""), 1);
}
END_TEST

START_TEST(no_such_folders)
{
	setenv("TMPDIR", "/nowhere", 1);
	unsetenv("XDG_CACHE_HOME");
	setenv("HOME", "/nowhere", 1);
	ck_assert_int_eq(clean(NULL), 0);
	ck_assert_str_eq(err.text, "");
}
END_TEST

START_TEST(cache_in_the_home)
{
	unsetenv("XDG_CACHE_HOME");
	setenv("HOME", tree.root, 1);
	put(".cache/" CACHED, dead, space);
	ck_assert_int_eq(clean(NULL), 0);
	ck_assert_uint_eq(count(".cache/lunette"), 0);
}
END_TEST

/* The rest is removed all the same. */
START_TEST(devices_that_stay)
{
	devices_error = -EBUSY;
	put(TEMPORARY, dead, space);
	ck_assert_int_eq(clean(NULL), 201);
	ck_assert_uint_eq(count(""), 0);
}
END_TEST

START_TEST(words)
{
	ck_assert_int_eq(clean("all"), 200);
	ck_assert_ptr_nonnull(strstr(err.text, "'all': it takes no arguments"));
	ck_assert_str_eq(out.text, "");
	ck_assert_int_eq(clean("--help"), 0);
	ck_assert_ptr_nonnull(strstr(out.text, "usage: lunette clean"));
	ck_assert_ptr_nonnull(strstr(out.text, "sockets of shared disks"));
}
END_TEST

Suite *clean_suite(void)
{
	Suite *s = suite_create("clean");
	TCase *tc = unit_case(s, "clean");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, what_the_dead_have_left);
	tcase_add_loop_test(tc, what_others_have, 0, ARRAY_SIZE(others));
	tcase_add_test(tc, links_are_not_followed);
	tcase_add_test(tc, no_such_folders);
	tcase_add_test(tc, cache_in_the_home);
	tcase_add_test(tc, devices_that_stay);
	tcase_add_test(tc, words);
	return s;
}

UNIT_MAIN(clean_suite)
