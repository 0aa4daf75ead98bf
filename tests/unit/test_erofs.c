/* SPDX-License-Identifier: MIT */
#include "tests/unit/erofs_fixture.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "vmm/run/files/erofs.h"
#include "vmm/run/files/fstree.h"

Suite *erofs_suite(void);

static struct fstree *t;
static struct fstree_node *node;
static struct inode i;
static int fd;

static void set_up(void)
{
	t = fstree_create(10000);
	fd = memfd_create("image", MFD_CLOEXEC);
}

static void tear_down(void)
{
	fstree_destroy(t);
	close(fd);
}

static void put(const char *path, mode_t mode)
{
	ck_assert_int_eq(fstree_put(t, path, mode, &node), 0);
}

static void find(const char *path)
{
	ck_assert_msg(find_path(fd, path, &i), "no %s", path);
}

START_TEST(empty)
{
	struct stat st;

	ck_assert_int_eq(erofs_write(t, fd, EROFS_FIRST), 0);
	find("");
	ck_assert_uint_eq(i.mode, S_IFDIR | 0755);
	ck_assert_uint_eq(i.links, 2);
	ck_assert_uint_eq(i.size, 2 * 12 + 3);
	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert_uint_eq(st.st_size, 3 * EROFS_BLOCK);
}
END_TEST

START_TEST(all_kinds)
{
	put("d/file", S_IFREG | 04755);
	node->size = 4;
	node->block = 1;
	node->uid = 70000;
	node->gid = 100;
	node->mtime = 1234567890;
	node->mtime_nsec = 5;
	memcpy(node->cap, "0123456789abcdefghij", 20);
	node->cap_len = 20;
	ck_assert_int_eq(pwrite(fd, "abcd", 4, EROFS_BLOCK), 4);
	ck_assert_int_eq(fstree_link(t, "second", "d/file"), 0);
	put("null", S_IFCHR | 0666);
	node->rdev = 0x103;
	put("fifo", S_IFIFO | 0600);
	put("empty", S_IFREG | 0600);
	ck_assert_int_eq(erofs_write(t, fd, 2), 0);
	find("second");
	ck_assert_uint_eq(i.mode, S_IFREG | 04755);
	ck_assert_uint_eq(i.size, 4);
	ck_assert_str_eq(i.text, "abcd");
	ck_assert_uint_eq(i.uid, 70000);
	ck_assert_uint_eq(i.gid, 100);
	ck_assert_int_eq(i.mtime, 1234567890);
	ck_assert_uint_eq(i.nsec, 5);
	ck_assert_uint_eq(i.links, 2);
	/* (12 + 4 + "capability" + 20, rounded up to fours, without the first 12) / 4 and one */
	ck_assert_uint_eq(i.xattrs, 36 / 4 + 1);
	ck_assert_mem_eq(i.xattr + 12, "\x0a\x06\x14\0capability0123456789abcdefghij\0\0", 36);
	find("null");
	ck_assert_uint_eq(i.where, 0x103);
	ck_assert_uint_eq(i.mode, S_IFCHR | 0666);
	find("fifo");
	ck_assert_uint_eq(i.mode, S_IFIFO | 0600);
	find("empty");
	ck_assert_uint_eq(i.size, 0);
	find("");
	ck_assert_uint_eq(i.links, 3);
}
END_TEST

START_TEST(links)
{
	char target[FSTREE_PATH_MAX + 1], name[16];
	unsigned n;

	memset(target, 'x', FSTREE_PATH_MAX);
	target[FSTREE_PATH_MAX] = 0;
	for (n = 0; n < FSTREE_PATH_MAX; n += 31) {
		snprintf(name, sizeof(name), "%u", n);
		put(name, S_IFLNK | 0777);
		node->target = strdup(target + n);
		node->size = FSTREE_PATH_MAX - n;
	}
	ck_assert_int_eq(erofs_write(t, fd, EROFS_FIRST), 0);
	for (n = 0; n < FSTREE_PATH_MAX; n += 31) {
		snprintf(name, sizeof(name), "%u", n);
		check_text(fd, name, target + n);
	}
}
END_TEST

/* Folders of several blocks, with names of all lengths. */
START_TEST(large_folders)
{
	char name[300];
	unsigned n;

	for (n = 0; n < 3000; n++) {
		snprintf(name, sizeof(name), "%u/%u%0*d", n % 3, n, n % 200 + 1, 0);
		put(name, S_IFREG | 0600);
		node->uid = n;
	}
	put("!before the dots", S_IFREG | 0600);
	put("\xff behind", S_IFREG | 0600);
	ck_assert_int_eq(erofs_write(t, fd, EROFS_FIRST), 0);
	for (n = 0; n < 3000; n += 71) {
		snprintf(name, sizeof(name), "%u/%u%0*d", n % 3, n, n % 200 + 1, 0);
		find(name);
		ck_assert_uint_eq(i.uid, n);
	}
	find("1/..");
	ck_assert_uint_eq(i.links, 5);
	find("!before the dots");
	find("\xff behind");
}
END_TEST

START_TEST(what_was_removed)
{
	put("a/b", S_IFREG | 0600);
	put("c", S_IFREG | 0600);
	fstree_next_layer(t);
	ck_assert_int_eq(fstree_white_out(t, "a"), 0);
	ck_assert_int_eq(erofs_write(t, fd, EROFS_FIRST), 0);
	ck_assert(!find_path(fd, "a", &i));
	find("c");
}
END_TEST

/* Linux's own tools have nothing to say. */
START_TEST(others_can_read_it)
{
	char line[100];

	if (system("command -v fsck.erofs >/dev/null"))
		return;
	put("d/file", S_IFREG | 0644);
	put("link", S_IFLNK | 0777);
	node->target = strdup("d/file");
	node->size = 6;
	ck_assert_int_eq(erofs_write(t, fd, EROFS_FIRST), 0);
	snprintf(line, sizeof(line), "fsck.erofs /proc/%d/fd/%d >/dev/null", getpid(), fd);
	ck_assert_int_eq(system(line), 0);
}
END_TEST

START_TEST(no_room)
{
	close(fd);
	fd = open("/dev/full", O_RDWR | O_CLOEXEC);
	ck_assert_int_lt(erofs_write(t, fd, EROFS_FIRST), 0);
}
END_TEST

Suite *erofs_suite(void)
{
	Suite *s = suite_create("erofs");
	TCase *tc = unit_case(s, "erofs");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, empty);
	tcase_add_test(tc, all_kinds);
	tcase_add_test(tc, links);
	tcase_add_test(tc, large_folders);
	tcase_add_test(tc, what_was_removed);
	tcase_add_test(tc, others_can_read_it);
	tcase_add_test(tc, no_room);
	return s;
}

UNIT_MAIN(erofs_suite)
