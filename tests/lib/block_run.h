/* SPDX-License-Identifier: MIT */
/*
 * block_run.h - one request on a store, and its result.
 */
#ifndef TESTS_BLOCK_RUN_H
#define TESTS_BLOCK_RUN_H

#include "devices/block/block.h"

/* Submits, waits, returns what done() got. @buf: for READ and WRITE. [channel's thread] */
int block_run(struct block_chan *chan, enum block_io io, unsigned flags, uint64_t off, void *buf,
	      uint64_t len);

/* The same with an iovec. */
int block_run_iov(struct block_chan *chan, enum block_io io, unsigned flags, uint64_t off,
		  const struct iovec *iov, unsigned niov);

#endif
