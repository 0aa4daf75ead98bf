/* SPDX-License-Identifier: MIT */
#include "vmm/core/bus.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "vmm/core/log.h"
#include "vmm/core/util.h"

/* The number of the range that @addr is in, or nranges. */
static unsigned find_range(const struct bus *bus, uint64_t addr)
{
	unsigned lo = 0, hi = bus->nranges;

	while (lo < hi) {
		unsigned mid = (lo + hi) / 2;
		const struct bus_range *r = &bus->range[mid];

		if (addr < r->base)
			hi = mid;
		else if (addr - r->base >= r->len)
			lo = mid + 1;
		else
			return mid;
	}
	return bus->nranges;
}

static int insert_range(struct bus *bus, const struct bus_range *new)
{
	unsigned at;

	if (bus->nranges == BUS_RANGES)
		return -ENOSPC;
	for (at = 0; at < bus->nranges && bus->range[at].base < new->base; at++)
		;
	if ((at && bus->range[at - 1].base + bus->range[at - 1].len > new->base) ||
	    (at < bus->nranges && bus->range[at].base < new->base + new->len))
		return -EEXIST;
	memmove(&bus->range[at + 1], &bus->range[at], (bus->nranges - at) * sizeof(bus->range[0]));
	bus->range[at] = *new;
	bus->nranges++;
	return 0;
}

int bus_map(struct bus *bus, uint64_t base, uint64_t len, const struct bus_ops *ops, void *dev)
{
	struct bus_range range = { .base = base, .len = len, .ops = ops, .dev = dev };
	uint64_t end;
	int r;

	if (!len || !add_u64(base, len, &end))
		return -EINVAL;
	pthread_rwlock_wrlock(&bus->lock);
	r = insert_range(bus, &range);
	pthread_rwlock_unlock(&bus->lock);
	return r;
}

void bus_unmap(struct bus *bus, uint64_t base)
{
	unsigned at;

	pthread_rwlock_wrlock(&bus->lock);
	at = find_range(bus, base);
	BUG_ON(at == bus->nranges || bus->range[at].base != base);
	bus->nranges--;
	memmove(&bus->range[at], &bus->range[at + 1], (bus->nranges - at) * sizeof(bus->range[0]));
	pthread_rwlock_unlock(&bus->lock);
}

/* The first doorbell at @addr or above. */
static unsigned first_bell(const struct bus *bus, uint64_t addr)
{
	unsigned lo = 0, hi = bus->nbells;

	while (lo < hi) {
		unsigned mid = (lo + hi) / 2;

		if (bus->bell[mid].addr < addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static const struct ioeventfd *find_bell(const struct bus *bus, uint64_t addr, unsigned len,
					 uint32_t data)
{
	unsigned i;

	for (i = first_bell(bus, addr); i < bus->nbells && bus->bell[i].addr == addr; i++) {
		const struct ioeventfd *b = &bus->bell[i];

		if (!b->len || (b->len == len && (!b->datamatch || b->data == data)))
			return b;
	}
	return NULL;
}

/* Would one write ring both? The kernel refuses that as well. */
static bool collide(const struct ioeventfd *a, const struct ioeventfd *b)
{
	if (!a->len || !b->len)
		return true;
	return a->len == b->len && (!a->datamatch || !b->datamatch || a->data == b->data);
}

static int insert_bell(struct bus *bus, const struct ioeventfd *bell)
{
	unsigned at = first_bell(bus, bell->addr), i;
	int r;

	if (bus->nbells == BUS_IOEVENTFDS)
		return -ENOSPC;
	for (i = at; i < bus->nbells && bus->bell[i].addr == bell->addr; i++) {
		if (collide(&bus->bell[i], bell))
			return -EEXIST;
	}
	if (bus->host_bell) {
		r = bus->host_bell(bus->host, bell, true);
		if (r < 0)
			return r;
	}
	memmove(&bus->bell[at + 1], &bus->bell[at], (bus->nbells - at) * sizeof(bus->bell[0]));
	bus->bell[at] = *bell;
	bus->nbells++;
	return 0;
}

int bus_ioeventfd_add(struct bus *bus, const struct ioeventfd *bell)
{
	int r;

	pthread_rwlock_wrlock(&bus->lock);
	r = insert_bell(bus, bell);
	pthread_rwlock_unlock(&bus->lock);
	return r;
}

static void remove_bell(struct bus *bus, unsigned at)
{
	/* What the kernel took it gives back. */
	if (bus->host_bell)
		bus->host_bell(bus->host, &bus->bell[at], false);
	bus->nbells--;
	memmove(&bus->bell[at], &bus->bell[at + 1], (bus->nbells - at) * sizeof(bus->bell[0]));
}

void bus_ioeventfd_del(struct bus *bus, const struct ioeventfd *bell)
{
	unsigned i;

	pthread_rwlock_wrlock(&bus->lock);
	for (i = first_bell(bus, bell->addr); i < bus->nbells; i++) {
		const struct ioeventfd *b = &bus->bell[i];

		if (b->addr != bell->addr)
			break;
		if (b->fd == bell->fd && collide(b, bell)) {
			remove_bell(bus, i);
			break;
		}
	}
	pthread_rwlock_unlock(&bus->lock);
}

/* A copy of the range that the whole access is in. False: there is none. */
static bool look_up(struct bus *bus, uint64_t addr, unsigned len, struct bus_range *range)
{
	bool found = false;
	unsigned at;

	pthread_rwlock_rdlock(&bus->lock);
	at = find_range(bus, addr);
	if (at < bus->nranges) {
		*range = bus->range[at];
		found = range_ok(addr - range->base, len, range->len);
	}
	pthread_rwlock_unlock(&bus->lock);
	return found;
}

/* The eventfd that a write rings, or -1. */
static int look_up_bell(struct bus *bus, uint64_t addr, const void *data, unsigned len)
{
	const struct ioeventfd *bell;
	uint8_t value[4] = { 0 };
	int fd;

	memcpy(value, data, min_u64(len, sizeof(value)));
	pthread_rwlock_rdlock(&bus->lock);
	bell = find_bell(bus, addr, len, le32_get(value));
	fd = bell ? bell->fd : -1;
	pthread_rwlock_unlock(&bus->lock);
	return fd;
}

bool bus_read(struct bus *bus, uint64_t addr, void *data, unsigned len)
{
	struct bus_range r;

	memset(data, 0xff, len);
	if (!look_up(bus, addr, len, &r))
		return false;
	r.ops->read(r.dev, addr - r.base, data, len);
	return true;
}

bool bus_write(struct bus *bus, uint64_t addr, const void *data, unsigned len)
{
	int bell = look_up_bell(bus, addr, data, len);
	struct bus_range r;

	/* An eventfd's counter that is full already rings. */
	if (bell >= 0)
		return write(bell, &(uint64_t){ 1 }, sizeof(uint64_t)) > 0 || errno == EAGAIN;
	if (!look_up(bus, addr, len, &r))
		return false;
	r.ops->write(r.dev, addr - r.base, data, len);
	return true;
}
