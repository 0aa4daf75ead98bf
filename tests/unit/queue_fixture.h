/* SPDX-License-Identifier: MIT */
/*
 * queue_fixture.h - a queue in two regions of memory that touch, and its driver.
 */
#ifndef TESTS_QUEUE_FIXTURE_H
#define TESTS_QUEUE_FIXTURE_H

#include "tests/unit/unit.h"

#include <errno.h>
#include <linux/virtio_ring.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>

#include "tests/lib/driver.h"
#include "virtio/queue.h"
#include "vmm/core/iov.h"
#include "vmm/core/mem.h"
#include "vmm/core/util.h"

#define REGION 0x100000ull
#define RING 0x1000ull
#define DATA 0x40000ull
#define TABLE 0x20000ull
#define PIECES 64

static struct mem mem;
static struct driver drv;
static struct virtqueue vq;
static struct iovec iov[PIECES];
static struct vq_chain chain;

static inline void open_queue(uint16_t size, bool event_idx, uint16_t start)
{
	driver_init(&drv, &mem, RING, size, event_idx, start);
	vq = (struct virtqueue){ .s = { .max_size = size, .size = size, .event_idx = event_idx,
					.indirect = true, .desc = drv.desc, .driver = drv.driver,
					.device = drv.device, .next_avail = start,
					.next_used = start } };
	ck_assert_int_eq(vq_start(&vq, &mem), 0);
}

static inline void close_queue(void)
{
	vq_stop(&vq);
	driver_fini(&drv);
}

/* Two regions that touch. */
static inline void set_up(void)
{
	ck_assert_int_eq(mem_add(&mem, 0, REGION), 0);
	ck_assert_int_eq(mem_add(&mem, REGION, REGION), 0);
}

static inline void tear_down(void)
{
	mem_free(&mem);
}

static inline int pop(void)
{
	return vq_pop(&vq, &chain, iov, PIECES);
}

/* A raw descriptor, in the ring's table or in an indirect one. */
static inline void put_desc(uint64_t table, unsigned i, uint64_t addr, uint32_t len, uint16_t flags,
		     uint16_t next)
{
	uint8_t raw[16];

	le64_put(raw, addr);
	le32_put(raw + 8, len);
	le16_put(raw + 12, flags);
	le16_put(raw + 14, next);
	ck_assert_int_eq(mem_write(&mem, table + 16 * i, raw, sizeof(raw)), 0);
}

static inline void offer(uint16_t head)
{
	uint8_t raw[2];

	le16_put(raw, head);
	mem_write(&mem, drv.driver + 4 + 2 * (drv.avail & (drv.size - 1)), raw, 2);
	drv.avail++;
	driver_publish(&drv);
}

static const struct vq_state good = { .max_size = 256, .size = 16, .desc = 0x1000,
				      .driver = 0x2000, .device = 0x3000 };

static const struct driver_buf bufs[] = {
	{ DATA, 51, false }, { DATA + 0x1000, 200, false }, { DATA + 0x2000, 108, true },
	{ DATA + 0x3000, 4096, true },
};

#define R 0
#define W VRING_DESC_F_WRITE
#define N VRING_DESC_F_NEXT
#define I VRING_DESC_F_INDIRECT

/* What head 0 and, from place 4 on, an indirect table at TABLE look like; each breaks one rule. */
static const struct bad_ring {
	const char *rule;
	uint16_t head;
	struct {
		uint64_t addr;
		uint32_t len;
		uint16_t flags, next;
	} desc[8];
} bad_rings[] = {
	{ "descriptor number out of range", 8, { { 0 } } },
	{ "descriptor number out of range", 0, { { DATA, 1, N, 8 } } },
	{ "descriptor number out of range", 0, { { TABLE, 32, I, 0 }, [4] = { DATA, 1, N, 2 } } },
	{ "chain too long", 0, { { DATA, 0, N, 0 } } },
	{ "chain too long", 0, { { DATA, 1, N, 1 }, { DATA, 1, N, 0 } } },
	{ "chain too long", 0,
	  { { TABLE, 32, I, 0 }, [4] = { DATA, 0, N, 1 }, { DATA, 0, N, 0 } } },
	{ "readable descriptor after a writable one", 0,
	  { { DATA, 1, W | N, 1 }, { DATA, 1, R, 0 } } },
	{ "readable descriptor after a writable one", 0,
	  { { DATA, 1, W | N, 1 }, { TABLE, 16, I, 0 }, [4] = { DATA, 1, R, 0 } } },
	{ "indirect descriptor that is not the last", 0, { { TABLE, 16, I | N, 1 } } },
	{ "indirect descriptor in an indirect table", 0,
	  { { TABLE, 16, I, 0 }, [4] = { TABLE, 16, I, 0 } } },
	{ "length of an indirect table", 0, { { TABLE, 0, I, 0 } } },
	{ "length of an indirect table", 0, { { TABLE, 24, I, 0 } } },
	{ "indirect table outside of memory", 0, { { UINT64_MAX - 7, 16, I, 0 } } },
	{ "indirect table outside of memory", 0, { { 2 * REGION - 8, 16, I, 0 } } },
	{ "indirect table outside of memory", 0, { { UINT64_MAX - 31, 16, I, 0 } } },
	/* In two regions. */
	{ "indirect table outside of memory", 0, { { REGION - 16, 32, I, 0 } } },
	{ "buffer outside of memory", 0, { { 2 * REGION, 1, R, 0 } } },
	{ "buffer outside of memory", 0, { { 2 * REGION - 1, 2, W, 0 } } },
	{ "buffer outside of memory", 0, { { UINT64_MAX, 2, W, 0 } } },
	{ "buffer outside of memory", 0, { { DATA, UINT32_MAX, R, 0 } } },
};

static inline void pass(unsigned n)
{
	struct driver_buf b = { DATA, 1, true };
	unsigned i;

	for (i = 0; i < n; i++)
		ck_assert_int_ge(driver_add(&drv, &b, 1, 0), 0);
	driver_publish(&drv);
	for (i = 0; i < n; i++) {
		ck_assert_int_eq(pop(), 1);
		vq_push(&vq, chain.head, 1);
	}
}

#endif
