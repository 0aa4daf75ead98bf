#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
#include <zlib.h>

#include "tests/lib/stderr.h"
#include "vmm/core/mem.h"
#include "vmm/core/util.h"
#include "vmm/image.h"

Suite *image_suite(void);

#define OUTER 100 /* bytes before what is packed */
#define INNER 100000

static struct stderr_text said;
static struct mem mem;
static char path[40];
static uint8_t inner_bytes[INNER];
static size_t packed_len;

static void put(const void *bytes, size_t len, off_t at)
{
	int fd = open(path, O_WRONLY);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pwrite(fd, bytes, len, at), (ssize_t)len);
	close(fd);
}

/* A file: OUTER bytes, gzip's of inner_bytes, which ends with its size, and some more bytes. */
static void set_up(void)
{
	uint8_t packed[INNER + 1000];
	z_stream z = { 0 };
	unsigned i;
	int fd;

	strcpy(path, "/tmp/lunette-image-XXXXXX");
	fd = mkstemp(path);
	ck_assert_int_ge(fd, 0);
	close(fd);
	for (i = 0; i < INNER; i++)
		inner_bytes[i] = i % 251;
	ck_assert_int_eq(deflateInit2(&z, 1, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
	z.next_in = inner_bytes;
	z.avail_in = INNER;
	z.next_out = packed;
	z.avail_out = sizeof(packed);
	ck_assert_int_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
	packed_len = z.total_out;
	deflateEnd(&z);
	put(packed, packed_len + 100, OUTER);
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

static struct image open_inner(void)
{
	struct image outer = open_image(), inner;

	ck_assert_int_eq(image_unpack(&outer, OUTER, packed_len, &inner), 0);
	image_close(&outer);
	return inner;
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
		{ "\x1f\x8b", 2, 0, "gzip data" },
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

START_TEST(parts_of_a_file)
{
	static const struct image_part parts[] = { { 60, 8, 0x1000 }, { 62, 4, MIB(2) - 4 } };
	static const struct image_part wrong[][2] = {
		{ { 60, 8, 0x1000 }, { 60, 8, MIB(2) - 7 } },
		{ { 60, 8, 0x1000 }, { 60, 8, UINT64_MAX - 3 } },
		{ { 60, 8, 0x1000 }, { UINT64_MAX - 3, 8, 0x2000 } },
	};
	struct image img = open_image();
	uint8_t got[8];
	unsigned i;

	put("12345678", 8, 60);
	ck_assert_int_eq(image_load(&img, &mem, parts, 2), 0);
	ck_assert_int_eq(mem_read(&mem, 0x1000, got, 8), 0);
	ck_assert(!memcmp(got, "12345678", 8));
	ck_assert_int_eq(mem_read(&mem, MIB(2) - 4, got, 4), 0);
	ck_assert(!memcmp(got, "3456", 4));
	stderr_begin(&said);
	for (i = 0; i < ARRAY_SIZE(wrong); i++)
		ck_assert_int_lt(image_load(&img, &mem, wrong[i], 2), 0);
	stderr_end(&said);
	image_close(&img);
}
END_TEST

START_TEST(unpacked_head_and_all)
{
	struct image img = open_inner();
	uint8_t got[16], *all;

	ck_assert_uint_eq(img.size, INNER);
	ck_assert(!memcmp(img.head, inner_bytes, IMAGE_HEAD));
	ck_assert_int_eq(image_read(&img, IMAGE_HEAD - 16, got, 16), 0);
	ck_assert(!memcmp(got, inner_bytes + IMAGE_HEAD - 16, 16));
	all = image_unpack_all(&img);
	ck_assert_ptr_nonnull(all);
	ck_assert(!memcmp(all, inner_bytes, INNER));
	free(all);
	stderr_begin(&said);
	ck_assert_int_lt(image_read(&img, IMAGE_HEAD - 15, got, 16), 0);
	stderr_end(&said);
	image_close(&img);
}
END_TEST

START_TEST(unpacked_parts)
{
	static const struct image_part parts[] = {
		{ 50, 100, 0x1000 }, { 150, 10, 0x5000 }, { 70000, 20000, 0x10000 },
	};
	struct image img = open_inner();
	static uint8_t got[20000];
	unsigned i;

	ck_assert_int_eq(image_load(&img, &mem, parts, 3), 0);
	for (i = 0; i < 3; i++) {
		ck_assert_int_eq(mem_read(&mem, parts[i].gpa, got, parts[i].len), 0);
		ck_assert(!memcmp(got, inner_bytes + parts[i].off, parts[i].len));
	}
	ck_assert_int_eq(mem_read(&mem, 0x1000 + 100, got, 100), 0);
	for (i = 0; i < 100; i++)
		ck_assert_uint_eq(got[i], 0);
	image_close(&img);
}
END_TEST

START_TEST(unpacked_parts_in_disorder)
{
	static const struct image_part wrong[][2] = {
		{ { 50, 100, 0x1000 }, { 149, 10, 0x5000 } },
		{ { 50, 100, 0x1000 }, { 0, 10, 0x5000 } },
		{ { 50, 100, 0x1000 }, { INNER - 9, 10, 0x5000 } },
		{ { 50, 100, 0x1000 }, { 200, 10, MIB(2) - 9 } },
	};
	struct image img = open_inner();
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(wrong); i++) {
		stderr_begin(&said);
		ck_assert_int_lt(image_load(&img, &mem, wrong[i], 2), 0);
		ck_assert_uint_gt(strlen(stderr_end(&said)), 20);
	}
	image_close(&img);
}
END_TEST

START_TEST(packed_and_damaged)
{
	struct image outer, inner;

	put("\xff\xff\xff\xff", 4, OUTER + 100);
	put("\xff\xff\xff\xff", 4, OUTER + 10);
	outer = open_image();
	stderr_begin(&said);
	ck_assert_int_eq(image_unpack(&outer, OUTER, packed_len, &inner), -EBADMSG);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "gzip cannot be unpacked: it is damaged"));
	put("\xff\xff\xff\xff", 4, OUTER + packed_len - 4);
	stderr_begin(&said);
	ck_assert_int_eq(image_unpack(&outer, OUTER, packed_len, &inner), -EBADMSG);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "it would be 4095 MiB"));
	image_close(&outer);
}
END_TEST

START_TEST(not_packed) /* not a word: there are other ways */
{
	static const uint64_t where[][2] = { { OUTER + 1, 1000 }, { OUTER, 4 }, { OUTER, 0 } };
	struct image outer = open_image(), inner;
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(where); i++) {
		stderr_begin(&said);
		ck_assert_int_eq(image_unpack(&outer, where[i][0], where[i][1], &inner), -ENOTSUP);
		ck_assert_str_eq(stderr_end(&said), "");
	}
	stderr_begin(&said);
	ck_assert_int_eq(image_unpack(&outer, OUTER, INNER * 2, &inner), -ENODATA);
	stderr_end(&said);
	image_close(&outer);
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
	tcase_add_loop_test(tc, kinds, 0, 6);
	tcase_add_test(tc, read_within_the_file);
	tcase_add_test(tc, parts_of_a_file);
	tcase_add_test(tc, no_file);
	tc = unit_case(suite, "packed");
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, unpacked_head_and_all);
	tcase_add_test(tc, unpacked_parts);
	tcase_add_test(tc, unpacked_parts_in_disorder);
	tcase_add_test(tc, packed_and_damaged);
	tcase_add_test(tc, not_packed);
	return suite;
}

UNIT_MAIN(image_suite)
