/* SPDX-License-Identifier: MIT */
/*
 * device_reset.c - all devices as no guest has touched them, while the machine goes on.
 *
 * A virtio device is reset as its driver would do it, which stops queues and waits for what is in
 * flight; that leaves its transport's registers. Those, and other devices' registers, are saved
 * before the guest begins, and restored: each device says already what a guest can change in it.
 * What holds a medium is left out: a disk does not change because its user goes away, and what a
 * LUN remembers of an initiator goes with the controller's reset.
 */
#include <string.h>

#include "devices/devices.h"
#include "virtio/virtio.h"
#include "vmm/core/log.h"
#include "vmm/core/state.h"

static void visit(void *object, struct state *s)
{
	struct device *dev = object;

	if (dev->class->virtio)
		virtio_transport_state(dev->class->virtio(dev), s);
	if (dev->class->state)
		dev->class->state(dev, s);
}

static bool has_registers(const struct device *dev)
{
	return dev->class->virtio || (dev->class->state && !dev->class->medium);
}

int device_keep_fresh(const struct device_list *list)
{
	struct device *dev;
	int r = 0;

	for (dev = list->last; r == 0 && dev; dev = dev->next) {
		if (!has_registers(dev))
			continue;
		r = state_save(visit, dev, &dev->fresh, &dev->fresh_len);
		if (r < 0)
			log_err("%s: what it is at the start cannot be kept: %s", dev->id,
				strerror(-r));
	}
	return r;
}

int device_reset_all(const struct device_list *list)
{
	struct device *dev;
	int r = 0;

	for (dev = list->last; r == 0 && dev; dev = dev->next) {
		if (!dev->fresh)
			continue;
		if (dev->class->virtio)
			virtio_device_reset(dev->class->virtio(dev));
		r = state_restore(visit, dev, dev->fresh, dev->fresh_len);
		if (r < 0)
			log_err("%s: cannot be made what it was at the start: %s", dev->id,
				strerror(-r));
	}
	return r;
}
