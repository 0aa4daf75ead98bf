/* SPDX-License-Identifier: MIT */
/*
 * plan.h - the writes of a soak test: write number n of a seed always has the same bytes at the
 * same place, and every sector tells which write it is from. So whoever has the seed can say what a
 * disk may look like. Shared by the writers, one of which has no libc, and the checker.
 *
 * Writes go in batches, and those of a batch do not overlap. When the device has said that a batch,
 * and all before it, is durable, the writer reports it: "acked N", N the number of its last write.
 * By then it may have begun the next batch, and while the report is under way it begins no other;
 * so at any time at most SOAK_AHEAD writes after the last that was reported may have been made.
 */
#ifndef SOAK_PLAN_H
#define SOAK_PLAN_H

#include <stdint.h>

#define SOAK_SECTOR 512
#define SOAK_BATCH 8      /* writes */
#define SOAK_LANE 2048    /* sectors: each write of a batch has a part of the disk of its own */
#define SOAK_SECTORS (SOAK_BATCH * SOAK_LANE)
#define SOAK_WRITE_MAX 16 /* sectors */
#define SOAK_AHEAD (2 * SOAK_BATCH) /* writes that may be on the disk without being reported */

enum soak_mode {
	SOAK_FLUSH,   /* writes, then a flush: SYNCHRONIZE CACHE, with SCSI */
	SOAK_FUA,     /* FUA in each write; without SCSI, a device whose FLUSH is not used */
	SOAK_THROUGH, /* the device's write cache is off */
	SOAK_MODES
};

struct soak_write {
	uint32_t lba, sectors;
};

static inline uint64_t soak_mix(uint64_t x)
{
	x ^= x >> 30;
	x *= 0xbf58476d1ce4e5b9;
	x ^= x >> 27;
	x *= 0x94d049bb133111eb;
	return x ^ x >> 31;
}

/* @number counts from 1. */
static inline struct soak_write soak_write(uint32_t seed, uint32_t number)
{
	uint64_t x = soak_mix((uint64_t)seed << 32 | number);
	uint32_t sectors = 1 + x % SOAK_WRITE_MAX;
	uint32_t first = (uint32_t)(x >> 32) % (SOAK_LANE - sectors + 1);

	return (struct soak_write){ number % SOAK_BATCH * SOAK_LANE + first, sectors };
}

/* The sector at @lba as write @number leaves it; its first word has the number. */
static inline void soak_fill(uint64_t *sector, uint32_t seed, uint32_t number, uint32_t lba)
{
	uint64_t x = soak_mix(((uint64_t)seed << 32 | lba) ^ soak_mix(number));
	unsigned i;

	sector[0] = number;
	for (i = 1; i < SOAK_SECTOR / 8; i++) {
		x = x * 6364136223846793005 + 1442695040888963407;
		sector[i] = x;
	}
}

#endif
