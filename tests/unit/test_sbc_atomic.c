/* SPDX-License-Identifier: MIT */
/*
 * WRITE ATOMIC; the rest is in test_sbc.c.
 */
#include "tests/lib/scsi_examples.h"
#include "tests/lib/scsi_run.h"

#include "tests/unit/unit.h"
#include "vmm/core/util.h"

Suite *sbc_atomic_suite(void);

static struct scsi_rig rig;
static uint8_t data[64], out[256 * 512];

static void setup(void)
{
	size_t i;

	for (i = 0; i < sizeof(out); i++)
		out[i] = (uint8_t)(i * 11 + 3);
	rig_init(&rig);
}

static void teardown(void)
{
	rig_fini(&rig);
}

#define OVERRUN RIG_RESPONSE(SCSI_RESPONSE_OVERRUN)

static uint32_t write_atomic(uint64_t lba, uint16_t blocks, size_t len)
{
	uint8_t cdb[SCSI_CDB_MAX] = { 0x9c };

	be64_put(cdb + 2, lba);
	be16_put(cdb + 12, blocks);
	return scsi_run(&rig, cdb, out, len, NULL, 0);
}

START_TEST(good)
{
	ck_assert_uint_eq(write_atomic(6, 4, 4 * 512), 0);
	ck_assert_uint_eq(rig.cmd.moved, 4 * 512);
	ck_assert_mem_eq(rig.ram->bytes + 6 * 512, out, 4 * 512);
	ck_assert_uint_eq(rig.ram->bytes[10 * 512], rig_byte(10 * 512));
	ck_assert_uint_eq(rig.ram->log[0].flags, BLOCK_ATOMIC);
	/* The longest, at the end, with FUA. */
	ck_assert_uint_eq(scsi_run(&rig, CDB(0x9c, 0x08, [8] = 0x0f, [9] = 0x80, [13] = 128), out,
				   65536, NULL, 0), 0);
	ck_assert_uint_eq(rig.ram->log[1].flags, BLOCK_ATOMIC | BLOCK_FUA);
	ck_assert_uint_eq(rig.ram->log[1].len, 65536);
	/* In one request, however many pieces of memory. */
	rig.cut = 300;
	ck_assert_uint_eq(write_atomic(6, 128, 65536), 0);
	ck_assert_uint_eq(rig.ram->nlog, 3);
}
END_TEST

START_TEST(limits)
{
	ck_assert_uint_eq(write_atomic(0, 130, 130 * 512), 0x052400);
	ck_assert_mem_eq(rig.cmd.sense + 15, "\xcf\x00\x0c", 3);
	ck_assert_uint_eq(write_atomic(0, UINT16_MAX, 0), 0x052100);
	ck_assert_uint_eq(write_atomic(0, 3, 3 * 512), 0x052400); /* granularity */
	ck_assert_uint_eq(write_atomic(3, 2, 2 * 512), 0x052400); /* alignment */
	ck_assert_mem_eq(rig.cmd.sense + 15, "\xcf\x00\x02", 3);
	ck_assert_uint_eq(write_atomic(RIG_BLOCKS - 2, 4, 4 * 512), 0x052100);
	ck_assert_uint_eq(write_atomic(UINT64_MAX - 1, 2, 1024), 0x052100);
	ck_assert_uint_eq(write_atomic(0, 0, 0), 0);
	ck_assert_uint_eq(write_atomic(0, 2, 1023), OVERRUN);
	/* A boundary, as none is announced. */
	ck_assert_uint_eq(scsi_run(&rig, CDB(0x9c, [11] = 2, [13] = 2), out, 1024, NULL, 0),
			  0x052400);
	ck_assert_uint_eq(scsi_run(&rig, CDB(0x9c, 0x20, [13] = 2), out, 1024, NULL, 0), 0x052400);
	rig.lun.readonly = true;
	ck_assert_uint_eq(write_atomic(0, 2, 1024), 0x072700);
	ck_assert_uint_eq(rig.ram->nlog, 0);
}
END_TEST

/* Lengths are powers of two, and offsets multiples of them, where the store wants that. */
START_TEST(natural)
{
	rig.ram->block.atomic_natural = true;
	ck_assert_uint_eq(write_atomic(4, 4, 4 * 512), 0);
	ck_assert_uint_eq(write_atomic(2, 2, 2 * 512), 0);
	ck_assert_uint_eq(write_atomic(128, 128, 65536), 0);
	ck_assert_uint_eq(write_atomic(0, 0, 0), 0);
	ck_assert_uint_eq(rig.ram->nlog, 3);
	ck_assert_uint_eq(write_atomic(0, 6, 6 * 512), 0x052400);
	ck_assert_mem_eq(rig.cmd.sense + 15, "\xcf\x00\x0c", 3);
	ck_assert_uint_eq(write_atomic(2, 4, 4 * 512), 0x052400);
	ck_assert_mem_eq(rig.cmd.sense + 15, "\xcf\x00\x02", 3);
	ck_assert_uint_eq(rig.ram->nlog, 3);
}
END_TEST

/* A store that cannot; or one that could, and a medium that cannot. */
START_TEST(not_offered)
{
	rig.ram->block.atomic_max = 0;
	ck_assert_uint_eq(write_atomic(0, 2, 1024), 0x052000);
	rig.lun.atomic = false;
	ck_assert_uint_eq(write_atomic(0, 2, 1024), 0x052000);
	ck_assert_uint_eq(scsi_run(&rig, CDB(0xa3, 0x0c, 3, 0x9c, [9] = 64), NULL, 0, data, 64),
			  0);
	ck_assert_uint_eq(data[1], 1);
	ck_assert_uint_eq(rig.ram->nlog, 0);
}
END_TEST

START_TEST(is_alone)
{
	static struct scsi_flight atomic, other;

	rig.ram->hold = true;
	flight_start(&atomic, &rig, CDB(0x9c, [9] = 40, [13] = 2), out, 1024, NULL, 0);
	flight_start(&other, &rig, CDB(0x2a, [5] = 41, [8] = 1), out, 512, NULL, 0);
	ck_assert_uint_eq(flight_result(&other), RIG_STATUS(SCSI_BUSY));
	flight_start(&other, &rig, CDB(0x9c, [9] = 40, [13] = 2), out, 1024, NULL, 0);
	ck_assert_uint_eq(flight_result(&other), RIG_STATUS(SCSI_BUSY));
	scsi_ctx_drain(&rig.ctx);
	ck_assert_uint_eq(flight_result(&atomic), 0);
}
END_TEST

Suite *sbc_atomic_suite(void)
{
	Suite *suite = suite_create("sbc_atomic");
	TCase *tc = unit_case(suite, "sbc_atomic");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, good);
	tcase_add_test(tc, limits);
	tcase_add_test(tc, natural);
	tcase_add_test(tc, not_offered);
	tcase_add_test(tc, is_alone);
	return suite;
}

UNIT_MAIN(sbc_atomic_suite)
