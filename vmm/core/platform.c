#include "vmm/core/platform.h"

#include <errno.h>

#include "vmm/core/util.h"

int platform_slot_alloc(struct platform *p, uint32_t size, struct mmio_slot *slot)
{
	uint64_t base = align_up(p->mmio_next, size);

	if (p->nslots == PLATFORM_SLOTS || base + size > p->mmio_end)
		return -ENOSPC;
	*slot = (struct mmio_slot){ .base = base, .size = size,
				    .gsi = PLATFORM_FIRST_GSI + p->nslots };
	p->mmio_next = base + size;
	p->slot[p->nslots++] = *slot;
	return 0;
}
