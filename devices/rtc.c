/* SPDX-License-Identifier: MIT */
/*
 * rtc.c - the PC's CMOS clock (MC146818): which cell, and its value; on a PC the ports 70h and 71h.
 *
 * The time is the host's, in UTC, as it is at the moment of the read; the guest
 * cannot set it. The other cells are memory. There is no alarm and no
 * interrupt: kernels of today keep time with the TSC and read this once.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "devices/devices.h"
#include "vmm/core/bus.h"
#include "vmm/core/platform.h"
#include "vmm/core/state.h"
#include "vmm/core/util.h"

/* Cells of the MC146818, and the one for the century that PCs agree on. */
enum {
	RTC_SECONDS = 0,
	RTC_MINUTES = 2,
	RTC_HOURS = 4,
	RTC_DAY_OF_WEEK = 6,
	RTC_DAY_OF_MONTH = 7,
	RTC_MONTH = 8,
	RTC_YEAR = 9,
	RTC_REG_A = 10,
	RTC_REG_B = 11,
	RTC_REG_C = 12,
	RTC_REG_D = 13,
	RTC_CENTURY = 0x32,
};

#define REG_A_IDLE 0x26 /* 32 kHz, no update in progress, ever */
#define REG_B_24H 0x02
#define REG_D_POWER_GOOD 0x80

struct rtc {
	struct device dev;
	pthread_mutex_t lock;
	struct rtc_state {
		uint8_t index;
		uint8_t cell[128];
	} r;
};

static uint8_t bcd(unsigned v)
{
	return v / 10 % 10 << 4 | v % 10;
}

static uint8_t cell_read(const struct rtc *rtc)
{
	struct tm tm;
	time_t now = time(NULL);

	gmtime_r(&now, &tm);
	switch (rtc->r.index) {
	case RTC_SECONDS:
		return bcd(tm.tm_sec);
	case RTC_MINUTES:
		return bcd(tm.tm_min);
	case RTC_HOURS:
		return bcd(tm.tm_hour);
	case RTC_DAY_OF_WEEK:
		return bcd(tm.tm_wday + 1);
	case RTC_DAY_OF_MONTH:
		return bcd(tm.tm_mday);
	case RTC_MONTH:
		return bcd(tm.tm_mon + 1);
	case RTC_YEAR:
		return bcd(tm.tm_year);
	case RTC_CENTURY:
		return bcd((tm.tm_year + 1900) / 100);
	case RTC_REG_A:
		return REG_A_IDLE;
	case RTC_REG_B:
		return REG_B_24H;
	case RTC_REG_C:
		return 0;
	case RTC_REG_D:
		return REG_D_POWER_GOOD;
	default:
		return rtc->r.cell[rtc->r.index];
	}
}

static void rtc_read(void *dev, uint64_t off, void *data, unsigned len)
{
	struct rtc *rtc = dev;

	if (len != 1 || off != 1)
		return;
	pthread_mutex_lock(&rtc->lock);
	*(uint8_t *)data = cell_read(rtc);
	pthread_mutex_unlock(&rtc->lock);
}

static void rtc_write(void *dev, uint64_t off, const void *data, unsigned len)
{
	struct rtc *rtc = dev;

	if (len != 1)
		return;
	pthread_mutex_lock(&rtc->lock);
	if (off == 0)
		rtc->r.index = *(const uint8_t *)data & 0x7f; /* bit 7 masks the NMI elsewhere */
	else
		rtc->r.cell[rtc->r.index] = *(const uint8_t *)data;
	pthread_mutex_unlock(&rtc->lock);
}

static const struct bus_ops rtc_bus = { .read = rtc_read, .write = rtc_write };

static void rtc_state(struct device *dev, struct state *s)
{
	struct rtc *rtc = container_of(dev, struct rtc, dev);
	struct rtc_state r = rtc->r;

	state_u8(s, &r.index);
	state_bytes(s, r.cell, sizeof(r.cell));
	state_check(s, r.index < sizeof(r.cell));
	if (state_takes(s))
		rtc->r = r;
}

static void rtc_destroy(struct device *dev)
{
	struct rtc *rtc = container_of(dev, struct rtc, dev);

	pthread_mutex_destroy(&rtc->lock);
	free(rtc);
}

static int rtc_create(struct platform *p, struct device_list *list, const char *id,
		      const void *config, struct device **dev)
{
	struct rtc *rtc = calloc(1, sizeof(*rtc));
	int r;

	(void)list;
	(void)config;
	if (!rtc)
		return -ENOMEM;
	r = platform_map(p, id, PLATFORM_RTC, 2, &rtc_bus, rtc);
	if (r < 0) {
		free(rtc);
		return r;
	}
	pthread_mutex_init(&rtc->lock, NULL);
	*dev = &rtc->dev;
	return 0;
}

const struct device_class rtc_class = {
	.name = "rtc",
	.help = "CMOS clock with the host's time; always there",
	.create = rtc_create,
	.state = rtc_state,
	.destroy = rtc_destroy,
};
