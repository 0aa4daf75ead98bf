/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <lz4.h>
#include <lzma.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

#include "vmm/core/util.h"
#include "vmm/machine/unpack.h"

Suite *unpack_suite(void);

#define LZ4_BLOCK MIB(8)
#define LZ4_SIZE (LZ4_BLOCK + 300001) /* two blocks */
#define ROOM (LZ4_SIZE + MIB(1))

static uint8_t *plain, *packed, *got;
static size_t size = 300001, packed_len;

/* Text with some order in it, so that all formats have something to do. */
static void setup(void)
{
	uint32_t seed = 1;
	size_t i;

	plain = malloc(LZ4_SIZE);
	packed = malloc(ROOM);
	ck_assert(plain && packed);
	for (i = 0; i < LZ4_SIZE; i++) {
		seed = seed * 1103515245 + 12345;
		plain[i] = i % 64 < 60 ? i / 64 : seed >> 24;
	}
}

static void teardown(void)
{
	free(plain);
	free(packed);
	free(got);
}

static void pack_gzip(void)
{
	z_stream z = { 0 };

	ck_assert_int_eq(deflateInit2(&z, 1, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY),
			 Z_OK);
	z.next_in = plain;
	z.avail_in = size;
	z.next_out = packed;
	z.avail_out = ROOM;
	ck_assert_int_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
	packed_len = z.total_out;
	deflateEnd(&z);
}

static void pack_lz4(void)
{
	uint64_t at, n;

	size = LZ4_SIZE;
	memcpy(packed, "\x02\x21\x4c\x18", 4);
	packed_len = 4;
	for (at = 0; at < size; at += n) {
		int len;

		n = min_u64(size - at, LZ4_BLOCK);
		len = LZ4_compress_default((const char *)plain + at,
					   (char *)packed + packed_len + 4, n,
					   ROOM - packed_len - 4);
		ck_assert_int_gt(len, 0);
		le32_put(packed + packed_len, len);
		packed_len += 4 + len;
	}
}

static void pack_zstd(void)
{
	packed_len = ZSTD_compress(packed, ROOM, plain, size, 1);
	ck_assert(!ZSTD_isError(packed_len));
}

static void run_lzma(lzma_stream *s)
{
	s->next_in = plain;
	s->avail_in = size;
	s->next_out = packed;
	s->avail_out = ROOM;
	ck_assert_int_eq(lzma_code(s, LZMA_FINISH), LZMA_STREAM_END);
	packed_len = s->total_out;
	lzma_end(s);
}

static void pack_xz(void)
{
	lzma_stream s = LZMA_STREAM_INIT;

	ck_assert_int_eq(lzma_easy_encoder(&s, 0, LZMA_CHECK_CRC32), LZMA_OK);
	run_lzma(&s);
}

static void pack_lzma(void)
{
	lzma_stream s = LZMA_STREAM_INIT;
	lzma_options_lzma options;

	ck_assert(!lzma_lzma_preset(&options, 0));
	ck_assert_int_eq(lzma_alone_encoder(&s, &options), LZMA_OK);
	run_lzma(&s);
}

static const struct {
	const char *name;
	void (*pack)(void);
} formats[] = {
	{ "gzip", pack_gzip }, { "lz4", pack_lz4 }, { "zstd", pack_zstd }, { "xz", pack_xz },
	{ "lzma", pack_lzma },
};

/* What is packed, into a buffer of its own: a byte too many is the sanitizer's. */
static int run(size_t room)
{
	free(got);
	got = malloc(room);
	ck_assert_ptr_nonnull(got);
	return unpack(packed, packed_len, got, room);
}

START_TEST(whole)
{
	formats[_i].pack();
	ck_assert_str_eq(unpack_format(packed, packed_len), formats[_i].name);
	ck_assert_int_eq(run(size), 0);
	ck_assert(!memcmp(got, plain, size));
}
END_TEST

START_TEST(more_than_there_is)
{
	formats[_i].pack();
	ck_assert_int_eq(run(size + 1), -EBADMSG);
}
END_TEST

START_TEST(less_than_there_is) /* that may be noticed, and must not hurt */
{
	static const size_t rooms[] = { 1, 4096, 300000 };
	unsigned i;
	int r;

	formats[_i].pack();
	for (i = 0; i < ARRAY_SIZE(rooms); i++) {
		r = run(rooms[i]);
		ck_assert(r == -EBADMSG || (r == 0 && !memcmp(got, plain, rooms[i])));
	}
}
END_TEST

START_TEST(cut_off) /* anywhere, in the header too */
{
	size_t full, step;

	formats[_i].pack();
	full = packed_len;
	step = full / 3;
	for (packed_len = 7; packed_len + step < full; packed_len += packed_len < 24 ? 1 : step)
		ck_assert_int_eq(run(size), -EBADMSG);
}
END_TEST

START_TEST(damaged) /* lz4 has no checksum: it may not notice; but no byte goes astray */
{
	unsigned i;

	formats[_i].pack();
	for (i = 0; i < 4; i++) {
		size_t at = 6 + i * (packed_len / 5);
		int r;

		packed[at] ^= 0x55;
		r = run(size);
		ck_assert(r == 0 || r == -EBADMSG || r == -ENOMEM);
		packed[at] ^= 0x55;
	}
	ck_assert_int_eq(run(size), 0);
}
END_TEST

START_TEST(gzip_without_its_last_word) /* a kernel's: it is how much it is */
{
	pack_gzip();
	packed_len -= 4;
	ck_assert_int_eq(run(size), 0);
	ck_assert(!memcmp(got, plain, size));
}
END_TEST

START_TEST(lz4_block_longer_than_the_file)
{
	static const uint32_t sizes[] = { 0, 100, INT32_MAX, UINT32_MAX };
	unsigned i;

	pack_lz4();
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		le32_put(packed + 4, sizes[i]);
		packed_len = 50;
		ck_assert_int_eq(run(size), -EBADMSG);
	}
}
END_TEST

START_TEST(too_much)
{
	pack_gzip();
	ck_assert_int_eq(unpack(packed, packed_len, packed, UNPACK_MAX + 1), -E2BIG);
	ck_assert_int_eq(unpack(packed, UNPACK_MAX + 1, packed, 1), -E2BIG);
}
END_TEST

/* Packs @len bytes as from a pipe, whose length nobody knows before its end. */
static size_t pack_stream(const void *bytes, size_t len)
{
	ZSTD_CStream *z = ZSTD_createCStream();
	ZSTD_outBuffer out = { .dst = packed, .size = ROOM };
	ZSTD_inBuffer in = { .src = bytes, .size = len };

	ck_assert(!ZSTD_isError(ZSTD_compressStream2(z, &out, &in, ZSTD_e_continue)));
	ck_assert_uint_eq(ZSTD_compressStream2(z, &out, &in, ZSTD_e_end), 0);
	ZSTD_freeCStream(z);
	return out.pos;
}

START_TEST(size_that_is_counted)
{
	size_t len = pack_stream(plain, size), i;

	ck_assert(ZSTD_getFrameContentSize(packed, len) == ZSTD_CONTENTSIZE_UNKNOWN);
	ck_assert_uint_eq(unpack_size(packed, len), size);
	for (i = 0; i < len; i += 997)
		ck_assert_uint_eq(unpack_size(packed, i), 0);
}
END_TEST

/* zstd alone says it at the beginning, which may come from anywhere. */
START_TEST(size_at_the_beginning)
{
	char bytes[64];
	size_t i, len = ZSTD_compress(packed, ROOM, "kernel", 6, 1);

	ck_assert_uint_eq(unpack_size(packed, len), 6);
	ck_assert_uint_eq(unpack_size(packed, 3), 0);
	for (i = 0; i < 256; i++) {
		memset(bytes, i, sizeof(bytes));
		ck_assert_uint_eq(unpack_size(bytes, sizeof(bytes)), 0);
	}
}
END_TEST

/* Neither what is above the bound, nor another format of the same library. */
START_TEST(size_that_is_none)
{
	/* A frame that has its size, in 8 bytes; and one of version 0.7, in one byte. */
	uint8_t large[32] = "\x28\xb5\x2f\xfd\xe0", old[32] = "\x27\xb5\x2f\xfd\x20\x05";

	le64_put(large + 5, UNPACK_MAX);
	ck_assert_uint_eq(unpack_size(large, sizeof(large)), UNPACK_MAX);
	le64_put(large + 5, UNPACK_MAX + 1);
	ck_assert_uint_eq(unpack_size(large, sizeof(large)), 0);
	ck_assert_uint_eq(unpack_size(old, sizeof(old)), 0);
}
END_TEST

START_TEST(unknown)
{
	memcpy(packed, "BZh91AY&SY", 10);
	packed_len = 10;
	ck_assert_ptr_null(unpack_format(packed, packed_len));
	ck_assert_int_eq(run(16), -ENOTSUP);
	ck_assert_ptr_null(unpack_format("\x1f", 1));
	ck_assert_ptr_null(unpack_format("", 0));
}
END_TEST

Suite *unpack_suite(void)
{
	const TTest *const each[] = { whole, more_than_there_is, less_than_there_is, cut_off,
		damaged };
	Suite *suite = suite_create("unpack");
	TCase *tc = unit_case(suite, "formats");
	unsigned i;

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	for (i = 0; i < ARRAY_SIZE(each); i++)
		tcase_add_loop_test(tc, each[i], 0, ARRAY_SIZE(formats));
	tcase_add_test(tc, gzip_without_its_last_word);
	tcase_add_test(tc, lz4_block_longer_than_the_file);
	tcase_add_test(tc, too_much);
	tcase_add_test(tc, size_at_the_beginning);
	tcase_add_test(tc, size_that_is_counted);
	tcase_add_test(tc, size_that_is_none);
	tcase_add_test(tc, unknown);
	return suite;
}

UNIT_MAIN(unpack_suite)
