/* SPDX-License-Identifier: MIT */
#include "vmm/run/facts.h"

#include <errno.h>
#include <jansson.h>

#include "devices/devices.h"
#include "vmm/core/text.h"
#include "vmm/core/util.h"

struct members {
	struct device_facts facts;
	json_t *object;
};

static void put(struct device_facts *to, const char *key, json_t *value)
{
	json_object_set_new(container_of(to, struct members, facts)->object, key, value);
}

static void put_text(struct device_facts *to, const char *key, const char *value)
{
	put(to, key, text_json(value));
}

static void put_number(struct device_facts *to, const char *key, uint64_t value)
{
	put(to, key, json_integer((json_int_t)value));
}

static void put_numbers(struct device_facts *to, const char *key, const uint64_t *value,
			unsigned count)
{
	json_t *list = json_array();

	while (count--)
		json_array_append_new(list, json_integer((json_int_t)*value++));
	put(to, key, list);
}

int facts_add(json_t *object, struct device *dev, facts_fn *fn)
{
	struct members m = { { put_text, put_number, put_numbers }, object };

	return fn(dev, &m.facts);
}

int facts_id(struct device *dev, struct device_facts *to)
{
	to->text(to, "id", dev->id);
	return 0;
}

int facts_live(struct device *dev, struct device_facts *to)
{
	if (!dev->class->facts)
		return -EOPNOTSUPP;
	dev->class->facts(dev, to);
	return 0;
}

int facts_counters(struct device *dev, struct device_facts *to)
{
	return dev->class->counters ? dev->class->counters(dev, to) : -EOPNOTSUPP;
}
