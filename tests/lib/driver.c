/* SPDX-License-Identifier: MIT */
#include "tests/lib/driver.h"

#include <endian.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/core/log.h"
#include "vmm/core/mem.h"
#include "vmm/core/util.h"

static uint16_t load16(const uint8_t *p)
{
	return le16toh(__atomic_load_n((const uint16_t *)(const void *)p, __ATOMIC_SEQ_CST));
}

static void store16(uint8_t *p, uint16_t v)
{
	__atomic_store_n((uint16_t *)(void *)p, htole16(v), __ATOMIC_SEQ_CST);
}

static uint64_t avail_len(uint16_t size)
{
	return align_up(6 + 2ull * size, 16);
}

uint64_t driver_bytes(uint16_t size)
{
	return 16ull * size + avail_len(size) + align_up(6 + 8ull * size, 16);
}

/* The free descriptors form a list through their next fields. */
static uint8_t *desc_at(const struct driver *drv, unsigned i)
{
	return drv->d + 16 * (size_t)i;
}

static uint16_t next_of(const struct driver *drv, unsigned i)
{
	return le16_get(desc_at(drv, i) + 14);
}

void driver_init(struct driver *drv, struct mem *mem, uint64_t gpa, uint16_t size, bool event_idx,
		 uint16_t start)
{
	unsigned i;

	*drv = (struct driver){ .size = size, .event_idx = event_idx, .mem = mem, .desc = gpa,
				.driver = gpa + 16ull * size, .avail = start, .published = start,
				.used = start, .nfree = size };
	drv->device = drv->driver + avail_len(size);
	drv->d = mem_ptr(mem, gpa, driver_bytes(size), 16);
	BUG_ON(!drv->d);
	drv->a = drv->d + (drv->driver - gpa);
	drv->u = drv->d + (drv->device - gpa);
	drv->chain_len = calloc(size, sizeof(*drv->chain_len));
	BUG_ON(!drv->chain_len);
	memset(drv->d, 0, driver_bytes(size));
	for (i = 0; i < size; i++)
		le16_put(desc_at(drv, i) + 14, i + 1);
	store16(drv->a + 2, start);
	store16(drv->u + 2, start);
	driver_rearm(drv);
}

void driver_fini(struct driver *drv)
{
	free(drv->chain_len);
	drv->chain_len = NULL;
}

static void desc_put(uint8_t *p, uint64_t addr, uint32_t len, uint16_t flags, uint16_t next)
{
	le64_put(p, addr);
	le32_put(p + 8, len);
	le16_put(p + 12, flags);
	le16_put(p + 14, next);
}

/* The last one keeps its next field, through which the chain goes back to the free list. */
static void add_direct(struct driver *drv, const struct driver_buf *buf, unsigned n)
{
	unsigned i, at = drv->first_free;

	for (i = 0; i < n; i++) {
		uint16_t flags = (buf[i].write ? VRING_DESC_F_WRITE : 0) |
				 (i + 1 < n ? VRING_DESC_F_NEXT : 0);
		uint16_t next = next_of(drv, at);

		desc_put(desc_at(drv, at), buf[i].gpa, buf[i].len, flags, next);
		at = next;
	}
	drv->first_free = at;
}

static void add_indirect(struct driver *drv, const struct driver_buf *buf, unsigned n,
			 uint64_t table)
{
	uint16_t at = drv->first_free;
	unsigned i;

	for (i = 0; i < n; i++) {
		uint16_t flags = (buf[i].write ? VRING_DESC_F_WRITE : 0) |
				 (i + 1 < n ? VRING_DESC_F_NEXT : 0);
		uint8_t raw[16];

		desc_put(raw, buf[i].gpa, buf[i].len, flags, i + 1 < n ? i + 1 : 0);
		BUG_ON(mem_write(drv->mem, table + 16ull * i, raw, sizeof(raw)) < 0);
	}
	drv->first_free = next_of(drv, at);
	desc_put(desc_at(drv, at), table, 16 * n, VRING_DESC_F_INDIRECT, drv->first_free);
}

int driver_add(struct driver *drv, const struct driver_buf *buf, unsigned n, uint64_t table)
{
	unsigned takes = table ? 1 : n;
	uint16_t head = drv->first_free;

	if (takes > drv->nfree)
		return -1;
	if (table)
		add_indirect(drv, buf, n, table);
	else
		add_direct(drv, buf, n);
	drv->nfree -= takes;
	drv->chain_len[head] = takes;
	store16(drv->a + 4 + 2 * (size_t)(drv->avail & (drv->size - 1)), head);
	drv->avail++;
	return head;
}

bool driver_publish(struct driver *drv)
{
	uint16_t from = drv->published;

	store16(drv->a + 2, drv->avail);
	drv->published = drv->avail;
	if (drv->event_idx)
		return vring_need_event(load16(drv->u + 4 + 8 * (size_t)drv->size), drv->avail,
					from);
	return !(load16(drv->u) & VRING_USED_F_NO_NOTIFY);
}

bool driver_used(struct driver *drv, uint16_t *head, uint32_t *len)
{
	const uint8_t *entry = drv->u + 4 + 8 * (size_t)(drv->used & (drv->size - 1));
	unsigned i, last;

	if (load16(drv->u + 2) == drv->used)
		return false;
	*head = le32_get(entry);
	*len = le32_get(entry + 4);
	/* A head that is not in flight: the device gave it back twice, or made it up. */
	BUG_ON(*head >= drv->size || !drv->chain_len[*head]);
	last = *head;
	for (i = 1; i < drv->chain_len[*head]; i++)
		last = next_of(drv, last);
	le16_put(desc_at(drv, last) + 14, drv->first_free);
	drv->first_free = *head;
	drv->nfree += drv->chain_len[*head];
	drv->chain_len[*head] = 0;
	drv->used++;
	return true;
}

bool driver_rearm_after(struct driver *drv, unsigned n)
{
	store16(drv->a, 0);
	store16(drv->a + 4 + 2 * (size_t)drv->size, drv->used + n - 1);
	return load16(drv->u + 2) != drv->used;
}

bool driver_rearm(struct driver *drv)
{
	return driver_rearm_after(drv, 1);
}

void driver_disarm(struct driver *drv)
{
	store16(drv->a, VRING_AVAIL_F_NO_INTERRUPT);
	store16(drv->a + 4 + 2 * (size_t)drv->size, drv->used + 0x8000);
}

unsigned driver_cut(const struct driver_buf *buf, unsigned n, uint64_t at, struct driver_buf *out)
{
	unsigned i, m = 0;

	for (i = 0; i < n; i++) {
		struct driver_buf rest = buf[i];

		if (at && at < rest.len) {
			out[m] = rest;
			out[m++].len = at;
			rest.gpa += at;
			rest.len -= at;
			at = 0;
		}
		at -= min_u64(at, rest.len);
		out[m++] = rest;
	}
	return m;
}

unsigned driver_shatter(const struct driver_buf *buf, unsigned n, uint32_t *seed,
			struct driver_buf *out, unsigned max)
{
	unsigned i, m = 0;

	for (i = 0; i < n; i++) {
		struct driver_buf rest = buf[i];

		/* Leave room for what is still to come in one piece each. */
		while (rest.len && max - m > n - i && driver_random(seed) % 4) {
			uint32_t most = driver_random(seed) % 2 ? 8 : rest.len;

			out[m] = rest;
			out[m].len = min_u64(driver_random(seed) % most, rest.len);
			rest.gpa += out[m].len;
			rest.len -= out[m].len;
			m++;
		}
		out[m++] = rest;
	}
	return m;
}
