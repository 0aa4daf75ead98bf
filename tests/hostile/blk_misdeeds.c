/* SPDX-License-Identifier: MIT */
/* Requests to a disk without SCSI that no good driver makes (virtio 1.3 §5.2.6). */
#include "tests/hostile/blk.h"
#include "tests/hostile/misdeeds.h"

#define LEGAL_PIECES 128 /* of a chain: what the device takes */

enum {
	IN = VIRTIO_BLK_T_IN, OUT = VIRTIO_BLK_T_OUT, FLUSH = VIRTIO_BLK_T_FLUSH,
	GET_ID = VIRTIO_BLK_T_GET_ID, DISCARD = VIRTIO_BLK_T_DISCARD,
	ZEROES = VIRTIO_BLK_T_WRITE_ZEROES,
	OK = VIRTIO_BLK_S_OK, IOERR = VIRTIO_BLK_S_IOERR, UNSUPP = VIRTIO_BLK_S_UNSUPP,
};

#define CACHE (BIT(VIRTIO_BLK_F_FLUSH) | BIT(VIRTIO_BLK_F_CONFIG_WCE))
#define SPACE (BIT(VIRTIO_BLK_F_DISCARD) | BIT(VIRTIO_BLK_F_WRITE_ZEROES))
#define ALL (EVERYTHING | CACHE | SPACE)

struct segment {
	uint64_t sector;
	uint32_t sectors, flags;
};

static _Alignas(4096) uint8_t table[16 * 256]; /* an indirect one */

static uint64_t capacity(void)
{
	return *(volatile uint64_t *)config;
}

static void table_desc(unsigned at, uint64_t addr, uint32_t len, uint16_t flags)
{
	volatile struct desc *d = (volatile struct desc *)(void *)table + at;

	d->addr = addr;
	d->len = len;
	d->flags = flags;
	d->next = at + 1;
}

/* One descriptor with the table, of which @count are filled in. */
static void offer_table(unsigned count)
{
	blk_desc(0, (uintptr_t)table, count * 16, INDIRECT);
	offer(0, 0);
	kick(0);
}

static bool breaks(void)
{
	uint64_t begin = cycles();

	while (!is_broken())
		if (cycles() - begin > 10000000000ull)
			return false;
	return true;
}

static bool same(const uint8_t *a, const uint8_t *b, unsigned len)
{
	while (len--)
		if (*a++ != *b++)
			return false;
	return true;
}

static void fill(uint8_t *to, unsigned len)
{
	while (len--)
		*to++ = random32();
}

/* Writes something new and reads it back. NULL, or why not. */
static const char *check_blk(void)
{
	static uint8_t wrote[1024], got[1024];
	uint64_t sector = random32() % 1024;

	start(ALL);
	if (is_broken())
		return "afterwards: the device does not start";
	fill(wrote, sizeof(wrote));
	if (blk_run(OUT, sector, wrote, sizeof(wrote)) != OK || blk_run(FLUSH, 0, 0, 0) != OK)
		return "afterwards: a write fails";
	if (blk_run(IN, sector, got, sizeof(got)) != OK)
		return "afterwards: a read fails";
	return same(wrote, got, sizeof(got)) ? NULL :
					       "afterwards: what is read is not what was written";
}

/* Legal: a byte in each descriptor, and none in some. */
static const char *crumbs(void)
{
	static uint8_t sector[512];
	unsigned at = 0, i;
	struct used_element e;

	fill(sector, sizeof(sector));
	if (blk_run(OUT, 5, sector, sizeof(sector)) != OK)
		return "a write fails";
	blk_prepare(0, IN, 5, data, 512);
	zero(data, 512);
	for (i = 0; i < sizeof(struct virtio_blk_outhdr); i++)
		table_desc(at++, (uintptr_t)&blk_request[0].head + i, 1, NEXT);
	for (i = 0; i < 100; i++)
		table_desc(at++, (uintptr_t)data + i, 1, NEXT | WRITE);
	table_desc(at++, (uintptr_t)data, 0, NEXT | WRITE);
	table_desc(at++, (uintptr_t)data + 100, 412, NEXT | WRITE);
	table_desc(at++, (uintptr_t)&blk_request[0].status, 1, WRITE);
	offer_table(at);
	if (!wait_used(0, &e) || blk_request[0].status != OK || e.len != 513)
		return "no answer, or a wrong one";
	return same(data, sector, 512) ? NULL : "wrong bytes";
}

/* Legal: header and data in one descriptor, data and status in another. */
static const char *two_in_one(void)
{
	struct virtio_blk_outhdr *head = (void *)data;
	static uint8_t got[513];
	struct used_element e;

	fill(data, 16 + 512);
	*head = (struct virtio_blk_outhdr){ .type = OUT, .sector = 9 };
	blk_request[0].status = BLK_UNTOUCHED;
	blk_desc(0, (uintptr_t)data, 16 + 512, NEXT);
	blk_desc(1, (uintptr_t)&blk_request[0].status, 1, WRITE);
	offer(0, 0);
	kick(0);
	if (!wait_used(0, &e) || blk_request[0].status != OK || e.len != 1)
		return "a write fails";
	blk_prepare(0, IN, 9, 0, 0);
	got[512] = BLK_UNTOUCHED;
	blk_desc(1, (uintptr_t)got, 513, WRITE);
	offer(0, 0);
	kick(0);
	if (!wait_used(0, &e) || got[512] != OK || e.len != 513)
		return "a read fails";
	return same(got, data + 16, 512) ? NULL : "wrong bytes";
}

/* There is no room for a header, or for a status. */
static const char *nothing_to_answer(void)
{
	static const struct {
		uint32_t out, in;
	} rows[] = { { 15, 1 }, { 0, 1 }, { 16, 0 }, { 8, 512 }, { 0, 0 }, { 600, 0 } };
	unsigned i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		start(BASIC);
		blk_desc(0, (uintptr_t)data, rows[i].out, NEXT);
		blk_desc(1, (uintptr_t)data + 4096, rows[i].in, WRITE);
		offer(0, 0);
		kick(0);
		if (!breaks())
			return "it is taken";
	}
	return NULL;
}

static const char *long_chains(void)
{
	static const unsigned counts[] = { LEGAL_PIECES + 1, 200, 256 };
	unsigned i, k;

	for (i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		start(ALL);
		blk_prepare(0, IN, 0, data, 512);
		table_desc(0, (uintptr_t)&blk_request[0].head, 16, NEXT);
		for (k = 1; k < counts[i]; k++)
			table_desc(k, (uintptr_t)data + k, 512, NEXT | WRITE);
		table_desc(counts[i] - 1, (uintptr_t)&blk_request[0].status, 1, WRITE);
		offer_table(counts[i]);
		if (!breaks())
			return "it is taken";
	}
	return NULL;
}

/* Nothing is moved, and the disk does not grow. */
static const char *out_of_range(void)
{
	uint64_t end = capacity(), at[] = { end, end + 1, end - 1, end - 7, UINT64_MAX,
					    UINT64_MAX / 512, UINT64_MAX / 512 + 1, 1ull << 55,
					    1ull << 63 };
	unsigned i, k, type;

	for (i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		for (type = IN; type <= OUT; type++) {
			memset(data, 0x77, 4096);
			if (blk_run(type, at[i], data, 4096) != IOERR)
				return "it is taken";
			for (k = 0; k < 4096; k++)
				if (data[k] != 0x77)
					return "it is read";
		}
	}
	return capacity() == end ? NULL : "the disk has another size";
}

static const char *lengths(void)
{
	static const uint32_t bad[] = { 1, 15, 511, 513, 1023, 4095, 65537 };
	unsigned i, type;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		for (type = IN; type <= OUT; type++)
			if (blk_run(type, 0, data, bad[i]) != IOERR)
				return "a part of a sector is taken";
	if (blk_run(IN, 0, 0, 0) != OK || blk_run(OUT, capacity(), 0, 0) != OK)
		return "nothing at all is refused";
	for (i = 0; i < 600; i++) /* data in both directions, and flushes with some */
		if (i != 20 && blk_run(GET_ID, i, data, i) != IOERR)
			return "an id of another length";
	return blk_run(GET_ID, UINT64_MAX, data, 20) == OK ? NULL : "no id";
}

static const struct {
	uint32_t type;
	struct segment s;
	uint8_t status;
} segment_rows[] = {
	{ DISCARD, { 0, 8, 1 }, UNSUPP },
	{ DISCARD, { 0, 8, 0xfffffffe }, UNSUPP },
	{ ZEROES, { 0, 8, 2 }, UNSUPP },
	{ ZEROES, { UINT64_MAX, 8, 0x80000000 }, UNSUPP },
	{ DISCARD, { UINT64_MAX, 1, 0 }, IOERR },
	{ DISCARD, { 0, 0xffffffff, 0 }, IOERR },
	{ DISCARD, { 1ull << 55, 8, 0 }, IOERR },
	{ ZEROES, { UINT64_MAX / 512 + 1, 8, 1 }, IOERR },
	{ ZEROES, { 0, 0xffffffff, 0 }, IOERR },
	{ ZEROES, { 0, 131073, 1 }, IOERR },
	{ ZEROES, { 1000, 0x80000000, 0 }, IOERR },
	{ ZEROES, { 3, 0, 1 }, OK },
};

/* Good segments before a bad one are not done; nor are more than the device takes. */
static const char *segments(void)
{
	struct segment *list = (void *)(data + 65536);
	static uint8_t before[512];
	unsigned i, k;

	fill(before, sizeof(before));
	if (blk_run(OUT, 0, before, 512) != OK)
		return "a write fails";
	for (i = 0; i < sizeof(segment_rows) / sizeof(segment_rows[0]); i++) {
		list[0] = (struct segment){ 0, segment_rows[i].status == OK ? 0 : 8, 0 };
		list[1] = segment_rows[i].s;
		if (blk_run(segment_rows[i].type, 0, list, 32) != segment_rows[i].status)
			return "a segment has another status";
	}
	for (k = 0; k < 4096; k++)
		list[k] = (struct segment){ 0, 1, 0 };
	for (k = 1; k <= 4096; k += k < 70 ? 1 : 1000)
		if (k > 64 && (blk_run(DISCARD, 0, list, 16 * k) != IOERR ||
			       blk_run(ZEROES, 0, list, 16 * k) != IOERR))
			return "too many segments are taken";
	for (k = 0; k < 100; k++)
		if (k % 16 && blk_run(ZEROES, 0, list, k) != IOERR)
			return "a part of a segment is taken";
	if (blk_run(IN, 0, data, 512) != OK || !same(data, before, 512))
		return "something was done";
	return blk_run(ZEROES, 0, list, 16 * 64) == OK ? NULL : "64 segments are not taken";
}

/* What has not been accepted is not done. */
static const char *not_accepted(void)
{
	unsigned i;

	start(BASIC);
	for (i = 0; i < 300; i++) {
		uint32_t type = i < 100 ? i : random32();

		if (type == IN || type == OUT || type == GET_ID)
			continue;
		if (blk_run(type, 0, i % 2 ? data : 0, i % 2 ? 512 : 0) != UNSUPP)
			return "a type that is unknown is taken";
	}
	return is_broken() ? "the device has broken" : NULL;
}

/* The last byte that may be written is the status, wherever that is. */
static const char *status_places(void)
{
	volatile uint8_t *last = (volatile uint8_t *)(uintptr_t)(RAM_END - 1);
	struct used_element e;

	*last = BLK_UNTOUCHED;
	blk_prepare(0, FLUSH, 0, 0, 0);
	blk_desc(1, RAM_END - 1, 1, WRITE);
	offer(0, 0);
	kick(0);
	if (!wait_used(0, &e) || *last != OK || e.len != 1)
		return "not at the end of memory";
	blk_prepare(0, IN, 0, data, 512); /* on its own header, and in the data */
	blk_desc(2, (uintptr_t)&blk_request[0].head, 1, WRITE);
	offer(0, 0);
	kick(0);
	if (!wait_used(0, &e) || e.len != 513)
		return "not on the header";
	blk_prepare(0, IN, capacity(), data, 512);
	blk_desc(2, (uintptr_t)data + 100, 1, WRITE);
	offer(0, 0);
	kick(0);
	return wait_used(0, &e) && data[100] == IOERR && e.len == 1 ? NULL : "not in the data";
}

/* What is read comes where the rings are. Nobody knows what the driver has asked for then. */
static const char *reads_into_rings(void)
{
	void *const places[] = { (void *)queue[0].desc, &queue[0].avail, &queue[0].used };
	unsigned round, n;

	for (round = 0; round < 60; round++) {
		start(round & 1 ? ALL : BASIC);
		memset(data, round % 4 ? random32() : 0, 4096);
		blk_run(OUT, 0, data, 4096);
		for (n = 0; n < 16; n++) {
			blk_prepare(n, IN, 0, places[round % 3], 512);
			offer(0, 4 * n);
		}
		kick(0);
	}
	return NULL;
}

static void load(unsigned requests, uint32_t len)
{
	unsigned n;

	for (n = 0; n < requests; n++) {
		blk_prepare(n, n % 7 == 6 ? FLUSH : n % 2 ? OUT : IN, random32() % 1024, data,
			    n % 7 == 6 ? 0 : len);
		offer(0, 4 * n);
	}
	kick(0);
}

static const char *resets_under_load(void)
{
	unsigned i;

	for (i = 0; i < 200; i++) {
		start(i & 1 ? ALL : BASIC);
		load(32, i % 3 ? DATA_SIZE : 4096);
		if (i % 5 == 0)
			set_reg(VIRTIO_MMIO_STATUS, 0);
	}
	return NULL;
}

/* Headers, segments and descriptors change while the device looks at them. */
static const char *flickering(void)
{
	volatile struct segment *list = (volatile struct segment *)(void *)(data + 4096);
	unsigned round, i, n;

	for (round = 0; round < 200; round++) {
		if (is_broken() || round % 40 == 0)
			start(round & 1 ? ALL : BASIC);
		load(16, 65536);
		for (n = 16; n < 32; n++) {
			blk_prepare(n, n % 2 ? DISCARD : ZEROES, 0, data + 4096, 512);
			offer(0, 4 * n);
		}
		kick(0);
		for (i = 0; i < 200; i++) {
			n = random32() % 32;
			switch (random32() % 6) {
			case 0: blk_request[n].head.type = random32() % 16; break;
			case 1: blk_request[n].head.sector = random32() << random32() % 20; break;
			case 2: queue[0].desc[4 * n + 1].len = random32() % 70000; break;
			case 3: queue[0].desc[4 * n + 2].flags = random32() % 8; break;
			case 4: list[random32() % 32].sectors = random32() % 4096; break;
			default: list[random32() % 32].sector = random32() >> random32() % 32;
			}
		}
	}
	return NULL;
}

/* The cache goes on and off while it is written; and by drivers that have not asked for that. */
static const char *cache_flips(void)
{
	volatile uint8_t *wce = config + offsetof(struct virtio_blk_config, wce);
	unsigned i;

	for (i = 0; i < 100; i++) {
		if (i % 20 == 0)
			start(i % 40 ? BASIC : ALL);
		blk_prepare(0, OUT, i, data, 4096);
		offer(0, 0);
		kick(0);
		*wce = random32();
		if (*wce > 1)
			return "the cache is neither on nor off";
		if (!wait_used(0, NULL) || blk_request[0].status != OK)
			return "a write fails";
	}
	return NULL;
}

/* As many as the ring has, all of the same chain. */
static const char *one_head_for_all(void)
{
	unsigned i;

	blk_prepare(0, OUT, 0, data, DATA_SIZE);
	for (i = 0; i < entries; i++)
		offer(0, 0);
	kick(0);
	for (i = 0; i < entries; i++)
		if (!wait_used(0, NULL))
			return "one has no answer";
	return blk_request[0].status == OK ? NULL : "they fail";
}

static const struct misdeed blk_misdeeds[] = {
	{ "crumbs", crumbs, ALL },
	{ "two in one descriptor", two_in_one, ALL },
	{ "nothing to answer", nothing_to_answer },
	{ "long chains", long_chains },
	{ "out of range", out_of_range, ALL },
	{ "lengths", lengths, ALL },
	{ "segments", segments, ALL },
	{ "not accepted", not_accepted },
	{ "places of the status", status_places, ALL },
	{ "reads into the rings", reads_into_rings },
	{ "resets under load", resets_under_load },
	{ "flickering requests", flickering },
	{ "cache flips", cache_flips },
	{ "one head for all", one_head_for_all, ALL },
	{ 0 }
};

void play_blk(void)
{
	const struct misdeed *m;
	const char *why;

	if (!blk_find())
		return;
	for (m = blk_misdeeds; m->name; m++) {
		start(m->features ? m->features : BASIC);
		why = m->play();
		report("blk", m->name, why ? why : check_blk());
	}
	reset();
}
