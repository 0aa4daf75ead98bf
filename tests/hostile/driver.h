/* SPDX-License-Identifier: MIT */
/*
 * driver.h - a virtio-scsi driver by polling, for one device, that does what it is told to, right
 * or wrong. Addresses are physical ones.
 */
#ifndef HOSTILE_DRIVER_H
#define HOSTILE_DRIVER_H

#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <linux/virtio_scsi.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RAM_END 0x4000000ull /* the machine has 64 MiB */
#define WINDOW 0xd0000000ull /* of virtio devices, a page each */
#define QUEUE_MAX 256
#define QUEUES 3     /* of the SCSI controller */
#define QUEUES_MAX 6 /* of any */
#define DATA_SIZE (1u << 20)

enum { CONTROL, EVENT, REQUEST };
enum { NEXT = VRING_DESC_F_NEXT, WRITE = VRING_DESC_F_WRITE, INDIRECT = VRING_DESC_F_INDIRECT };

#define BIT(n) (1ull << (n))
#define BASIC BIT(VIRTIO_F_VERSION_1)
#define EVERYTHING (BASIC | BIT(VIRTIO_RING_F_INDIRECT_DESC) | BIT(VIRTIO_RING_F_EVENT_IDX))

struct desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags, next;
};

struct used_element {
	uint32_t id, len;
};

struct queue {
	_Alignas(4096) volatile struct desc desc[QUEUE_MAX];
	_Alignas(4096) struct {
		volatile uint16_t flags, idx, ring[QUEUE_MAX], used_event;
	} avail;
	_Alignas(4096) struct {
		volatile uint16_t flags, idx;
		volatile struct used_element ring[QUEUE_MAX];
		volatile uint16_t avail_event;
	} used;
	uint16_t seen; /* of used.idx */
};

struct request {
	struct virtio_scsi_cmd_req head;
	struct virtio_scsi_cmd_resp tail;
};

extern volatile uint8_t *device, *config; /* registers, and what differs from type to type */
extern struct queue queue[QUEUES_MAX];
extern unsigned queues, entries; /* of the device that is driven, of each of its queues */
extern struct request request[QUEUE_MAX];
extern uint8_t data[DATA_SIZE];

/* Registers, by the names that they have on MMIO. */
uint32_t reg(unsigned off);
void set_reg(unsigned off, uint32_t value);

/* Ports. */
void out8(uint16_t port, uint8_t value);
_Noreturn void power_off(void);
/* Nothing here takes interrupts, so no controller shall deliver any. */
void mask_interrupts(void);

void print(const char *text);
void print_number(uint64_t n);
uint32_t random32(void);
uint64_t cycles(void);
void zero(void *to, size_t len);
/* The compiler may put in calls of these. */
void *memcpy(void *to, const void *from, size_t len);
void *memset(void *to, int value, size_t len);

/* The device of this kind, on PCI or in the window, is the one that is driven from now on. */
bool find_virtio(unsigned id, unsigned nqueues);
/* The SCSI controller. */
bool find_device(void);
/* Status 0, and waits until it is read back. */
void reset(void);
/* The steps up to FEATURES_OK. False: refused. */
bool negotiate(uint64_t features);
void set_queue(unsigned q, unsigned size, uint64_t desc, uint64_t driver, uint64_t used);
/* All of it, with all queues as they should be. */
void start(uint64_t features);
bool is_broken(void);

/* Makes the chain that begins at descriptor @head available; kick() tells. */
void offer(unsigned q, uint16_t head);
void kick(unsigned q);
/* Waits for a used element of @q, some seconds at most. False: none came, or the device broke. */
bool wait_used(unsigned q, struct used_element *element);

/*
 * Fills in request @n: for @lun of target 0. Its descriptors are 4n to 4n+2, header, then data (at
 * @addr, if @len), then the answer, or answer, then data.
 */
void prepare(unsigned n, unsigned lun, const uint8_t *cdb, unsigned cdb_len, bool in, uint64_t addr,
	     uint32_t len);
/* Runs a request in slot 0 to its end. False: there is no answer. */
bool run(unsigned lun, const uint8_t *cdb, unsigned cdb_len, bool in, uint64_t addr, uint32_t len);
/* READ(10) or WRITE(10) on LUN 0; the answer is in request[0]. */
bool transfer(bool in, uint32_t lba, unsigned blocks, void *buffer);

#endif
