/* SPDX-License-Identifier: MIT */
#include "tests/unit/blk_host_fixture.h"

#include "tests/lib/stderr.h"

Suite *blk_host_suite(void);

static struct stderr_text said;

#define F(name) VIRTIO_BIT(VIRTIO_BLK_F_##name)
#define RING (VIRTIO_BIT(VIRTIO_RING_F_EVENT_IDX) | VIRTIO_BIT(VIRTIO_RING_F_INDIRECT_DESC))

static const struct {
	uint64_t features;
	bool direct;
} modes[] = {
	{ ~0ull, false },
	{ ~0ull, true },
	{ 0, true },
	{ VIRTIO_BIT(VIRTIO_RING_F_EVENT_IDX), true },
	{ VIRTIO_BIT(VIRTIO_RING_F_INDIRECT_DESC), false },
};

START_TEST(end_to_end)
{
	unsigned q;

	start_with(modes[_i].features);
	v.direct = modes[_i].direct;
	for (q = 0; q < QUEUES; q++)
		use_disk(q);
}
END_TEST

/* §5.2.6: lengths, places, directions, types. */
static const struct {
	uint32_t type;
	uint64_t sector;
	size_t out, in;
	uint8_t status;
	uint32_t used;
} rows[] = {
	{ VIRTIO_BLK_T_IN, 0, 0, 512, OK, 513 },
	{ VIRTIO_BLK_T_IN, SECTORS - 1, 0, 512, OK, 513 },
	{ VIRTIO_BLK_T_IN, SECTORS, 0, 512, IOERR, 1 },
	{ VIRTIO_BLK_T_IN, SECTORS - 1, 0, 1024, IOERR, 1 },
	{ VIRTIO_BLK_T_IN, UINT64_MAX, 0, 512, IOERR, 1 },
	{ VIRTIO_BLK_T_IN, UINT64_MAX / 512, 0, 512, IOERR, 1 },
	{ VIRTIO_BLK_T_IN, UINT64_MAX / 512 + 1, 0, 512, IOERR, 1 }, /* is 0 in 64 bits */
	{ VIRTIO_BLK_T_IN, 0, 0, 511, IOERR, 1 },
	{ VIRTIO_BLK_T_IN, 0, 0, 1, IOERR, 1 },
	{ VIRTIO_BLK_T_IN, 0, 0, 0, OK, 1 },
	{ VIRTIO_BLK_T_IN, 0, 512, 0, IOERR, 1 },
	{ VIRTIO_BLK_T_IN, 0, 512, 512, IOERR, 1 },
	{ VIRTIO_BLK_T_OUT, 0, 512, 0, OK, 1 },
	{ VIRTIO_BLK_T_OUT, SECTORS - 1, 512, 0, OK, 1 },
	{ VIRTIO_BLK_T_OUT, SECTORS, 512, 0, IOERR, 1 },
	{ VIRTIO_BLK_T_OUT, SECTORS - 1, 1024, 0, IOERR, 1 },
	{ VIRTIO_BLK_T_OUT, UINT64_MAX, 512, 0, IOERR, 1 },
	{ VIRTIO_BLK_T_OUT, 0, 513, 0, IOERR, 1 },
	{ VIRTIO_BLK_T_OUT, 0, 512, 512, IOERR, 1 },
	{ VIRTIO_BLK_T_OUT, 0, 0, 0, OK, 1 },
	{ VIRTIO_BLK_T_FLUSH, 0, 0, 0, OK, 1 },
	{ VIRTIO_BLK_T_FLUSH, 77, 0, 0, OK, 1 },
	{ VIRTIO_BLK_T_FLUSH, 0, 512, 0, OK, 1 }, /* data that it SHOULD NOT have */
	{ VIRTIO_BLK_T_GET_ID, 0, 0, 20, OK, 21 },
	{ VIRTIO_BLK_T_GET_ID, 0, 0, 19, IOERR, 1 },
	{ VIRTIO_BLK_T_GET_ID, 0, 0, 21, IOERR, 1 },
	{ VIRTIO_BLK_T_GET_ID, 0, 0, 0, IOERR, 1 },
	{ VIRTIO_BLK_T_GET_ID, 0, 20, 0, IOERR, 1 },
	{ VIRTIO_BLK_T_DISCARD, 0, 0, 0, IOERR, 1 },
	{ VIRTIO_BLK_T_DISCARD, 0, 15, 0, IOERR, 1 },
	{ VIRTIO_BLK_T_DISCARD, 0, 17, 0, IOERR, 1 },
	{ VIRTIO_BLK_T_DISCARD, 0, 16, 16, IOERR, 1 },
	{ VIRTIO_BLK_T_DISCARD, 0, 16, 0, OK, 1 }, /* of zeroes: no sector */
	{ VIRTIO_BLK_T_DISCARD, 0, 16 * BLK_HOST_SEGMENTS_MAX, 0, OK, 1 },
	{ VIRTIO_BLK_T_DISCARD, 0, 16 * (BLK_HOST_SEGMENTS_MAX + 1), 0, IOERR, 1 },
	{ VIRTIO_BLK_T_WRITE_ZEROES, 0, 0, 0, IOERR, 1 },
	{ VIRTIO_BLK_T_WRITE_ZEROES, 0, 16, 0, OK, 1 },
	{ VIRTIO_BLK_T_WRITE_ZEROES, 0, 16 * (BLK_HOST_SEGMENTS_MAX + 1), 0, IOERR, 1 },
	{ VIRTIO_BLK_T_SECURE_ERASE, 0, 16, 0, UNSUPP, 1 },
	{ 10, 0, 0, 6, UNSUPP, 1 }, /* GET_LIFETIME */
	{ 2, 0, 512, 0, UNSUPP, 1 },
	{ 15, 0, 512, 0, UNSUPP, 1 },
	{ VIRTIO_BLK_T_BARRIER, 0, 0, 512, UNSUPP, 1 },
	{ UINT32_MAX, 0, 0, 512, UNSUPP, 1 },
};

START_TEST(requests_by_the_clause)
{
	static uint8_t out[4096], in[4096];

	start();
	memset(ram->bytes, 'x', SECTORS * 512);
	check(blk_driver_run(&v, 1, rows[_i].type, rows[_i].sector, out, rows[_i].out, in,
			     rows[_i].in), rows[_i].status, rows[_i].used);
	if (rows[_i].status != OK) { /* and it has done nothing */
		ck_assert_uint_eq(in[0], 0);
		ck_assert_uint_eq(ram->nlog, 0);
		ck_assert_uint_eq(ram->bytes[0], 'x');
	}
	use_disk(1);
}
END_TEST

/* What is not negotiated is not there (§5.2.3). */
START_TEST(unsupported_without_its_feature)
{
	start_with(RING);
	check(blk_driver_run(&v, 0, VIRTIO_BLK_T_FLUSH, 0, NULL, 0, NULL, 0), UNSUPP, 1);
	check(blk_driver_range(&v, 0, VIRTIO_BLK_T_DISCARD, 0, 8, 0), UNSUPP, 1);
	check(blk_driver_range(&v, 0, VIRTIO_BLK_T_WRITE_ZEROES, 0, 8, 0), UNSUPP, 1);
	ck_assert_uint_eq(ram->nlog, 0);
}
END_TEST

/* A request without header or status cannot be answered: the device breaks, and is revived. */
static const struct {
	size_t header, in;
	bool has_status;
} too_short[] = {
	{ 1, 0, true }, { 15, 0, true }, { 15, 512, true }, { 16, 0, false }, { 1, 0, false },
};

START_TEST(headers_too_short)
{
	uint8_t header[BLK_HEADER] = { 0 }, in[512];
	struct blk_answer a;

	start();
	stderr_begin(&said);
	a = blk_driver_raw(&v, 2, header, too_short[_i].header, NULL, 0, in, too_short[_i].in,
			   too_short[_i].has_status);
	ck_assert(a.used == 0 || a.used == -EIO);
	ck_assert_uint_eq(a.status, a.used || !too_short[_i].has_status ? BLK_DRIVER_UNTOUCHED : 0);
	ck_assert(vdriver_status(&v) & VIRTIO_CONFIG_S_NEEDS_RESET);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said),
				     "blk0: queue 2: request shorter than its headers"));
	start();
	use_disk(2);
}
END_TEST

/* Any cut of a request into descriptors gives the same answer. */
START_TEST(shatter)
{
	unsigned i;

	start();
	v.direct = _i;
	for (i = 1; i <= 150; i++) {
		v.shatter = i * 2654435761u;
		use_disk(i % QUEUES);
	}
}
END_TEST

/* Header and data in one descriptor, data and status in one; and each side cut at every byte. */
START_TEST(every_border)
{
	uint8_t out[BLK_HEADER + 512], in[512 + 1];
	struct iovec o[2], i[2];
	unsigned cut;

	start();
	for (cut = 0; cut <= sizeof(out); cut++) {
		blk_driver_header(out, VIRTIO_BLK_T_OUT, cut % 8);
		memset(out + BLK_HEADER, (int)cut + 1, 512);
		o[0] = (struct iovec){ out, cut };
		o[1] = (struct iovec){ out + cut, sizeof(out) - cut };
		i[0] = (struct iovec){ in + 512, 1 };
		ck_assert_int_eq(vdriver_request(&v, 2, o, 2, i, 1, 5000), 1);
		ck_assert_uint_eq(in[512], OK);
		blk_driver_header(out, VIRTIO_BLK_T_IN, cut % 8);
		o[0] = (struct iovec){ out, BLK_HEADER };
		i[0] = (struct iovec){ in, cut < sizeof(in) ? cut : sizeof(in) };
		i[1] = (struct iovec){ in + i[0].iov_len, sizeof(in) - i[0].iov_len };
		ck_assert_int_eq(vdriver_request(&v, 2, o, 1, i, 2, 5000), sizeof(in));
		ck_assert_uint_eq(in[512], OK);
		ck_assert_uint_eq(in[0], (uint8_t)(cut + 1));
		ck_assert_uint_eq(in[511], (uint8_t)(cut + 1));
	}
}
END_TEST

/* §5.2.6.2: when a write is stable as it completes. */
static const struct {
	uint64_t features;
	bool writeback;
	unsigned flags;
} caches[] = {
	{ RING | F(FLUSH) | F(CONFIG_WCE), true, 0 },
	{ RING | F(FLUSH) | F(CONFIG_WCE), false, BLOCK_FUA },
	{ RING | F(FLUSH), true, 0 },
	{ RING | F(FLUSH), false, 0 }, /* the field is not there */
	{ RING, true, BLOCK_FUA },
	{ RING | F(CONFIG_WCE), true, BLOCK_FUA }, /* nobody could flush */
};

START_TEST(durable_when_promised)
{
	uint8_t data[512] = { 0 };
	unsigned i;

	start_with(caches[_i].features | F(DISCARD) | F(WRITE_ZEROES));
	atomic_store(&host.writeback, caches[_i].writeback);
	ck_assert(blk_host_has_cache(&host) == !caches[_i].flags);
	check(blk_driver_rw(&v, 0, true, 3, data, 512), OK, 1);
	check(blk_driver_range(&v, 0, VIRTIO_BLK_T_DISCARD, 0, 8, 0), OK, 1);
	check(blk_driver_range(&v, 0, VIRTIO_BLK_T_WRITE_ZEROES, 0, 8, 0), OK, 1);
	check(blk_driver_rw(&v, 0, false, 3, data, 512), OK, 513);
	ck_assert_uint_eq(ram->nlog, 4);
	for (i = 0; i < 3; i++)
		ck_assert_uint_eq(ram->log[i].flags, caches[_i].flags);
	ck_assert_uint_eq(ram->log[3].flags, 0);
}
END_TEST

/* One segment each, and whether it may give space back. */
static const struct {
	uint32_t type;
	uint64_t sector;
	uint32_t sectors, flags;
	bool discard;
	uint8_t status;
	unsigned done; /* flags of the store's request */
} ranges[] = {
	{ VIRTIO_BLK_T_DISCARD, 8, 16, 0, true, OK, 0 },
	{ VIRTIO_BLK_T_DISCARD, 0, SECTORS, 0, true, OK, 0 },
	{ VIRTIO_BLK_T_DISCARD, 1, SECTORS, 0, true, IOERR, 0 },
	{ VIRTIO_BLK_T_DISCARD, SECTORS, 1, 0, true, IOERR, 0 },
	{ VIRTIO_BLK_T_DISCARD, UINT64_MAX / 512 + 1, 1, 0, true, IOERR, 0 },
	{ VIRTIO_BLK_T_DISCARD, UINT64_MAX, 1, 0, true, IOERR, 0 },
	{ VIRTIO_BLK_T_DISCARD, 0, UINT32_MAX, 0, true, IOERR, 0 },
	{ VIRTIO_BLK_T_DISCARD, 0, 8, 1, true, UNSUPP, 0 },
	{ VIRTIO_BLK_T_DISCARD, SECTORS, 8, 1, true, UNSUPP, 0 }, /* whatever else is wrong */
	{ VIRTIO_BLK_T_DISCARD, 0, 8, 2, true, UNSUPP, 0 },
	{ VIRTIO_BLK_T_WRITE_ZEROES, 8, 16, 0, true, OK, 0 },
	{ VIRTIO_BLK_T_WRITE_ZEROES, 8, 16, 1, true, OK, BLOCK_MAY_UNMAP },
	{ VIRTIO_BLK_T_WRITE_ZEROES, 8, 16, 1, false, OK, 0 },
	{ VIRTIO_BLK_T_WRITE_ZEROES, 8, 16, 2, true, UNSUPP, 0 },
	{ VIRTIO_BLK_T_WRITE_ZEROES, 8, 16, 0x80000001, true, UNSUPP, 0 },
	{ VIRTIO_BLK_T_WRITE_ZEROES, SECTORS - 1, 2, 0, true, IOERR, 0 },
};

START_TEST(ranges_by_the_clause)
{
	bool discards = ranges[_i].type == VIRTIO_BLK_T_DISCARD;

	start();
	host.discard = ranges[_i].discard;
	memset(ram->bytes, 'x', SECTORS * 512);
	check(blk_driver_range(&v, 0, ranges[_i].type, ranges[_i].sector, ranges[_i].sectors,
			       ranges[_i].flags), ranges[_i].status, 1);
	if (ranges[_i].status != OK) {
		ck_assert_uint_eq(ram->nlog, 0);
		return;
	}
	ck_assert_uint_eq(ram->nlog, 1);
	ck_assert_uint_eq(ram->log[0].io, discards ? BLOCK_DISCARD : BLOCK_ZERO);
	ck_assert_uint_eq(ram->log[0].flags, ranges[_i].done);
	ck_assert_uint_eq(ram->log[0].off, ranges[_i].sector * 512);
	ck_assert_uint_eq(ram->log[0].len, ranges[_i].sectors * 512ull);
	ck_assert_uint_eq(ram->bytes[ranges[_i].sector * 512], 0);
}
END_TEST

/* One after the other, those of no sector left out; and none is done if one of them is wrong. */
START_TEST(several_segments)
{
	uint8_t raw[5 * 16];
	unsigned i;

	start();
	for (i = 0; i < 5; i++)
		blk_driver_segment(raw + 16 * i, 100 * i, i == 2 ? 0 : i + 1, 0);
	check(blk_driver_run(&v, 3, VIRTIO_BLK_T_DISCARD, 0, raw, sizeof(raw), NULL, 0), OK, 1);
	ck_assert_uint_eq(ram->nlog, 4);
	ck_assert_uint_eq(ram->log[2].off, 300 * 512);
	ck_assert_uint_eq(ram->log[3].len, 5 * 512);
	blk_driver_segment(raw + 16 * 4, SECTORS, 1, 0);
	check(blk_driver_run(&v, 3, VIRTIO_BLK_T_DISCARD, 0, raw, sizeof(raw), NULL, 0), IOERR, 1);
	blk_driver_segment(raw + 16, 0, 1, 4); /* behind it, an unknown flag */
	check(blk_driver_run(&v, 3, VIRTIO_BLK_T_DISCARD, 0, raw, sizeof(raw), NULL, 0), UNSUPP, 1);
	ck_assert_uint_eq(ram->nlog, 4);
	/* The second of two fails. */
	ram->fail_at = 2;
	ram->fail_with = -EIO;
	check(blk_driver_run(&v, 3, VIRTIO_BLK_T_WRITE_ZEROES, 0, raw + 32, 32, NULL, 0), OK, 1);
	blk_driver_segment(raw + 16, 8, 1, 0);
	check(blk_driver_run(&v, 3, VIRTIO_BLK_T_WRITE_ZEROES, 0, raw, 32, NULL, 0), IOERR, 1);
	ck_assert_uint_eq(ram->nlog, 6);
}
END_TEST

/* Units are sectors whatever the block size is; a request of half a block is refused (§5.2.6). */
START_TEST(blocks_of_4096)
{
	static uint8_t data[8192];

	start();
	host.block_size = 4096;
	check(blk_driver_rw(&v, 0, true, 8, data, 4096), OK, 1);
	check(blk_driver_rw(&v, 0, true, 8, data, 8192), OK, 1);
	check(blk_driver_rw(&v, 0, true, 4, data, 4096), IOERR, 1);
	check(blk_driver_rw(&v, 0, true, 8, data, 512), IOERR, 1);
	check(blk_driver_rw(&v, 0, false, 9, data, 512), IOERR, 1);
	check(blk_driver_range(&v, 0, VIRTIO_BLK_T_WRITE_ZEROES, 0, 7, 0), IOERR, 1);
	check(blk_driver_range(&v, 0, VIRTIO_BLK_T_WRITE_ZEROES, 8, 8, 0), OK, 1);
}
END_TEST

START_TEST(read_only)
{
	uint8_t data[512];

	ram->block.readonly = true;
	start();
	memset(data, 'w', sizeof(data));
	check(blk_driver_rw(&v, 0, true, 0, data, 512), IOERR, 1);
	check(blk_driver_run(&v, 0, VIRTIO_BLK_T_FLUSH, 0, NULL, 0, NULL, 0), OK, 1);
	check(blk_driver_rw(&v, 0, false, 0, data, 512), OK, 513);
	ck_assert_uint_eq(data[0], 0);
}
END_TEST

START_TEST(store_errors)
{
	static const int errors[] = { -EIO, -ENOSPC, -ENODATA, -EROFS, -ETIMEDOUT };
	struct block_counters c = { 0 };
	uint8_t data[512];
	unsigned i;

	start();
	for (i = 0; i < ARRAY_SIZE(errors); i++) {
		ram->fail_at = 1;
		ram->fail_with = errors[i];
		check(blk_driver_rw(&v, 2, i & 1, i, data, 512), IOERR, 1);
	}
	ram->fail_at = 1;
	check(blk_driver_run(&v, 2, VIRTIO_BLK_T_FLUSH, 0, NULL, 0, NULL, 0), IOERR, 1);
	use_disk(2);
	blk_host_count(&host, &c);
	ck_assert_uint_eq(c.errors, ARRAY_SIZE(errors) + 1);
	ck_assert_uint_eq(c.commands, ARRAY_SIZE(errors) + 5);
	ck_assert_uint_eq(c.flushes, 1);
}
END_TEST

/* Of all queues, and after a reset, too. */
START_TEST(counted)
{
	struct block_counters c = { 0 };
	uint64_t sum = 0;
	unsigned q;

	start();
	for (q = 0; q < QUEUES; q++)
		use_disk(q);
	vdriver_reset(&v);
	start();
	check(blk_driver_range(&v, 1, VIRTIO_BLK_T_DISCARD, 0, 8, 0), OK, 1);
	blk_host_count(&host, &c);
	ck_assert_uint_eq(c.commands, 4 * QUEUES + 1);
	ck_assert_uint_eq(c.errors, 0);
	ck_assert_uint_eq(c.reads, QUEUES);
	ck_assert_uint_eq(c.writes, QUEUES);
	ck_assert_uint_eq(c.read, QUEUES * 5 * 512);
	ck_assert_uint_eq(c.written, QUEUES * 5 * 512);
	ck_assert_uint_eq(c.flushes, QUEUES);
	ck_assert_uint_eq(c.unmapped, 4096);
	for (q = 0; q < BLOCK_LATENCIES; q++)
		sum += c.latency[q];
	ck_assert_uint_eq(sum, c.commands);
}
END_TEST

/* A store gets no more than 32 MiB at a time, however much a driver asks for. */
START_TEST(large_request)
{
	struct driver_buf buf[42];
	uint8_t header[BLK_HEADER];
	uint64_t gpa = testbed_alloc(&tb, MIB(1), 4096), at = testbed_alloc(&tb, 32, 16);
	uint16_t head;
	uint32_t len;
	unsigned i;

	ramstore_close(ram);
	ram = ramstore_open(MIB(48));
	host.block = &ram->block;
	start();
	blk_driver_header(header, _i ? VIRTIO_BLK_T_OUT : VIRTIO_BLK_T_IN, 2);
	mem_write(&tb.mem, at, header, sizeof(header));
	buf[0] = (struct driver_buf){ at, sizeof(header), false };
	for (i = 1; i <= 40; i++)
		buf[i] = (struct driver_buf){ gpa, MIB(1), !_i };
	buf[41] = (struct driver_buf){ at + 16, 1, true };
	ck_assert_int_ge(driver_add(&v.queue[0].ring, buf, 42, testbed_alloc(&tb, 42 * 16, 16)), 0);
	vdriver_kick(&v, 0);
	ck_assert_int_eq(vdriver_wait_used(&v, 0, &head, &len, 5000), 0);
	ck_assert_uint_eq(len, _i ? 1 : MIB(40) + 1);
	ck_assert_uint_eq(ram->nlog, 2);
	ck_assert_uint_eq(ram->log[0].off, 1024);
	ck_assert_uint_eq(ram->log[0].len, MIB(32));
	ck_assert_uint_eq(ram->log[1].off, MIB(32) + 1024);
	ck_assert_uint_eq(ram->log[1].len, MIB(8));
}
END_TEST

/* Requests by chance, and what the clause makes of them; the disk is as a copy of it says. */

static uint8_t disk[SECTORS * 512];

static bool inside(uint64_t sector, uint64_t bytes)
{
	return sector <= SECTORS && bytes % 512 == 0 && bytes / 512 <= SECTORS - sector;
}

static uint8_t zeroed(uint32_t type, const uint8_t *out, size_t len)
{
	bool bad = !len || len % 16 || len / 16 > BLK_HOST_SEGMENTS_MAX;
	size_t i;

	for (i = 0; !bad && i < len; i += 16)
		if (le32_get(out + i + 12) & ~(type == VIRTIO_BLK_T_DISCARD ? 0u : 1u))
			return UNSUPP;
	for (i = 0; !bad && i < len; i += 16)
		bad = !inside(le64_get(out + i), le32_get(out + i + 8) * 512ull);
	for (i = 0; !bad && i < len; i += 16)
		memset(disk + le64_get(out + i) * 512, 0, le32_get(out + i + 8) * 512ull);
	return bad ? IOERR : OK;
}

static uint8_t predict(uint32_t type, uint64_t sector, const uint8_t *out, size_t nout, size_t nin)
{
	switch (type) {
	case VIRTIO_BLK_T_IN:
		return nout || !inside(sector, nin) ? IOERR : OK;
	case VIRTIO_BLK_T_OUT:
		if (nin || !inside(sector, nout))
			return IOERR;
		if (nout)
			memcpy(disk + sector * 512, out, nout);
		return OK;
	case VIRTIO_BLK_T_FLUSH:
		return OK;
	case VIRTIO_BLK_T_GET_ID:
		return nin == 20 && !nout ? OK : IOERR;
	case VIRTIO_BLK_T_DISCARD:
	case VIRTIO_BLK_T_WRITE_ZEROES:
		return nin ? IOERR : zeroed(type, out, nout);
	default:
		return UNSUPP;
	}
}

static size_t some_length(uint32_t *seed)
{
	static const size_t lengths[] = { 0, 0, 0, 1, 16, 20, 32, 48, 511, 512, 512, 1024, 2048 };

	return lengths[driver_random(seed) % ARRAY_SIZE(lengths)];
}

static uint64_t some_sector(uint32_t *seed)
{
	uint32_t x = driver_random(seed);

	return x % 8 ? x / 8 % (SECTORS + 4) : (uint64_t)x << (x / 8 % 40);
}

static void fill(uint8_t *out, size_t len, uint32_t *seed)
{
	size_t i;

	for (i = 0; i < len; i++)
		out[i] = (uint8_t)driver_random(seed);
	for (i = 0; i + 16 <= len && driver_random(seed) % 8; i += 16)
		blk_driver_segment(out + i, some_sector(seed), driver_random(seed) % 16,
				   driver_random(seed) % 8 ? 0 : driver_random(seed) % 4);
}

START_TEST(by_chance)
{
	static uint8_t out[2048], in[2048];
	uint32_t seed = 77 + (uint32_t)_i * 1000003;
	unsigned i;

	start();
	memset(disk, 0, sizeof(disk));
	for (i = 0; i < 400; i++) {
		uint32_t type = driver_random(&seed) % 17;
		uint64_t sector = some_sector(&seed);
		size_t nout = some_length(&seed), nin = some_length(&seed);
		uint8_t status;
		bool gets;

		if (driver_random(&seed) % 4) /* one direction, mostly */
			nout = type & 1 ? nout : 0, nin = type & 1 ? 0 : nin;
		fill(out, nout, &seed);
		status = predict(type, sector, out, nout, nin);
		v.shatter = driver_random(&seed) % 3 ? 0 : driver_random(&seed);
		gets = status == OK && (type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_GET_ID);
		check(blk_driver_run(&v, i % QUEUES, type, sector, out, nout, in, nin), status,
		      1 + (gets ? (uint32_t)nin : 0));
		if (status == OK && type == VIRTIO_BLK_T_IN && nin)
			ck_assert_mem_eq(in, disk + sector * 512, nin);
	}
	ck_assert_mem_eq(ram->bytes, disk, sizeof(disk));
}
END_TEST

static void add_tests(TCase *tc, SFun set_up_on)
{
	tcase_add_checked_fixture(tc, set_up_on, tear_down);
	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, end_to_end, 0, ARRAY_SIZE(modes));
	tcase_add_loop_test(tc, requests_by_the_clause, 0, ARRAY_SIZE(rows));
	tcase_add_test(tc, unsupported_without_its_feature);
	tcase_add_loop_test(tc, headers_too_short, 0, ARRAY_SIZE(too_short));
	tcase_add_loop_test(tc, shatter, 0, 2);
	tcase_add_test(tc, every_border);
	tcase_add_loop_test(tc, durable_when_promised, 0, ARRAY_SIZE(caches));
	tcase_add_loop_test(tc, ranges_by_the_clause, 0, ARRAY_SIZE(ranges));
	tcase_add_test(tc, several_segments);
	tcase_add_test(tc, blocks_of_4096);
	tcase_add_test(tc, read_only);
	tcase_add_test(tc, store_errors);
	tcase_add_test(tc, counted);
	tcase_add_loop_test(tc, large_request, 0, 2);
	tcase_add_loop_test(tc, by_chance, 0, unit_rows(8));
}

Suite *blk_host_suite(void)
{
	Suite *s = suite_create("blk_host");

	add_tests(unit_case(s, "pci"), set_up_pci);
	add_tests(unit_case(s, "mmio"), set_up_mmio);
	return s;
}

UNIT_MAIN(blk_host_suite)
