/* SPDX-License-Identifier: MIT */
#include "vmm/machine/unpack.h"

#include <errno.h>
#include <lz4.h>
#include <lzma.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "vmm/core/util.h"

#define LZ4_BLOCK MIB(8) /* what an lz4 block unpacks to; the last one to less */
#define LZMA_MEMORY MIB(512)

static int gzip_unpack(const uint8_t *in, size_t len, uint8_t *out, size_t size)
{
	z_stream z = { .next_in = (uint8_t *)in, .avail_in = len, .next_out = out,
		       .avail_out = size };
	int r;

	if (inflateInit2(&z, 16 + MAX_WBITS) != Z_OK) /* 16: gzip's header */
		return -ENOMEM;
	r = inflate(&z, Z_FINISH);
	inflateEnd(&z);
	/* Z_BUF_ERROR: the checksum has been cut off, which is no concern. */
	return !z.avail_out && (r == Z_STREAM_END || r == Z_BUF_ERROR) ? 0 : -EBADMSG;
}

static int lzma_unpack(const uint8_t *in, size_t len, uint8_t *out, size_t size)
{
	lzma_stream s = LZMA_STREAM_INIT;
	lzma_ret r;

	if (lzma_auto_decoder(&s, LZMA_MEMORY, 0) != LZMA_OK)
		return -ENOMEM;
	s.next_in = in;
	s.avail_in = len;
	s.next_out = out;
	s.avail_out = size;
	do
		r = lzma_code(&s, LZMA_FINISH);
	while (r == LZMA_OK && s.avail_out);
	lzma_end(&s);
	if (r == LZMA_MEM_ERROR)
		return -ENOMEM;
	return !s.avail_out && (r == LZMA_OK || r == LZMA_STREAM_END) ? 0 : -EBADMSG;
}

static int zstd_unpack(const uint8_t *in, size_t len, uint8_t *out, size_t size)
{
	return ZSTD_decompress(out, size, in, len) == size ? 0 : -EBADMSG;
}

/* A magic number, and blocks with their packed size before each. */
static int lz4_unpack(const uint8_t *in, size_t len, uint8_t *out, size_t size)
{
	size_t at = 4, done = 0;

	while (done < size) {
		uint32_t block;
		int n;

		if (!range_ok(at, 4, len))
			return -EBADMSG;
		block = le32_get(in + at);
		at += 4;
		if (!range_ok(at, block, len))
			return -EBADMSG;
		n = LZ4_decompress_safe((const char *)in + at, (char *)out + done, block,
					min_u64(size - done, LZ4_BLOCK));
		if (n <= 0)
			return -EBADMSG;
		at += block;
		done += n;
	}
	return 0;
}

static const struct format {
	const char *name;
	const char *magic;
	unsigned len;
	int (*unpack)(const uint8_t *in, size_t len, uint8_t *out, size_t size);
} formats[] = {
	{ "gzip", "\x1f\x8b", 2, gzip_unpack },
	{ "lz4", "\x02\x21\x4c\x18", 4, lz4_unpack },
	{ "zstd", "\x28\xb5\x2f\xfd", 4, zstd_unpack },
	{ "xz", "\xfd" "7zXZ", 6, lzma_unpack },
	{ "lzma", "\x5d\x00\x00", 3, lzma_unpack },
};

static const struct format *format_find(const void *packed, size_t len)
{
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(formats); i++) {
		if (len >= formats[i].len && !memcmp(packed, formats[i].magic, formats[i].len))
			return &formats[i];
	}
	return NULL;
}

const char *unpack_format(const void *packed, size_t len)
{
	const struct format *f = format_find(packed, len);

	return f ? f->name : NULL;
}

/* All that it unpacks to is made, and thrown away. */
static size_t zstd_count(const void *packed, size_t len)
{
	ZSTD_inBuffer in = { .src = packed, .size = len };
	ZSTD_DStream *z = ZSTD_createDStream();
	size_t room = ZSTD_DStreamOutSize(), left = 1, size = 0;
	void *bytes = malloc(room);

	while (z && bytes && !ZSTD_isError(left) && in.pos < len && size <= UNPACK_MAX) {
		ZSTD_outBuffer out = { .dst = bytes, .size = room };

		left = ZSTD_decompressStream(z, &out, &in);
		size += out.pos;
	}
	free(bytes);
	ZSTD_freeDStream(z);
	return left ? 0 : size; /* 0 is left at the end of what is whole */
}

size_t unpack_size(const void *packed, size_t len)
{
	const struct format *f = format_find(packed, len);
	unsigned long long size;

	/* The library knows older formats, too, which nobody packs kernels in. */
	if (!f || f->unpack != zstd_unpack || len > UNPACK_MAX)
		return 0;
	size = ZSTD_getFrameContentSize(packed, len);
	if (size == ZSTD_CONTENTSIZE_UNKNOWN)
		size = zstd_count(packed, len);
	return size <= UNPACK_MAX ? size : 0; /* ZSTD_CONTENTSIZE_ERROR is above it, too */
}

int unpack(const void *packed, size_t len, void *out, size_t size)
{
	const struct format *f = format_find(packed, len);

	if (!f)
		return -ENOTSUP;
	if (len > UNPACK_MAX || size > UNPACK_MAX)
		return -E2BIG;
	return f->unpack(packed, len, out, size);
}
