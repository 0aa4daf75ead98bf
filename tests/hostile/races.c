/* SPDX-License-Identifier: MIT */
/* What the device reads is changed while it reads, and resets come while it works. */
#include "tests/hostile/misdeeds.h"

static const uint8_t read_1_mib[10] = { 0x28, [7] = 8 };

static void load(unsigned requests, const uint8_t *cdb)
{
	unsigned n;

	for (n = 0; n < requests; n++) {
		prepare(n, 0, cdb, 10, cdb[0] == 0x28, (uintptr_t)data, DATA_SIZE);
		offer(REQUEST, 4 * n);
	}
	kick(REQUEST);
}

/* Descriptors and headers flicker between good and bad while they are served. */
static const char *flickering_requests(void)
{
	volatile struct desc *d = queue[REQUEST].desc;
	volatile struct request *r = request;
	unsigned round, i, n;

	for (round = 0; round < 300; round++) {
		if (is_broken() || round % 50 == 0)
			start(round & 1 ? EVERYTHING : BASIC);
		load(16, read_1_mib);
		for (i = 0; i < 200; i++) {
			n = random32() % 16;
			switch (random32() % 6) {
			case 0: d[4 * n].addr = random32() % 2 ? WINDOW : UINT64_MAX - 10; break;
			case 1: d[4 * n + 1].len = random32(); break;
			case 2: d[4 * n + 1].next = random32() % 300; break;
			case 3: d[4 * n + 2].flags = random32() % 8; break;
			case 4: r[n].head.cdb[random32() % 10] = random32(); break;
			default: queue[REQUEST].avail.ring[random32() % 64] = random32() % 300;
			}
		}
	}
	return NULL;
}

/* COMPARE AND WRITE, VERIFY, UNMAP, MODE SELECT: their lists change while they are looked at. */
static const char *flickering_parameters(void)
{
	static const uint8_t cdbs[4][16] = {
		{ 0x89, [13] = 1 },
		{ 0x2f, 2, [7] = 1 },
		{ 0x42, [7] = 16 },
		{ 0x55, 0x10, [8] = 200 },
	};
	unsigned round, i, n;

	for (round = 0; round < 200; round++) {
		start(BASIC);
		for (n = 0; n < 16; n++) {
			prepare(n, 0, cdbs[round % 4], 16, false, (uintptr_t)data, DATA_SIZE);
			offer(REQUEST, 4 * n);
		}
		kick(REQUEST);
		for (i = 0; i < 500; i++)
			((volatile uint8_t *)data)[random32() % 256] = random32() % 5;
		for (n = 0; n < 16; n++)
			if (!wait_used(REQUEST, NULL))
				return "a command is lost";
	}
	return NULL;
}

/* After a reset the device touches nothing: what was in flight has ended or will not. */
static const char *reset_in_flight(void)
{
	volatile uint8_t *byte = data;
	unsigned round, i;

	for (round = 0; round < 50; round++) {
		start(BASIC);
		load(64, read_1_mib);
		for (i = random32() % 5000; i; i--)
			__asm__ volatile("pause");
		set_reg(VIRTIO_MMIO_STATUS, 0);
		while (reg(VIRTIO_MMIO_STATUS))
			;
		zero(&queue[REQUEST], sizeof(queue[REQUEST]));
		for (i = 0; i < DATA_SIZE; i += 512)
			byte[i] = 0xa5;
		for (i = 0; i < 100000; i++)
			__asm__ volatile("pause");
		for (i = 0; i < DATA_SIZE; i += 512)
			if (byte[i] != 0xa5)
				return "data comes after the reset";
		if (queue[REQUEST].used.idx)
			return "an answer comes after the reset";
	}
	return NULL;
}

static const char *queue_disabled_in_flight(void)
{
	unsigned round, q;

	for (round = 0; round < 30; round++) {
		start(BASIC);
		load(64, read_1_mib);
		for (q = 0; q < QUEUES; q++) {
			set_reg(VIRTIO_MMIO_QUEUE_SEL, (q + round) % QUEUES);
			set_reg(VIRTIO_MMIO_QUEUE_READY, 0);
			kick(REQUEST);
		}
	}
	return NULL;
}

/* A ring that breaks while its earlier requests are served. */
static const char *broken_in_flight(void)
{
	unsigned round;

	for (round = 0; round < 50; round++) {
		start(EVERYTHING);
		load(60, read_1_mib);
		queue[REQUEST].avail.ring[queue[REQUEST].avail.idx % QUEUE_MAX] = 0xffff;
		queue[REQUEST].avail.idx++;
		kick(REQUEST);
		set_reg(VIRTIO_MMIO_QUEUE_SEL, REQUEST);
		set_reg(VIRTIO_MMIO_QUEUE_READY, 0);
	}
	return NULL;
}

/* The other CPU, if there is one. */
void second_main(void);
volatile uint32_t second_cpu_does, second_cpu_is_there, second_cpu_rests;

void second_main(void)
{
	uint32_t x = 12345, does;

	second_cpu_is_there = 1;
	for (;;) {
		x = x * 1664525 + 1013904223;
		does = second_cpu_does;
		second_cpu_rests = does == NOTHING;
		if (does == REGISTERS) {
			if (x >> 30 == 0)
				set_reg(VIRTIO_MMIO_STATUS, x >> 20 & 15);
			else if (x >> 30 == 1)
				set_reg(x >> 16 & 0xfc, x >> 8 & 0xff);
			else
				set_reg(VIRTIO_MMIO_QUEUE_NOTIFY, x >> 20 & 3);
		} else if (does == RINGS) {
			volatile struct desc *d = &queue[REQUEST].desc[x >> 24];

			if (x & 0x10000)
				d->addr = (uint64_t)x << (x >> 20 & 31);
			else
				d->flags = x >> 17 & 7;
		} else if (does == FUNCTION) {
			poke_function(x);
		}
		__asm__ volatile("pause");
	}
}

extern const uint8_t trampoline[], trampoline_end[];

#define TRAMPOLINE_AT 0x8000
#define LAPIC_COMMAND 0xfee00300ull

/* INIT and start-up to all but self, as firmware does. */
bool start_second_cpu(void)
{
	volatile uint32_t *command = (void *)LAPIC_COMMAND;
	uint64_t begin = cycles();

	if (second_cpu_is_there)
		return true;
	memcpy((void *)TRAMPOLINE_AT, trampoline, trampoline_end - trampoline);
	*command = 0xc4500;
	*command = 0xc4600 | TRAMPOLINE_AT >> 12;
	while (!second_cpu_is_there)
		if (cycles() - begin > 10000000000ull)
			return false;
	return true;
}

void rest_second_cpu(void)
{
	second_cpu_does = NOTHING;
	second_cpu_rests = 0;
	while (!second_cpu_rests)
		__asm__ volatile("pause");
}

static const char *two_cpus(uint32_t what)
{
	unsigned round, i;

	if (!start_second_cpu())
		return "the second CPU does not start";
	for (round = 0; round < 60; round++) {
		start(EVERYTHING);
		second_cpu_does = what;
		load(32, read_1_mib);
		for (i = 0; i < 50; i++)
			set_reg(VIRTIO_MMIO_QUEUE_NOTIFY, REQUEST);
		rest_second_cpu();
	}
	return NULL;
}

static const char *registers_from_two_cpus(void)
{
	return two_cpus(REGISTERS);
}

static const char *rings_from_two_cpus(void)
{
	return two_cpus(RINGS);
}

const struct misdeed race_misdeeds[] = {
	{ "flickering requests", flickering_requests },
	{ "flickering parameters", flickering_parameters },
	{ "reset in flight", reset_in_flight },
	{ "queue disabled in flight", queue_disabled_in_flight },
	{ "broken in flight", broken_in_flight },
	{ "registers from two CPUs", registers_from_two_cpus },
	{ "rings from two CPUs", rings_from_two_cpus },
	{ 0 }
};
