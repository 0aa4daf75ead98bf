/* SPDX-License-Identifier: MIT */
/*
 * i8042.c - of the PC's keyboard controller (8042) what every operating system
 * expects of it: at port 64h the command that resets the machine.
 *
 * There is no keyboard, and the firmware's tables say that there is no such
 * controller. A kernel that resets by it first waits for the input buffer to be
 * empty: it always is. All other bits of the status read as ones, as where nobody
 * answers, so that a driver that looks for a controller all the same finds an
 * output buffer that never ends, and so none.
 */
#include <errno.h>
#include <stdlib.h>

#include "devices/devices.h"
#include "vmm/core/bus.h"
#include "vmm/core/platform.h"
#include "vmm/core/util.h"

#define STATUS_INPUT_FULL 0x02

/* Pulses output lines, those whose bits are 0; line 0 is the processor's reset. */
#define COMMAND_PULSE 0xf0
#define PULSES_RESET(command) (((command) & COMMAND_PULSE) == COMMAND_PULSE && !((command) & 1))

struct i8042 {
	struct device dev;
	struct platform *p;
};

static void i8042_read(void *dev, uint64_t off, void *data, unsigned len)
{
	(void)dev;
	(void)off;
	memset(data, 0xff, len);
	*(uint8_t *)data = 0xff & ~STATUS_INPUT_FULL;
}

static void i8042_write(void *dev, uint64_t off, const void *data, unsigned len)
{
	struct i8042 *i8042 = dev;

	(void)off;
	(void)len;
	if (PULSES_RESET(*(const uint8_t *)data))
		i8042->p->guest_event(i8042->p, GUEST_RESET);
}

static const struct bus_ops i8042_bus = { .read = i8042_read, .write = i8042_write };

static void i8042_destroy(struct device *dev)
{
	free(container_of(dev, struct i8042, dev));
}

static int i8042_create(struct platform *p, struct device_list *list, const char *id,
			const void *config, struct device **dev)
{
	struct i8042 *i8042 = calloc(1, sizeof(*i8042));
	int r;

	(void)list;
	(void)config;
	if (!i8042)
		return -ENOMEM;
	i8042->p = p;
	r = platform_map(p, id, PLATFORM_I8042, 1, &i8042_bus, i8042);
	if (r < 0) {
		free(i8042);
		return r;
	}
	*dev = &i8042->dev;
	return 0;
}

const struct device_class i8042_class = {
	.name = "i8042",
	.help = "a keyboard controller without a keyboard, for resets; always there",
	.create = i8042_create,
	.destroy = i8042_destroy,
};
