/* SPDX-License-Identifier: MIT */
#include "vmm/core/clock.h"
#include "vmm/core/platform.h"

#include <errno.h>
#include <string.h>

#include "vmm/core/bus.h"
#include "vmm/core/log.h"
#include "vmm/core/util.h"

bool platform_hurries(struct platform *p)
{
	if (p->deadline && now_ms() >= p->deadline)
		atomic_store(&p->hurry, true);
	return atomic_load(&p->hurry);
}

size_t platform_allows(struct platform *p, const atomic_size_t *late, size_t len)
{
	size_t used = atomic_load(late);

	if (!platform_hurries(p))
		return len;
	return used < PLATFORM_LATE_MAX ? min_u64(len, PLATFORM_LATE_MAX - used) : 0;
}

void platform_wrote(struct platform *p, atomic_size_t *late, size_t len)
{
	if (atomic_load(&p->hurry))
		atomic_fetch_add(late, len);
}

void platform_output_failed(struct platform *p, const char *what, int err)
{
	if (p->output_failed)
		p->output_failed(p, what, err);
}

int platform_map(struct platform *p, const char *id, enum platform_fixed what, uint64_t len,
		 const struct bus_ops *ops, void *dev)
{
	const struct platform_place *place = &p->place[what];
	int r = place->bus ? bus_map(place->bus, place->base, len, ops, dev) : -ENODEV;

	if (r == -ENODEV)
		log_err("%s: machines of this architecture have none", id);
	else if (r == -EEXIST)
		log_err("%s: there is one already", id);
	else if (r < 0)
		log_err("%s: cannot attach to the bus: %s", id, strerror(-r));
	return r;
}

void platform_unmap(struct platform *p, enum platform_fixed what)
{
	const struct platform_place *place = &p->place[what];

	if (place->bus)
		bus_unmap(place->bus, place->base);
}

int platform_slot_alloc(struct platform *p, uint32_t size, struct mmio_slot *slot)
{
	uint64_t base = align_up(p->mmio_next, size);

	if (p->nslots == PLATFORM_SLOTS || p->gsi_next == p->gsi_end || base + size > p->mmio_end)
		return -ENOSPC;
	*slot = (struct mmio_slot){ .base = base, .size = size, .gsi = p->gsi_next++ };
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
	if (count > p->msi_end - p->msi_next)
		return -ENOSPC;
	*first = p->msi_next;
	p->msi_next += count;
	return 0;
}
