/* SPDX-License-Identifier: MIT */
/*
 * blk_host_fixture.h - a virtio device that is blk_host.c's queues and no more: four of them on two
 * threads, and a store in memory.
 */
#ifndef TESTS_BLK_HOST_FIXTURE_H
#define TESTS_BLK_HOST_FIXTURE_H

#include "tests/unit/unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "devices/blk_host.h"
#include "tests/lib/blk_driver.h"
#include "tests/lib/ramstore.h"
#include "virtio/virtio.h"
#include "vmm/core/util.h"

#define SECTORS 4096u
#define QUEUES 4
#define OK VIRTIO_BLK_S_OK
#define IOERR VIRTIO_BLK_S_IOERR
#define UNSUPP VIRTIO_BLK_S_UNSUPP

static struct testbed tb;
static struct vdriver v;
static struct ramstore *ram;
static struct virtio_device vdev;
static struct blk_host host;
static uint8_t config[8];

static inline void fixture_kick(struct virtio_device *d, unsigned q)
{
	(void)d;
	blk_host_kick(&host, q);
}

static inline int fixture_start(struct virtio_device *d, unsigned q, struct loop *loop)
{
	(void)d;
	return blk_host_start(&host, q, loop);
}

static inline void fixture_stop(struct virtio_device *d, unsigned q)
{
	(void)d;
	blk_host_stop(&host, q);
}

static const struct virtio_class blk_class = {
	.name = "blk",
	.id = VIRTIO_ID_BLOCK,
	.features = VIRTIO_BIT(VIRTIO_BLK_F_FLUSH) | VIRTIO_BIT(VIRTIO_BLK_F_CONFIG_WCE) |
		    VIRTIO_BIT(VIRTIO_BLK_F_DISCARD) | VIRTIO_BIT(VIRTIO_BLK_F_WRITE_ZEROES),
	.kick = fixture_kick,
	.queue_start = fixture_start,
	.queue_stop = fixture_stop,
};

static inline void set_up(enum virtio_transport transport)
{
	static struct loop *loop[2];
	struct virtio_spec spec = {
		.name = "blk0", .class = &blk_class, .config = config,
		.config_len = sizeof(config), .nvq = QUEUES, .queue_size = 64,
		.transport = transport, .loop = loop, .nloops = 2,
	};

	testbed_init(&tb);
	ram = ramstore_open(SECTORS * 512);
	host = (struct blk_host){ .block = &ram->block, .block_size = 512, .discard = true,
				  .serial = "a serial number" };
	loop[0] = tb.p.iothread(&tb.p, "one");
	loop[1] = tb.p.iothread(&tb.p, "two");
	ck_assert_int_eq(blk_host_open(&host, &vdev, QUEUES, loop, 2), 0);
	ck_assert_int_eq(virtio_make(&vdev, &tb.p, &spec), 0);
	testbed_start(&tb);
}

static inline void set_up_pci(void)
{
	set_up(VIRTIO_ON_PCI);
}

static inline void set_up_mmio(void)
{
	set_up(VIRTIO_ON_MMIO);
}

static inline void tear_down(void)
{
	vdriver_fini(&v);
	virtio_unmake(&vdev);
	blk_host_close(&host);
	ramstore_close(ram);
	testbed_fini(&tb);
}

static inline void start_with(uint64_t features)
{
	vdriver_fini(&v);
	ck_assert(vdriver_probe(&v, &tb, 0));
	ck_assert(vdriver_start(&v, features, QUEUES, 64));
}

static inline void start(void)
{
	start_with(~0ull);
}

static inline void check(struct blk_answer a, uint8_t status, uint32_t used)
{
	ck_assert_uint_eq(a.status, status);
	ck_assert_int_eq(a.used, used);
}

/* Write, flush, read, name. */
static inline void use_disk(unsigned q)
{
	static uint8_t out[5 * 512], in[5 * 512];
	char id[VIRTIO_BLK_ID_BYTES];
	unsigned i;

	for (i = 0; i < sizeof(out); i++)
		out[i] = (uint8_t)(i * 13 + i / 512 + q);
	check(blk_driver_rw(&v, q, true, 7 * q, out, sizeof(out)), OK, 1);
	check(blk_driver_run(&v, q, VIRTIO_BLK_T_FLUSH, 0, NULL, 0, NULL, 0),
	      v.accepted & VIRTIO_BIT(VIRTIO_BLK_F_FLUSH) ? OK : UNSUPP, 1);
	ck_assert_mem_eq(ram->bytes + 7 * q * 512, out, sizeof(out));
	check(blk_driver_rw(&v, q, false, 7 * q, in, sizeof(in)), OK, sizeof(in) + 1);
	ck_assert_mem_eq(in, out, sizeof(in));
	check(blk_driver_run(&v, q, VIRTIO_BLK_T_GET_ID, 0, NULL, 0, id, sizeof(id)), OK, 21);
	ck_assert_mem_eq(id, "a serial number\0\0\0\0\0", sizeof(id));
}

/* Requests that are left in flight. */
struct flight {
	unsigned q;
	uint64_t status;
	uint16_t head;
};

/* Adds a read or a write of a sector, without a kick. */
static inline struct flight prepare(unsigned q, bool write, uint64_t sector)
{
	uint64_t gpa = testbed_alloc(&tb, 1024, 16);
	struct flight f = { .q = q, .status = gpa + 16 };
	struct driver_buf buf[] = {
		{ gpa, BLK_HEADER, false }, { gpa + 512, 512, !write }, { f.status, 1, true },
	};
	uint8_t header[BLK_HEADER];
	int head;

	blk_driver_header(header, write ? VIRTIO_BLK_T_OUT : VIRTIO_BLK_T_IN, sector);
	mem_write(&tb.mem, gpa, header, sizeof(header));
	mem_write(&tb.mem, f.status, &(uint8_t){ BLK_DRIVER_UNTOUCHED }, 1);
	head = driver_add(&v.queue[q].ring, buf, 3, testbed_alloc(&tb, 48, 16));
	ck_assert_int_ge(head, 0);
	f.head = (uint16_t)head;
	return f;
}

static inline struct flight launch(unsigned q, bool write, uint64_t sector)
{
	struct flight f = prepare(q, write, sector);

	vdriver_kick(&v, q);
	return f;
}

/* Its status, or BLK_DRIVER_UNTOUCHED: it has not come back. */
static inline uint8_t landed(const struct flight *f)
{
	uint8_t status;
	uint16_t head;
	uint32_t len;

	if (!driver_used(&v.queue[f->q].ring, &head, &len))
		return BLK_DRIVER_UNTOUCHED;
	ck_assert_uint_eq(head, f->head);
	mem_read(&tb.mem, f->status, &status, 1);
	return status;
}

#endif
