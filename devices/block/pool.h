/* SPDX-License-Identifier: MIT */
/*
 * pool.h - a channel for stores whose system calls wait: a few threads make
 * the calls, and the channel's loop hears of the results.
 *
 * A request belongs to one thread at a time: the loop's until pool_submit(), a
 * worker's during run(), the loop's again. The hand-overs are two lists under
 * one mutex, and an eventfd wakes the loop.
 */
#ifndef DEVICES_BLOCK_POOL_H
#define DEVICES_BLOCK_POOL_H

#include "devices/block/block.h"

/* Does a request to its end. Returns 0 or -errno. [worker] */
typedef int pool_run_fn(struct block *block, const struct block_req *req);

/* The first worker starts here, the others when there is work for them. NULL: errno tells. */
struct block_chan *pool_open(struct block *block, struct loop *loop, pool_run_fn *run);

#endif
