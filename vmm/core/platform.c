#include "vmm/core/platform.h"

#include <errno.h>
#include <time.h>

#include "vmm/core/util.h"

bool platform_hurries(struct platform *p)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	if (p->deadline && now.tv_sec * 1000ull + now.tv_nsec / 1000000 >= p->deadline)
		atomic_store(&p->hurry, true);
	return atomic_load(&p->hurry);
}

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

int platform_bar_alloc(struct platform *p, uint32_t size, uint32_t *base)
{
	uint64_t at = align_up(p->pci_next, size);

	if (at + size > p->pci_end)
		return -ENOSPC;
	*base = at;
	p->pci_next = at + size;
	return 0;
}

int platform_msi_alloc(struct platform *p, unsigned count, uint32_t *first)
{
	if (count > PLATFORM_MSI_GSIS - p->nmsis)
		return -ENOSPC;
	*first = PLATFORM_FIRST_MSI_GSI + p->nmsis;
	p->nmsis += count;
	return 0;
}
