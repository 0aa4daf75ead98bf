/* SPDX-License-Identifier: MIT */
/*
 * What file.c does not take, and says why; the rest is in test_file.c.
 */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "devices/block/block.h"
#include "tests/lib/stderr.h"
#include "vmm/core/fail.h"
#include "vmm/core/util.h"

Suite *file_open_suite(void);

#define SIZE MIB(4)

static struct stderr_text said;
static char dir[64], path[128];
static struct block *block;

static void make_file(off_t size)
{
	int fd = open(path, O_CREAT | O_RDWR | O_TRUNC | O_CLOEXEC, 0644);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, size), 0);
	close(fd);
}

static void set_up(void)
{
	snprintf(dir, sizeof(dir), "/tmp/lunette-open-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	chmod(dir, 0755);
	snprintf(path, sizeof(path), "%s/disk.img", dir);
	make_file(SIZE);
}

static void tear_down(void)
{
	unlink(path);
	rmdir(dir);
}

static int open_path(const char *p, bool readonly)
{
	const struct block_open how = { .path = p, .readonly = readonly };

	return block_open(&how, &block);
}

static void check_refused(const char *p, bool readonly, int err, const char *line)
{
	char want[300];

	stderr_begin(&said);
	ck_assert_int_eq(open_path(p, readonly), err);
	snprintf(want, sizeof(want), "lunette: error: %s: %s\n", p, line);
	ck_assert_str_eq(stderr_end(&said), want);
	ck_assert_ptr_null(block);
}

START_TEST(what_is_no_disk)
{
	char other[160];

	snprintf(other, sizeof(other), "%s/none", dir);
	check_refused(other, false, -ENOENT,
		      "there is no such file; 'truncate -s 1G FILE' makes an empty disk");
	check_refused(other, true, -ENOENT, "there is no such file"); /* nor is one made */
	check_refused(dir, false, -EISDIR, "is a directory; a disk is a file or a block device");
	check_refused(dir, true, -EISDIR, "is a directory; a disk is a file or a block device");
	check_refused("/dev/null", false, -ENOTBLK, "is neither a file nor a block device");
	make_file(0);
	check_refused(path, false, -ENODATA, "is empty; 'truncate -s 1G FILE' makes room");
	ck_assert_int_eq(mkfifo(other, 0600), 0);
	check_refused(other, true, -ENOTBLK, "is neither a file nor a block device");
	unlink(other);
}
END_TEST

START_TEST(missing_and_needless_options)
{
	struct block_open none = { .path = NULL }, sized = { .path = path, .size = 512 };

	stderr_begin(&said);
	ck_assert_int_eq(block_open(&none, &block), -EUSAGE);
	ck_assert_str_eq(stderr_end(&said), "lunette: error: file= is missing: which image?\n");
	stderr_begin(&said);
	ck_assert_int_eq(block_open(&sized, &block), -EUSAGE);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "size= is for store=null"));
}
END_TEST

/* By its first bytes or its last ones; unless the user knows better. */
START_TEST(of_another_format)
{
	static const struct {
		const char *bytes;
		off_t at;
		const char *kind;
	} rows[] = {
		{ "QFI\xfb", 0, "is a qcow2 disk" },
		{ "vhdxfile", 0, "is a VHDX disk" },
		{ "conectix", SIZE - 512, "is a VHD disk" },
		{ "\x28\xb5\x2f\xfd", 0, "is zstd data" },
	};
	struct block_open how = { .path = path, .readonly = true };
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		int fd;

		make_file(SIZE);
		fd = open(path, O_WRONLY | O_CLOEXEC);
		ck_assert_int_gt(pwrite(fd, rows[i].bytes, strlen(rows[i].bytes), rows[i].at), 0);
		close(fd);
		how.format = BLOCK_FORMAT_AUTO;
		stderr_begin(&said);
		ck_assert_int_eq(block_open(&how, &block), -EMEDIUMTYPE);
		ck_assert_ptr_nonnull(strstr(stderr_end(&said), rows[i].kind));
		ck_assert_ptr_nonnull(strstr(said.text, "format=raw takes it as it is\n"));
		how.format = BLOCK_FORMAT_RAW;
		ck_assert_int_eq(block_open(&how, &block), 0);
		block_close(block);
	}
	block = NULL;
}
END_TEST

/* As another user, if this one may do everything. */
START_TEST(without_permission)
{
	if (!geteuid())
		ck_assert_int_eq(seteuid(65534), 0);
	else
		ck_assert_int_eq(chmod(path, 0444), 0);
	check_refused(path, false, -EACCES,
		      "not writable: Permission denied; add readonly=on to attach it read-only");
	ck_assert_int_eq(open_path(path, true), 0);
	block_close(block);
	block = NULL;
	if (!getuid())
		ck_assert_int_eq(seteuid(0), 0);
	chmod(path, 0);
	if (!getuid())
		ck_assert_int_eq(seteuid(65534), 0);
	check_refused(path, true, -EACCES, "not readable: Permission denied");
	check_refused(path, false, -EACCES, "not readable: Permission denied");
	if (!getuid())
		ck_assert_int_eq(seteuid(0), 0);
}
END_TEST

START_TEST(direct_wants_whole_blocks)
{
	struct block_open how = { .path = path, .direct = true, .block_size = 100 };

	stderr_begin(&said);
	ck_assert_int_eq(block_open(&how, &block), -EOPNOTSUPP);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "direct=on: needs blocks of "));
}
END_TEST

Suite *file_open_suite(void)
{
	Suite *s = suite_create("file_open");
	TCase *tc = unit_case(s, "file_open");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, what_is_no_disk);
	tcase_add_test(tc, of_another_format);
	tcase_add_test(tc, missing_and_needless_options);
	tcase_add_test(tc, without_permission);
	tcase_add_test(tc, direct_wants_whole_blocks);
	return s;
}

UNIT_MAIN(file_open_suite)
