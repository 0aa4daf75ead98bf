/* SPDX-License-Identifier: MIT */
/*
 * copy.h - requests that are waited for, and what a store reads as, in a file.
 */
#ifndef DEVICES_BLOCK_COPY_H
#define DEVICES_BLOCK_COPY_H

#include "devices/block/block.h"

/*
 * One request of @iov's length, waited for; BLOCK_MAY_UNMAP is set. Returns how it ended. @chan's
 * loop has no thread of its own.
 */
int block_now(struct block_chan *chan, enum block_io io, uint64_t off, struct iovec *iov);

/* Does it all read as zeroes? @len: at least 1. */
bool block_is_zero(const void *data, size_t len);

/*
 * All of a store's bytes to the empty file @fd, which gets its size, and holes for zeroes. -errno.
 * [any thread]
 */
int block_copy(struct block *block, int fd);

#endif
