/* SPDX-License-Identifier: MIT */
/*
 * pl031.c - ARM's clock of day, PrimeCell PL031.
 *
 * The time is the host's, in UTC, as it is at the moment of the read; the guest
 * cannot set it. There is no alarm and no interrupt: kernels of today keep time
 * with the timer of the processor and read this once.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "devices/devices.h"
#include "vmm/core/bus.h"
#include "vmm/core/platform.h"
#include "vmm/core/util.h"

#define SIZE 0x1000

/* Registers of 32 bits. Those that are not here read as zero. */
#define DATA 0x000
#define CONTROL 0x00c
#define CONTROL_STARTED 1
#define IDS 0xfe0 /* one byte in each of eight: what this is, and that it is a PrimeCell */

static const uint8_t ids[8] = { 0x31, 0x10, 0x04, 0x00, 0x0d, 0xf0, 0x05, 0xb1 };

static uint32_t read_register(uint64_t off)
{
	if (off >= IDS)
		return ids[(off - IDS) / 4];
	switch (off) {
	case DATA:
		return time(NULL);
	case CONTROL:
		return CONTROL_STARTED;
	default:
		return 0;
	}
}

static void pl031_read(void *dev, uint64_t off, void *data, unsigned len)
{
	uint8_t value[4];

	(void)dev;
	memset(data, 0, len);
	le32_put(value, read_register(off & ~3ull));
	if (off % 4 + len <= 4)
		memcpy(data, value + off % 4, len);
}

static void pl031_write(void *dev, uint64_t off, const void *data, unsigned len)
{
	(void)dev;
	(void)off;
	(void)data;
	(void)len;
}

static const struct bus_ops pl031_bus = { .read = pl031_read, .write = pl031_write };

static void pl031_destroy(struct device *dev)
{
	free(dev);
}

static int pl031_create(struct platform *p, struct device_list *list, const char *id,
			const void *config, struct device **dev)
{
	struct device *d = calloc(1, sizeof(*d));
	int r;

	(void)list;
	(void)config;
	if (!d)
		return -ENOMEM;
	r = platform_map(p, id, PLATFORM_PL031, SIZE, &pl031_bus, d);
	if (r < 0) {
		free(d);
		return r;
	}
	*dev = d;
	return 0;
}

const struct device_class pl031_class = {
	.name = "pl031",
	.help = "ARM's clock with the host's time; always there on arm64",
	.create = pl031_create,
	.destroy = pl031_destroy,
};
