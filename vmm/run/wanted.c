/* SPDX-License-Identifier: MIT */
#include "vmm/run/wanted.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "devices/devices.h"
#include "vmm/core/util.h"

#define IDS 64 /* of virtio devices */

struct range {
	uint64_t target, first, last;
};

struct wanted {
	struct device_facts facts;
	FILE *spec;
	struct range *range;
	unsigned nranges;
	unsigned virtio[IDS]; /* devices with this ID */
	bool failed;
};

static void hear_port(struct device_facts *to, const char *key, const char *value)
{
	struct wanted *w = container_of(to, struct wanted, facts);

	fprintf(w->spec, "%s=%s%c", key, value, 0);
}

static void hear_virtio(struct device_facts *to, const char *key, uint64_t id)
{
	(void)key;
	if (id < IDS)
		container_of(to, struct wanted, facts)->virtio[id]++;
}

/* LUNs come up or down, and on several controllers one after the other. */
static bool extend(struct range *r, uint64_t target, uint64_t lun)
{
	if (r->target != target || (lun != r->last + 1 && lun + 1 != r->first))
		return false;
	if (lun > r->last)
		r->last = lun;
	else
		r->first = lun;
	return true;
}

static void hear_lun(struct device_facts *to, const char *key, const uint64_t *at, unsigned count)
{
	struct wanted *w = container_of(to, struct wanted, facts);
	struct range *more;
	unsigned i;

	(void)key, (void)count;
	for (i = 0; i < w->nranges; i++) {
		if (extend(&w->range[i], at[0], at[1]))
			return;
	}
	more = realloc(w->range, (w->nranges + 1) * sizeof(*more));
	if (!more) {
		w->failed = true;
		return;
	}
	w->range = more;
	w->range[w->nranges++] = (struct range){ at[0], at[1], at[1] };
}

static void put_numbers(const struct wanted *w)
{
	unsigned i;

	for (i = 0; i < w->nranges; i++)
		fprintf(w->spec, "lun=%u %u %u%c", (unsigned)w->range[i].target,
			(unsigned)w->range[i].first, (unsigned)w->range[i].last, 0);
	for (i = 0; i < IDS; i++) {
		if (w->virtio[i])
			fprintf(w->spec, "virtio=%u %u%c", i, w->virtio[i], 0);
	}
}

int wanted_put(const struct device_list *list, FILE *spec)
{
	struct wanted w = { .facts = { hear_port, hear_virtio, hear_lun }, .spec = spec };
	const struct device *dev;

	for (dev = list->last; dev; dev = dev->next) {
		if (dev->class->virtio_id)
			hear_virtio(&w.facts, "virtio", dev->class->virtio_id);
		else if (dev->class->expect)
			dev->class->expect(dev, &w.facts);
	}
	put_numbers(&w);
	free(w.range);
	return w.failed ? -ENOMEM : 0;
}
