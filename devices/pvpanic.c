/*
 * pvpanic.c - one I/O port by which a guest kernel says that it has panicked.
 *
 * Reading it gives the events that we understand, writing it reports one.
 * Linux finds it through ACPI as "QEMU0001".
 */
#include <errno.h>
#include <misc/pvpanic.h>
#include <stdlib.h>

#include "devices/devices.h"
#include "vmm/core/bus.h"
#include "vmm/core/log.h"
#include "vmm/core/platform.h"
#include "vmm/core/util.h"

#define PVPANIC_PORT 0x505

struct pvpanic {
	struct device dev;
	struct platform *p;
};

static void pvpanic_read(void *dev, uint64_t off, void *data, unsigned len)
{
	(void)dev;
	(void)off;
	memset(data, 0, len);
	*(uint8_t *)data = PVPANIC_PANICKED;
}

static void pvpanic_write(void *dev, uint64_t off, const void *data, unsigned len)
{
	struct pvpanic *pv = dev;

	(void)off;
	(void)len;
	if (*(const uint8_t *)data & PVPANIC_PANICKED)
		pv->p->guest_event(pv->p, GUEST_PANIC);
}

static const struct bus_ops pvpanic_bus = { .read = pvpanic_read, .write = pvpanic_write };

static void pvpanic_destroy(struct device *dev)
{
	free(container_of(dev, struct pvpanic, dev));
}

static int pvpanic_create(struct platform *p, struct device_list *list, const char *id,
			  const void *config, struct device **dev)
{
	struct pvpanic *pv = calloc(1, sizeof(*pv));
	int r;

	(void)list;
	(void)config;
	if (!pv)
		return -ENOMEM;
	pv->p = p;
	r = bus_map(p->pio, PVPANIC_PORT, 1, &pvpanic_bus, pv);
	if (r < 0) {
		log_err("%s: there is one already", id);
		free(pv);
		return r;
	}
	*dev = &pv->dev;
	return 0;
}

const struct device_class pvpanic_class = {
	.name = "pvpanic",
	.help = "tells lunette that the guest's kernel has panicked; always there",
	.create = pvpanic_create,
	.destroy = pvpanic_destroy,
};
