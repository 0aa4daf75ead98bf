/* SPDX-License-Identifier: MIT */
#include "tests/lib/scsi_run.h"

#include "tests/unit/unit.h"
#include "vmm/core/util.h"

Suite *mmc_suite(void);

static struct scsi_rig rig;
static uint8_t data[1024];

#define BLOCKS (RIG_BLOCKS * 512 / 2048)

static void setup(void)
{
	rig_init(&rig);
	rig.ram->block.readonly = true;
	scsi_lun_become_cd(&rig.lun);
	rig_restart(&rig);
	memset(data, 0xee, sizeof(data));
}

static void teardown(void)
{
	rig_fini(&rig);
}

static uint32_t run_in(const uint8_t *cdb)
{
	return scsi_run(&rig, cdb, NULL, 0, data, sizeof(data));
}

START_TEST(inquiry)
{
	ck_assert_uint_eq(run_in(CDB(0x12, [4] = 96)), 0);
	ck_assert_mem_eq(data, "\x05\x80\x06\x12", 4);
	ck_assert_mem_eq(data + 16, "CD-ROM          ", 16);
	ck_assert_uint_eq(be16_get(data + 62), 0x0480);
	ck_assert_uint_eq(run_in(CDB(0x12, 1, 0, 0, 96)), 0);
	ck_assert_mem_eq(data, "\x05\x00\x00\x04\x00\x80\x83\x86", 8);
}
END_TEST

START_TEST(capacity_and_reads)
{
	static uint8_t block[2 * 2048];

	ck_assert_uint_eq(run_in(CDB(0x25)), 0);
	ck_assert_uint_eq(be32_get(data), BLOCKS - 1);
	ck_assert_uint_eq(be32_get(data + 4), 2048);
	ck_assert_uint_eq(scsi_run(&rig, CDB(0x28, [5] = 3, [8] = 2), NULL, 0, block, 4096), 0);
	ck_assert_uint_eq(block[0], rig_byte(3 * 2048));
	ck_assert_uint_eq(block[4095], rig_byte(5 * 2048 - 1));
	ck_assert_uint_eq(scsi_run(&rig, CDB(0xa8, [5] = 1, [9] = 1), NULL, 0, block, 2048), 0);
	ck_assert_uint_eq(block[0], rig_byte(2048));
	ck_assert_uint_eq(run_in(CDB(0x28, [4] = BLOCKS >> 8, BLOCKS & 255, [8] = 1)), 0x052100);
	/* What disks have besides is not there. */
	ck_assert_uint_eq(run_in(CDB(0x2a, [8] = 1)), 0x052000);
	ck_assert_uint_eq(run_in(CDB(0x42, [8] = 24)), 0x052000);
	ck_assert_uint_eq(run_in(CDB(0x9e, 0x10, [13] = 32)), 0x052000);
}
END_TEST

START_TEST(toc)
{
	static const uint8_t by_lba[] = {
		0, 18, 1, 1, 0, 0x14, 1, 0, 0, 0, 0, 0,
		0, 0x14, 0xaa, 0, 0, 0, BLOCKS >> 8, BLOCKS & 255,
	};

	ck_assert_uint_eq(run_in(CDB(0x43, 0, 0, [7] = 4)), 0);
	ck_assert_uint_eq(rig.cmd.moved, sizeof(by_lba));
	ck_assert_mem_eq(data, by_lba, sizeof(by_lba));
	/* By time: two seconds before the first frame; 1024 + 150 frames are 15 s and 49. */
	ck_assert_uint_eq(run_in(CDB(0x43, 2, 0, [7] = 4)), 0);
	ck_assert_mem_eq(data + 8, "\x00\x00\x02\x00", 4);
	ck_assert_mem_eq(data + 16, "\x00\x00\x0f\x31", 4);
	/* The lead-out alone. */
	ck_assert_uint_eq(run_in(CDB(0x43, 0, 0, [6] = 0xaa, 4)), 0);
	ck_assert_uint_eq(rig.cmd.moved, 12);
	ck_assert_uint_eq(data[6], 0xaa);
	ck_assert_uint_eq(run_in(CDB(0x43, 0, 0, [6] = 2, 4)), 0x052400);
	/* Sessions; all points; formats that there are not. */
	ck_assert_uint_eq(run_in(CDB(0x43, 0, 1, [7] = 4)), 0);
	ck_assert_mem_eq(data, "\x00\x0a\x01\x01\x00\x14\x01\x00\x00\x00\x00\x00", 12);
	ck_assert_uint_eq(run_in(CDB(0x43, 2, 2, [7] = 4)), 0);
	ck_assert_uint_eq(rig.cmd.moved, 4 + 4 * 11);
	ck_assert_mem_eq(data + 4, "\x01\x14\x00\xa0\x00\x00\x00\x00\x01\x00\x00", 11);
	ck_assert_mem_eq(data + 26, "\x01\x14\x00\xa2\x00\x00\x00\x00\x00\x0f\x31", 11);
	ck_assert_mem_eq(data + 37, "\x01\x14\x00\x01\x00\x00\x00\x00\x00\x02\x00", 11);
	ck_assert_uint_eq(run_in(CDB(0x43, 0, 3, [7] = 4)), 0x052400);
}
END_TEST

START_TEST(disc_and_track)
{
	ck_assert_uint_eq(run_in(CDB(0x51, [7] = 4)), 0);
	ck_assert_uint_eq(rig.cmd.moved, 34);
	ck_assert_mem_eq(data, "\x00\x20\x0e\x01\x01\x01\x01\x20", 8);
	ck_assert_uint_eq(run_in(CDB(0x51, 1, [7] = 4)), 0x052400);
	ck_assert_uint_eq(run_in(CDB(0x52, 1, [5] = 1, [7] = 4)), 0);
	ck_assert_uint_eq(rig.cmd.moved, 36);
	ck_assert_uint_eq(be32_get(data + 24), BLOCKS);
	ck_assert_uint_eq(be32_get(data + 28), BLOCKS - 1);
	ck_assert_uint_eq(run_in(CDB(0x52, 0, [5] = 9, [7] = 4)), 0);
	ck_assert_uint_eq(run_in(CDB(0x52, 1, [5] = 2, [7] = 4)), 0x052400);
	ck_assert_uint_eq(run_in(CDB(0x52, 3, [5] = 1, [7] = 4)), 0x052400);
}
END_TEST

/* Walks the features; each is as long as it says. Returns how many. */
static unsigned walk(size_t len)
{
	unsigned n = 0;
	size_t at;

	ck_assert_uint_eq(be32_get(data), len - 4);
	for (at = 8; at < len; at += 4 + data[at + 3], n++)
		ck_assert_uint_eq(data[at + 3] % 4, 0);
	ck_assert_uint_eq(at, len);
	return n;
}

START_TEST(configuration)
{
	unsigned all, current;

	ck_assert_uint_eq(run_in(CDB(0x46, [7] = 4)), 0);
	ck_assert_uint_eq(be16_get(data + 6), 0x0008);
	ck_assert_mem_eq(data + 12, "\x00\x10\x00\x00\x00\x08\x01\x00", 8);
	all = walk(rig.cmd.moved);
	ck_assert_uint_eq(run_in(CDB(0x46, 1, [7] = 4)), 0);
	current = walk(rig.cmd.moved);
	ck_assert_uint_lt(current, all);
	ck_assert_uint_eq(run_in(CDB(0x46, 2, 0, 0x10, [7] = 4)), 0);
	ck_assert_uint_eq(walk(rig.cmd.moved), 1);
	ck_assert_uint_eq(be16_get(data + 8), 0x0010);
	ck_assert_uint_eq(be32_get(data + 12), 2048);
	ck_assert_uint_eq(run_in(CDB(0x46, 2, 0x12, 0x34, [7] = 4)), 0);
	ck_assert_uint_eq(walk(rig.cmd.moved), 0);
	ck_assert_uint_eq(run_in(CDB(0x46, 0, 1, 0, [7] = 4)), 0);
	ck_assert_uint_eq(walk(rig.cmd.moved), 2);
	ck_assert_uint_eq(run_in(CDB(0x46, 3, [7] = 4)), 0x052400);
	/* More than a CD holds; nothing in the drive. */
	rig.ram->block.size = 1ull << 30;
	ck_assert_uint_eq(run_in(CDB(0x46, [7] = 4)), 0);
	ck_assert_uint_eq(be16_get(data + 6), 0x0010);
	rig.ram->block.size = RIG_BLOCKS * 512;
	rig.lun.ejected = true;
	ck_assert_uint_eq(run_in(CDB(0x46, [7] = 4)), 0);
	ck_assert_uint_eq(be16_get(data + 6), 0);
}
END_TEST

static void check_event(uint8_t event, uint8_t status)
{
	ck_assert_uint_eq(run_in(CDB(0x4a, 1, [4] = 0x10, [8] = 8)), 0);
	ck_assert_uint_eq(rig.cmd.moved, 8);
	ck_assert_mem_eq(data, "\x00\x06\x04\x10", 4);
	ck_assert_uint_eq(data[4], event);
	ck_assert_uint_eq(data[5], status);
}

START_TEST(events)
{
	check_event(0, 2);
	ck_assert_uint_eq(run_in(CDB(0x1b, [4] = 2)), 0);
	check_event(3, 1);
	check_event(0, 1);
	ck_assert_uint_eq(run_in(CDB(0xbd, [9] = 8)), 0);
	ck_assert_uint_eq(data[1], 0x10);
	ck_assert_uint_eq(run_in(CDB(0x28, [8] = 1)), 0x023a00);
	ck_assert_uint_eq(run_in(CDB(0x43, [8] = 12)), 0x023a00);
	ck_assert_uint_eq(run_in(CDB(0x1b, [4] = 3)), 0);
	check_event(2, 2); /* and the unit attention is left for others */
	ck_assert_uint_eq(run_in(CDB(0x00)), 0x062800);
	ck_assert_uint_eq(run_in(CDB(0xbd, [9] = 8)), 0);
	ck_assert_uint_eq(data[1], 0);
	/* Asynchronous operation, and classes that there are not. */
	ck_assert_uint_eq(run_in(CDB(0x4a, 0, [4] = 0x10, [8] = 8)), 0x052400);
	ck_assert_uint_eq(run_in(CDB(0x4a, 1, [4] = 0x02, [8] = 8)), 0);
	ck_assert_uint_eq(rig.cmd.moved, 4);
	ck_assert_mem_eq(data, "\x00\x02\x80\x10", 4);
}
END_TEST

START_TEST(modes)
{
	ck_assert_uint_eq(run_in(CDB(0x5a, 0, 0x2a, [8] = 128)), 0);
	ck_assert_uint_eq(rig.cmd.moved, 8 + 22);
	ck_assert_uint_eq(data[3], 0);
	ck_assert_mem_eq(data + 8, "\x2a\x14\x3b", 3);
	ck_assert_uint_eq(data[14] & 0x08, 0x08); /* it ejects */
	ck_assert_uint_eq(run_in(CDB(0x5a, 0, 0x08, [8] = 128)), 0x052400);
	ck_assert_uint_eq(run_in(CDB(0x5a, 0, 0x3f, [8] = 128)), 0);
	ck_assert_uint_eq(rig.cmd.moved, 8 + 12 + 12 + 22);
}
END_TEST

START_TEST(empty_drive)
{
	rig.lun.block = NULL;
	rig_restart(&rig);
	ck_assert_uint_eq(run_in(CDB(0x00)), 0x023a00);
	ck_assert_uint_eq(run_in(CDB(0x25)), 0x023a00);
	ck_assert_uint_eq(run_in(CDB(0x12, [4] = 96)), 0);
	ck_assert_uint_eq(run_in(CDB(0x46, [7] = 4)), 0);
	ck_assert_uint_eq(be16_get(data + 6), 0);
	check_event(0, 0);
	ck_assert_uint_eq(run_in(CDB(0x1b, [4] = 2)), 0);
	ck_assert_uint_eq(run_in(CDB(0x1b, [4] = 3)), 0);
	ck_assert_uint_eq(run_in(CDB(0x5a, 0, 0x3f, [8] = 128)), 0x062800);
	ck_assert_uint_eq(run_in(CDB(0x5a, 0, 0x3f, [8] = 128)), 0);
	ck_assert_uint_eq(run_in(CDB(0x00)), 0x023a00);
	rig.lun.block = &rig.ram->block;
}
END_TEST

START_TEST(table_is_in_order)
{
	const struct scsi_op *op, *common;

	for (op = mmc_ops + 1; op->run; op++)
		ck_assert_uint_gt(op->opcode, op[-1].opcode);
	for (op = mmc_ops; op->run; op++) {
		ck_assert_uint_eq(op->usage[op->cdb_len - 2], 0);
		ck_assert_ptr_eq(scsi_op_find(&rig.ctx, &rig.lun, op->opcode, 0), op);
		for (common = spc_ops; common->run; common++)
			ck_assert_uint_ne(op->opcode, common->opcode);
	}
}
END_TEST

Suite *mmc_suite(void)
{
	Suite *suite = suite_create("mmc");
	TCase *tc = unit_case(suite, "mmc");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, inquiry);
	tcase_add_test(tc, capacity_and_reads);
	tcase_add_test(tc, toc);
	tcase_add_test(tc, disc_and_track);
	tcase_add_test(tc, configuration);
	tcase_add_test(tc, events);
	tcase_add_test(tc, modes);
	tcase_add_test(tc, empty_drive);
	tcase_add_test(tc, table_is_in_order);
	return suite;
}

UNIT_MAIN(mmc_suite)
