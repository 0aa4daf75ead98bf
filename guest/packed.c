/* SPDX-License-Identifier: MIT */
/* packed.c - what gzip, xz and zstd have packed. */
#include "guest/packed.h"

#include <errno.h>
#include <lzma.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#define LZMA_MEMORY (256u << 20)
#define FIRST_SIZE (256u << 10) /* of what a file unpacks to; then twice as much, ... */
#define LAST_SIZE (256u << 20)

struct image {
	uint8_t *data;
	size_t len, size;
};

static int make_room(struct image *m)
{
	size_t size = m->size ? 2 * m->size : FIRST_SIZE;
	uint8_t *data;

	if (m->len < m->size)
		return 0;
	data = size > LAST_SIZE ? NULL : realloc(m->data, size);
	if (!data)
		return -ENOMEM;
	m->data = data;
	m->size = size;
	return 0;
}

static int unpack_gzip(const void *in, size_t len, struct image *out)
{
	z_stream z = { .next_in = (uint8_t *)in, .avail_in = len };
	int r = inflateInit2(&z, 16 + MAX_WBITS); /* 16: gzip's header */

	while (r == Z_OK && make_room(out) == 0) {
		z.next_out = out->data + out->len;
		z.avail_out = out->size - out->len;
		r = inflate(&z, Z_NO_FLUSH);
		out->len = out->size - z.avail_out;
	}
	inflateEnd(&z);
	return r == Z_STREAM_END ? 0 : -EBADMSG;
}

static int unpack_xz(const void *in, size_t len, struct image *out)
{
	lzma_stream s = LZMA_STREAM_INIT;
	lzma_ret r = lzma_stream_decoder(&s, LZMA_MEMORY, LZMA_CONCATENATED);

	s.next_in = in;
	s.avail_in = len;
	while (r == LZMA_OK && make_room(out) == 0) {
		s.next_out = out->data + out->len;
		s.avail_out = out->size - out->len;
		r = lzma_code(&s, LZMA_FINISH);
		out->len = out->size - s.avail_out;
	}
	lzma_end(&s);
	return r == LZMA_STREAM_END ? 0 : -EBADMSG;
}

static int unpack_zstd(const void *data, size_t len, struct image *out)
{
	ZSTD_DStream *z = ZSTD_createDStream();
	ZSTD_inBuffer in = { data, len, 0 };
	size_t r = 1, before = 1;

	/* It says how much it wants, and goes on for ever where there is no more. */
	while (z && r && !ZSTD_isError(r) && before && make_room(out) == 0) {
		ZSTD_outBuffer to = { out->data, out->size, out->len };

		before = in.pos;
		r = ZSTD_decompressStream(z, &to, &in);
		before = in.pos - before + (to.pos - out->len);
		out->len = to.pos;
	}
	ZSTD_freeDStream(z);
	return r ? -EBADMSG : 0;
}

static const struct packing {
	const char *magic;
	unsigned len;
	int (*unpack)(const void *in, size_t len, struct image *out);
} packings[] = {
	{ "\x1f\x8b", 2, unpack_gzip },
	{ "\xfd" "7zXZ", 6, unpack_xz },
	{ "\x28\xb5\x2f\xfd", 4, unpack_zstd },
};

static const struct packing *find(const void *in, size_t len)
{
	size_t i;

	for (i = 0; i < sizeof(packings) / sizeof(packings[0]); i++) {
		if (len >= packings[i].len && !memcmp(in, packings[i].magic, packings[i].len))
			return &packings[i];
	}
	return NULL;
}

int packed_unpack(const void *in, size_t len, void **out, size_t *size)
{
	const struct packing *p = find(in, len);
	struct image image = { 0 };
	int r;

	if (!p)
		return -ENOTSUP;
	r = p->unpack(in, len, &image);
	if (r < 0) {
		free(image.data);
		return r;
	}
	*out = image.data;
	*size = image.len;
	return 0;
}
