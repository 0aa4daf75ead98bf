/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "vmm/run/files/fstree.h"

Suite *fstree_suite(void);

static struct fstree *t;
static struct fstree_node *node;
static unsigned drops;

static void hear(void *arg, const struct fstree_node *gone)
{
	(void)arg;
	drops += gone->links == 0;
}

static void set_up(void)
{
	t = fstree_create(100);
	fstree_on_drop(t, hear, NULL);
}

static void tear_down(void)
{
	fstree_destroy(t);
}

static void put(const char *path, mode_t mode)
{
	ck_assert_int_eq(fstree_put(t, path, mode, &node), 0);
}

static void put_link(const char *path, const char *target)
{
	put(path, S_IFLNK | 0777);
	node->target = strdup(target);
}

#define F (S_IFREG | 0644)
#define D (S_IFDIR | 0700)

START_TEST(names)
{
	put("./a//b/./c", F);
	ck_assert_ptr_eq(fstree_look(t, "/a/b/c"), node);
	ck_assert_uint_eq(fstree_look(t, "a")->mode, S_IFDIR | 0755); /* made on the way */
	put("a/", D);
	ck_assert_uint_eq(node->mode, D); /* it stays, with what is in it */
	ck_assert_ptr_nonnull(fstree_look(t, "a/b/c"));
	put(".", D);
	ck_assert_ptr_eq(node, fstree_top(t));
	put("a", F); /* a file in its place */
	ck_assert_ptr_null(fstree_look(t, "a/b"));
	ck_assert_uint_eq(drops, 1);
	put("a/d", F); /* ... and a folder in the file's */
	ck_assert(S_ISDIR(fstree_look(t, "a")->mode));
	ck_assert_uint_eq(drops, 2);
}
END_TEST

static const struct {
	const char *path;
	int err;
} bad[] = {
	{ "..", -EINVAL }, { "../x", -EINVAL }, { "a/../b", -EINVAL }, { "a/..", -EINVAL },
	{ "loop/x", -ELOOP }, { "/", -EISDIR },
};

START_TEST(names_that_are_refused)
{
	put_link("loop", "loop");
	ck_assert_int_eq(fstree_put(t, bad[_i].path, F, &node), bad[_i].err);
	ck_assert_uint_gt(strlen(fstree_why(bad[_i].err)), 10);
}
END_TEST

START_TEST(long_names)
{
	char name[FSTREE_PATH_MAX + 10];

	memset(name, 'a', sizeof(name));
	name[255] = 0;
	put(name, F);
	name[255] = 'a';
	name[256] = 0;
	ck_assert_int_eq(fstree_put(t, name, F, &node), -ENAMETOOLONG);
	memset(name, '/', sizeof(name));
	name[sizeof(name) - 1] = 0;
	ck_assert_int_eq(fstree_put(t, name, D, &node), -ENAMETOOLONG);
}
END_TEST

/* By links it could become deeper than any name is long. */
START_TEST(deep)
{
	char name[2 * FSTREE_DEPTH_MAX + 10] = "";
	unsigned i;

	fstree_destroy(t);
	t = fstree_create(10000);
	for (i = 0; i < FSTREE_DEPTH_MAX; i++)
		memcpy(name + 2 * i, "a/", 3);
	ck_assert_int_eq(fstree_put(t, name, D, &node), 0);
	strcat(name, "a");
	ck_assert_int_eq(fstree_put(t, name, D, &node), -ENAMETOOLONG);
	name[2 * FSTREE_DEPTH_MAX - 100] = 0;
	put_link("far", name);
	strcpy(name, "far/");
	for (i = 0; i < 100; i++)
		strcat(name, "b/");
	ck_assert_int_eq(fstree_put(t, name, D, &node), -ENAMETOOLONG);
}
END_TEST

/* As the system that it becomes would follow them: from its own top, and never above it. */
START_TEST(links_on_the_way)
{
	put("usr/lib", D);
	put_link("lib", "usr/lib");
	put_link("abs", "/usr/lib");
	put_link("up", "../../../usr/./lib");
	put_link("usr/back", "../lib");
	put("lib/a", F);
	put("abs/b", F);
	put("up/c", F);
	put("usr/back/d", F);
	ck_assert_ptr_nonnull(fstree_look(t, "usr/lib/a"));
	ck_assert_ptr_nonnull(fstree_look(t, "usr/lib/b"));
	ck_assert_ptr_nonnull(fstree_look(t, "usr/lib/c"));
	ck_assert_ptr_nonnull(fstree_look(t, "usr/lib/d"));
	ck_assert_ptr_eq(fstree_look(t, "lib"), fstree_look(t, "usr/lib"));
	put_link("nowhere", "not/there");
	ck_assert_ptr_null(fstree_look(t, "nowhere"));
	put("nowhere/x", F);
	ck_assert_ptr_nonnull(fstree_look(t, "not/there/x"));
	put("lib", F); /* the last name is the link itself */
	ck_assert_ptr_nonnull(fstree_look(t, "usr/lib/a"));
}
END_TEST

START_TEST(hard_links)
{
	put("a", F);
	ck_assert_int_eq(fstree_link(t, "d/b", "./a"), 0);
	ck_assert_uint_eq(node->links, 2);
	ck_assert_ptr_eq(fstree_look(t, "d/b"), node);
	ck_assert_int_eq(fstree_link(t, "a", "a"), 0);
	ck_assert_uint_eq(node->links, 2);
	ck_assert_int_eq(fstree_link(t, "x", "d"), -EISDIR);
	ck_assert_int_eq(fstree_link(t, "x", "none"), -ENOENT);
	ck_assert_int_eq(fstree_link(t, "x", "a/none"), -ENOENT);
	ck_assert_int_eq(fstree_link(t, "x", "../a"), -EINVAL);
	ck_assert_int_eq(fstree_link(t, "../x", "a"), -EINVAL);
	ck_assert_int_eq(fstree_link(t, "/", "a"), -EISDIR);
	ck_assert_int_eq(fstree_link(t, "a/x", "a"), -ENOENT); /* a folder takes its place */
	ck_assert(S_ISDIR(fstree_look(t, "a")->mode));
	ck_assert_uint_eq(node->links, 1);
	ck_assert_int_eq(fstree_link(t, "d", "d/b"), -ENOENT); /* it would go with its folder */
	put("a", F);
	ck_assert_int_eq(fstree_link(t, "d/b", "a"), 0);
	put_link("l", "a");
	ck_assert_int_eq(fstree_link(t, "m", "l"), 0);
	ck_assert_uint_eq(node->links, 2); /* of the link itself */
}
END_TEST

START_TEST(white_out)
{
	put("a/old", F);
	put("b/old", F);
	put("c", F);
	fstree_next_layer(t);
	put("a/new", F);
	ck_assert_int_eq(fstree_white_out_below(t, "a/"), 0); /* opaque: at the end, too */
	ck_assert_int_eq(fstree_white_out(t, "b"), 0);
	ck_assert_int_eq(fstree_white_out(t, "none"), 0);
	ck_assert_int_eq(fstree_white_out(t, "none/none"), 0);
	ck_assert_int_eq(fstree_white_out(t, "../c"), -EINVAL);
	ck_assert_int_eq(fstree_white_out(t, "."), 0);
	ck_assert_ptr_null(fstree_look(t, "a/old"));
	ck_assert_ptr_nonnull(fstree_look(t, "a/new"));
	ck_assert_ptr_null(fstree_look(t, "b"));
	put("c", F);
	ck_assert_int_eq(fstree_white_out(t, "c"), 0); /* its own layer's stays */
	ck_assert_ptr_nonnull(fstree_look(t, "c"));
	put("b", D); /* as if it had never been there */
	ck_assert_ptr_null(fstree_look(t, "b/old"));
}
END_TEST

START_TEST(too_many)
{
	char name[16];
	unsigned i;

	for (i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "%u", i);
		put(name, F);
	}
	put("0", F); /* the name was there */
	ck_assert_int_eq(fstree_put(t, "x", F, &node), -EDQUOT);
	ck_assert_int_eq(fstree_link(t, "x", "1"), -EDQUOT);
	ck_assert_int_eq(fstree_put(t, "x/y", F, &node), -EDQUOT);
}
END_TEST

/* More than the first table of names has room for. */
START_TEST(many)
{
	char name[16];
	unsigned i;

	fstree_destroy(t);
	t = fstree_create(10000);
	for (i = 0; i < 5000; i++) {
		snprintf(name, sizeof(name), "%u/%u", i % 7, i);
		put(name, F);
	}
	for (i = 0; i < 5000; i++) {
		snprintf(name, sizeof(name), "%u/%u", i % 7, i);
		ck_assert_ptr_nonnull(fstree_look(t, name));
	}
	ck_assert_ptr_null(fstree_look(t, "0/1"));
}
END_TEST

Suite *fstree_suite(void)
{
	Suite *s = suite_create("fstree");
	TCase *tc = unit_case(s, "fstree");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, names);
	tcase_add_loop_test(tc, names_that_are_refused, 0, 6);
	tcase_add_test(tc, long_names);
	tcase_add_test(tc, deep);
	tcase_add_test(tc, links_on_the_way);
	tcase_add_test(tc, hard_links);
	tcase_add_test(tc, white_out);
	tcase_add_test(tc, too_many);
	tcase_add_test(tc, many);
	return s;
}

UNIT_MAIN(fstree_suite)
