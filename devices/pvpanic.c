/* SPDX-License-Identifier: MIT */
/*
 * pvpanic.c - a register of one byte by which a guest kernel says that it has panicked.
 *
 * Reading it gives the events that we understand, writing it reports one. On a PC
 * it is a port, which Linux finds through ACPI as "QEMU0001". Where the
 * architecture has no place for it, it is the first byte in the BAR of a PCI function.
 */
#include <errno.h>
#include <misc/pvpanic.h>
#include <stdlib.h>

#include "devices/devices.h"
#include "vmm/core/bus.h"
#include "vmm/core/pci.h"
#include "vmm/core/platform.h"
#include "vmm/core/util.h"

#define BAR_SIZE 4096

struct pvpanic {
	struct device dev;
	struct platform *p;
	struct pci_function f; /* f.bus is NULL: it is a port */
};

static void pvpanic_read(void *dev, uint64_t off, void *data, unsigned len)
{
	(void)dev;
	memset(data, 0, len);
	if (off == 0)
		*(uint8_t *)data = PVPANIC_PANICKED;
}

static void pvpanic_write(void *dev, uint64_t off, const void *data, unsigned len)
{
	struct pvpanic *pv = dev;

	(void)len;
	if (off == 0 && *(const uint8_t *)data & PVPANIC_PANICKED)
		pv->p->guest_event(pv->p, GUEST_PANIC);
}

static const struct bus_ops pvpanic_bus = { .read = pvpanic_read, .write = pvpanic_write };

static void bar_read(struct pci_function *f, uint64_t off, void *data, unsigned len)
{
	pvpanic_read(container_of(f, struct pvpanic, f), off, data, len);
}

static void bar_write(struct pci_function *f, uint64_t off, const void *data, unsigned len)
{
	pvpanic_write(container_of(f, struct pvpanic, f), off, data, len);
}

/* Those by which Linux's pvpanic-pci knows it. */
static const struct pci_ids pvpanic_ids = {
	.vendor = 0x1b36,
	.device = 0x0011,
	.class = 0x088000, /* a system peripheral of no other kind */
};
static const struct pci_ops pvpanic_pci = { .bar_read = bar_read, .bar_write = bar_write };

static void pvpanic_state(struct device *dev, struct state *s)
{
	struct pvpanic *pv = container_of(dev, struct pvpanic, dev);

	if (pv->f.bus)
		pci_function_state(&pv->f, s);
}

static void pvpanic_destroy(struct device *dev)
{
	struct pvpanic *pv = container_of(dev, struct pvpanic, dev);

	if (pv->f.bus)
		pci_detach(&pv->f);
	free(pv);
}

static int connect(struct pvpanic *pv, const char *id)
{
	struct platform *p = pv->p;

	if (p->place[PLATFORM_PVPANIC].bus || !p->pci)
		return platform_map(p, id, PLATFORM_PVPANIC, 1, &pvpanic_bus, pv);
	pci_function_init(&pv->f, "pvpanic", &pvpanic_ids, &pvpanic_pci);
	pv->f.bar_size = BAR_SIZE;
	return pci_attach(p->pci, &pv->f);
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
	r = connect(pv, id);
	if (r < 0) {
		free(pv);
		return r;
	}
	*dev = &pv->dev;
	return 0;
}

const struct device_class pvpanic_class = {
	.name = "pvpanic",
	.help = "says that the guest's kernel has panicked; there wherever PCI is",
	.create = pvpanic_create,
	.state = pvpanic_state,
	.destroy = pvpanic_destroy,
};
