/* SPDX-License-Identifier: MIT */
/*
 * writer.c - a guest without a kernel that makes the writes of plan.h on LUN 0 until it is killed.
 * LUN 1 has "MODE SEED", in digits, MODE one of enum soak_mode. It reports on the serial port.
 *
 * While the device flushes a batch, the next one is written.
 */
#include "tests/soak/plan.h"

#include "tests/hostile/driver.h"

void guest_main(void);

#define FLUSH_SLOT SOAK_BATCH

static uint8_t sectors[SOAK_BATCH][SOAK_WRITE_MAX * SOAK_SECTOR] __attribute__((aligned(8)));

static _Noreturn void give_up(const char *why)
{
	print("soak: ");
	print(why);
	print("\n");
	power_off();
}

static uint32_t parse_number(const uint8_t **text)
{
	uint32_t n = 0;

	while (**text >= '0' && **text <= '9')
		n = n * 10 + *(*text)++ - '0';
	(*text)++;
	return n;
}

static void read_order(uint32_t *mode, uint32_t *seed)
{
	static const uint8_t read_10[10] = { 0x28, [8] = 1 };
	const uint8_t *text = data;

	if (!run(1, read_10, 10, true, (uintptr_t)data, SOAK_SECTOR) || request[0].tail.status)
		give_up("the order cannot be read");
	*mode = parse_number(&text);
	*seed = parse_number(&text);
	if (*mode >= SOAK_MODES)
		give_up("an order that makes no sense");
}

/* MODE SELECT(6), caching page: WCE is 0. */
static void turn_cache_off(void)
{
	static const uint8_t mode_select[6] = { 0x15, 0x10, [4] = 24 };
	static uint8_t list[24] = { [4] = 0x08, 18 };

	if (!run(0, mode_select, 6, false, (uintptr_t)list, sizeof(list)) || request[0].tail.status)
		give_up("the write cache cannot be turned off");
}

static void offer_write(unsigned slot, uint32_t seed, uint32_t number, bool fua)
{
	struct soak_write w = soak_write(seed, number);
	uint8_t cdb[10] = { 0x2a, fua ? 0x08 : 0, w.lba >> 24, w.lba >> 16, w.lba >> 8, w.lba,
			    0, w.sectors >> 8, w.sectors };
	uint32_t i;

	for (i = 0; i < w.sectors; i++)
		soak_fill((uint64_t *)(sectors[slot] + i * SOAK_SECTOR), seed, number, w.lba + i);
	prepare(slot, 0, cdb, sizeof(cdb), false, (uintptr_t)sectors[slot],
		w.sectors * SOAK_SECTOR);
	offer(REQUEST, 4 * slot);
}

static void offer_flush(void)
{
	static const uint8_t synchronize_cache[10] = { 0x35 };

	prepare(FLUSH_SLOT, 0, synchronize_cache, 10, false, 0, 0);
	offer(REQUEST, 4 * FLUSH_SLOT);
}

static void wait_all(unsigned count)
{
	volatile struct request *r;
	struct used_element e;

	kick(REQUEST);
	while (count--) {
		if (!wait_used(REQUEST, &e))
			give_up("a request without an answer");
		r = &request[e.id / 4];
		if (r->tail.response || r->tail.status)
			give_up("a request has failed");
	}
}

static void write_on(uint32_t mode, uint32_t seed)
{
	bool flush = mode == SOAK_FLUSH;
	uint32_t done, durable;
	unsigned i;

	for (done = 0;; done += SOAK_BATCH) {
		if (flush)
			offer_flush();
		for (i = 0; i < SOAK_BATCH; i++)
			offer_write(i, seed, done + 1 + i, mode == SOAK_FUA);
		wait_all(SOAK_BATCH + flush);
		durable = flush ? done : done + SOAK_BATCH;
		if (durable) {
			print("acked ");
			print_number(durable);
			print("\n");
		}
	}
}

void guest_main(void)
{
	static const uint8_t test_unit_ready[6];
	uint32_t mode, seed;
	unsigned lun;

	mask_interrupts();
	if (!find_device())
		give_up("no virtio-scsi device");
	start(EVERYTHING);
	for (lun = 0; lun < 2; lun++) /* the answer is an attention */
		if (!run(lun, test_unit_ready, 6, false, 0, 0))
			give_up("no answer");
	read_order(&mode, &seed);
	if (mode == SOAK_THROUGH)
		turn_cache_off();
	write_on(mode, seed);
}
