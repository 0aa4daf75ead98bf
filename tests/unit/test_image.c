/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/lib/stderr.h"
#include "vmm/core/mem.h"
#include "vmm/core/util.h"
#include "vmm/machine/image.h"

Suite *image_suite(void);

#define LENGTH 1000

static struct stderr_text said;
static struct mem mem;
static char path[40];

static void put(const void *bytes, size_t len, off_t at)
{
	int fd = open(path, O_WRONLY);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pwrite(fd, bytes, len, at), (ssize_t)len);
	close(fd);
}

static void set_up(void)
{
	strcpy(path, "/tmp/lunette-image-XXXXXX");
	close(mkstemp(path));
	ck_assert_int_eq(truncate(path, LENGTH), 0);
	mem = (struct mem){ 0 };
	ck_assert_int_eq(mem_add(&mem, 0, MIB(2)), 0);
}

static void tear_down(void)
{
	unlink(path);
	mem_free(&mem);
}

static struct image open_image(void)
{
	struct image img;

	ck_assert_int_eq(image_open(&img, "--kernel", path), 0);
	return img;
}

START_TEST(kinds)
{
	static const struct {
		const char *bytes;
		size_t len, at;
		const char *kind;
	} rows[] = {
		{ "\x7f" "ELF", 4, 0, "an ELF file of another machine" },
		{ "HdrS", 4, 0x202, "an x86 bzImage" },
		{ "\x1f\x8b\x08", 3, 0, "gzip data" },
		{ "QFI\xfb", 4, 0, "a qcow2 disk" },
		{ "070701", 6, 0, "a cpio archive (an initrd?)" },
		{ "#!/bin/sh", 9, 0, "a script" },
		{ "nothing", 7, 0, "nothing that looks like a kernel" },
	};
	struct image img;

	put(rows[_i].bytes, rows[_i].len, rows[_i].at);
	img = open_image();
	ck_assert_str_eq(image_kind(&img), rows[_i].kind);
	image_close(&img);
}
END_TEST

/* What the headers say of where the kernel proper is packed. */
struct packed_row {
	struct {
		unsigned at;
		const char *bytes;
		size_t len;
	} put[6];
	uint64_t off, len; /* 0: nowhere */
};

#define BYTES(at, bytes) { at, bytes, sizeof(bytes) - 1 }
#define BZIMAGE BYTES(0x202, "HdrS"), BYTES(0x206, "\x0c\x02"), \
	BYTES(0x1f4, "\x00\x01\0\0") /* 4096 bytes behind the setup */
#define PAYLOAD(off, size) BYTES(0x248, off size)
#define ZBOOT BYTES(0, "MZ\0\0zimg")

static const struct packed_row packed_rows[] = {
	{ { BZIMAGE, BYTES(0x1f1, "\x01"), PAYLOAD("\x64\0\0\0", "\x40\0\0\0") },
	  1024 + 100, 64 },
	{ { BZIMAGE, PAYLOAD("\x64\0\0\0", "\x40\0\0\0") }, 2560 + 100, 64 }, /* old: 4 sectors */
	{ { BZIMAGE, PAYLOAD("\x64\0\0\0", "\x9c\x0f\0\0") }, 2560 + 100, 3996 }, /* to the end */
	{ { BZIMAGE, PAYLOAD("\x64\0\0\0", "\x9d\x0f\0\0") }, 0, 0 },
	{ { BZIMAGE, PAYLOAD("\x64\0\0\0", "\x05\0\0\0") }, 2560 + 100, 5 },
	{ { BZIMAGE, PAYLOAD("\x64\0\0\0", "\x04\0\0\0") }, 0, 0 },
	{ { BZIMAGE, PAYLOAD("\xff\xff\xff\xff", "\xff\xff\xff\xff") }, 0, 0 },
	{ { BZIMAGE, PAYLOAD("\x64\0\0\0", "\x40\0\0\0"), BYTES(0x206, "\x07\x02") }, 0, 0 },
	{ { ZBOOT, BYTES(8, "\x00\x02\0\0\x40\0\0\0"), BYTES(24, "gzip") }, 512, 64 },
	{ { ZBOOT, BYTES(8, "\x00\x02\0\0\x40\0\0\0"), BYTES(24, "zstd") }, 512, 68 },
	{ { ZBOOT, BYTES(8, "\x00\x02\0\0\0\0\0\0"), BYTES(24, "zstd") }, 0, 0 },
	{ { BYTES(0, "\x1f\x8b\x08") }, 0, LENGTH },
	{ { BYTES(0x38, "ARM\x64") }, 0, 0 },
	{ { BYTES(0, "\x7f" "ELF") }, 0, 0 },
};

START_TEST(where_it_is_packed)
{
	const struct packed_row *row = &packed_rows[_i];
	uint64_t off = 1, len = 2;
	struct image img;
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(row->put) && row->put[i].len; i++)
		put(row->put[i].bytes, row->put[i].len, row->put[i].at);
	img = open_image();
	ck_assert(image_packed(&img, &off, &len) == !!row->len);
	ck_assert_uint_eq(off, row->len ? row->off : 1);
	ck_assert_uint_eq(len, row->len ? row->len : 2);
	ck_assert(image_is_bzimage(&img) == (row->put[0].at == 0x202));
	image_close(&img);
}
END_TEST

START_TEST(read_within_the_file)
{
	struct image img = open_image();
	uint8_t got[8];

	put("12345678", 8, 60);
	ck_assert_int_eq(image_read(&img, 60, got, 8), 0);
	ck_assert(!memcmp(got, "12345678", 8));
	stderr_begin(&said);
	ck_assert_int_eq(image_read(&img, img.size - 7, got, 8), -ENODATA);
	ck_assert_int_eq(image_read(&img, UINT64_MAX - 3, got, 8), -ENODATA);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "the file ends too early"));
	image_close(&img);
}
END_TEST

START_TEST(load_to_its_place)
{
	static const struct {
		uint64_t off, gpa;
	} wrong[] = {
		{ 60, MIB(2) - 7 }, { 60, UINT64_MAX - 3 }, { LENGTH - 7, 0x2000 },
		{ UINT64_MAX - 3, 0x2000 },
	};
	struct image img = open_image();
	uint8_t got[8];
	unsigned i;

	put("12345678", 8, 60);
	ck_assert_int_eq(image_load(&img, 60, &mem, 0x1000, 8), 0);
	ck_assert_int_eq(image_load(&img, 62, &mem, MIB(2) - 4, 4), 0);
	ck_assert_int_eq(mem_read(&mem, 0x1000, got, 8), 0);
	ck_assert(!memcmp(got, "12345678", 8));
	ck_assert_int_eq(mem_read(&mem, MIB(2) - 4, got, 4), 0);
	ck_assert(!memcmp(got, "3456", 4));
	for (i = 0; i < ARRAY_SIZE(wrong); i++) {
		stderr_begin(&said);
		ck_assert_int_lt(image_load(&img, wrong[i].off, &mem, wrong[i].gpa, 8), 0);
		ck_assert_uint_gt(strlen(stderr_end(&said)), 20);
	}
	image_close(&img);
}
END_TEST

START_TEST(no_file)
{
	struct image img;

	stderr_begin(&said);
	ck_assert_int_eq(image_open(&img, "--kernel", "/none"), -ENOENT);
	ck_assert_str_eq(stderr_end(&said),
			 "lunette: error: --kernel /none: No such file or directory\n");
	stderr_begin(&said);
	ck_assert_int_lt(image_open(&img, "--kernel", "/"), 0);
	ck_assert_int_lt(image_open(&img, "--kernel", "/dev/null"), 0);
	ck_assert_int_eq(truncate(path, 0), 0);
	ck_assert_int_lt(image_open(&img, "--kernel", path), 0);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "an empty file"));
}
END_TEST

Suite *image_suite(void)
{
	Suite *suite = suite_create("image");
	TCase *tc = unit_case(suite, "files");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_loop_test(tc, where_it_is_packed, 0, ARRAY_SIZE(packed_rows));
	tcase_add_loop_test(tc, kinds, 0, 7);
	tcase_add_test(tc, read_within_the_file);
	tcase_add_test(tc, load_to_its_place);
	tcase_add_test(tc, no_file);
	return suite;
}

UNIT_MAIN(image_suite)
