/* SPDX-License-Identifier: MIT */
#include "tests/hostile/blk.h"

volatile struct blk_request blk_request[BLK_REQUESTS];

bool blk_find(void)
{
	return find_virtio(VIRTIO_ID_BLOCK, 1);
}

void blk_desc(unsigned at, uint64_t addr, uint32_t len, uint16_t flags)
{
	volatile struct desc *d = &queue[0].desc[at];

	d->addr = addr;
	d->len = len;
	d->flags = flags;
	d->next = at + 1;
}

static bool reads(uint32_t type)
{
	return type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_GET_ID;
}

void blk_prepare(unsigned n, uint32_t type, uint64_t sector, const void *addr, uint32_t len)
{
	volatile struct blk_request *r = &blk_request[n];
	unsigned at = 4 * n;

	r->head.type = type;
	r->head.ioprio = 0;
	r->head.sector = sector;
	r->status = BLK_UNTOUCHED;
	blk_desc(at++, (uintptr_t)&r->head, sizeof(r->head), NEXT);
	if (len)
		blk_desc(at++, (uintptr_t)addr, len, NEXT | (reads(type) ? WRITE : 0));
	blk_desc(at, (uintptr_t)&r->status, 1, WRITE);
}

uint8_t blk_run(uint32_t type, uint64_t sector, const void *addr, uint32_t len)
{
	struct used_element e;

	blk_prepare(0, type, sector, addr, len);
	offer(0, 0);
	kick(0);
	return wait_used(0, &e) && e.id == 0 ? blk_request[0].status : BLK_UNTOUCHED;
}
