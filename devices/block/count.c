/* SPDX-License-Identifier: MIT */
#include "devices/block/count.h"

#include <time.h>

#include "vmm/core/util.h"

uint64_t block_count_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

void block_count_io(struct block_counters *c, const struct block_req *req)
{
	switch (req->io) {
	case BLOCK_READ:
		c->reads++;
		c->read += req->len;
		break;
	case BLOCK_WRITE:
	case BLOCK_ZERO:
		c->writes++;
		c->written += req->len;
		break;
	case BLOCK_DISCARD:
		c->unmapped += req->len;
		break;
	case BLOCK_FLUSH:
		c->flushes++;
		break;
	}
}

void block_count_end(struct block_counters *c, uint64_t began, uint64_t now, bool failed)
{
	uint64_t us = (now - began) / 1000;
	unsigned slot = us ? 64 - __builtin_clzll(us) : 0;

	c->commands++;
	c->errors += failed;
	c->latency[min_u64(slot, BLOCK_LATENCIES - 1)]++;
}

void block_count_add(struct block_counters *sum, const struct block_counters *c)
{
	unsigned i;

	sum->commands += c->commands;
	sum->errors += c->errors;
	sum->reads += c->reads;
	sum->writes += c->writes;
	sum->read += c->read;
	sum->written += c->written;
	sum->unmapped += c->unmapped;
	sum->flushes += c->flushes;
	sum->resets += c->resets;
	for (i = 0; i < BLOCK_LATENCIES; i++)
		sum->latency[i] += c->latency[i];
}
