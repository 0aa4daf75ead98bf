/* SPDX-License-Identifier: MIT */
/*
 * blk.h - requests to a virtio-blk device with one queue, by the driver of driver.h.
 */
#ifndef HOSTILE_BLK_H
#define HOSTILE_BLK_H

#include <linux/virtio_blk.h>

#include "tests/hostile/driver.h"

#define BLK_REQUESTS (QUEUE_MAX / 4)
#define BLK_UNTOUCHED 0xee /* a status that the device has not written */

struct blk_request {
	struct virtio_blk_outhdr head;
	uint8_t status;
};

extern volatile struct blk_request blk_request[BLK_REQUESTS];

/* The device is driven from now on. False: there is none. */
bool blk_find(void);
/* Descriptor @at of its queue; with NEXT the chain goes on at the one after it. */
void blk_desc(unsigned at, uint64_t addr, uint32_t len, uint16_t flags);
/*
 * Fills in request @n, whose descriptors are 4n to 4n+2: header, data (at @addr, if @len), status.
 * It reads or writes data as its @type has it.
 */
void blk_prepare(unsigned n, uint32_t type, uint64_t sector, const void *addr, uint32_t len);
/* Runs a request in slot 0 to its end: its status, or BLK_UNTOUCHED. */
uint8_t blk_run(uint32_t type, uint64_t sector, const void *addr, uint32_t len);

#endif
