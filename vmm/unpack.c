#include "vmm/unpack.h"

#include <errno.h>
#include <lz4.h>
#include <lzma.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

#include "vmm/core/util.h"

#define LZ4_BLOCK MIB(8) /* what an lz4 block unpacks to; the last one to less */
#define SCRATCH KIB(64)  /* for what nobody wants */
#define LZMA_MEMORY MIB(512)
#define PIECE GIB(1)     /* zlib counts in 32 bits */

/* What is being unpacked. */
struct unpacking {
	const uint8_t *in;
	size_t left; /* bytes at @in */
	uint64_t at, end;
	unpack_place *place;
	void *arg;
	uint8_t *scratch;
	union {
		z_stream zlib;
		lzma_stream lzma;
		ZSTD_DStream *zstd;
	};
};

/*
 * A library's decoder, from @in to *@out, both of which it moves on; *@room bytes are free there.
 * start: 0 or -ENOMEM. step: -EBADMSG when it can go no further. stop: also after a failed start.
 */
struct stream {
	int (*start)(struct unpacking *u);
	int (*step)(struct unpacking *u, uint8_t *out, size_t *room);
	void (*stop)(struct unpacking *u);
};

static int zlib_start(struct unpacking *u)
{
	u->zlib = (z_stream){ 0 };
	return inflateInit2(&u->zlib, 16 + MAX_WBITS) == Z_OK ? 0 : -ENOMEM; /* 16: gzip's header */
}

static int zlib_step(struct unpacking *u, uint8_t *out, size_t *room)
{
	int r;

	u->zlib.next_in = (uint8_t *)u->in;
	u->zlib.avail_in = u->left;
	u->zlib.next_out = out;
	u->zlib.avail_out = *room;
	r = inflate(&u->zlib, Z_NO_FLUSH);
	u->in = u->zlib.next_in;
	u->left = u->zlib.avail_in;
	*room = u->zlib.avail_out;
	return r == Z_OK || r == Z_STREAM_END ? 0 : -EBADMSG;
}

static void zlib_stop(struct unpacking *u)
{
	inflateEnd(&u->zlib);
}

static int lzma_start(struct unpacking *u)
{
	u->lzma = (lzma_stream)LZMA_STREAM_INIT;
	return lzma_auto_decoder(&u->lzma, LZMA_MEMORY, 0) == LZMA_OK ? 0 : -ENOMEM;
}

static int lzma_step(struct unpacking *u, uint8_t *out, size_t *room)
{
	int r;

	u->lzma.next_in = u->in;
	u->lzma.avail_in = u->left;
	u->lzma.next_out = out;
	u->lzma.avail_out = *room;
	r = lzma_code(&u->lzma, LZMA_RUN);
	u->in = u->lzma.next_in;
	u->left = u->lzma.avail_in;
	*room = u->lzma.avail_out;
	return r == LZMA_OK || r == LZMA_STREAM_END ? 0 : r == LZMA_MEM_ERROR ? -ENOMEM : -EBADMSG;
}

static void lzma_stop(struct unpacking *u)
{
	lzma_end(&u->lzma);
}

static int zstd_start(struct unpacking *u)
{
	u->zstd = ZSTD_createDStream();
	return u->zstd ? 0 : -ENOMEM;
}

static int zstd_step(struct unpacking *u, uint8_t *out, size_t *room)
{
	ZSTD_inBuffer in = { u->in, u->left, 0 };
	ZSTD_outBuffer to = { out, *room, 0 };
	size_t r = ZSTD_decompressStream(u->zstd, &to, &in);

	u->in += in.pos;
	u->left -= in.pos;
	*room -= to.pos;
	return ZSTD_isError(r) ? -EBADMSG : 0;
}

static void zstd_stop(struct unpacking *u)
{
	ZSTD_freeDStream(u->zstd);
}

static int stream_run(struct unpacking *u, const struct stream *stream)
{
	while (u->at < u->end) {
		uint64_t len = min_u64(u->end - u->at, PIECE);
		uint8_t *to = u->place(u->arg, u->at, &len);
		size_t room = to ? len : min_u64(len, SCRATCH), left = u->left;
		size_t before = room;
		int r = stream->step(u, to ? to : u->scratch, &room);

		if (r < 0)
			return r;
		if (room == before && u->left == left)
			return -EBADMSG; /* the data is at its end */
		u->at += before - room;
	}
	return 0;
}

static int stream_unpack(struct unpacking *u, const struct stream *stream)
{
	int r = stream->start(u);

	u->scratch = malloc(SCRATCH);
	if (r == 0 && !u->scratch)
		r = -ENOMEM;
	if (r == 0)
		r = stream_run(u, stream);
	stream->stop(u);
	free(u->scratch);
	return r;
}

static int gzip_unpack(struct unpacking *u)
{
	static const struct stream stream = { zlib_start, zlib_step, zlib_stop };

	return stream_unpack(u, &stream);
}

static int xz_unpack(struct unpacking *u)
{
	static const struct stream stream = { lzma_start, lzma_step, lzma_stop };

	return stream_unpack(u, &stream);
}

static int zstd_unpack(struct unpacking *u)
{
	static const struct stream stream = { zstd_start, zstd_step, zstd_stop };

	return stream_unpack(u, &stream);
}

/* @len bytes of the scratch buffer to their places. */
static void place_scratch(struct unpacking *u, uint64_t len)
{
	uint64_t done = 0, n;

	for (; done < len; done += n) {
		uint8_t *to;

		n = len - done;
		to = u->place(u->arg, u->at + done, &n);
		if (to)
			memcpy(to, u->scratch + done, n);
	}
}

/*
 * A block is unpacked where it belongs when that is one place, and in the scratch buffer else. To
 * stop in the middle of one takes the library twice the time, so only the last one is asked for so.
 */
static int lz4_block(struct unpacking *u, int size)
{
	uint64_t want = min_u64(u->end - u->at, LZ4_BLOCK), room = want;
	uint8_t *place = u->place(u->arg, u->at, &room);
	bool direct = place && room == want;
	char *to = (char *)(direct ? place : u->scratch);
	const char *in = (const char *)u->in;
	int n = want == LZ4_BLOCK ? LZ4_decompress_safe(in, to, size, want)
				  : LZ4_decompress_safe_partial(in, to, size, want, want);

	if (n <= 0)
		return -EBADMSG;
	if (!direct)
		place_scratch(u, n);
	u->at += n;
	return 0;
}

/* A magic number, and blocks with their packed size before each. */
static int lz4_blocks(struct unpacking *u)
{
	uint32_t size;
	int r;

	u->in += 4;
	u->left -= 4;
	while (u->at < u->end) {
		if (u->left < 4)
			return -EBADMSG;
		size = le32_get(u->in);
		u->in += 4;
		u->left -= 4;
		if (size > u->left || size > INT32_MAX)
			return -EBADMSG;
		r = lz4_block(u, size);
		if (r < 0)
			return r;
		u->in += size;
		u->left -= size;
	}
	return 0;
}

static int lz4_unpack(struct unpacking *u)
{
	int r;

	u->scratch = malloc(LZ4_BLOCK);
	r = u->scratch ? lz4_blocks(u) : -ENOMEM;
	free(u->scratch);
	return r;
}

static const struct format {
	const char *name;
	const char *magic;
	unsigned len;
	int (*unpack)(struct unpacking *u);
} formats[] = {
	{ "gzip", "\x1f\x8b", 2, gzip_unpack },
	{ "lz4", "\x02\x21\x4c\x18", 4, lz4_unpack },
	{ "zstd", "\x28\xb5\x2f\xfd", 4, zstd_unpack },
	{ "xz", "\xfd" "7zXZ", 6, xz_unpack },
	{ "lzma", "\x5d\x00\x00", 3, xz_unpack },
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

int unpack(const void *packed, size_t len, uint64_t end, unpack_place *place, void *arg)
{
	const struct format *f = format_find(packed, len);
	struct unpacking u = { .in = packed, .left = len, .end = end, .place = place, .arg = arg };

	return f ? f->unpack(&u) : -ENOTSUP;
}
