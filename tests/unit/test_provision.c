/* SPDX-License-Identifier: MIT */
#include "tests/lib/scsi_run.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "tests/unit/unit.h"
#include "vmm/core/util.h"

Suite *provision_suite(void);

static struct scsi_rig rig;
static uint8_t block[512];

static void setup(void)
{
	rig_init(&rig);
	memset(block, 0, sizeof(block));
}

static void teardown(void)
{
	rig_fini(&rig);
}

#define OVERRUN RIG_RESPONSE(SCSI_RESPONSE_OVERRUN)

static void check_untouched(uint64_t lba)
{
	size_t i;

	for (i = 0; i < 512; i++)
		ck_assert_uint_eq(rig.ram->bytes[lba * 512 + i], rig_byte(lba * 512 + i));
}

static void check_blocks(uint64_t lba, uint64_t end)
{
	for (; lba < end; lba++)
		ck_assert_mem_eq(rig.ram->bytes + lba * 512, block, 512);
}

static uint32_t write_same10(uint8_t bits, uint32_t lba, uint16_t blocks, size_t len)
{
	uint8_t cdb[SCSI_CDB_MAX] = { 0x41, bits };

	be32_put(cdb + 2, lba);
	be16_put(cdb + 7, blocks);
	return scsi_run(&rig, cdb, block, len, NULL, 0);
}

static uint32_t write_same16(uint8_t bits, uint64_t lba, uint32_t blocks, size_t len)
{
	uint8_t cdb[SCSI_CDB_MAX] = { 0x93, bits };

	be64_put(cdb + 2, lba);
	be32_put(cdb + 10, blocks);
	return scsi_run(&rig, cdb, block, len, NULL, 0);
}

START_TEST(write_same_of_data)
{
	unsigned round;

	for (round = 0; round < 4; round++) {
		uint64_t lba = 1 + round * 400;

		memset(block, 0x31 + round, sizeof(block));
		block[511] = 0;
		rig.ram->nlog = 0;
		/* With UNMAP, data that would not read back is written all the same. */
		ck_assert_uint_eq(round % 2 ? write_same16(round & 2 ? 0x08 : 0, lba, 300, 512) :
				  write_same10(round & 2 ? 0x08 : 0, lba, 300, 512), 0);
		ck_assert_uint_eq(rig.cmd.moved, 512);
		check_untouched(lba - 1);
		check_blocks(lba, lba + 300);
		check_untouched(lba + 300);
		ck_assert_uint_eq(rig.ram->nlog, 3);
		ck_assert_uint_eq(rig.ram->log[0].io, BLOCK_WRITE);
	}
}
END_TEST

START_TEST(write_same_of_zeroes)
{
	static const struct {
		uint8_t bits;
		unsigned flags;
	} cases[] = { { 0x00, 0 }, { 0x08, BLOCK_MAY_UNMAP } };
	size_t i;

	for (i = 0; i < 2; i++) {
		rig.ram->nlog = 0;
		ck_assert_uint_eq(write_same10(cases[i].bits, 10, 300, 512), 0);
		ck_assert_uint_eq(rig.cmd.moved, 512);
		ck_assert_uint_eq(write_same16(cases[i].bits, 400, 300, 512), 0);
		ck_assert_uint_eq(rig.ram->nlog, 2);
		ck_assert_uint_eq(rig.ram->log[1].io, BLOCK_ZERO);
		ck_assert_uint_eq(rig.ram->log[1].flags, cases[i].flags);
		ck_assert_uint_eq(rig.ram->log[1].off, 400 * 512);
		ck_assert_uint_eq(rig.ram->log[1].len, 300 * 512);
	}
	check_blocks(10, 310);
	check_blocks(400, 700);
	check_untouched(9);
	check_untouched(310);
}
END_TEST

START_TEST(write_same_without_data)
{
	ck_assert_uint_eq(write_same16(0x01, 10, 300, 0), 0);
	ck_assert_uint_eq(rig.cmd.moved, 0);
	ck_assert_uint_eq(rig.ram->log[0].flags, 0);
	check_blocks(10, 310);
	ck_assert_uint_eq(write_same16(0x09, 400, 1, 512), 0);
	ck_assert_uint_eq(rig.cmd.moved, 0);
	ck_assert_uint_eq(rig.ram->log[1].flags, BLOCK_MAY_UNMAP);
	check_blocks(400, 401);
	check_untouched(401);
	/* The short command has no such bit. */
	ck_assert_uint_eq(write_same10(0x01, 10, 1, 512), 0x052400);
}
END_TEST

START_TEST(write_same_to_the_end)
{
	memset(block, 0x31, sizeof(block));
	ck_assert_uint_eq(write_same10(0, RIG_BLOCKS - 5, 0, 512), 0);
	ck_assert_uint_eq(rig.cmd.moved, 512);
	check_untouched(RIG_BLOCKS - 6);
	check_blocks(RIG_BLOCKS - 5, RIG_BLOCKS);
	ck_assert_uint_eq(write_same16(0, RIG_BLOCKS - 300, 0, 512), 0);
	check_untouched(RIG_BLOCKS - 301);
	check_blocks(RIG_BLOCKS - 300, RIG_BLOCKS);
	memset(block, 0, sizeof(block));
	ck_assert_uint_eq(write_same16(0x09, 1, 0, 0), 0);
	check_untouched(0);
	check_blocks(1, RIG_BLOCKS);
}
END_TEST

START_TEST(write_same_limits)
{
	ck_assert_uint_eq(write_same10(0, RIG_BLOCKS, 0, 512), 0x052100);
	ck_assert_uint_eq(write_same16(0x01, RIG_BLOCKS, 0, 0), 0x052100);
	ck_assert_uint_eq(write_same16(0, UINT64_MAX, 0, 512), 0x052100);
	ck_assert_uint_eq(write_same16(0, RIG_BLOCKS - 1, 2, 512), 0x052100);
	ck_assert_uint_eq(write_same16(0, 1ull << 55, 1, 512), 0x052100);
	ck_assert_uint_eq(write_same16(0, UINT64_MAX, 1, 512), 0x052100);
	ck_assert_uint_eq(write_same16(0, 10, 1, 511), OVERRUN);
	ck_assert_uint_eq(rig.ram->nlog, 0);

	rig.ram->block.size = 1ull << 30;
	ck_assert_uint_eq(write_same16(0, 0, 131073, 512), 0x052400);
	ck_assert_mem_eq(rig.cmd.sense + 15, "\xcf\x00\x0a", 3);
	/* To the end: over the limit, too. */
	ck_assert_uint_eq(write_same16(0x01, (1 << 21) - 131073, 0, 0), 0x052400);
	ck_assert_uint_eq(write_same10(0, 0, 0, 512), 0x052400);
	ck_assert_mem_eq(rig.cmd.sense + 15, "\xcf\x00\x07", 3);
	rig.ram->block.size = RIG_BLOCKS * 512;
	ck_assert_uint_eq(rig.ram->nlog, 0);

	/* Protection, anchor and the old LBDATA are refused; UNMAP, if it is not offered. */
	ck_assert_uint_eq(write_same16(0x20, 0, 1, 512), 0x052400);
	ck_assert_uint_eq(write_same16(0x10, 0, 1, 512), 0x052400);
	ck_assert_uint_eq(write_same16(0x02, 0, 1, 512), 0x052400);
	rig.lun.discard = false;
	ck_assert_uint_eq(write_same16(0x08, 0, 1, 512), 0x052400);
	ck_assert_uint_eq(write_same16(0x00, 0, 1, 512), 0);
}
END_TEST

START_TEST(write_through_holds_for_all)
{
	uint8_t list[24] = { 0, 22, 0, 16, [15] = 50, [19] = 2 };
	unsigned i;

	rig.lun.write_cache = false;
	ck_assert_uint_eq(write_same16(0x01, 10, 1, 0), 0);
	memset(block, 1, 512);
	ck_assert_uint_eq(write_same16(0, 10, 1, 512), 0);
	ck_assert_uint_eq(scsi_run(&rig, CDB(0x42, [8] = 24), list, 24, NULL, 0), 0);
	ck_assert_uint_eq(rig.ram->nlog, 3);
	for (i = 0; i < 3; i++)
		ck_assert_uint_eq(rig.ram->log[i].flags, BLOCK_FUA);
}
END_TEST

START_TEST(write_same_errors)
{
	memset(block, 1, 512);
	rig.ram->fail_with = -ENOSPC;
	rig.ram->fail_at = 3;
	ck_assert_uint_eq(write_same16(0, 0, 1024, 512), 0x072707);
	ck_assert_uint_eq(rig.cmd.moved, 512);
	ck_assert_uint_eq(rig.ram->nlog, 3);
	rig.ram->fail_at = 1;
	ck_assert_uint_eq(write_same16(1, 0, 1024, 0), 0x072707);
}
END_TEST

/* A parameter list of UNMAP. */
struct unmap {
	uint8_t bytes[8 + 16 * 300];
	unsigned count;
};

static void add(struct unmap *u, uint64_t lba, uint32_t blocks)
{
	uint8_t *d = u->bytes + 8 + 16 * u->count++;

	be64_put(d, lba);
	be32_put(d + 8, blocks);
	be16_put(u->bytes, (uint16_t)(6 + 16 * u->count));
	be16_put(u->bytes + 2, (uint16_t)(16 * u->count));
}

static uint32_t unmap_len(const struct unmap *u, size_t list_len, size_t len)
{
	return scsi_run(&rig, CDB(0x42, [7] = list_len >> 8, [8] = (uint8_t)list_len), u->bytes,
			len, NULL, 0);
}

static uint32_t unmap(const struct unmap *u)
{
	return unmap_len(u, 8 + 16 * u->count, 8 + 16 * u->count);
}

START_TEST(unmap_ranges)
{
	static const size_t cuts[] = { 0, 1, 7 };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cuts); i++) {
		struct unmap u = { .count = 0 };
		uint64_t lba = 100 + 100 * i;

		rig.cut = cuts[i];
		rig.ram->nlog = 0;
		add(&u, lba, 3);
		add(&u, 7, 0);
		add(&u, lba + 10, 1);
		add(&u, lba, 1); /* again */
		ck_assert_uint_eq(unmap(&u), 0);
		ck_assert_uint_eq(rig.cmd.moved, 8 + 4 * 16);
		ck_assert_uint_eq(rig.ram->nlog, 3);
		ck_assert_uint_eq(rig.ram->log[0].io, BLOCK_DISCARD);
		ck_assert_uint_eq(rig.ram->log[0].off, lba * 512);
		ck_assert_uint_eq(rig.ram->log[0].len, 3 * 512);
		check_untouched(lba - 1);
		check_blocks(lba, lba + 3);
		check_untouched(lba + 3);
		check_blocks(lba + 10, lba + 11);
	}
	check_untouched(7);
}
END_TEST

START_TEST(unmap_nothing)
{
	struct unmap u = { .count = 0 };

	ck_assert_uint_eq(unmap_len(&u, 0, 0), 0);
	be16_put(u.bytes, 6);
	ck_assert_uint_eq(unmap_len(&u, 8, 8), 0);
	add(&u, 5, 0);
	ck_assert_uint_eq(unmap(&u), 0);
	ck_assert_uint_eq(rig.ram->nlog, 0);
	/* A part of a descriptor is ignored. */
	add(&u, 6, 1);
	be16_put(u.bytes, 6 + 31);
	be16_put(u.bytes + 2, 31);
	ck_assert_uint_eq(unmap_len(&u, 39, 39), 0);
	ck_assert_uint_eq(rig.ram->nlog, 0);
}
END_TEST

/* All is checked before the first range is gone. */
START_TEST(unmap_all_or_nothing)
{
	static const struct {
		uint64_t lba;
		uint32_t blocks;
	} bad[] = {
		{ RIG_BLOCKS, 1 }, { RIG_BLOCKS - 1, 2 }, { RIG_BLOCKS + 1, 0 }, { UINT64_MAX, 1 },
		{ UINT64_MAX, 2 }, { 1ull << 55, 1 }, { 1, UINT32_MAX },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		struct unmap u = { .count = 0 };

		add(&u, 1, 1);
		add(&u, bad[i].lba, bad[i].blocks);
		ck_assert_uint_eq(unmap(&u), 0x052100);
	}
	ck_assert_uint_eq(rig.ram->nlog, 0);
}
END_TEST

START_TEST(unmap_bad_lists)
{
	struct unmap u = { .count = 0 };

	add(&u, 1, 1);
	add(&u, 3, 1);
	ck_assert_uint_eq(unmap_len(&u, 7, 40), 0x051a00);
	ck_assert_uint_eq(unmap_len(&u, 39, 40), 0x051a00);
	ck_assert_uint_eq(unmap_len(&u, 40, 39), OVERRUN);
	be16_put(u.bytes, 37); /* UNMAP DATA LENGTH, less than what it holds */
	ck_assert_uint_eq(unmap(&u), 0x052600);
	ck_assert_mem_eq(rig.cmd.sense + 15, "\x8f\x00\x00", 3);
	ck_assert_uint_eq(rig.ram->nlog, 0);
}
END_TEST

START_TEST(unmap_limits)
{
	static struct unmap u;
	unsigned i;

	for (i = 0; i < 256; i++)
		add(&u, i * 2, 1);
	ck_assert_uint_eq(unmap(&u), 0);
	ck_assert_uint_eq(rig.ram->nlog, 256);
	add(&u, 0, 1);
	ck_assert_uint_eq(unmap(&u), 0x052600);
	ck_assert_mem_eq(rig.cmd.sense + 15, "\x8f\x00\x02", 3);
}
END_TEST

#define STEP_BLOCKS (SBC_UNMAP_STEP / 512)

/* As many blocks as there are, at any rate; the store gets them in pieces. */
START_TEST(unmap_in_steps)
{
	struct unmap u = { .count = 0 };

	rig.ram->block.discard_zeroes = false;
	rig.ram->block.size = 1ull << 44;
	add(&u, 8, 2 * STEP_BLOCKS + 1);
	add(&u, 5, 0);
	add(&u, 3, STEP_BLOCKS);
	ck_assert_uint_eq(unmap(&u), 0);
	ck_assert_uint_eq(rig.ram->nlog, 4);
	ck_assert_uint_eq(rig.ram->log[1].off, (8 + STEP_BLOCKS) * 512ull);
	ck_assert_uint_eq(rig.ram->log[1].len, SBC_UNMAP_STEP);
	ck_assert_uint_eq(rig.ram->log[2].off, (8 + 2 * STEP_BLOCKS) * 512ull);
	ck_assert_uint_eq(rig.ram->log[2].len, 512);
	ck_assert_uint_eq(rig.ram->log[3].off, 3 * 512);
	ck_assert_uint_eq(rig.ram->log[3].len, SBC_UNMAP_STEP);

	u.count = 0;
	rig.ram->nlog = 0;
	add(&u, 7, UINT32_MAX);
	add(&u, 9, UINT32_MAX);
	ck_assert_uint_eq(unmap(&u), 0);
	ck_assert_uint_eq(rig.ram->nlog, 2 * 2048);
	rig.ram->block.size = RIG_BLOCKS * 512;
}
END_TEST

/* Not all of it is waited for. */
START_TEST(unmap_is_aborted_between_steps)
{
	const struct scsi_tmf_request reset = { .what = SCSI_LOGICAL_UNIT_RESET };
	struct scsi_flight flight = { .cmd.tag = 0 };
	struct scsi_ctx *ctx = &rig.ctx;
	struct unmap u = { .count = 0 };

	rig.ram->block.discard_zeroes = false;
	rig.ram->block.size = 1ull << 44;
	rig.ram->hold = true;
	be16_put(u.bytes, 22);
	be16_put(u.bytes + 2, 16);
	add(&u, 7, UINT32_MAX);
	flight_start(&flight, &rig, CDB(0x42, [8] = 24), u.bytes, 24, NULL, 0);
	ck_assert(ramstore_step(rig.ctx.path[0]->chan));
	ck_assert_uint_eq(flight.done, 0);
	ck_assert_int_eq(scsi_tmf(&ctx, 1, &reset), SCSI_TMF_COMPLETE);
	ck_assert_uint_eq(flight_result(&flight), RIG_RESPONSE(SCSI_RESPONSE_RESET));
	ck_assert_uint_eq(rig.ram->nlog, 2);
	rig.ram->block.size = RIG_BLOCKS * 512;
}
END_TEST

START_TEST(unmap_fails_half_way)
{
	struct unmap u = { .count = 0 };

	add(&u, 1, 1);
	add(&u, 3, 1);
	add(&u, 5, 1);
	rig.ram->fail_at = 2;
	rig.ram->fail_with = -EIO;
	ck_assert_uint_eq(unmap(&u), 0x030c00);
	ck_assert_uint_eq(rig.ram->nlog, 2);
	check_untouched(3);
	check_untouched(5);
}
END_TEST

START_TEST(lba_status)
{
	uint8_t data[64] = { 0 };

	ck_assert_uint_eq(scsi_run(&rig, CDB(0x9e, 0x12, [9] = 5, [13] = 64), NULL, 0, data, 64),
			  0);
	ck_assert_uint_eq(rig.cmd.moved, 24);
	ck_assert_mem_eq(data, "\0\0\0\x14\0\0\0\0\0\0\0\0\0\0\0\x05\0\0\x0f\xfb\0\0\0\0", 24);
	ck_assert_uint_eq(scsi_run(&rig, CDB(0x9e, 0x12, [13] = 8), NULL, 0, data, 64), 0);
	ck_assert_uint_eq(rig.cmd.moved, 8);
	ck_assert_uint_eq(scsi_run(&rig, CDB(0x9e, 0x12, [8] = 0x10, [13] = 64), NULL, 0, data, 64),
			  0x052100);
	/* 2^63, which some have shifted to 0 */
	ck_assert_uint_eq(scsi_run(&rig, CDB(0x9e, 0x12, 0x80, [13] = 64), NULL, 0, data, 64),
			  0x052100);
	/* A report of other than all is not there. */
	ck_assert_uint_eq(scsi_run(&rig, CDB(0x9e, 0x12, [13] = 64, [14] = 1), NULL, 0, data, 64),
			  0x052400);
	rig.ram->block.size = 1ull << 42;
	ck_assert_uint_eq(scsi_run(&rig, CDB(0x9e, 0x12, [13] = 64), NULL, 0, data, 64), 0);
	ck_assert_uint_eq(be32_get(data + 16), UINT32_MAX);
}
END_TEST

/* Descriptors "LBA+blocks:status ..." of an answer. */
static const char *statuses(const uint8_t *data, size_t len)
{
	static char text[4096];
	size_t at, n = 0;

	ck_assert_uint_ge(len, 8);
	ck_assert_uint_eq(be32_get(data), len - 4);
	for (text[0] = 0, at = 8; at < len; at += 16)
		n += snprintf(text + n, sizeof(text) - n, "%s%" PRIu64 "+%u:%u", n ? " " : "",
			      be64_get(data + at), be32_get(data + at + 8), data[at + 12]);
	return text;
}

static const char *ask_status(uint8_t lba, uint16_t alloc_len)
{
	static uint8_t data[8 + 64 * 16];

	ck_assert_uint_eq(scsi_run(&rig, CDB(0x9e, 0x12, [9] = lba, [12] = alloc_len >> 8,
					     [13] = alloc_len & 0xff), NULL, 0, data,
				   sizeof(data)), 0);
	return statuses(data, rig.cmd.moved);
}

START_TEST(lba_status_of_holes)
{
	static const uint64_t edges[] = { 8 * 512, 16 * 512, 20 * 512, 24 * 512 };

	rig.ram->edges = edges;
	rig.ram->nedges = 4;
	ck_assert_str_eq(ask_status(0, 256), "0+8:0 8+8:1 16+4:0 20+4:1 24+4072:0");
	ck_assert_str_eq(ask_status(9, 256), "9+7:1 16+4:0 20+4:1 24+4072:0");
	ck_assert_str_eq(ask_status(0, 24), "0+8:0");
	ck_assert_str_eq(ask_status(8, 55), "8+8:1 16+4:0");
	ck_assert_str_eq(ask_status(24, 40), "24+4072:0");
	rig.ram->nedges = 3;
	ck_assert_str_eq(ask_status(17, 256), "17+3:0 20+4076:1");
	/* Without UNMAP nothing is ever deallocated. */
	rig.lun.discard = false;
	ck_assert_str_eq(ask_status(9, 256), "9+4087:0");
}
END_TEST

/* What a hole has only a part of is mapped, and is one with what follows. */
START_TEST(lba_status_of_parts)
{
	static const uint64_t edges[] = { 512, 1023, 1024, 1300, 2047, 3072 };

	rig.ram->edges = edges;
	rig.ram->nedges = 2;
	ck_assert_str_eq(ask_status(0, 256), "0+4096:0");
	rig.ram->nedges = 6;
	ck_assert_str_eq(ask_status(0, 256), "0+4:0 4+2:1 6+4090:0");
	ck_assert_str_eq(ask_status(2, 24), "2+2:0");
}
END_TEST

/* However many holes there are, and however much the initiator would take. */
START_TEST(lba_status_is_bounded)
{
	uint64_t edges[200];
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(edges); i++)
		edges[i] = (i + 1) * 512;
	rig.ram->edges = edges;
	rig.ram->nedges = ARRAY_SIZE(edges);
	ck_assert_ptr_nonnull(strstr(ask_status(0, 8 + 64 * 16), " 31+1:1"));
	ck_assert_uint_eq(rig.cmd.moved, 8 + 32 * 16);
	/* 2^33 blocks of one status: more than a descriptor can count */
	edges[0] = 1ull << 42;
	rig.ram->nedges = 1;
	rig.ram->block.size = 1ull << 43;
	ck_assert_str_eq(ask_status(0, 256),
			 "0+4294967295:0 4294967295+4294967295:0 8589934590+2:0 "
			 "8589934592+4294967295:1 12884901887+4294967295:1 17179869182+2:1");
}
END_TEST

Suite *provision_suite(void)
{
	Suite *suite = suite_create("provision");
	TCase *tc = unit_case(suite, "write same");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, write_same_of_data);
	tcase_add_test(tc, write_same_of_zeroes);
	tcase_add_test(tc, write_same_without_data);
	tcase_add_test(tc, write_same_to_the_end);
	tcase_add_test(tc, write_same_limits);
	tcase_add_test(tc, write_same_errors);
	tcase_add_test(tc, write_through_holds_for_all);

	tc = unit_case(suite, "unmap");
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, unmap_ranges);
	tcase_add_test(tc, unmap_nothing);
	tcase_add_test(tc, unmap_all_or_nothing);
	tcase_add_test(tc, unmap_bad_lists);
	tcase_add_test(tc, unmap_limits);
	tcase_add_test(tc, unmap_in_steps);
	tcase_add_test(tc, unmap_is_aborted_between_steps);
	tcase_add_test(tc, unmap_fails_half_way);
	tcase_add_test(tc, lba_status);
	tcase_add_test(tc, lba_status_of_holes);
	tcase_add_test(tc, lba_status_of_parts);
	tcase_add_test(tc, lba_status_is_bounded);
	return suite;
}

UNIT_MAIN(provision_suite)
