/* SPDX-License-Identifier: MIT */
/* Chains, indirect tables, indices and ring addresses that break the rules of virtio 1.3 §2.7. */
#include "tests/hostile/misdeeds.h"

static volatile struct desc *const ring = queue[REQUEST].desc;
static const uint8_t test_unit_ready[6];

static void put(volatile struct desc *d, uint64_t addr, uint32_t len, uint16_t flags, uint16_t next)
{
	d->addr = addr;
	d->len = len;
	d->flags = flags;
	d->next = next;
}

/* The device has to notice, and must not give the chain back as if it were done. */
static const char *breaks(uint16_t head)
{
	uint64_t begin = cycles();

	offer(REQUEST, head);
	kick(REQUEST);
	while (!is_broken())
		if (cycles() - begin > 10000000000ull)
			return "DEVICE_NEEDS_RESET is not set";
	return NULL;
}

static const char *loop_of_one(void)
{
	put(&ring[0], (uintptr_t)data, 1, NEXT, 0);
	return breaks(0);
}

static const char *loop_of_empty(void)
{
	unsigned i;

	for (i = 0; i < QUEUE_MAX; i++)
		put(&ring[i], 0, 0, NEXT, (i + 1) % QUEUE_MAX);
	return breaks(7);
}

static const char *head_out_of_range(void)
{
	return breaks(0xffff);
}

static const char *next_out_of_range(void)
{
	put(&ring[0], (uintptr_t)data, 16, NEXT, QUEUE_MAX);
	return breaks(0);
}

static const char *too_many_pieces(void)
{
	unsigned i;

	for (i = 0; i < QUEUE_MAX; i++)
		put(&ring[i], (uintptr_t)data + i, 1, i < 255 ? NEXT : 0, i + 1);
	return breaks(0);
}

static const char *readable_after_writable(void)
{
	put(&ring[0], (uintptr_t)data, 128, NEXT | WRITE, 1);
	put(&ring[1], (uintptr_t)data, 128, 0, 0);
	return breaks(0);
}

static const char *all_empty(void)
{
	put(&ring[0], 0, 0, NEXT, 1);
	put(&ring[1], 0, 0, WRITE, 0);
	return breaks(0);
}

/* Where there is no memory, or not enough of it. */
static const struct place {
	uint64_t addr;
	uint32_t len;
} nowhere[] = {
	{ RAM_END, 1 },
	{ RAM_END - 1, 2 },
	{ RAM_END - 51, 0xffffffff },
	{ 0, 0xffffffff },
	{ WINDOW, 64 },
	{ WINDOW + 0x50, 4 },
	{ 0xc0000000, 4096 },
	{ 0xfec00000, 4096 },
	{ 0xfee00000, 4096 },
	{ 0xffffffff, 2 },
	{ 0x100000000, 1 },
	{ 0x7fffffffffffffff, 1 },
	{ 0x8000000000000000, 4096 },
	{ 0xfffffffffffffff0, 16 },
	{ 0xfffffffffffffff0, 0xffffffff },
	{ 0xffffffffffffffff, 1 },
	{ 0 }
};

static const char *buffers_outside_memory(void)
{
	const struct place *p;
	unsigned i;

	for (p = nowhere; p->len; p++) {
		for (i = 0; i < 3; i++) {
			start(BASIC);
			prepare(0, 0, test_unit_ready, 6, true, (uintptr_t)data, 512);
			ring[i].addr = p->addr;
			ring[i].len = p->len;
			if (breaks(0))
				return "a buffer outside memory is taken";
		}
	}
	return NULL;
}

static const char *chain_of_more_than_4_gib(void)
{
	unsigned i;

	for (i = 0; i < 120; i++)
		put(&ring[i], 0, (uint32_t)RAM_END, i < 119 ? NEXT : 0, i + 1);
	return breaks(0);
}

static const char *index_jumps(void)
{
	static const uint16_t jumps[] = { QUEUE_MAX + 1, 0x7fff, 0x8000, 0xffff };
	unsigned i;

	for (i = 0; i < sizeof(jumps) / sizeof(jumps[0]); i++) {
		start(BASIC);
		prepare(0, 0, test_unit_ready, 6, false, 0, 0);
		queue[REQUEST].avail.idx = jumps[i] - 1;
		if (breaks(0))
			return "more chains than the ring holds are taken";
	}
	return NULL;
}

static const char *index_goes_back(void)
{
	if (!run(0, test_unit_ready, 6, false, 0, 0) || !run(0, test_unit_ready, 6, false, 0, 0))
		return "no answer";
	queue[REQUEST].avail.idx = 0;
	return breaks(0);
}

/* The same chain as often as the ring has entries: answered as often. */
static const char *head_replayed(void)
{
	unsigned i;

	prepare(0, 0, test_unit_ready, 6, false, 0, 0);
	for (i = 0; i < QUEUE_MAX; i++)
		offer(REQUEST, 0);
	kick(REQUEST);
	for (i = 0; i < QUEUE_MAX; i++)
		if (!wait_used(REQUEST, NULL))
			return "not all are answered";
	return NULL;
}

static const char *indirect_not_negotiated(void)
{
	put(&ring[0], (uintptr_t)&ring[4], 32, INDIRECT, 0);
	return breaks(0);
}

static const char *indirect_tables(void)
{
	static _Alignas(16) volatile struct desc table[4];
	const struct place *p;
	static const uint32_t lengths[] = { 0, 1, 15, 17, 31, 0xffffffff, 0xfffffff0 };
	unsigned i;

	for (i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		start(EVERYTHING);
		put(&ring[0], (uintptr_t)table, lengths[i], INDIRECT, 0);
		if (breaks(0))
			return "a table of an odd length is taken";
	}
	for (p = nowhere; p->len; p++) {
		start(EVERYTHING);
		put(&ring[0], p->addr, p->len & ~15u ? p->len & ~15u : 16, INDIRECT, 0);
		if (breaks(0))
			return "a table outside memory is taken";
	}
	start(EVERYTHING);
	put(&table[0], (uintptr_t)table, sizeof(table), INDIRECT, 0);
	put(&ring[0], (uintptr_t)table, sizeof(table), INDIRECT, 0);
	if (breaks(0))
		return "a table in a table is taken";
	start(EVERYTHING);
	put(&ring[0], (uintptr_t)table, sizeof(table), INDIRECT | NEXT, 1);
	put(&ring[1], (uintptr_t)data, 16, 0, 0);
	if (breaks(0))
		return "a table that is not the last is taken";
	start(EVERYTHING);
	put(&table[0], 0, 0, NEXT, 0);
	put(&ring[0], (uintptr_t)table, sizeof(table), INDIRECT, 0);
	if (breaks(0))
		return "a loop in a table is taken";
	start(EVERYTHING);
	put(&table[0], 0, 0, NEXT, 4);
	put(&ring[0], (uintptr_t)table, sizeof(table), INDIRECT, 0);
	return breaks(0);
}

/* All of memory as a table, and a chain that visits what it likes of it. */
static const char *indirect_table_is_all_memory(void)
{
	unsigned i;

	for (i = 0; i < 200; i++) {
		start(EVERYTHING);
		put(&ring[0], random32() % RAM_END & ~15ull, 16, INDIRECT, 0);
		ring[0].len = RAM_END - ring[0].addr;
		offer(REQUEST, 0);
		kick(REQUEST);
	}
	return NULL;
}

/* The answer goes to the rings themselves: what the device then finds there is its own writing. */
static const char *answers_into_the_rings(void)
{
	const uint64_t target[] = {
		(uintptr_t)queue[REQUEST].desc, (uintptr_t)&queue[REQUEST].avail,
		(uintptr_t)&queue[REQUEST].used, (uintptr_t)&queue[CONTROL].used,
		(uintptr_t)&request[0],
	};
	static const uint8_t read[10] = { 0x28, [8] = 8 };
	unsigned i, n;

	for (i = 0; i < sizeof(target) / sizeof(target[0]); i++) {
		start(BASIC);
		for (n = 0; n < 32; n++) {
			prepare(n, 0, read, 10, true, target[i], 8 * 512);
			offer(REQUEST, 4 * n);
		}
		kick(REQUEST);
		for (n = 0; n < 200; n++)
			kick(n % QUEUES);
	}
	return NULL;
}

static const char *rings_in_one_another(void)
{
	unsigned i;

	for (i = 0; i < 64; i++) {
		reset();
		negotiate(i & 1 ? EVERYTHING : BASIC);
		set_queue(CONTROL, QUEUE_MAX, (uintptr_t)ring, (uintptr_t)ring, (uintptr_t)ring);
		set_queue(EVENT, 16, (uintptr_t)ring, (uintptr_t)ring + 2 * i,
			  (uintptr_t)ring + 4 * i);
		set_queue(REQUEST, QUEUE_MAX, (uintptr_t)ring + 16 * i, (uintptr_t)ring,
			  (uintptr_t)ring + 4 * (i / 2));
		set_reg(VIRTIO_MMIO_STATUS, 15);
		((volatile uint16_t *)ring)[1] = 1 + i;
		kick(REQUEST);
		kick(CONTROL);
		kick(EVENT);
	}
	return NULL;
}

static const char *random_rings(void)
{
	unsigned i, k;

	for (i = 0; i < 1000; i++) {
		if (is_broken() || i % 100 == 0)
			start(i & 1 ? EVERYTHING : BASIC);
		for (k = 0; k < 8; k++)
			put(&ring[k], random32() % 2 ? (uintptr_t)data + random32() % 4096 :
			    (uint64_t)random32() << random32() % 33,
			    random32() >> random32() % 32, random32() % 8, random32() % 9);
		queue[REQUEST].avail.flags = random32();
		queue[REQUEST].avail.used_event = random32();
		offer(REQUEST, random32() % 9);
		kick(REQUEST);
	}
	return NULL;
}

const struct misdeed ring_misdeeds[] = {
	{ "loop of one descriptor", loop_of_one },
	{ "loop of empty descriptors", loop_of_empty },
	{ "head out of range", head_out_of_range },
	{ "next out of range", next_out_of_range },
	{ "chain of too many pieces", too_many_pieces },
	{ "readable after writable", readable_after_writable },
	{ "chain without a byte", all_empty },
	{ "buffers outside memory", buffers_outside_memory },
	{ "chain of more than 4 GiB", chain_of_more_than_4_gib },
	{ "index jumps", index_jumps },
	{ "index goes back", index_goes_back },
	{ "head replayed", head_replayed },
	{ "indirect, not negotiated", indirect_not_negotiated },
	{ "bad indirect tables", indirect_tables },
	{ "indirect table of all memory", indirect_table_is_all_memory },
	{ "answers into the rings", answers_into_the_rings },
	{ "rings in one another", rings_in_one_another },
	{ "random rings", random_rings },
	{ 0 }
};
