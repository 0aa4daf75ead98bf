/* SPDX-License-Identifier: MIT */
/*
 * nmi_status.c - the PC's NMI status and control register, port 61h.
 *
 * It says which part of the machine has caused an NMI: a memory error (bit 7), a
 * card (bit 6). Here it was neither, ever; where nobody answers, a kernel reads
 * ones and takes the NMI that we send to a guest that hangs for broken hardware.
 * Bit 5 is the output of a timer that is not there: high, as a guest that waits
 * for its end must not wait for ever.
 */
#include <errno.h>
#include <stdlib.h>

#include "devices/devices.h"
#include "vmm/core/bus.h"
#include "vmm/core/platform.h"
#include "vmm/core/util.h"

#define TIMER_2_OUTPUT 0x20

static void nmi_status_read(void *dev, uint64_t off, void *data, unsigned len)
{
	(void)dev;
	(void)off;
	memset(data, TIMER_2_OUTPUT, len);
}

static void nmi_status_write(void *dev, uint64_t off, const void *data, unsigned len)
{
	(void)dev;
	(void)off;
	(void)data;
	(void)len;
}

static const struct bus_ops nmi_status_bus = { .read = nmi_status_read, .write = nmi_status_write };

static void nmi_status_destroy(struct device *dev)
{
	free(dev);
}

static int nmi_status_create(struct platform *p, struct device_list *list, const char *id,
			     const void *config, struct device **dev)
{
	struct device *d = calloc(1, sizeof(*d));
	int r;

	(void)list;
	(void)config;
	if (!d)
		return -ENOMEM;
	r = platform_map(p, id, PLATFORM_NMI_STATUS, 1, &nmi_status_bus, d);
	if (r < 0) {
		free(d);
		return r;
	}
	*dev = d;
	return 0;
}

const struct device_class nmi_status_class = {
	.name = "nmi-status",
	.help = "says that no hardware has caused an NMI; always there",
	.create = nmi_status_create,
	.destroy = nmi_status_destroy,
};
