/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/tree.h"
#include "vmm/core/util.h"
#include "vmm/host/host_check.h"

Suite *host_check_suite(void);

static struct tree tree;
static char *text;

static void set_up(void)
{
	tree_create(&tree);
	text = NULL;
}

static void tear_down(void)
{
	free(text);
	tree_remove(&tree);
}

static void put(const char *path, const char *contents)
{
	tree_put(&tree, path, contents);
}

static enum host_verdict check(const char *name)
{
	const struct host_check *c = host_checks;
	enum host_verdict verdict;
	size_t len;
	FILE *f;

	while (c->name && strcmp(c->name, name))
		c++;
	ck_assert_ptr_nonnull(c->name);
	free(text);
	f = open_memstream(&text, &len);
	verdict = c->fn(tree.root, f);
	fclose(f);
	ck_assert_ptr_null(strchr(text, '\n'));
	ck_assert_uint_gt(len, 0);
	return verdict;
}

static const struct there {
	const char *name, *path, *cure;
} devices[] = {
	{ "vhost-scsi", "/dev/vhost-scsi", "sudo modprobe vhost_scsi" },
	{ "tun", "/dev/net/tun", "sudo modprobe tun" },
	{ "target", "/sys/kernel/config/target/core", "sudo modprobe target_core_mod" },
};

START_TEST(device)
{
	ck_assert_int_eq(check(devices[_i].name), HOST_MISSING);
	ck_assert_ptr_nonnull(strstr(text, devices[_i].cure));
	put(devices[_i].path, "");
	ck_assert_int_eq(check(devices[_i].name), HOST_OK);
	ck_assert_ptr_null(strstr(text, "sudo"));
}
END_TEST

/* Which the kernel names, and which nobody makes for it. */
START_TEST(target_wants_a_folder)
{
	put("/sys/kernel/config/target/core", "");
	put("/sys/kernel/config/target/dbroot", "/var/target\n");
	ck_assert_int_eq(check("target"), HOST_WARNING);
	ck_assert_ptr_nonnull(strstr(text, "PERSISTENT RESERVE OUT"));
	ck_assert_ptr_nonnull(strstr(text, "sudo mkdir -p /var/target/pr"));
	put("/var/target/pr/x", "");
	ck_assert_int_eq(check("target"), HOST_OK);
}
END_TEST

static const struct there programs[] = {
	{ "passt", "/bin/passt", "sudo apt-get install passt" },
	{ "images", "/bin/mkfs.erofs", "sudo apt-get install erofs-utils" },
	{ "images", "/bin/mksquashfs", "sudo apt-get install erofs-utils" },
};

START_TEST(program)
{
	char path[100];

	snprintf(path, sizeof(path), "/nowhere:%s/bin:", tree.root);
	setenv("PATH", path, 1);
	ck_assert_int_eq(check(programs[_i].name), HOST_MISSING);
	ck_assert_ptr_nonnull(strstr(text, programs[_i].cure));
	put(programs[_i].path, "");
	ck_assert_int_eq(check(programs[_i].name), HOST_OK);
	unsetenv("PATH");
	ck_assert_int_eq(check(programs[_i].name), HOST_MISSING);
}
END_TEST

START_TEST(passt_needs_user_namespaces)
{
	char path[100];

	snprintf(path, sizeof(path), "%s/bin", tree.root);
	setenv("PATH", path, 1);
	put("/bin/passt", "");
	put("/proc/sys/user/max_user_namespaces", "0\n");
	ck_assert_int_eq(check("passt"), HOST_WARNING);
	ck_assert_ptr_nonnull(strstr(text, "sudo sysctl user.max_user_namespaces="));
	put("/proc/sys/user/max_user_namespaces", "63000\n");
	ck_assert_int_eq(check("passt"), HOST_OK);
	unsetenv("PATH");
}
END_TEST

static const struct amount {
	const char *there, *limit;
	enum host_verdict verdict;
	const char *says;
} amounts[] = {
	{ "MemAvailable: 4194304 kB\n", "max\n", HOST_OK, "4096 MiB can be had (this machine)" },
	{ "MemFree: 1 kB\nMemAvailable: 4194304 kB\n", "1073741824\n", HOST_OK, "1024 MiB" },
	{ "MemAvailable: 4194304 kB\n", "268435456\n", HOST_WARNING, "256 MiB can be had (" },
	{ "MemAvailable: 262144 kB\n", "max\n", HOST_WARNING, "256 MiB can be had (this machine)" },
};

START_TEST(memory)
{
	put("/proc/self/cgroup", "0::/job\n");
	put("/proc/self/mountinfo", "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
	put("/proc/meminfo", amounts[_i].there);
	put("/sys/fs/cgroup/job/memory.max", amounts[_i].limit);
	put("/sys/fs/cgroup/job/memory.current", "0\n");
	ck_assert_int_eq(check("memory"), amounts[_i].verdict);
	ck_assert_ptr_nonnull(strstr(text, amounts[_i].says));
	ck_assert_int_eq(!!strstr(text, "--memory 256M"), amounts[_i].verdict == HOST_WARNING);
}
END_TEST

START_TEST(uring_says_what_is_used)
{
	enum host_verdict verdict = check("io_uring");

	ck_assert_ptr_nonnull(strstr(text, verdict == HOST_OK ? "by it" : "threads are used"));
}
END_TEST

START_TEST(a_line_each)
{
	const struct host_check *c;
	char *out, *line, *rest;
	size_t len;
	FILE *f = open_memstream(&out, &len);

	host_check_all(tree.root, f);
	fclose(f);
	line = strtok_r(out, "\n", &rest);
	for (c = host_checks; c->name; c++, line = strtok_r(NULL, "\n", &rest)) {
		ck_assert_ptr_nonnull(line);
		ck_assert_int_eq(strncmp(line + 9, c->name, strlen(c->name)), 0);
		ck_assert_uint_gt(strlen(line), 25);
	}
	ck_assert_ptr_null(line);
	free(out);
}
END_TEST

/* What it is called is not enough: it is asked what it is. */
START_TEST(virtiofsd)
{
	char path[200];

	snprintf(path, sizeof(path), "%s/bin:/usr/bin:/bin", tree.root);
	setenv("PATH", path, 1);
	put("/bin/virtiofsd", "#!/bin/sh\necho something else\n");
	snprintf(path, sizeof(path), "%s/bin/virtiofsd", tree.root);
	ck_assert_int_eq(chmod(path, 0755), 0);
	ck_assert_int_eq(check("virtiofsd"), HOST_MISSING);
	ck_assert_ptr_nonnull(strstr(text, "apt-get install virtiofsd"));
	put("/bin/virtiofsd", "#!/bin/sh\necho --shared-dir\n");
	ck_assert_int_eq(check("virtiofsd"), HOST_OK);
	put("/proc/sys/user/max_user_namespaces", "0\n");
	ck_assert_int_eq(check("virtiofsd"), HOST_WARNING);
	ck_assert_ptr_nonnull(strstr(text, "sudo sysctl user.max_user_namespaces="));
	put("/proc/sys/user/max_user_namespaces", "1\n");
	put("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1\n");
	ck_assert_int_eq(check("virtiofsd"), geteuid() ? HOST_WARNING : HOST_OK);
	unsetenv("PATH");
}
END_TEST

Suite *host_check_suite(void)
{
	Suite *s = suite_create("host_check");
	TCase *tc = unit_case(s, "host_check");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_loop_test(tc, device, 0, ARRAY_SIZE(devices));
	tcase_add_test(tc, target_wants_a_folder);
	tcase_add_loop_test(tc, program, 0, ARRAY_SIZE(programs));
	tcase_add_loop_test(tc, memory, 0, ARRAY_SIZE(amounts));
	tcase_add_test(tc, passt_needs_user_namespaces);
	tcase_add_test(tc, virtiofsd);
	tcase_add_test(tc, uring_says_what_is_used);
	tcase_add_test(tc, a_line_each);
	return s;
}

UNIT_MAIN(host_check_suite)
