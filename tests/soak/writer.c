/* SPDX-License-Identifier: MIT */
/*
 * writer.c - a guest without a kernel that makes the writes of plan.h until it is killed: on a disk
 * without SCSI, if there is one, otherwise on LUN 0. The last LUN has "MODE SEED", in digits, MODE
 * one of enum soak_mode. It reports on the serial port.
 *
 * While the device flushes a batch, the next one is written.
 */
#include "tests/soak/plan.h"

#include "tests/hostile/blk.h"

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

static void read_order(unsigned lun, uint32_t *mode, uint32_t *seed)
{
	static const uint8_t read_10[10] = { 0x28, [8] = 1 };
	const uint8_t *text = data;

	if (!run(lun, read_10, 10, true, (uintptr_t)data, SOAK_SECTOR) || request[0].tail.status)
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

/* A kind of disk. Slots are of requests; their data is in sectors[]. */
struct kind {
	unsigned q;
	void (*write)(unsigned slot, struct soak_write w, bool fua);
	void (*flush)(unsigned slot);
	bool (*failed)(unsigned slot);
};

static void scsi_write(unsigned slot, struct soak_write w, bool fua)
{
	uint8_t cdb[10] = { 0x2a, fua ? 0x08 : 0, w.lba >> 24, w.lba >> 16, w.lba >> 8, w.lba,
			    0, w.sectors >> 8, w.sectors };

	prepare(slot, 0, cdb, sizeof(cdb), false, (uintptr_t)sectors[slot],
		w.sectors * SOAK_SECTOR);
}

static void scsi_flush(unsigned slot)
{
	static const uint8_t synchronize_cache[10] = { 0x35 };

	prepare(slot, 0, synchronize_cache, 10, false, 0, 0);
}

static bool scsi_failed(unsigned slot)
{
	volatile struct request *r = &request[slot];

	return r->tail.response || r->tail.status;
}

static const struct kind scsi = { REQUEST, scsi_write, scsi_flush, scsi_failed };

static void start_scsi(uint32_t mode)
{
	if (mode == SOAK_THROUGH)
		turn_cache_off();
}

/* There is no FUA: a driver that has not asked for flushes has it in each write. */
static void start_blk(uint32_t mode)
{
	volatile uint8_t *wce = config + offsetof(struct virtio_blk_config, wce);
	uint64_t flush = BIT(VIRTIO_BLK_F_FLUSH), cache = flush | BIT(VIRTIO_BLK_F_CONFIG_WCE);

	start(EVERYTHING | (mode == SOAK_THROUGH ? cache : mode == SOAK_FLUSH ? flush : 0));
	if (mode != SOAK_THROUGH)
		return;
	*wce = 0;
	if (*wce)
		give_up("the write cache cannot be turned off");
}

static void blk_write(unsigned slot, struct soak_write w, bool fua)
{
	(void)fua;
	blk_prepare(slot, VIRTIO_BLK_T_OUT, w.lba, sectors[slot], w.sectors * SOAK_SECTOR);
}

static void blk_flush(unsigned slot)
{
	blk_prepare(slot, VIRTIO_BLK_T_FLUSH, 0, 0, 0);
}

static bool blk_failed(unsigned slot)
{
	return blk_request[slot].status != VIRTIO_BLK_S_OK;
}

static const struct kind blk = { 0, blk_write, blk_flush, blk_failed };

static void offer_write(const struct kind *k, unsigned slot, uint32_t seed, uint32_t number,
			bool fua)
{
	struct soak_write w = soak_write(seed, number);
	uint32_t i;

	for (i = 0; i < w.sectors; i++)
		soak_fill((uint64_t *)(sectors[slot] + i * SOAK_SECTOR), seed, number, w.lba + i);
	k->write(slot, w, fua);
	offer(k->q, 4 * slot);
}

static void offer_flush(const struct kind *k)
{
	k->flush(FLUSH_SLOT);
	offer(k->q, 4 * FLUSH_SLOT);
}

static void wait_all(const struct kind *k, unsigned count)
{
	struct used_element e;

	kick(k->q);
	while (count--) {
		if (!wait_used(k->q, &e))
			give_up("a request without an answer");
		if (k->failed(e.id / 4))
			give_up("a request has failed");
	}
}

static void write_on(const struct kind *k, uint32_t mode, uint32_t seed)
{
	bool flush = mode == SOAK_FLUSH;
	uint32_t done, durable;
	unsigned i;

	for (done = 0;; done += SOAK_BATCH) {
		if (flush)
			offer_flush(k);
		for (i = 0; i < SOAK_BATCH; i++)
			offer_write(k, i, seed, done + 1 + i, mode == SOAK_FUA);
		wait_all(k, SOAK_BATCH + flush);
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
	bool has_blk;

	mask_interrupts();
	has_blk = blk_find();
	if (!find_device())
		give_up("no virtio-scsi device");
	start(EVERYTHING);
	for (lun = 0; lun < 2u - has_blk; lun++) /* the answer is an attention */
		if (!run(lun, test_unit_ready, 6, false, 0, 0))
			give_up("no answer");
	read_order(lun - 1, &mode, &seed);
	if (has_blk && blk_find())
		start_blk(mode);
	else
		start_scsi(mode);
	write_on(has_blk ? &blk : &scsi, mode, seed);
}
