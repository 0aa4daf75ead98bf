/* SPDX-License-Identifier: MIT */
/*
 * overlay.h - what is written to an image, kept beside it.
 *
 * The image (base) is read; what the guest writes goes to a sparse file without
 * a name (top) and vanishes with it. A bit for each 512 bytes says which of the
 * two has them, so nothing is ever copied to be written in part. The bits are
 * memory that takes room where it is used: for 64 TiB, 16 GiB of addresses for
 * each map.
 *
 * An atomic write goes to the place of the two, in a top of twice the size, that
 * its bytes are not in, and then a second map is switched: until that moment all
 * is what it was.
 *
 * overlay_commit() brings what has changed into the image. As a cache, that is
 * what a FLUSH does: until then the image knows nothing of it, like a disk's
 * medium. Otherwise a FLUSH does nothing, as nothing is to outlive the run.
 */
#ifndef DEVICES_BLOCK_OVERLAY_H
#define DEVICES_BLOCK_OVERLAY_H

#include <pthread.h>

#include "devices/block/bitmap.h"
#include "devices/block/block.h"

/* For the choice of block_open(). */
extern const struct block_ops block_overlay;

/* commit.c; the structure is for that and for overlay.c alone. */

#define OVERLAY_WORD (64 * BITMAP_UNIT)   /* bytes for a word of bits */
#define OVERLAY_SPAN (512 * OVERLAY_WORD) /* for 4096 bytes of bits: looked at together or not */

struct overlay {
	struct block block;
	struct block *base, *top;
	enum block_overlay kind;
	size_t map_size;            /* bytes, of each map */
	uint64_t second;            /* offset of the top's second place for all; 0: there is none */
	bitmap_word *written; /* is in the top */
	bitmap_word *in_second; /* ... and there in its second place */
	atomic_bool second_used;    /* something may be there */
	bitmap_word *dirty;   /* and not in the base yet; NULL: it will never be */
	atomic_bool *span_dirty;    /* something in a SPAN is */
	pthread_mutex_t commit;     /* one at a time */
};

static inline struct overlay *overlay_of(struct block *block)
{
	return (struct overlay *)block; /* its first member */
}

/*
 * Bytes from @off on that are in one place of the top, at most @len. *@where: its offset there.
 */
uint64_t overlay_top_run(struct overlay *o, uint64_t off, uint64_t len, uint64_t *where);

/*
 * Writes what has changed since the last time to the image, durably. -errno: not all of it, and
 * what is missing is taken up by the next call. One thread at a time works, the others wait.
 */
int overlay_commit(struct block *block);

#endif
