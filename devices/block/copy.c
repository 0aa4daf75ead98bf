/* SPDX-License-Identifier: MIT */
#include "devices/block/copy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/core/loop.h"
#include "vmm/core/util.h"

#define CHUNK (256u << 10) /* bytes that are read at once */
#define GRAIN 4096u        /* bytes that become a hole together */

struct waited {
	struct block_req req;
	int err;
};

static void waited_done(struct block_req *req, int err)
{
	container_of(req, struct waited, req)->err = err;
}

int block_now(struct block_chan *chan, enum block_io io, uint64_t off, struct iovec *iov)
{
	struct waited w = { .req = { .io = io, .flags = BLOCK_MAY_UNMAP, .off = off,
				     .len = iov->iov_len, .iov = iov, .niov = 1,
				     .done = waited_done } };

	block_submit(chan, &w.req);
	block_drain(chan);
	return w.err;
}

bool block_is_zero(const void *data, size_t len)
{
	const uint8_t *byte = data;

	return !byte[0] && !memcmp(byte, byte + 1, len - 1);
}

static int write_all(int fd, const uint8_t *data, size_t len, uint64_t off)
{
	ssize_t n;

	for (; len; data += n, len -= n, off += n) {
		n = pwrite(fd, data, len, off);
		if (n < 0)
			return -errno;
	}
	return 0;
}

static int copy_chunk(struct block_chan *chan, int fd, uint8_t *buf, uint64_t off, size_t len)
{
	struct iovec iov = { buf, len };
	size_t at, part;
	int r = block_now(chan, BLOCK_READ, off, &iov);

	for (at = 0; r == 0 && at < len; at += part) {
		part = min_u64(GRAIN, len - at);
		if (!block_is_zero(buf + at, part))
			r = write_all(fd, buf + at, part, off + at);
	}
	return r;
}

int block_copy(struct block *block, int fd)
{
	struct loop *loop = loop_create("copy");
	struct block_chan *chan = loop ? block_chan_open(block, loop) : NULL;
	uint8_t *buf = aligned_alloc(4096, CHUNK);
	uint64_t off = 0, end;
	int r = -ENOMEM;

	if (chan && buf)
		r = ftruncate(fd, block->size) < 0 ? -errno : 0;
	while (r == 0 && off < block->size) {
		bool mapped = block_is_mapped(block, off, &end);

		end = mapped ? min_u64(end, off + CHUNK) : end;
		if (mapped)
			r = copy_chunk(chan, fd, buf, off, end - off);
		off = end;
	}
	block_chan_close(chan);
	loop_destroy(loop);
	free(buf);
	return r;
}
