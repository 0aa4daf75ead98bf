/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <lzma.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "guest/packed.h"
#include "vmm/core/util.h"

Suite *packed_suite(void);

#define SIZE (3u << 20) /* more than the first guess, twice */

static uint8_t plain[SIZE], packed[SIZE + (64u << 10)];

static void fill(void)
{
	unsigned i, n = 1;

	for (i = 0; i < SIZE; i++)
		plain[i] = (n = n * 1103515245 + 12345) >> 28;
}

static size_t pack_gzip(const void *in, size_t len, void *out, size_t size)
{
	z_stream z = { .next_in = (uint8_t *)in, .avail_in = len, .next_out = out,
		       .avail_out = size };

	ck_assert_int_eq(deflateInit2(&z, 1, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY),
			 Z_OK);
	ck_assert_int_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
	deflateEnd(&z);
	return size - z.avail_out;
}

static size_t pack_xz(const void *in, size_t len, void *out, size_t size)
{
	size_t at = 0;

	ck_assert_int_eq(lzma_easy_buffer_encode(0, LZMA_CHECK_CRC32, NULL, in, len, out, &at,
						 size), LZMA_OK);
	return at;
}

/* With a checksum, as the program zstd makes it. */
static size_t zstd(const void *in, size_t len, void *out, size_t size, bool size_is_known)
{
	ZSTD_CCtx *z = ZSTD_createCCtx();
	ZSTD_inBuffer from = { in, len, 0 };
	ZSTD_outBuffer to = { out, size, 0 };

	ZSTD_CCtx_setParameter(z, ZSTD_c_checksumFlag, 1);
	if (size_is_known)
		ZSTD_CCtx_setPledgedSrcSize(z, len);
	while (from.pos < len)
		ck_assert(!ZSTD_isError(ZSTD_compressStream2(z, &to, &from, ZSTD_e_continue)));
	ck_assert_uint_eq(ZSTD_compressStream2(z, &to, &from, ZSTD_e_end), 0);
	ZSTD_freeCCtx(z);
	return to.pos;
}

static size_t pack_zstd(const void *in, size_t len, void *out, size_t size)
{
	return zstd(in, len, out, size, true);
}

static size_t pack_zstd_stream(const void *in, size_t len, void *out, size_t size)
{
	return zstd(in, len, out, size, false);
}

static size_t (*const packers[])(const void *in, size_t len, void *out, size_t size) = {
	pack_gzip, pack_xz, pack_zstd, pack_zstd_stream,
};

START_TEST(comes_back)
{
	static const size_t sizes[] = { 1, 4096, 256u << 10, (256u << 10) + 1, SIZE };
	size_t size, len, i;
	void *out;

	fill();
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		len = packers[_i](plain, sizes[i], packed, sizeof(packed));
		ck_assert_int_eq(packed_unpack(packed, len, &out, &size), 0);
		ck_assert_uint_eq(size, sizes[i]);
		ck_assert(!memcmp(out, plain, size));
		free(out);
	}
}
END_TEST

START_TEST(cut_off)
{
	static const size_t cuts[] = { 6, 7, 20, 1000, 100000 };
	size_t size, len, i;
	void *out;

	fill();
	len = packers[_i](plain, SIZE, packed, sizeof(packed));
	for (i = 0; i < ARRAY_SIZE(cuts); i++) {
		uint8_t *exact = malloc(cuts[i]);

		memcpy(exact, packed, cuts[i]);
		ck_assert_int_eq(packed_unpack(exact, cuts[i], &out, &size), -EBADMSG);
		free(exact);
	}
	ck_assert_int_eq(packed_unpack(packed, len - 1, &out, &size), -EBADMSG);
}
END_TEST

START_TEST(damaged)
{
	size_t size;
	void *out;

	fill();
	packers[_i](plain, SIZE, packed, sizeof(packed));
	memset(packed + 50, 0xa5, 5000);
	ck_assert_int_eq(packed_unpack(packed, sizeof(packed), &out, &size), -EBADMSG);
}
END_TEST

START_TEST(not_packed)
{
	static const char *const files[] = { "\177ELF", "", "\x1f", ("\xfd" "7zX"), "BZh9" };
	size_t size;
	void *out;

	ck_assert_int_eq(packed_unpack(files[_i], strlen(files[_i]), &out, &size), -ENOTSUP);
}
END_TEST

Suite *packed_suite(void)
{
	Suite *s = suite_create("packed");
	TCase *tc = unit_case(s, "packed");

	tcase_add_loop_test(tc, comes_back, 0, ARRAY_SIZE(packers));
	tcase_add_loop_test(tc, cut_off, 0, ARRAY_SIZE(packers));
	tcase_add_loop_test(tc, damaged, 0, ARRAY_SIZE(packers));
	tcase_add_loop_test(tc, not_packed, 0, 5);
	return s;
}

UNIT_MAIN(packed_suite)
