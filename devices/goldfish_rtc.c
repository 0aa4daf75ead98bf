/* SPDX-License-Identifier: MIT */
/*
 * goldfish_rtc.c - the clock of day of riscv64's virtual machines, Goldfish's.
 *
 * The time is the host's, in UTC, in nanoseconds, as it is when its low half is read; the guest
 * cannot set it. An alarm never comes: kernels of today keep time with the timer of the processor
 * and read this once.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "devices/devices.h"
#include "vmm/core/bus.h"
#include "vmm/core/platform.h"
#include "vmm/core/state.h"
#include "vmm/core/util.h"

#define SIZE 0x1000

/* Registers of 32 bits. Those that are not here read as zero. */
#define TIME_LOW 0x00
#define TIME_HIGH 0x04 /* as of the last read of the other half */

struct goldfish {
	struct device dev;
	pthread_mutex_t lock; /* of what follows */
	uint64_t time;
};

static uint32_t read_register(struct goldfish *g, uint64_t off)
{
	struct timespec now;
	uint32_t value = 0;

	pthread_mutex_lock(&g->lock);
	if (off == TIME_LOW) {
		clock_gettime(CLOCK_REALTIME, &now);
		g->time = now.tv_sec * 1000000000ull + now.tv_nsec;
		value = g->time;
	} else if (off == TIME_HIGH) {
		value = g->time >> 32;
	}
	pthread_mutex_unlock(&g->lock);
	return value;
}

static void goldfish_read(void *dev, uint64_t off, void *data, unsigned len)
{
	uint8_t value[4];

	memset(data, 0, len);
	le32_put(value, read_register(dev, off & ~3ull));
	if (off % 4 + len <= 4)
		memcpy(data, value + off % 4, len);
}

static void goldfish_write(void *dev, uint64_t off, const void *data, unsigned len)
{
	(void)dev;
	(void)off;
	(void)data;
	(void)len;
}

static const struct bus_ops goldfish_bus = { .read = goldfish_read, .write = goldfish_write };

static void goldfish_state(struct device *dev, struct state *s)
{
	struct goldfish *g = container_of(dev, struct goldfish, dev);
	uint64_t time = g->time;

	state_u64(s, &time);
	if (state_takes(s))
		g->time = time;
}

static void goldfish_destroy(struct device *dev)
{
	struct goldfish *g = container_of(dev, struct goldfish, dev);

	pthread_mutex_destroy(&g->lock);
	free(g);
}

static int goldfish_create(struct platform *p, struct device_list *list, const char *id,
			   const void *config, struct device **dev)
{
	struct goldfish *g = calloc(1, sizeof(*g));
	int r;

	(void)list;
	(void)config;
	if (!g)
		return -ENOMEM;
	r = platform_map(p, id, PLATFORM_GOLDFISH, SIZE, &goldfish_bus, g);
	if (r < 0) {
		free(g);
		return r;
	}
	pthread_mutex_init(&g->lock, NULL);
	*dev = &g->dev;
	return 0;
}

const struct device_class goldfish_rtc_class = {
	.name = "goldfish-rtc",
	.help = "a clock with the host's time; always there on riscv64",
	.create = goldfish_create,
	.state = goldfish_state,
	.destroy = goldfish_destroy,
};
