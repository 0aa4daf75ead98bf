/* SPDX-License-Identifier: MIT */
/*
 * An image of 64 blocks below an overlay, and requests on it: each byte that is read is the last
 * one that was written there, and the image is what it was until a commit, and after it all that
 * was written. Of a request's four bytes the first says what, the others where and how much.
 */
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "devices/block/block.h"
#include "devices/block/overlay.h"
#include "tests/lib/block_run.h"
#include "vmm/core/log.h"
#include "vmm/core/loop.h"
#include "vmm/core/util.h"

#define BLOCKS 64
#define SIZE (BLOCKS * 512)

static uint8_t want[SIZE], committed[SIZE], got[SIZE];

static void request(struct block_chan *chan, const uint8_t r[4])
{
	static const enum block_io ios[] = { BLOCK_READ, BLOCK_WRITE, BLOCK_ZERO, BLOCK_DISCARD,
					     BLOCK_FLUSH };
	enum block_io io = ios[r[0] % ARRAY_SIZE(ios)];
	uint64_t lba = r[1] % BLOCKS, n = min_u64(1 + r[2] % BLOCKS, BLOCKS - lba);
	uint64_t off = lba * 512, len = io == BLOCK_FLUSH ? 0 : n * 512;

	memset(got, r[3], len);
	BUG_ON(block_run(chan, io, r[0] & 0x80 ? BLOCK_MAY_UNMAP : 0, off, got, len));
	if (io == BLOCK_READ)
		BUG_ON(memcmp(got, want + off, len));
	else if (io == BLOCK_WRITE)
		memset(want + off, r[3], len);
	else if (io == BLOCK_ZERO || (io == BLOCK_DISCARD && chan->block->discard_zeroes))
		memset(want + off, 0, len);
	else if (io == BLOCK_DISCARD) /* anything may be there now */
		BUG_ON(block_run(chan, BLOCK_READ, 0, off, want + off, len));
}

static void commit(struct block *block, int fd)
{
	BUG_ON(overlay_commit(block));
	memcpy(committed, want, SIZE);
	BUG_ON(pread(fd, got, SIZE, 0) != SIZE || memcmp(got, want, SIZE));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct fuzz_input in = { data, len };
	struct block_open how = { .block_size = 512, .overlay = BLOCK_OVERLAY_COMMIT,
				  .engine = BLOCK_ENGINE_THREADS };
	struct loop *loop = loop_create("fuzz");
	struct block_chan *chan;
	struct block *block;
	char path[32];
	uint8_t r[4];
	int fd = memfd_create("image", MFD_CLOEXEC);

	memset(want, 0x5a, SIZE);
	memcpy(committed, want, SIZE);
	BUG_ON(!loop || fd < 0 || write(fd, want, SIZE) != SIZE);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	how.path = path;
	BUG_ON(block_open(&how, &block) < 0);
	chan = block_chan_open(block, loop);
	BUG_ON(!chan);
	while (in.left) {
		fuzz_bytes(&in, r, sizeof(r));
		if (r[0] == 0xff)
			commit(block, fd);
		else
			request(chan, r);
		BUG_ON(pread(fd, got, SIZE, 0) != SIZE || memcmp(got, committed, SIZE));
	}
	block_chan_close(chan);
	block_close(block);
	loop_destroy(loop);
	close(fd);
	return 0;
}
