/* SPDX-License-Identifier: MIT */
/*
 * facts.h - what devices tell of themselves (struct device_facts), as JSON.
 */
#ifndef RUN_FACTS_H
#define RUN_FACTS_H

struct device;
struct device_facts;
struct json_t;

/* A function of a device that tells facts. -errno: it cannot. */
typedef int facts_fn(struct device *dev, struct device_facts *to);

/* Adds what @fn tells to @object. Returns what it returns. */
int facts_add(struct json_t *object, struct device *dev, facts_fn *fn);

/* Functions: the device's name; where it is and what it is made of; what it has done. */
int facts_id(struct device *dev, struct device_facts *to);
int facts_live(struct device *dev, struct device_facts *to);
int facts_counters(struct device *dev, struct device_facts *to);

#endif
