/*
 * overlay.h - what is written to an image, kept beside it.
 *
 * The image (base) is read; what the guest writes goes to a sparse file without
 * a name (top) and vanishes with it. A bit for each 512 bytes says which of the
 * two has them, so nothing is ever copied to be written in part. The bits are
 * memory that takes room where it is used: for 64 TiB, 16 GiB of addresses.
 *
 * overlay_commit() brings what has changed into the image. As a cache, that is
 * what a FLUSH does: until then the image knows nothing of it, like a disk's
 * medium. Otherwise a FLUSH does nothing, as nothing is to outlive the run.
 */
#ifndef DEVICES_BLOCK_OVERLAY_H
#define DEVICES_BLOCK_OVERLAY_H

#include "devices/block/block.h"

/* For the choice of block_open(). */
extern const struct block_ops block_overlay;

/*
 * Writes what has changed since the last time to the image, durably. -errno: not all of it, and
 * what is missing is taken up by the next call. One thread at a time works, the others wait.
 */
int overlay_commit(struct block *block);

#endif
