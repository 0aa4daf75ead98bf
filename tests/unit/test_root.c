/* SPDX-License-Identifier: MIT */
#include "tests/unit/erofs_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "tests/lib/stderr.h"
#include "vmm/core/fail.h"
#include "vmm/run/files/root.h"

Suite *root_suite(void);

static char top[64];
static struct root root;
static struct stderr_text said;

static void set_up(void)
{
	root = ROOT_NONE;
	strcpy(top, "/tmp/lunette-root-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(top));
	ck_assert_int_eq(chdir(top), 0);
	setenv("XDG_CACHE_HOME", top, 1);
	ck_assert_int_eq(system("mkdir -p r/proc/1 r/etc; echo here >r/etc/name; "
				"tar -C r -cf r.tar etc"), 0);
}

static void tear_down(void)
{
	char line[100];

	root_close(&root);
	snprintf(line, sizeof(line), "rm -rf %s", top);
	ck_assert_int_eq(system(line), 0);
}

/* Also from the cache it is the same one. */
static int open_image(const char *text)
{
	char first[300];
	int fd;

	ck_assert_int_eq(root_open(text, NULL, &root), 0);
	snprintf(first, sizeof(first), "%s", root.image);
	root_close(&root);
	ck_assert_int_eq(root_open(text, NULL, &root), 0);
	ck_assert_str_eq(root.image, first);
	fd = open(root.image, O_RDONLY | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	return fd;
}

START_TEST(kinds)
{
	ck_assert(!root_is_files(NULL));
	ck_assert(!root_is_files("lun:0"));
	ck_assert(!root_is_files("blk:x"));
	ck_assert(root_is_files("lun"));
	ck_assert(root_is_files("oci:x"));
	ck_assert(root_has_command("oci:x"));
	ck_assert(!root_has_command("oci"));
	ck_assert(!root_has_command(NULL));
	ck_assert_int_eq(root_check(NULL, false), 0);
	ck_assert_int_eq(root_check("lun:x", false), 0);
	ck_assert_int_eq(root_check("r", false), 0);
	ck_assert_int_eq(root_check("r.tar", true), 0);
	ck_assert_int_eq(root_check("host", true), 0);
	ck_assert_int_eq(root_check("host,secrets=on", true), 0);
	ck_assert(root_is_files("host"));
}
END_TEST

START_TEST(archive)
{
	int fd = open_image("r.tar");

	check_text(fd, "etc/name", "here\n");
	close(fd);
	ck_assert_int_eq(system("echo more >>r/etc/name; tar -C r -cf r.tar etc"), 0);
	root_close(&root);
	fd = open_image("r.tar"); /* another one by now */
	check_text(fd, "etc/name", "here\nmore\n");
	close(fd);
}
END_TEST

/* The same tool makes it as for --share; what the kernel mounts in a system is not in it. */
START_TEST(folder)
{
	char line[400];

	close(open_image("r"));
	/* that of 2022 has no --path */
	snprintf(line, sizeof(line), "! dump.erofs --help 2>&1 | grep -q -e --path || "
		 "{ dump.erofs --path=/etc/name %s | grep -q regular && "
		 "! dump.erofs --path=/proc %s 2>&1 | grep -q directory; }", root.image,
		 root.image);
	ck_assert_int_eq(system(line), 0);
	ck_assert_ptr_nonnull(strstr(root.image, "/root-"));
}
END_TEST

static const struct {
	const char *text, *why;
	int err;
} bad[] = {
	{ "/dev/null", ": is neither a folder nor an archive; a disk is given by --disk", -EUSAGE },
	{ "none", ": No such file or directory; a disk, lun:N or blk:N, a folder", -EUSAGE },
	{ "r/../../..", ": is this whole system: --root host; or a folder with another one is "
	  "wanted\n", -EUSAGE },
	{ "host", ": is for a command, given after --, or a shell, -t; this system's", -EUSAGE },
	{ "host,x", ": host, or host,secrets=on is wanted; a folder of that name", -EUSAGE },
	{ "oci:none", ": none: No such file or directory\n", -EIO },
	{ "r/etc/name", ": ", -EIO },
};

START_TEST(refused)
{
	char wanted[200];

	stderr_begin(&said);
	ck_assert_int_eq(bad[_i].err == -EUSAGE ? root_check(bad[_i].text, false) :
			 root_open(bad[_i].text, NULL, &root), bad[_i].err);
	snprintf(wanted, sizeof(wanted), "lunette: error: --root %s%s", bad[_i].text, bad[_i].why);
	ck_assert_msg(!strncmp(stderr_end(&said), wanted, strlen(wanted)), "%s", said.text);
	ck_assert_ptr_null(root.image);
}
END_TEST

Suite *root_suite(void)
{
	Suite *s = suite_create("root");
	TCase *tc = unit_case(s, "root");

	tcase_set_timeout(tc, 120);
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, kinds);
	tcase_add_test(tc, archive);
	tcase_add_test(tc, folder);
	tcase_add_loop_test(tc, refused, 0, 7);
	return s;
}

UNIT_MAIN(root_suite)
