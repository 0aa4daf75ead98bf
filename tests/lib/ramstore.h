/* SPDX-License-Identifier: MIT */
/*
 * ramstore.h - a store in memory that does what a test tells it to.
 *
 * A request is done by block_drain(), or by the channel's loop, when it has one.
 * With @hold it is done by block_drain() or ramstore_step() only, so that a test
 * can act while it is in flight. Data moves when the request is done, not before.
 * Channels of several threads may be used at once; each request is atomic then.
 */
#ifndef TESTS_LIB_RAMSTORE_H
#define TESTS_LIB_RAMSTORE_H

#include <pthread.h>
#include <stdatomic.h>

#include "devices/block/block.h"

#define RAMSTORE_LOG 64

struct ramstore_io {
	enum block_io io;
	unsigned flags;
	uint64_t off, len;
};

struct ramstore {
	struct block block; /* facts may be changed before use */
	pthread_mutex_t lock; /* of all that follows, while requests end */
	uint8_t *bytes;
	bool hold;
	atomic_bool stuck; /* and not by block_drain() either, ... */
	atomic_int waited; /* ... which was to wait for so many ms the last time */
	unsigned fail_at; /* 1: the next request that ends fails, with ... */
	int fail_with;    /* ... -errno */
	struct ramstore_io log[RAMSTORE_LOG]; /* the first ones, as they end */
	unsigned nlog;    /* how many have ended */
	const uint64_t *edges; /* up to the first all is mapped, then comes a hole, and so on */
	unsigned nedges;
};

/* Bytes are 0. The block, granularity 4096, can discard and discarded bytes read as 0. */
struct ramstore *ramstore_open(uint64_t size);
void ramstore_close(struct ramstore *ram);
/* Ends the oldest request of @chan. False: there is none. [the channel's thread] */
bool ramstore_step(struct block_chan *chan);

#endif
