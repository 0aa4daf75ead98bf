/* SPDX-License-Identifier: MIT */
/*
 * acpi_pm.c - the three registers by which a guest of hardware-reduced ACPI
 * powers off and resets (ACPI 6.5, 4.8.3.6 and 4.8.3.7). The FADT names them,
 * the DSDT names the sleep type of S5.
 */
#include <errno.h>
#include <stdlib.h>

#include "devices/devices.h"
#include "vmm/core/bus.h"
#include "vmm/core/platform.h"
#include "vmm/core/util.h"

#define SLEEP_ENABLE 0x20
#define SLEEP_TYPE(v) ((v) >> 2 & 7)

struct acpi_pm {
	struct device dev;
	struct platform *p;
};

static void acpi_pm_read(void *dev, uint64_t off, void *data, unsigned len)
{
	(void)dev;
	(void)off;
	memset(data, 0, len);
}

static void acpi_pm_write(void *dev, uint64_t off, const void *data, unsigned len)
{
	struct acpi_pm *pm = dev;
	uint8_t v = *(const uint8_t *)data;

	(void)len;
	if (off == ACPI_PM_SLEEP_CONTROL && v & SLEEP_ENABLE && SLEEP_TYPE(v) == ACPI_PM_S5)
		pm->p->guest_event(pm->p, GUEST_POWEROFF);
	if (off == ACPI_PM_RESET && v == ACPI_PM_RESET_VALUE)
		pm->p->guest_event(pm->p, GUEST_RESET);
}

static const struct bus_ops acpi_pm_bus = { .read = acpi_pm_read, .write = acpi_pm_write };

static void acpi_pm_destroy(struct device *dev)
{
	free(container_of(dev, struct acpi_pm, dev));
}

static int acpi_pm_create(struct platform *p, struct device_list *list, const char *id,
			  const void *config, struct device **dev)
{
	struct acpi_pm *pm = calloc(1, sizeof(*pm));
	int r;

	(void)list;
	(void)config;
	if (!pm)
		return -ENOMEM;
	pm->p = p;
	r = platform_map(p, id, PLATFORM_ACPI_PM, ACPI_PM_SIZE, &acpi_pm_bus, pm);
	if (r < 0) {
		free(pm);
		return r;
	}
	*dev = &pm->dev;
	return 0;
}

const struct device_class acpi_pm_class = {
	.name = "acpi-pm",
	.help = "power-off and reset; always there",
	.create = acpi_pm_create,
	.destroy = acpi_pm_destroy,
};
