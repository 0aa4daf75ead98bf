/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/stderr.h"
#include "vmm/run/kernel/kernel_find.h"

Suite *kernel_find_suite(void);

static char top[64];
static struct kernel_found found;

static void set_up(void)
{
	strcpy(top, "/tmp/lunette-find-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(top));
	ck_assert_int_eq(chdir(top), 0);
}

static void tear_down(void)
{
	char line[200];

	kernel_found_free(&found);
	snprintf(line, sizeof(line), "chmod -R u+rwX %s; rm -rf %s", top, top);
	ck_assert_int_eq(system(line), 0);
}

/* A file with its folders; @text may be empty. */
static void make(const char *path, const char *text)
{
	char line[600];
	FILE *f;

	snprintf(line, sizeof(line), "mkdir -p \"$(dirname '%s')\"", path);
	ck_assert_int_eq(system(line), 0);
	f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
}

/* x86's header, with @release behind it. */
static void make_bzimage(const char *path, const char *release)
{
	char image[0x400] = { 0 };
	FILE *f;

	make(path, "");
	memcpy(image + 0x202, "HdrS", 4);
	image[0x20f] = 1; /* 0x100 behind 0x200 */
	strcpy(image + 0x300, release);
	f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(image, sizeof(image), 1, f), 1);
	fclose(f);
}

static void check(const char *image, const char *modules, const char *release)
{
	ck_assert_str_eq(found.image, image);
	if (modules)
		ck_assert_str_eq(found.modules, modules);
	else
		ck_assert_ptr_null(found.modules);
	ck_assert_str_eq(found.release, release);
	kernel_found_free(&found);
}

START_TEST(host_that_runs)
{
	make("boot/vmlinuz-6.1.0-9", "");
	make("boot/vmlinuz-6.1.0-10", "");
	make("lib/modules/6.1.0-9/modules.dep", "");
	make("lib/modules/6.1.0-10/modules.dep", "");
	ck_assert_int_eq(kernel_find_host("--kernel", ".", "6.1.0-9", &found), 0);
	check("./boot/vmlinuz-6.1.0-9", "./lib/modules/6.1.0-9", "6.1.0-9");
}
END_TEST

/* In a container /boot is another system's, or has nothing: the newest with modules is as good. */
START_TEST(host_that_does_not_run)
{
	make("boot/vmlinuz-6.1.0-9", "");
	make("lib/modules/6.1.0-9/modules.dep", "");
	make("lib/modules/6.1.0-10/modules.order", "");
	make("lib/modules/6.1.0-10/vmlinuz", ""); /* as Fedora and Arch have it */
	make("lib/modules/6.1.0-11/modules.dep", "");
	make("boot/vmlinuz-6.2", "");
	ck_assert_int_eq(kernel_find_host("--kernel", ".", "5.0", &found), 0);
	check("./lib/modules/6.1.0-10/vmlinuz", "./lib/modules/6.1.0-10", "6.1.0-10");
}
END_TEST

START_TEST(host_that_is_not_there)
{
	struct stderr_text said;

	stderr_begin(&said);
	ck_assert_int_eq(kernel_find_host("--kernel", ".", "5.0", &found), -ENOENT);
	ck_assert_str_eq(stderr_end(&said), "lunette: error: --kernel host: no kernel of this "
			 "system: neither ./boot/vmlinuz-5.0 nor another one with modules in "
			 "./lib/modules; its package brings one (Debian: linux-image-amd64, "
			 "-arm64, -riscv64)\n");
	ck_assert_ptr_null(found.image);
}
END_TEST

/* As another user, where we are root: root may read everything. */
START_TEST(host_that_may_not_be_read)
{
	struct stderr_text said;

	make("boot/vmlinuz-5.0", "");
	ck_assert_int_eq(chmod("boot/vmlinuz-5.0", 0), 0);
	ck_assert_int_eq(chmod(top, 0755), 0);
	if (geteuid() == 0)
		ck_assert_int_eq(setresuid(65534, 65534, 65534), 0);
	stderr_begin(&said);
	ck_assert_int_eq(kernel_find_host("--kernel", ".", "5.0", &found), -EACCES);
	ck_assert_str_eq(stderr_end(&said), "lunette: error: --kernel host: ./boot/vmlinuz-5.0: "
			 "Permission denied, as Ubuntu has it; 'sudo chmod a+r /boot/vmlinuz-*' "
			 "lets you read it, until the next kernel\n");
	ck_assert_ptr_null(found.image);
}
END_TEST

START_TEST(tree_of_x86)
{
	make("t/vmlinux", "");
	make("t/arch/x86/boot/bzImage", "");
	make("t/include/config/kernel.release", "6.12.0-rc1+\n");
	make("t/modules.order", "");
	ck_assert_int_eq(kernel_find("--kernel", "t/", &found), 0);
	check("t//arch/x86/boot/bzImage", "t", "6.12.0-rc1+");
}
END_TEST

/* "make vmlinux" leaves an old bzImage where it is. */
START_TEST(tree_with_the_newer_vmlinux)
{
	static const struct timespec old[2] = { { 1000, 5 }, { 1000, 5 } },
				     newer[2] = { { 1000, 6 }, { 1000, 6 } };

	make("t/vmlinux", "");
	make("t/arch/arm64/boot/Image", "");
	ck_assert_int_eq(utimensat(AT_FDCWD, "t/arch/arm64/boot/Image", old, 0), 0);
	ck_assert_int_eq(utimensat(AT_FDCWD, "t/vmlinux", newer, 0), 0);
	ck_assert_int_eq(kernel_find("--kernel", "t", &found), 0);
	check("t/vmlinux", NULL, "");
	ck_assert_int_eq(utimensat(AT_FDCWD, "t/vmlinux", old, 0), 0);
	ck_assert_int_eq(kernel_find("--kernel", "t", &found), 0);
	check("t/arch/arm64/boot/Image", NULL, "");
}
END_TEST

START_TEST(folder_of_a_package)
{
	make_bzimage("t/vmlinuz", "6.1.0 (x@y) #1");
	make("t/lib/modules/6.1.0/modules.dep", "");
	ck_assert_int_eq(kernel_find("--kernel", "t", &found), 0);
	check("t/vmlinuz", "t/lib/modules/6.1.0", "6.1.0");
}
END_TEST

START_TEST(folder_without_a_kernel)
{
	struct stderr_text said;

	make("t/Makefile", "");
	stderr_begin(&said);
	ck_assert_int_eq(kernel_find("--kernel", "t", &found), -ENOENT);
	ck_assert_str_eq(stderr_end(&said), "lunette: error: --kernel t: this folder has no "
			 "kernel: neither arch/x86/boot/bzImage nor vmlinux, or another "
			 "architecture's; 'make -j' there builds it\n");
}
END_TEST

START_TEST(file_and_its_modules)
{
	make_bzimage("boot/bz", "6.1.0-9 (x@y)");
	make("lib/modules/6.1.0-9/modules.dep", "");
	ck_assert_int_eq(kernel_find("--kernel", "boot/bz", &found), 0);
	check("boot/bz", "boot/../lib/modules/6.1.0-9", "6.1.0-9");
	/* what is no bzImage is taken by its name */
	make("boot/vmlinuz-6.2", "x");
	make("boot/lib/modules/6.2/modules.order", "");
	ck_assert_int_eq(kernel_find("--kernel", "boot/vmlinuz-6.2", &found), 0);
	check("boot/vmlinuz-6.2", "boot/lib/modules/6.2", "6.2");
	/* a release is no path */
	make_bzimage("boot/bz", "../../6.1.0-9");
	ck_assert_int_eq(kernel_find("--kernel", "boot/bz", &found), 0);
	check("boot/bz", NULL, "");
}
END_TEST

START_TEST(file_that_is_not_there)
{
	ck_assert_int_eq(kernel_find("--kernel", "vmlinux", &found), 0);
	check("vmlinux", NULL, "");
}
END_TEST

START_TEST(release)
{
	ck_assert_int_eq(kernel_find_release("6.1.0-9", &found), -ENOENT);
	ck_assert_ptr_null(found.image);
	make("k/6.1.0-9/vmlinuz", "");
	make("k/6.1.0-9/lib/modules/6.1.0-9/modules.order", "");
	ck_assert_int_eq(kernel_find_release("k/6.1.0-9", &found), 0);
	check("k/6.1.0-9/vmlinuz", "k/6.1.0-9/lib/modules/6.1.0-9", "6.1.0-9");
}
END_TEST

Suite *kernel_find_suite(void)
{
	Suite *s = suite_create("kernel_find");
	TCase *tc;

	tc = unit_case(s, "host");
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, host_that_runs);
	tcase_add_test(tc, host_that_does_not_run);
	tcase_add_test(tc, host_that_is_not_there);
	tc = unit_case(s, "unreadable");
	tcase_add_checked_fixture(tc, set_up, NULL);
	tcase_add_test(tc, host_that_may_not_be_read);
	tc = unit_case(s, "tree");
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, tree_of_x86);
	tcase_add_test(tc, tree_with_the_newer_vmlinux);
	tcase_add_test(tc, folder_of_a_package);
	tcase_add_test(tc, folder_without_a_kernel);
	tcase_add_test(tc, release);
	tc = unit_case(s, "file");
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, file_and_its_modules);
	tcase_add_test(tc, file_that_is_not_there);
	return s;
}

UNIT_MAIN(kernel_find_suite)
