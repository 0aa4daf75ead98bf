/* SPDX-License-Identifier: MIT */
/*
 * driver.h - the driver's side of a split ring, in guest memory.
 *
 * The counterpart of virtio/queue.h for tests, fuzzers and benchmarks: it lays
 * out the three areas, adds chains, and takes used ones back. It follows the
 * rules; a test that wants to break one writes to the areas itself.
 *
 * One thread at a time. The device's side may run in another.
 */
#ifndef TESTS_DRIVER_H
#define TESTS_DRIVER_H

#include <stdbool.h>
#include <stdint.h>

struct mem;

/* A piece of a request: guest memory that the device reads or writes. */
struct driver_buf {
	uint64_t gpa;
	uint32_t len;
	bool write;
};

struct driver {
	uint16_t size;
	bool event_idx;
	uint64_t desc, driver, device; /* guest-physical addresses of the areas */
	uint8_t *d, *a, *u;            /* and ours */
	struct mem *mem;
	uint16_t avail;     /* our idx, with what is not published yet */
	uint16_t published; /* our idx that the device can see */
	uint16_t used;      /* the used idx that we have come to */
	uint16_t nfree, first_free;
	uint16_t *chain_len; /* by head: descriptors of the ring it takes */
};

/* How many bytes from @gpa on (aligned to 16) driver_init() takes. */
uint64_t driver_bytes(uint16_t size);

/* An empty ring, both indices at @start (a device's next_avail and next_used too, then). */
void driver_init(struct driver *drv, struct mem *mem, uint64_t gpa, uint16_t size, bool event_idx,
		 uint16_t start);
void driver_fini(struct driver *drv);

/*
 * Adds a chain of @n >= 1 pieces. @table, when not 0: guest memory for n x 16 bytes; the chain is
 * put there and takes one descriptor of the ring. Returns the head, or -1: the ring is full. The
 * device sees it after driver_publish().
 */
int driver_add(struct driver *drv, const struct driver_buf *buf, unsigned n, uint64_t table);

/* Shows what was added. True: the device wants to be kicked. */
bool driver_publish(struct driver *drv);

/* The next used chain, if there is one: its head and the bytes written. */
bool driver_used(struct driver *drv, uint16_t *head, uint32_t *len);

/* Asks for an interrupt at the next used chain. True: there is one already. */
bool driver_rearm(struct driver *drv);
/* The same at the @n-th used chain from here; without the event index, still at the next. */
bool driver_rearm_after(struct driver *drv, unsigned n);
/* Asks for no interrupt. With the event index, that is one in the far future. */
void driver_disarm(struct driver *drv);

/* The same bytes, with a border between pieces at byte @at. Returns how many pieces, n or n + 1. */
unsigned driver_cut(const struct driver_buf *buf, unsigned n, uint64_t at, struct driver_buf *out);

/*
 * The same bytes in random pieces, some of them empty, at most @max >= n. @seed is used up and
 * renewed. Returns how many pieces.
 */
unsigned driver_shatter(const struct driver_buf *buf, unsigned n, uint32_t *seed,
			struct driver_buf *out, unsigned max);

/* A small generator for tests: the same seed gives the same numbers everywhere. */
static inline uint32_t driver_random(uint32_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 17;
	*seed ^= *seed << 5;
	return *seed;
}

#endif
