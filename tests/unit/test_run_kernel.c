/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/stderr.h"
#include "vmm/run/guest.h"
#include "vmm/run/run_kernel.h"

Suite *run_kernel_suite(void);

static char top[64];
static struct guest_cfg cfg;
static struct run_kernel k;
static char *const command[] = { "true", NULL };

static void set_up(void)
{
	strcpy(top, "/tmp/lunette-kernel-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(top));
	ck_assert_int_eq(chdir(top), 0);
	setenv("XDG_CACHE_HOME", top, 1);
	cfg = (struct guest_cfg){ 0 };
	ck_assert_int_eq(system("mkdir -p lunette/kernel-micro tree/arch/x86/boot "
				"tree/include/config"), 0);
	ck_assert_int_eq(system("touch lunette/kernel-micro/vmlinux lunette/initramfs.cpio "
				"tree/arch/x86/boot/bzImage tree/modules.order"), 0);
	ck_assert_int_eq(system("echo 6.1 >tree/include/config/kernel.release"), 0);
}

static void tear_down(void)
{
	char line[100];

	free(cfg.initrds.item);
	run_kernel_free(&k);
	snprintf(line, sizeof(line), "rm -rf %s", top);
	ck_assert_int_eq(system(line), 0);
}

static void check_base(void)
{
	char path[100];

	snprintf(path, sizeof(path), "%s/lunette/initramfs.cpio", top);
	ck_assert_str_eq(cfg.initrds.item[0], path);
}

START_TEST(small_one)
{
	char path[100];

	cfg.job.argv = command;
	ck_assert_int_eq(run_kernel_find(&cfg, false, &k), 0);
	snprintf(path, sizeof(path), "%s/lunette/kernel-micro/vmlinux", top);
	ck_assert_str_eq(cfg.kernel, path);
	ck_assert_uint_eq(cfg.initrds.count, 1);
	check_base();
}
END_TEST

/* The archive of modules comes behind the base. */
START_TEST(tree)
{
	char magic[7] = "";

	cfg.kernel = "tree";
	cfg.job.argv = command;
	ck_assert_int_eq(run_kernel_find(&cfg, false, &k), 0);
	ck_assert_str_eq(cfg.kernel, "tree/arch/x86/boot/bzImage");
	ck_assert_uint_eq(cfg.initrds.count, 2);
	check_base();
	ck_assert_int_eq(strncmp(cfg.initrds.item[1], "/proc/self/fd/", 14), 0);
	ck_assert_int_eq(pread(k.archive, magic, 6, 0), 6);
	ck_assert_str_eq(magic, "070701");
}
END_TEST

START_TEST(users_own_initrd)
{
	cfg.kernel = "tree";
	cfg.job.argv = command;
	ck_assert_int_eq(opt_list_add(&cfg.initrds, "mine"), 0);
	ck_assert_int_eq(run_kernel_find(&cfg, true, &k), 0);
	ck_assert_uint_eq(cfg.initrds.count, 1);
}
END_TEST

/* Without a command a guest is the user's affair, unless its root needs our init. */
START_TEST(no_command)
{
	cfg.kernel = "tree";
	ck_assert_int_eq(run_kernel_find(&cfg, false, &k), 0);
	ck_assert_uint_eq(cfg.initrds.count, 0);
	run_kernel_free(&k);
	cfg.kernel = "tree";
	ck_assert_int_eq(run_kernel_find(&cfg, true, &k), 0);
	ck_assert_str_eq(cfg.kernel, "tree/arch/x86/boot/bzImage");
	ck_assert_uint_eq(cfg.initrds.count, 2);
}
END_TEST

START_TEST(no_base)
{
	struct stderr_text said;
	char wanted[300];

	cfg.kernel = "tree";
	cfg.job.argv = command;
	unlink("lunette/initramfs.cpio");
	stderr_begin(&said);
	ck_assert_int_eq(run_kernel_find(&cfg, false, &k), -ENOENT);
	snprintf(wanted, sizeof(wanted), "lunette: error: --initrd: %s/lunette/initramfs.cpio: No "
		 "such file or directory; 'lunette kernel build' in lunette's source makes it; "
		 "--initrd names another one\n", top);
	ck_assert_str_eq(stderr_end(&said), wanted);
}
END_TEST

/* Where this system has no kernel either, as a container, the line is about both. */
START_TEST(none_at_all)
{
	struct stderr_text said;
	char wanted[300];
	int r;

	unlink("lunette/kernel-micro/vmlinux");
	cfg.job.argv = command;
	stderr_begin(&said);
	r = run_kernel_find(&cfg, false, &k);
	stderr_end(&said);
	snprintf(wanted, sizeof(wanted), "lunette: error: run: no kernel for the guest: no small "
		 "one, %s/lunette/kernel-micro/vmlinux ('lunette kernel build' makes it); "
		 "--kernel host: ", top);
	if (r == 0)
		ck_assert_ptr_nonnull(strstr(cfg.kernel, "vmlinu"));
	else
		ck_assert_int_eq(strncmp(said.text, wanted, strlen(wanted)), 0);
	ck_assert_ptr_null(k.made);
}
END_TEST

START_TEST(full_one)
{
	struct stderr_text said;
	char wanted[300];

	cfg.kernel = "full";
	stderr_begin(&said);
	ck_assert_int_eq(run_kernel_find(&cfg, false, &k), -ENOENT);
	snprintf(wanted, sizeof(wanted), "lunette: error: --kernel full: %s/lunette/kernel-full/"
		 "vmlinux: No such file or directory; 'lunette kernel build full' makes it\n",
		 top);
	ck_assert_str_eq(stderr_end(&said), wanted);
	run_kernel_free(&k);
	ck_assert_int_eq(system("mkdir lunette/kernel-full && touch lunette/kernel-full/vmlinux"),
			 0);
	cfg.kernel = "full";
	ck_assert_int_eq(run_kernel_find(&cfg, false, &k), 0);
	snprintf(wanted, sizeof(wanted), "%s/lunette/kernel-full/vmlinux", top);
	ck_assert_str_eq(cfg.kernel, wanted);
}
END_TEST

/* One of a distribution's cannot even see its disks without its modules. */
START_TEST(version)
{
	char wanted[300];

	ck_assert_int_eq(system("mkdir -p lunette/kernels/6.2-x/lib/modules/6.2-x"), 0);
	ck_assert_int_eq(system("touch lunette/kernels/6.2-x/vmlinuz "
				"lunette/kernels/6.2-x/lib/modules/6.2-x/modules.order"), 0);
	ck_assert_int_eq(symlink("6.2-x", "lunette/kernels/6.2"), 0);
	cfg.kernel = "6.2";
	ck_assert_int_eq(run_kernel_find(&cfg, false, &k), 0);
	snprintf(wanted, sizeof(wanted), "%s/lunette/kernels/6.2-x/vmlinuz", top);
	ck_assert_str_eq(cfg.kernel, wanted);
	ck_assert_str_eq(k.found.release, "6.2-x");
	ck_assert_uint_eq(cfg.initrds.count, 2);
	check_base();
}
END_TEST

/* Nothing fetches one here: a suite has no script. */
START_TEST(version_that_has_to_be_fetched)
{
	struct stderr_text said;

	cfg.kernel = "6.3";
	stderr_begin(&said);
	ck_assert_int_eq(run_kernel_find(&cfg, false, &k), -ENOENT);
	ck_assert_str_eq(stderr_end(&said), "lunette: error: --kernel 6.3: what fetches it, "
			 "share/lunette/kernel/fetch.sh, has not been installed with lunette\n");
}
END_TEST

START_TEST(file_that_is_called_as_a_version)
{
	ck_assert_int_eq(system("touch 6.2"), 0);
	cfg.kernel = "6.2";
	ck_assert_int_eq(run_kernel_find(&cfg, false, &k), 0);
	ck_assert_str_eq(cfg.kernel, "6.2");
}
END_TEST

/* The word alone: no initramfs is looked for. */
START_TEST(which)
{
	struct stderr_text said;

	unlink("lunette/initramfs.cpio");
	ck_assert_int_eq(run_kernel_which("tree", &k), 0);
	ck_assert_str_eq(k.found.image, "tree/arch/x86/boot/bzImage");
	ck_assert_str_eq(k.found.release, "6.1");
	ck_assert_ptr_nonnull(k.found.modules);
	ck_assert_int_eq(k.archive, -1);
	run_kernel_free(&k);
	ck_assert_int_eq(run_kernel_which("micro", &k), 0);
	ck_assert_ptr_nonnull(k.made);
	run_kernel_free(&k);
	stderr_begin(&said);
	ck_assert_int_eq(run_kernel_which("none", &k), -ENOENT);
	ck_assert_str_eq(stderr_end(&said), "lunette: error: --kernel none: No such file or "
			 "directory\n");
}
END_TEST

Suite *run_kernel_suite(void)
{
	Suite *s = suite_create("run_kernel");
	TCase *tc = unit_case(s, "run_kernel");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, small_one);
	tcase_add_test(tc, tree);
	tcase_add_test(tc, users_own_initrd);
	tcase_add_test(tc, no_command);
	tcase_add_test(tc, no_base);
	tcase_add_test(tc, none_at_all);
	tcase_add_test(tc, full_one);
	tcase_add_test(tc, which);
	tcase_add_test(tc, version);
	tcase_add_test(tc, version_that_has_to_be_fetched);
	tcase_add_test(tc, file_that_is_called_as_a_version);
	return s;
}

UNIT_MAIN(run_kernel_suite)
