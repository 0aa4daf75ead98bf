#include "vmm/core/bus.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "vmm/core/util.h"

int bus_map(struct bus *bus, uint64_t base, uint64_t len, const struct bus_ops *ops, void *dev)
{
	uint64_t end;
	unsigned at;

	if (!len || !add_u64(base, len, &end))
		return -EINVAL;
	if (bus->nranges == BUS_RANGES)
		return -ENOSPC;
	for (at = 0; at < bus->nranges && bus->range[at].base < base; at++)
		;
	if ((at && bus->range[at - 1].base + bus->range[at - 1].len > base) ||
	    (at < bus->nranges && bus->range[at].base < end))
		return -EEXIST;
	memmove(&bus->range[at + 1], &bus->range[at], (bus->nranges - at) * sizeof(bus->range[0]));
	bus->range[at] = (struct bus_range){ .base = base, .len = len, .ops = ops, .dev = dev };
	bus->nranges++;
	return 0;
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

		if (b->len == len && (!b->datamatch || b->data == data))
			return b;
	}
	return NULL;
}

/* Would one write ring both @bell and another? The kernel refuses that as well. */
static bool collides(const struct bus *bus, const struct ioeventfd *bell)
{
	unsigned i;

	for (i = first_bell(bus, bell->addr); i < bus->nbells; i++) {
		const struct ioeventfd *b = &bus->bell[i];

		if (b->addr != bell->addr)
			break;
		if (b->len == bell->len &&
		    (!b->datamatch || !bell->datamatch || b->data == bell->data))
			return true;
	}
	return false;
}

int bus_ioeventfd_add(struct bus *bus, const struct ioeventfd *bell)
{
	unsigned at = first_bell(bus, bell->addr);
	int r;

	if (bus->nbells == BUS_IOEVENTFDS)
		return -ENOSPC;
	if (collides(bus, bell))
		return -EEXIST;
	if (bus->host_bell) {
		r = bus->host_bell(bus->host, bell);
		if (r < 0)
			return r;
	}
	memmove(&bus->bell[at + 1], &bus->bell[at], (bus->nbells - at) * sizeof(bus->bell[0]));
	bus->bell[at] = *bell;
	bus->nbells++;
	return 0;
}

static const struct bus_range *find(const struct bus *bus, uint64_t addr, unsigned len)
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
			return range_ok(addr - r->base, len, r->len) ? r : NULL;
	}
	return NULL;
}

bool bus_read(const struct bus *bus, uint64_t addr, void *data, unsigned len)
{
	const struct bus_range *r = find(bus, addr, len);

	memset(data, 0xff, len);
	if (r)
		r->ops->read(r->dev, addr - r->base, data, len);
	return r;
}

bool bus_write(const struct bus *bus, uint64_t addr, const void *data, unsigned len)
{
	const struct ioeventfd *bell;
	const struct bus_range *r;
	uint8_t value[4] = { 0 };

	if (len <= sizeof(value)) {
		memcpy(value, data, len);
		bell = find_bell(bus, addr, len, le32_get(value));
		/* An eventfd's counter that is full already rings. */
		if (bell)
			return write(bell->fd, &(uint64_t){ 1 }, sizeof(uint64_t)) > 0 ||
			       errno == EAGAIN;
	}
	r = find(bus, addr, len);
	if (r)
		r->ops->write(r->dev, addr - r->base, data, len);
	return r;
}
