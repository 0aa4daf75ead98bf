/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tests/lib/stderr.h"
#include "tests/lib/tree.h"
#include "vmm/core/fail.h"
#include "vmm/core/util.h"
#include "vmm/machine/memlimit.h"

Suite *memlimit_suite(void);

static struct stderr_text err;
static struct memlimit m;
static struct tree tree;

static void set_up(void)
{
	tree_create(&tree);
}

static void tear_down(void)
{
	tree_remove(&tree);
}

static void put(const char *path, const char *text)
{
	tree_put(&tree, path, text);
}

#define CG "sys/fs/cgroup/"

static void v2(const char *group, const char *from)
{
	char text[300];

	snprintf(text, sizeof(text), "0::%s\n", group);
	put("proc/self/cgroup", text);
	snprintf(text, sizeof(text), "22 28 0:21 / /proc rw shared:12 - proc proc rw\n"
		 "30 23 0:26 %s /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw\n", from);
	put("proc/self/mountinfo", text);
}

static void limit_v2(const char *dir, const char *max, const char *current)
{
	char path[200];

	snprintf(path, sizeof(path), CG "%s/memory.max", dir);
	put(path, max);
	snprintf(path, sizeof(path), CG "%s/memory.current", dir);
	put(path, current);
}

START_TEST(no_files)
{
	ck_assert(!memlimit_find(tree.root, &m));
	ck_assert_int_eq(memlimit_check(tree.root, GIB(512), 1, 0), 0);
}
END_TEST

START_TEST(no_limit)
{
	v2("/user/job", "/");
	limit_v2("user/job", "max\n", "1000\n");
	ck_assert(!memlimit_find(tree.root, &m));
}
END_TEST

START_TEST(own_group)
{
	v2("/user/job", "/");
	limit_v2("user/job", "1000000\n", "400000\n");
	ck_assert(memlimit_find(tree.root, &m));
	ck_assert_uint_eq(m.limit, 1000000);
	ck_assert_uint_eq(m.used, 400000);
	ck_assert_ptr_nonnull(strstr(m.where, "/sys/fs/cgroup/user/job/memory.max"));
}
END_TEST

/* The tightest is the one with the least left, not the lowest. */
START_TEST(group_above)
{
	v2("/a/b/c", "/");
	limit_v2("a", "5000\n", "4900\n");
	limit_v2("a/b", "1000\n", "200\n");
	limit_v2("a/b/c", "max\n", "100\n");
	ck_assert(memlimit_find(tree.root, &m));
	ck_assert_uint_eq(m.limit, 5000);
	ck_assert_ptr_nonnull(strstr(m.where, "cgroup/a/memory.max"));
}
END_TEST

/* In a container: the group of the container is what is seen at the mount's place. */
START_TEST(container)
{
	v2("/docker/1234", "/docker/1234");
	limit_v2("", "2000\n", "100\n");
	ck_assert(memlimit_find(tree.root, &m));
	ck_assert_uint_eq(m.limit, 2000);
}
END_TEST

START_TEST(container_with_a_namespace)
{
	v2("/", "/");
	limit_v2("", "2000\n", "100\n");
	ck_assert(memlimit_find(tree.root, &m));
	ck_assert_uint_eq(m.limit, 2000);
}
END_TEST

/* A group that is not below what is mounted: what is mounted is all that is known. */
static const char *const elsewhere[][2] = {
	{ "/../../other", "/" }, { "/a/bc", "/a/b" }, { "/x", "/a" },
};

START_TEST(group_elsewhere)
{
	v2(elsewhere[_i][0], elsewhere[_i][1]);
	limit_v2("", "2000\n", "100\n");
	put("other/memory.max", "10\n");
	put("other/memory.current", "1\n");
	ck_assert(memlimit_find(tree.root, &m));
	ck_assert_uint_eq(m.limit, 2000);
}
END_TEST

/* Files that were read fill a group, and make way when memory is wanted. */
START_TEST(page_cache_is_free)
{
	v2("/job", "/");
	limit_v2("job", "1000000\n", "990000\n");
	put(CG "job/memory.stat", "anon 90000\nfile 880000\ninactive_anon 1\nactive_file 400000\n"
	    "inactive_file 300000\nslab_reclaimable 200000\n");
	ck_assert(memlimit_find(tree.root, &m));
	ck_assert_uint_eq(m.used, 90000);
	put(CG "job/memory.stat", "inactive_file 9999999\n");
	ck_assert(memlimit_find(tree.root, &m));
	ck_assert_uint_eq(m.used, 0);
}
END_TEST

START_TEST(version_1)
{
	put("proc/self/cgroup", "9:name=systemd:/\n8:pids,memory,cpu:/jobs/7\n0::/\n");
	put("proc/self/mountinfo", "35 31 0:32 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n"
	    "36 31 0:33 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n");
	put(CG "memory/memory.limit_in_bytes", "9223372036854771712\n");
	put(CG "memory/memory.usage_in_bytes", "5\n");
	put(CG "memory/jobs/7/memory.limit_in_bytes", "3000000\n");
	put(CG "memory/jobs/7/memory.usage_in_bytes", "1000000\n");
	put(CG "memory/jobs/7/memory.stat", "inactive_file 5\ntotal_active_file 100000\n"
	    "total_inactive_file 200000\n");
	ck_assert(memlimit_find(tree.root, &m));
	ck_assert_uint_eq(m.limit, 3000000);
	ck_assert_uint_eq(m.used, 700000);
}
END_TEST

/* Files of somebody who means no good, or has another kernel. */
static const char *const odd[][2] = {
	{ "", "" }, { "0::", "x" }, { "::::\n", " - \n - cgroup2\n" },
	{ "0::/a", "1 2 3 4 5 - cgroup2" },
	{ "0::/a\n", "30 23 0:26 / - cgroup2 cgroup2 rw\n" },
	{ "0::////\n", "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n" },
	{ "4:memory", "36 31 0:33 / /sys/fs/cgroup rw - cgroup cgroup rw,memory\n" },
};

START_TEST(odd_files)
{
	put("proc/self/cgroup", odd[_i][0]);
	put("proc/self/mountinfo", odd[_i][1]);
	ck_assert(!memlimit_find(tree.root, &m));
}
END_TEST

START_TEST(refused_with_figures)
{
	char max[40];

	v2("/job", "/");
	snprintf(max, sizeof(max), "%ju\n", (uintmax_t)(MIB(10) + memlimit_need(MIB(512), 2, 0)));
	limit_v2("job", max, "10485760\n");
	ck_assert_int_eq(memlimit_check(tree.root, MIB(512), 2, 0), 0);
	limit_v2("job", max, "10485761\n");
	stderr_begin(&err);
	ck_assert_int_eq(memlimit_check(tree.root, MIB(512), 2, 0), -EOVERLIMIT);
	stderr_end(&err);
	ck_assert_ptr_nonnull(strstr(err.text, "--memory 512M: "));
	ck_assert_ptr_nonnull(strstr(err.text, "/job/memory.max is "));
	ck_assert_ptr_nonnull(strstr(err.text, "of which 10M are in use"));
	ck_assert_ptr_eq(strchr(err.text, '\n'), strrchr(err.text, '\n'));
}
END_TEST

Suite *memlimit_suite(void)
{
	Suite *s = suite_create("memlimit");
	TCase *tc = unit_case(s, "memlimit");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, no_files);
	tcase_add_test(tc, no_limit);
	tcase_add_test(tc, own_group);
	tcase_add_test(tc, group_above);
	tcase_add_test(tc, container);
	tcase_add_test(tc, container_with_a_namespace);
	tcase_add_loop_test(tc, group_elsewhere, 0, ARRAY_SIZE(elsewhere));
	tcase_add_test(tc, page_cache_is_free);
	tcase_add_test(tc, version_1);
	tcase_add_loop_test(tc, odd_files, 0, ARRAY_SIZE(odd));
	tcase_add_test(tc, refused_with_figures);
	return s;
}

UNIT_MAIN(memlimit_suite)
