/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "tests/lib/stderr.h"
#include "vmm/core/mem.h"
#include "vmm/core/util.h"
#include "vmm/machine/arch/aarch64/layout.h"
#include "vmm/machine/arch/arch.h"
#include "vmm/machine/arch/linux_image.h"
#include "vmm/machine/image.h"

Suite *aarch64_boot_suite(void);

#define FILE_SIZE 20000
#define IMAGE_SIZE MIB(8) /* what it needs */
#define RAM MIB(64)
#define TREE (RAM_AT + RAM - TREE_ROOM)

static struct mem ram;
static struct stderr_text said;
static char path[40];
static uint8_t kernel[FILE_SIZE], packed[2 * FILE_SIZE];
static struct arch_entry entry;

static void set_up(void)
{
	size_t i;

	strcpy(path, "/tmp/lunette-boot-XXXXXX");
	close(mkstemp(path));
	memset(&ram, 0, sizeof(ram));
	ck_assert_int_eq(mem_add(&ram, RAM_AT, RAM), 0);
	for (i = 0; i < FILE_SIZE; i++)
		kernel[i] = i * i >> 3;
	le64_put(kernel + 8, 0);
	le64_put(kernel + 16, IMAGE_SIZE);
	memcpy(kernel + 56, "ARM\x64", 4);
}

static void tear_down(void)
{
	unlink(path);
	mem_free(&ram);
}

static void make_file(const void *bytes, size_t len)
{
	int fd = open(path, O_WRONLY | O_TRUNC);

	ck_assert_int_eq(write(fd, bytes, len), (ssize_t)len);
	close(fd);
}

/* The result of arch_load(), whose lines are in @said. */
static int load_with(const void *file, size_t len, size_t initrd_len)
{
	struct image image, initrd = { .what = "--initrd", .path = path, .fd = -1 };
	struct image_list initrds = { 0 };
	int r;

	make_file(file, len);
	ck_assert_int_eq(image_open(&image, "--kernel", path), 0);
	if (initrd_len) {
		initrd.fd = image.fd;
		initrd.size = initrd_len;
		initrds = (struct image_list){ &initrd, 1 };
	}
	stderr_begin(&said);
	r = arch_load(&ram, &image, &initrds, "hello", &entry);
	stderr_end(&said);
	image_close(&image);
	return r;
}

static int load(const void *file, size_t len)
{
	return load_with(file, len, 0);
}

static void check_loaded(uint64_t at)
{
	static uint8_t got[FILE_SIZE];

	ck_assert_uint_eq(entry.pc, at);
	ck_assert_uint_eq(entry.arg, TREE);
	ck_assert_str_eq(entry.cmdline, "hello");
	ck_assert_int_eq(mem_read(&ram, at, got, FILE_SIZE), 0);
	ck_assert(!memcmp(got, kernel, FILE_SIZE));
}

START_TEST(image)
{
	ck_assert_int_eq(load(kernel, FILE_SIZE), 0);
	check_loaded(RAM_AT);
	ck_assert_uint_eq(entry.initrd_size, 0);
}
END_TEST

START_TEST(image_with_an_offset)
{
	le64_put(kernel + 8, 0x80000);
	ck_assert_int_eq(load(kernel, FILE_SIZE), 0);
	check_loaded(RAM_AT + 0x80000);
}
END_TEST

/* Tree and initrd stay where the kernel maps memory first. */
START_TEST(half_a_tebibyte)
{
	mem_free(&ram);
	memset(&ram, 0, sizeof(ram));
	ck_assert_int_eq(mem_add(&ram, RAM_AT, GIB(512)), 0);
	ck_assert_int_eq(load_with(kernel, FILE_SIZE, 10000), 0);
	ck_assert_uint_eq(entry.pc, RAM_AT);
	ck_assert_uint_eq(entry.arg, RAM_AT + TREE_AREA - TREE_ROOM);
	ck_assert_uint_eq(entry.initrd_at, (entry.arg - 10000) & ~0xfffull);
}
END_TEST

/* Returns the length. */
static size_t gzip(void)
{
	z_stream z = { .next_in = kernel, .avail_in = FILE_SIZE, .next_out = packed,
		       .avail_out = sizeof(packed) };

	ck_assert_int_eq(deflateInit2(&z, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, 0), Z_OK);
	ck_assert_int_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
	deflateEnd(&z);
	return z.total_out;
}

static size_t zstd(void)
{
	size_t n = ZSTD_compress(packed, sizeof(packed), kernel, FILE_SIZE, 3);

	ck_assert(!ZSTD_isError(n));
	return n;
}

START_TEST(image_gz)
{
	ck_assert_int_eq(load(packed, gzip()), 0);
	check_loaded(RAM_AT);
}
END_TEST

START_TEST(image_zst)
{
	ck_assert_int_eq(load(packed, zstd()), 0);
	check_loaded(RAM_AT);
}
END_TEST

/* As "make Image.zst" has it, by a pipe: nothing says how much it is. */
START_TEST(image_zst_from_a_pipe)
{
	ZSTD_CStream *z = ZSTD_createCStream();
	ZSTD_outBuffer out = { .dst = packed, .size = sizeof(packed) };
	ZSTD_inBuffer in = { .src = kernel, .size = FILE_SIZE };

	ck_assert(!ZSTD_isError(ZSTD_compressStream2(z, &out, &in, ZSTD_e_continue)));
	ck_assert_uint_eq(ZSTD_compressStream2(z, &out, &in, ZSTD_e_end), 0);
	ZSTD_freeCStream(z);
	ck_assert_int_eq(load(packed, out.pos), 0);
	check_loaded(RAM_AT);
	ck_assert_int_eq(load(packed, out.pos - 100), -EBADMSG);
	ck_assert_ptr_nonnull(strstr(said.text, "cannot be unpacked: the file is damaged"));
}
END_TEST

#define ZBOOT_HEAD 4096

/* Returns the length. The size follows what is packed by zstd; gzip's own is its end. */
static size_t zboot(uint8_t file[ZBOOT_HEAD + sizeof(packed) + 4], bool gz)
{
	size_t len = gz ? gzip() : zstd();

	memset(file, 0, ZBOOT_HEAD);
	memcpy(file, "MZ\0\0zimg", 8);
	le32_put(file + 8, ZBOOT_HEAD);
	le32_put(file + 12, len);
	strcpy((char *)file + 24, gz ? "gzip" : "zstd22");
	memcpy(file + ZBOOT_HEAD, packed, len);
	le32_put(file + ZBOOT_HEAD + len, FILE_SIZE);
	return ZBOOT_HEAD + len + (gz ? 0 : 4);
}

START_TEST(zboot_image)
{
	static uint8_t file[ZBOOT_HEAD + sizeof(packed) + 4];

	ck_assert_int_eq(load(file, zboot(file, _i)), 0);
	check_loaded(RAM_AT);
}
END_TEST

/* Below the tree, on a page where there is room for that. */
START_TEST(initrd)
{
	ck_assert_int_eq(load_with(kernel, FILE_SIZE, 10000), 0);
	check_loaded(RAM_AT);
	ck_assert_uint_eq(entry.initrd_size, 10000);
	ck_assert_uint_eq(entry.initrd_at, (TREE - 10000) & ~0xfffull);
	ck_assert(!memcmp(mem_ptr(&ram, entry.initrd_at, 10000, 1), kernel, 10000));
}
END_TEST

START_TEST(initrd_that_just_fits)
{
	le64_put(kernel + 16, RAM - TREE_ROOM - 10000);
	ck_assert_int_eq(load_with(kernel, FILE_SIZE, 10000), 0);
	ck_assert_uint_eq(entry.initrd_at, TREE - 10000);
	ck_assert_int_eq(load_with(kernel, FILE_SIZE, 10001), -ENOMEM);
	ck_assert_ptr_nonnull(strstr(said.text, "do not fit beside the kernel into --memory, 64"));
}
END_TEST

static void check_refused(const void *file, size_t len, int err, const char *line)
{
	ck_assert_int_eq(load(file, len), err);
	ck_assert_msg(strstr(said.text, line) != NULL, "%s", said.text);
}

/* What it is, by name. */
START_TEST(other_files)
{
	uint8_t file[4096] = { 0 };
	size_t len;

	check_refused(file, sizeof(file), -ENOEXEC, "found nothing that looks like a kernel; "
		      "wanted: an arm64 Image, also packed by gzip or zstd");
	memcpy(file + 0x202, "HdrS", 4);
	check_refused(file, sizeof(file), -ENOEXEC, "found an x86 bzImage; wanted:");
	memset(file, 0, sizeof(file));
	memcpy(file + 0x38, "RSC\x05", 4);
	check_refused(file, sizeof(file), -ENOEXEC, "found a riscv64 Image; wanted:");
	memcpy(kernel + 56, "RSC\x05", 4);
	len = gzip();
	check_refused(packed, len, -ENOEXEC, "what is packed in it is a riscv64 Image; wanted:");
	memset(kernel + 56, 0, 4);
	len = zstd();
	check_refused(packed, len, -ENOEXEC, "what is packed in it is nothing that looks like a "
		      "kernel; wanted: an arm64 Image");
}
END_TEST

START_TEST(broken_files)
{
	size_t len = gzip();

	check_refused(packed, len / 2, -ENOMEM, "are too small");
	packed[len / 2] ^= 0xff;
	check_refused(packed, len, -EBADMSG,
		      "packed by gzip cannot be unpacked: the file is damaged");
	le64_put(kernel + 16, GIB(2));
	check_refused(kernel, FILE_SIZE, -ENOEXEC, "a broken Image: wants 2048 MiB at 0");
	le64_put(kernel + 16, 0);
	check_refused(kernel, FILE_SIZE, -ENOEXEC, "found an Image of a Linux so old that "
		      "it does not say what it needs");
	le64_put(kernel + 16, RAM - TREE_ROOM + 1);
	check_refused(kernel, FILE_SIZE, -ENOMEM, "--memory: 64 MiB are too small: the Image ");
}
END_TEST

/* A size above what is unpacked, for which the guest has room. */
START_TEST(too_large_to_unpack)
{
	size_t len = gzip();

	mem_free(&ram);
	memset(&ram, 0, sizeof(ram));
	ck_assert_int_eq(mem_add(&ram, RAM_AT, GIB(8)), 0);
	le32_put(packed + len - 4, GIB(1) + 1);
	check_refused(packed, len, -EBADMSG,
		      "1024 MiB that it has packed by gzip cannot be unpacked: the file is "
		      "damaged");
}
END_TEST

Suite *aarch64_boot_suite(void)
{
	Suite *s = suite_create("aarch64_boot");
	TCase *tc = unit_case(s, "boot");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, image);
	tcase_add_test(tc, image_with_an_offset);
	tcase_add_test(tc, half_a_tebibyte);
	tcase_add_test(tc, image_gz);
	tcase_add_test(tc, image_zst);
	tcase_add_test(tc, image_zst_from_a_pipe);
	tcase_add_loop_test(tc, zboot_image, 0, 2);
	tcase_add_test(tc, initrd);
	tcase_add_test(tc, initrd_that_just_fits);
	tcase_add_test(tc, other_files);
	tcase_add_test(tc, broken_files);
	tcase_add_test(tc, too_large_to_unpack);
	return s;
}

UNIT_MAIN(aarch64_boot_suite)
