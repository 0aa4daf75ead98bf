/* SPDX-License-Identifier: MIT */
/*
 * count.h - what a disk has done, whatever bus it is on.
 *
 * Each thread that serves a disk has counters of its own, without a lock; who wants the sum asks
 * the threads, and adds.
 */
#ifndef DEVICES_BLOCK_COUNT_H
#define DEVICES_BLOCK_COUNT_H

#include <stdbool.h>
#include <stdint.h>

#include "devices/block/block.h"

#define BLOCK_LATENCIES 24

struct block_counters {
	uint64_t commands, errors;        /* those that ended, and those of them that failed */
	uint64_t reads, writes;           /* of the medium, however long */
	uint64_t read, written, unmapped; /* bytes */
	uint64_t flushes, resets;         /* resets: of a LUN by task management, of a device */
	uint64_t latency[BLOCK_LATENCIES]; /* [n]: took less than 2^n microseconds, and not less
					    * than the one before; the last: all that took longer */
};

/* CLOCK_MONOTONIC in ns. */
uint64_t block_count_now(void);
/* What a request has moved, once it is done. */
void block_count_io(struct block_counters *c, const struct block_req *req);
/* A command has ended that began at @began. */
void block_count_end(struct block_counters *c, uint64_t began, uint64_t now, bool failed);
void block_count_add(struct block_counters *sum, const struct block_counters *c);

#endif
