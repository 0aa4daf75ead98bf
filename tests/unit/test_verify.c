/* SPDX-License-Identifier: MIT */
#include "tests/lib/scsi_run.h"

#include <errno.h>

#include "tests/unit/unit.h"
#include "vmm/core/loop.h"
#include "vmm/core/util.h"

Suite *verify_suite(void);

static struct scsi_rig rig;
static uint8_t out[512 * 512];

/* @out holds what the medium has from @lba on. */
static void like_medium(uint64_t lba)
{
	size_t i;

	for (i = 0; i < sizeof(out); i++)
		out[i] = rig_byte(lba * 512 + i);
}

static void setup(void)
{
	rig_init(&rig);
	like_medium(0);
}

static void teardown(void)
{
	rig_fini(&rig);
}

#define OVERRUN RIG_RESPONSE(SCSI_RESPONSE_OVERRUN)

static uint32_t information(void)
{
	ck_assert_uint_eq(rig.cmd.sense[0], 0xf0);
	return be32_get(rig.cmd.sense + 3);
}

/* VERIFY or WRITE AND VERIFY of all lengths. */
static uint32_t verify(uint8_t opcode, unsigned bytchk, uint64_t lba, uint32_t blocks, size_t len)
{
	uint8_t cdb[SCSI_CDB_MAX] = { opcode, (uint8_t)(bytchk << 1) };

	if (opcode >> 5 == 4) {
		be64_put(cdb + 2, lba);
		be32_put(cdb + 10, blocks);
	} else {
		be32_put(cdb + 2, (uint32_t)lba);
		if (opcode >> 5 == 5)
			be32_put(cdb + 6, blocks);
		else
			be16_put(cdb + 7, (uint16_t)blocks);
	}
	return scsi_run(&rig, cdb, out, len, NULL, 0);
}

static const uint8_t verifies[] = { 0x2f, 0xaf, 0x8f }, write_verifies[] = { 0x2e, 0xae, 0x8e };

START_TEST(verify_medium)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(verifies); i++) {
		rig.ram->nlog = 0;
		ck_assert_uint_eq(verify(verifies[i], 0, 3, 300, 0), 0);
		ck_assert_uint_eq(rig.cmd.moved, 0);
		/* It did look: 150 KiB in steps of 64. */
		ck_assert_uint_eq(rig.ram->nlog, 3);
		ck_assert_uint_eq(rig.ram->log[2].off, 3 * 512 + 2 * 65536);
		ck_assert_uint_eq(rig.ram->log[2].len, 300 * 512 - 2 * 65536);
		ck_assert_uint_eq(verify(verifies[i], 0, RIG_BLOCKS - 1, 2, 0), 0x052100);
		ck_assert_uint_eq(verify(verifies[i], 0, 0, 0, 0), 0);
	}
	ck_assert_uint_eq(verify(0x8f, 0, 1ull << 63, 1, 0), 0x052100);
	rig.ram->fail_at = 2;
	rig.ram->fail_with = -EIO;
	ck_assert_uint_eq(verify(0x2f, 0, 3, 300, 0), 0x031100);
}
END_TEST

START_TEST(verify_data)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(verifies); i++) {
		like_medium(3);
		ck_assert_uint_eq(verify(verifies[i], 1, 3, 300, 300 * 512), 0);
		ck_assert_uint_eq(rig.cmd.moved, 300 * 512);
		/* In the first step, in the last one, in the last byte. */
		out[700] ^= 1;
		ck_assert_uint_eq(verify(verifies[i], 1, 3, 300, 300 * 512), 0x0e1d00);
		ck_assert_uint_eq(information(), 700);
		ck_assert_uint_eq(rig.cmd.moved, 65536);
		out[700] ^= 1;
		out[300 * 512 - 1] ^= 0x80;
		ck_assert_uint_eq(verify(verifies[i], 1, 3, 300, 300 * 512), 0x0e1d00);
		ck_assert_uint_eq(information(), 300 * 512 - 1);
		ck_assert_uint_eq(rig.cmd.moved, 300 * 512);
	}
	ck_assert_uint_eq(verify(0x2f, 1, 3, 2, 1023), OVERRUN);
	ck_assert_uint_eq(rig.cmd.moved, 0);
	ck_assert_uint_eq(verify(0x2f, 2, 3, 2, 1024), 0x052400);
}
END_TEST

START_TEST(verify_one_block)
{
	size_t i;

	memset(out, 0x42, 512);
	out[511] = 0;
	for (i = 0; i < 300; i++)
		memcpy(rig.ram->bytes + i * 512, out, 512);
	for (i = 0; i < ARRAY_SIZE(verifies); i++) {
		ck_assert_uint_eq(verify(verifies[i], 3, 0, 300, 512), 0);
		ck_assert_uint_eq(rig.cmd.moved, 512);
		rig.ram->bytes[299 * 512 + 17] ^= 1;
		ck_assert_uint_eq(verify(verifies[i], 3, 0, 300, 512), 0x0e1d00);
		ck_assert_uint_eq(information(), 17);
		rig.ram->bytes[299 * 512 + 17] ^= 1;
	}
	ck_assert_uint_eq(verify(0x2f, 3, 0, 300, 511), OVERRUN);
}
END_TEST

START_TEST(write_and_verify)
{
	unsigned bytchk;
	size_t i;

	for (i = 0; i < 2 * ARRAY_SIZE(write_verifies); i++) {
		bytchk = i % 2;
		memset(out, (int)(0x10 + i), sizeof(out));
		rig.ram->nlog = 0;
		ck_assert_uint_eq(verify(write_verifies[i / 2], bytchk, 9, 200, 200 * 512), 0);
		ck_assert_uint_eq(rig.cmd.moved, 200 * 512);
		ck_assert_mem_eq(rig.ram->bytes + 9 * 512, out, 200 * 512);
		ck_assert_uint_eq(rig.ram->nlog, 3);
		ck_assert_uint_eq(rig.ram->log[0].io, BLOCK_WRITE);
		ck_assert_uint_eq(rig.ram->log[0].flags, BLOCK_FUA);
		ck_assert_uint_eq(rig.ram->log[1].io, BLOCK_READ);
	}
	ck_assert_uint_eq(verify(0x2e, 3, 9, 1, 512), 0x052400);
	ck_assert_uint_eq(verify(0x2e, 1, 9, 2, 1023), OVERRUN);
	ck_assert_uint_eq(verify(0x2e, 0, RIG_BLOCKS, 1, 512), 0x052100);
	ck_assert_uint_eq(verify(0x2e, 0, 0, 0, 0), 0);
}
END_TEST

/* A store that loses what it was given is found out. */
START_TEST(write_and_verify_finds_out)
{
	struct scsi_flight flight = { .cmd.tag = 0 };

	rig.ram->hold = true;
	memset(out, 0x5a, 1024);
	flight_start(&flight, &rig, CDB(0x2e, 0x02, [8] = 2), out, 1024, NULL, 0);
	ck_assert(ramstore_step(rig.ctx.path[0]->chan));
	rig.ram->bytes[600] = 0;
	ck_assert(ramstore_step(rig.ctx.path[0]->chan));
	ck_assert_uint_eq(flight_result(&flight), 0x0e1d00);
	ck_assert_uint_eq(be32_get(flight.cmd.sense + 3), 600);
	ck_assert_uint_eq(flight.cmd.moved, 1024);
}
END_TEST

static uint32_t compare_and_write(uint64_t lba, uint8_t blocks, size_t len)
{
	uint8_t cdb[SCSI_CDB_MAX] = { 0x89, [13] = blocks };

	be64_put(cdb + 2, lba);
	return scsi_run(&rig, cdb, out, len, NULL, 0);
}

START_TEST(compare_and_write_good)
{
	like_medium(40);
	memset(out + 2 * 512, 0x77, 2 * 512);
	ck_assert_uint_eq(compare_and_write(40, 2, 4 * 512), 0);
	ck_assert_uint_eq(rig.cmd.moved, 4 * 512);
	ck_assert_mem_eq(rig.ram->bytes + 40 * 512, out + 1024, 1024);
	ck_assert_uint_eq(rig.ram->bytes[42 * 512], rig_byte(42 * 512));
	ck_assert_uint_eq(rig.ram->log[1].flags, 0);

	/* The longest that page B0h announces, with FUA, at the end, in pieces. */
	like_medium(RIG_BLOCKS - 128);
	memset(out + 128 * 512, 0x78, 128 * 512);
	rig.cut = 1000;
	ck_assert_uint_eq(scsi_run(&rig, CDB(0x89, 0x08, [8] = 0x0f, [9] = 0x80, [13] = 128), out,
				   256 * 512, NULL, 0), 0);
	ck_assert_mem_eq(rig.ram->bytes + (RIG_BLOCKS - 128) * 512, out + 128 * 512, 128 * 512);
	ck_assert_uint_eq(rig.ram->log[3].flags, BLOCK_FUA);
}
END_TEST

START_TEST(compare_and_write_miscompare)
{
	like_medium(40);
	out[1023] ^= 1;
	ck_assert_uint_eq(compare_and_write(40, 2, 4 * 512), 0x0e1d00);
	ck_assert_uint_eq(information(), 1023);
	ck_assert_uint_eq(rig.cmd.moved, 1024);
	ck_assert_uint_eq(rig.ram->nlog, 1);
	ck_assert_uint_eq(rig.ram->bytes[40 * 512], rig_byte(40 * 512));
}
END_TEST

START_TEST(compare_and_write_limits)
{
	ck_assert_uint_eq(compare_and_write(0, 129, 258 * 512), 0x052400);
	ck_assert_mem_eq(rig.cmd.sense + 15, "\xcf\x00\x0d", 3);
	ck_assert_uint_eq(compare_and_write(0, 0, 0), 0);
	ck_assert_uint_eq(compare_and_write(0, 2, 4 * 512 - 1), OVERRUN);
	ck_assert_uint_eq(compare_and_write(RIG_BLOCKS - 1, 2, 4 * 512), 0x052100);
	ck_assert_uint_eq(compare_and_write(UINT64_MAX, 2, 4 * 512), 0x052100);
	ck_assert_uint_eq(rig.ram->nlog, 0);
}
END_TEST

/* What changes the same blocks may not come between; what does not, may. */
START_TEST(compare_and_write_is_alone)
{
	static struct scsi_flight caw, other;
	static uint8_t data[1024];

	rig.ram->hold = true;
	like_medium(40);
	flight_start(&caw, &rig, CDB(0x89, [9] = 40, [13] = 2), out, 2048, NULL, 0);
	flight_start(&other, &rig, CDB(0x2a, [5] = 41, [8] = 1), data, 512, NULL, 0);
	ck_assert_uint_eq(flight_result(&other), RIG_STATUS(SCSI_BUSY));
	flight_start(&other, &rig, CDB(0x89, [9] = 41, [13] = 1), out, 1024, NULL, 0);
	ck_assert_uint_eq(flight_result(&other), RIG_STATUS(SCSI_BUSY));
	flight_start(&other, &rig, CDB(0x93, 0x01, [9] = 30, [13] = 11), NULL, 0, NULL, 0);
	ck_assert_uint_eq(flight_result(&other), RIG_STATUS(SCSI_BUSY));
	flight_start(&other, &rig, CDB(0x2e, [5] = 40, [8] = 1), data, 512, NULL, 0);
	ck_assert_uint_eq(flight_result(&other), RIG_STATUS(SCSI_BUSY));

	/* Neighbours and readers pass. */
	flight_start(&other, &rig, CDB(0x2a, [5] = 42, [8] = 1), data, 512, NULL, 0);
	ck_assert_uint_eq(other.done, 0);
	scsi_ctx_drain(&rig.ctx);
	ck_assert_uint_eq(flight_result(&other), 0);
	ck_assert_uint_eq(flight_result(&caw), 0);
	ck_assert_uint_eq(scsi_run(&rig, CDB(0x2a, [5] = 41, [8] = 1), data, 512, NULL, 0), 0);

	/* And it does not come in between itself. */
	flight_start(&other, &rig, CDB(0x2a, [5] = 41, [8] = 1), data, 512, NULL, 0);
	flight_start(&caw, &rig, CDB(0x89, [9] = 40, [13] = 2), out, 2048, NULL, 0);
	ck_assert_uint_eq(flight_result(&caw), RIG_STATUS(SCSI_BUSY));
	scsi_ctx_drain(&rig.ctx);
}
END_TEST

/* Two threads count up one block with COMPARE AND WRITE; no step is lost. */
#define COUNT_TO 200

struct counter {
	struct loop *loop;
	struct scsi_ctx ctx;
	struct scsi_flight flight;
	uint64_t data[128]; /* two blocks: what is expected, what is to be written */
	unsigned done;
};

static int counter_open(void *arg)
{
	struct counter *c = arg;

	return scsi_ctx_init(&c->ctx, &rig.port, c->loop);
}

static int counter_close(void *arg)
{
	struct counter *c = arg;

	scsi_ctx_fini(&c->ctx);
	return 0;
}

static uint32_t counter_run(struct counter *c, const uint8_t *cdb, void *to, void *from)
{
	flight_prepare(&c->flight, &rig, cdb, to, to ? 1024 : 0, from, from ? 512 : 0);
	c->flight.cmd.ctx = &c->ctx;
	scsi_submit(&c->flight.cmd);
	scsi_ctx_drain(&c->ctx);
	return flight_result(&c->flight);
}

static int counter_count(void *arg)
{
	struct counter *c = arg;

	while (c->done < COUNT_TO) {
		uint32_t result;

		if (counter_run(c, CDB(0x28, [8] = 1), NULL, c->data))
			return -1;
		memcpy(c->data + 64, c->data, 512);
		c->data[64]++;
		result = counter_run(c, CDB(0x89, [13] = 1), c->data, NULL);
		if (!result)
			c->done++;
		else if (result != 0x0e1d00 && result != RIG_STATUS(SCSI_BUSY))
			return -1;
	}
	return 0;
}

static void *counter_thread(void *arg)
{
	struct counter *c = arg;

	return (void *)(intptr_t)loop_call(c->loop, counter_count, c);
}

START_TEST(compare_and_write_on_two_threads)
{
	static struct counter counters[2];
	pthread_t caller[2];
	void *result;
	int i;

	memset(rig.ram->bytes, 0, 512);
	for (i = 0; i < 2; i++) {
		counters[i].loop = loop_create("counter");
		ck_assert_int_eq(loop_start(counters[i].loop), 0);
		ck_assert_int_eq(loop_call(counters[i].loop, counter_open, &counters[i]), 0);
	}
	for (i = 0; i < 2; i++)
		ck_assert_int_eq(pthread_create(&caller[i], NULL, counter_thread, &counters[i]), 0);
	for (i = 0; i < 2; i++) {
		pthread_join(caller[i], &result);
		ck_assert_ptr_null(result);
		loop_call(counters[i].loop, counter_close, &counters[i]);
		loop_join(counters[i].loop);
		loop_destroy(counters[i].loop);
	}
	ck_assert_uint_eq(*(uint64_t *)(void *)rig.ram->bytes, 2 * COUNT_TO);
}
END_TEST

static uint32_t orwrite(uint8_t bits, uint64_t lba, uint32_t blocks, size_t len)
{
	uint8_t cdb[SCSI_CDB_MAX] = { 0x8b, bits };

	be64_put(cdb + 2, lba);
	be32_put(cdb + 10, blocks);
	return scsi_run(&rig, cdb, out, len, NULL, 0);
}

START_TEST(orwrite_good)
{
	static const size_t cuts[] = { 0, 700 };
	size_t i, k;

	for (k = 0; k < ARRAY_SIZE(cuts); k++) {
		uint64_t at = (9 + 400 * k) * 512;

		for (i = 0; i < sizeof(out); i++)
			out[i] = (uint8_t)(i * 5 + k);
		rig.cut = cuts[k];
		rig.ram->nlog = 0;
		ck_assert_uint_eq(orwrite(8 * (uint8_t)k, 9 + 400 * k, 300, 300 * 512), 0);
		ck_assert_uint_eq(rig.cmd.moved, 300 * 512);
		for (i = 0; i < 300 * 512; i++)
			ck_assert_uint_eq(rig.ram->bytes[at + i], rig_byte(at + i) | out[i]);
		ck_assert_uint_eq(rig.ram->bytes[at - 1], rig_byte(at - 1));
		ck_assert_uint_eq(rig.ram->bytes[at + i], rig_byte(at + i));
		/* Read, write, three times; FUA. */
		ck_assert_uint_eq(rig.ram->nlog, 6);
		ck_assert_uint_eq(rig.ram->log[5].io, BLOCK_WRITE);
		ck_assert_uint_eq(rig.ram->log[5].flags, k ? BLOCK_FUA : 0);
	}
}
END_TEST

START_TEST(orwrite_limits)
{
	ck_assert_uint_eq(orwrite(0, 0, 0, 0), 0);
	ck_assert_uint_eq(orwrite(0, RIG_BLOCKS, 0, 0), 0);
	ck_assert_uint_eq(orwrite(0, RIG_BLOCKS + 1, 0, 0), 0x052100);
	ck_assert_uint_eq(orwrite(0, RIG_BLOCKS - 1, 2, 1024), 0x052100);
	ck_assert_uint_eq(orwrite(0, UINT64_MAX, 1, 512), 0x052100);
	ck_assert_uint_eq(orwrite(0, 0, 2, 1023), OVERRUN);
	ck_assert_uint_eq(orwrite(0x20, 0, 1, 512), 0x052400);
	rig.lun.readonly = true;
	ck_assert_uint_eq(orwrite(0, 0, 1, 512), 0x072700);
	ck_assert_uint_eq(rig.ram->nlog, 0);
	rig.lun.readonly = false;
	rig.ram->fail_with = -EIO;
	rig.ram->fail_at = 1;
	ck_assert_uint_eq(orwrite(0, 0, 1, 512), 0x031100);
	rig.ram->fail_at = 2;
	ck_assert_uint_eq(orwrite(0, 0, 1, 512), 0x030c00);
}
END_TEST

/* The bits that another command sets between its read and its write would be lost. */
START_TEST(orwrite_is_alone)
{
	static struct scsi_flight orw, other;

	rig.ram->hold = true;
	memset(out, 1, sizeof(out));
	flight_start(&orw, &rig, CDB(0x8b, [9] = 40, [13] = 2), out, 1024, NULL, 0);
	flight_start(&other, &rig, CDB(0x2a, [5] = 41, [8] = 1), out, 512, NULL, 0);
	ck_assert_uint_eq(flight_result(&other), RIG_STATUS(SCSI_BUSY));
	flight_start(&other, &rig, CDB(0x8b, [9] = 41, [13] = 1), out, 512, NULL, 0);
	ck_assert_uint_eq(flight_result(&other), RIG_STATUS(SCSI_BUSY));
	scsi_ctx_drain(&rig.ctx);
	ck_assert_uint_eq(flight_result(&orw), 0);
}
END_TEST

Suite *verify_suite(void)
{
	Suite *suite = suite_create("verify");
	TCase *tc = unit_case(suite, "verify");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, verify_medium);
	tcase_add_test(tc, verify_data);
	tcase_add_test(tc, verify_one_block);
	tcase_add_test(tc, write_and_verify);
	tcase_add_test(tc, write_and_verify_finds_out);

	tc = unit_case(suite, "compare and write");
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, compare_and_write_good);
	tcase_add_test(tc, compare_and_write_miscompare);
	tcase_add_test(tc, compare_and_write_limits);
	tcase_add_test(tc, compare_and_write_is_alone);
	tcase_add_test(tc, compare_and_write_on_two_threads);

	tc = unit_case(suite, "orwrite");
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, orwrite_good);
	tcase_add_test(tc, orwrite_limits);
	tcase_add_test(tc, orwrite_is_alone);
	return suite;
}

UNIT_MAIN(verify_suite)
