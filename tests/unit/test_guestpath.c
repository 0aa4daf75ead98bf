/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <stdio.h>
#include <string.h>

#include "vmm/core/util.h"
#include "vmm/run/files/guestpath.h"

Suite *guestpath_suite(void);

/* What is said, what it is then, or NULL, and what it is refused for. */
static const struct {
	const char *path, *plain, *why;
} paths[] = {
	{ "/a", "/a", NULL },
	{ "//a///b//", "/a/b", NULL },
	{ "/./a/./b/.", "/a/b", NULL },
	{ "/.../..a/a..", "/.../..a/a..", NULL },
	{ "/with space\n,:=", "/with space\n,:=", NULL },
	{ "/usr/src/linux", "/usr/src/linux", NULL },
	{ "/etc/ssl", "/etc/ssl", NULL },
	{ "/var/out", "/var/out", NULL },
	{ "/home", "/home", NULL }, { "/tmp", "/tmp", NULL }, { "/root", "/root", NULL },
	{ "/mnt", "/mnt", NULL }, { "/devel", "/devel", NULL }, { "/binary", "/binary", NULL },
	{ "/usr/libexec", "/usr/libexec", NULL }, { "/system", "/system", NULL },
	{ "/", NULL, "own" }, { "//", NULL, "own" }, { "/.", NULL, "own" },
	{ "/proc", NULL, "own" }, { "/proc/", NULL, "own" }, { "//proc//1", NULL, "own" },
	{ "/./proc/./sys", NULL, "own" }, { "/sys/kernel", NULL, "own" }, { "/dev", NULL, "own" },
	{ "/dev/shm", NULL, "own" }, { "/bin", NULL, "own" }, { "/bin/x", NULL, "own" },
	{ "/sbin", NULL, "own" }, { "/lib", NULL, "own" }, { "/lib/modules", NULL, "own" },
	{ "/lib64", NULL, "own" }, { "/usr", NULL, "own" }, { "/usr/bin", NULL, "own" },
	{ "/usr/sbin/x", NULL, "own" }, { "/usr/lib/x/y", NULL, "own" }, { "/etc", NULL, "own" },
	{ "/init", NULL, "own" }, { "/run", NULL, "own" }, { "/var", NULL, "own" },
	{ "/..", NULL, "'..'" }, { "/a/../b", NULL, "'..'" }, { "/a/..", NULL, "'..'" },
};

START_TEST(path)
{
	char text[100];
	const char *why;

	snprintf(text, sizeof(text), "%s", paths[_i].path);
	why = guestpath_check(text);
	if (paths[_i].plain) {
		ck_assert_msg(!why, "%s: %s", paths[_i].path, why);
		ck_assert_str_eq(text, paths[_i].plain);
	} else {
		ck_assert_msg(why && strstr(why, paths[_i].why), "%s: %s", paths[_i].path, why);
	}
}
END_TEST

START_TEST(lengths)
{
	char text[2000];
	unsigned i;

	memset(text, 'x', sizeof(text));
	text[0] = '/';
	text[256] = 0;
	ck_assert_ptr_null(guestpath_check(text));
	text[256] = 'x';
	text[257] = 0;
	ck_assert_ptr_nonnull(guestpath_check(text));
	for (i = 0; i < sizeof(text); i++)
		text[i] = i % 64 ? 'x' : '/';
	text[GUESTPATH_MAX + 2] = 0;
	ck_assert_ptr_nonnull(guestpath_check(text));
	text[GUESTPATH_MAX - 1] = 0;
	ck_assert_ptr_null(guestpath_check(text));
}
END_TEST

START_TEST(is_in)
{
	ck_assert(guestpath_is_in("/a", "/a"));
	ck_assert(guestpath_is_in("/a/b", "/a"));
	ck_assert(guestpath_is_in("/a", "/"));
	ck_assert(!guestpath_is_in("/ab", "/a"));
	ck_assert(!guestpath_is_in("/a", "/a/b"));
}
END_TEST

Suite *guestpath_suite(void)
{
	Suite *s = suite_create("guestpath");
	TCase *tc = unit_case(s, "guestpath");

	tcase_add_loop_test(tc, path, 0, ARRAY_SIZE(paths));
	tcase_add_test(tc, lengths);
	tcase_add_test(tc, is_in);
	return s;
}

UNIT_MAIN(guestpath_suite)
