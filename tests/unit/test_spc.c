/* SPDX-License-Identifier: MIT */
#include "tests/lib/scsi_run.h"

#include "tests/unit/unit.h"
#include "vmm/core/util.h"

Suite *spc_suite(void);

static struct scsi_rig rig;
static uint8_t data[4096];

static void setup(void)
{
	memset(data, 0xee, sizeof(data));
	rig_init(&rig);
}

static void teardown(void)
{
	rig_fini(&rig);
}

static uint32_t run_in(const uint8_t *cdb, size_t len)
{
	return scsi_run(&rig, cdb, NULL, 0, data, len);
}

START_TEST(test_unit_ready)
{
	ck_assert_uint_eq(run_in(CDB(0x00), 0), 0);
	rig.lun.stopped = true;
	ck_assert_uint_eq(run_in(CDB(0x00), 0), 0x020402);
}
END_TEST

START_TEST(inquiry)
{
	static const uint8_t expected[96] = {
		0x00, 0x00, 0x06, 0x12, 91, 0x00, 0x00, 0x02,
		'L', 'U', 'N', 'E', 'T', 'T', 'E', ' ',
		'D', 'I', 'S', 'K', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ',
		'0', '.', '1', ' ',
		[58] = 0x00, 0xa0, 0x04, 0x60, 0x04, 0xc0,
	};

	strcpy(rig.lun.revision, "0.1");
	ck_assert_uint_eq(run_in(CDB(0x12, [4] = 255), 255), 0);
	ck_assert_uint_eq(rig.cmd.moved, 96);
	ck_assert_mem_eq(data, expected, 96);
	ck_assert_uint_eq(data[96], 0xee);
	/* A page code without EVPD. */
	ck_assert_uint_eq(run_in(CDB(0x12, 0, 0x80, 0, 96), 96), 0x052400);
	ck_assert_mem_eq(rig.cmd.sense + 15, "\xcf\x00\x02", 3);
}
END_TEST

/* The length that the data says does not depend on what was asked for. */
/* Of an initiator that does not know yet what it talks to. */
START_TEST(inquiry_with_an_old_lun)
{
	ck_assert_uint_eq(run_in(CDB(0x12, 0x20, 0, 0, 36), 36), 0);
	ck_assert_uint_eq(rig.cmd.moved, 36);
	ck_assert_uint_eq(data[2], 0x06);
	ck_assert_uint_eq(run_in(CDB(0x12, 0xe1, 0x80, 0, 36), 36), 0);
	ck_assert_uint_eq(data[1], 0x80);
	ck_assert_uint_eq(run_in(CDB(0x12, 0x02, 0, 0, 36), 36), 0x052400);
}
END_TEST

START_TEST(allocation_length)
{
	static const struct {
		uint8_t alloc;
		size_t buffer, moved;
		uint32_t result;
	} cases[] = {
		{ 0, 0, 0, 0 },
		{ 0, 96, 0, 0 },
		{ 5, 96, 5, 0 },
		{ 36, 36, 36, 0 },
		{ 96, 96, 96, 0 },
		{ 255, 255, 96, 0 },
		{ 255, 96, 96, 0 }, /* nothing is missing */
		{ 36, 35, 35, RIG_RESPONSE(SCSI_RESPONSE_OVERRUN) },
		{ 36, 0, 0, RIG_RESPONSE(SCSI_RESPONSE_OVERRUN) },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		memset(data, 0xee, sizeof(data));
		ck_assert_uint_eq(run_in(CDB(0x12, [4] = cases[i].alloc), cases[i].buffer),
				  cases[i].result);
		ck_assert_uint_eq(rig.cmd.moved, cases[i].moved);
		ck_assert_uint_eq(data[cases[i].moved], 0xee);
		if (cases[i].moved > 4)
			ck_assert_uint_eq(data[4], 91);
	}
}
END_TEST

START_TEST(request_sense)
{
	ck_assert_uint_eq(run_in(CDB(0x03, [4] = 252), 252), 0);
	ck_assert_uint_eq(rig.cmd.moved, 18);
	ck_assert_mem_eq(data, "\x70\0\0\0\0\0\0\x0a\0\0\0\0\0\0\0\0\0\0", 18);
	ck_assert_uint_eq(run_in(CDB(0x03, 0x01, [4] = 252), 252), 0);
	ck_assert_uint_eq(rig.cmd.moved, 8);
	ck_assert_mem_eq(data, "\x72\0\0\0\0\0\0\0", 8);
	rig.lun.stopped = true;
	ck_assert_uint_eq(run_in(CDB(0x03, 0x01, [4] = 252), 252), 0);
	ck_assert_mem_eq(data, "\x72\x02\x04\x02\0\0\0\0", 8);
	scsi_attention(&rig.lun, SENSE_LUNS_CHANGED);
	ck_assert_uint_eq(run_in(CDB(0x03, 0x01, [4] = 252), 252), 0);
	ck_assert_mem_eq(data, "\x72\x06\x3f\x0e", 4);
}
END_TEST

START_TEST(descriptor_sense)
{
	rig.lun.descriptor_sense = true;
	ck_assert_uint_eq(run_in(CDB(0xff), 0), 0x052000);
	ck_assert_uint_eq(rig.cmd.sense_len, 8);
	ck_assert_uint_eq(rig.cmd.sense[0], 0x72);
	rig.lun.descriptor_sense = false;
	ck_assert_uint_eq(run_in(CDB(0xff), 0), 0x052000);
	ck_assert_uint_eq(rig.cmd.sense_len, 18);
	ck_assert_uint_eq(rig.cmd.sense[0], 0x70);
}
END_TEST

START_TEST(report_luns)
{
	static struct scsi_lun more[2];
	static const uint8_t luns[24] = { [9] = 7, [16] = 0x41, [17] = 0x2c };

	scsi_lun_init(&more[0], &rig.ram->block, 300, "a");
	scsi_lun_init(&more[1], &rig.ram->block, 7, "b");
	rig_add(&rig, &more[0]);
	rig_add(&rig, &more[1]);

	ck_assert_uint_eq(run_in(CDB(0xa0, [8] = 16), 4096), 0);
	ck_assert_uint_eq(rig.cmd.moved, 32);
	ck_assert_mem_eq(data, "\0\0\0\x18\0\0\0\0", 8);
	ck_assert_mem_eq(data + 8, luns, 24);

	ck_assert_uint_eq(run_in(CDB(0xa0, 0, 1, [8] = 16), 4096), 0);
	ck_assert_uint_eq(rig.cmd.moved, 16);
	ck_assert_mem_eq(data, "\0\0\0\x08\0\0\0\0\xc1\x01\0\0\0\0\0\0", 16);

	ck_assert_uint_eq(run_in(CDB(0xa0, 0, 2, [8] = 16), 4096), 0);
	ck_assert_uint_eq(rig.cmd.moved, 40);
	ck_assert_mem_eq(data + 16, luns, 24);

	/* Cut, but the length is that of the whole list. */
	ck_assert_uint_eq(run_in(CDB(0xa0, [9] = 16), 16), 0);
	ck_assert_uint_eq(rig.cmd.moved, 16);
	ck_assert_uint_eq(be32_get(data), 24);
	ck_assert_uint_eq(run_in(CDB(0xa0, 0, 3, [9] = 16), 16), 0x052400);
	ck_assert_uint_eq(run_in(CDB(0xa0, 0, 0x10, [9] = 16), 16), 0x052400);
}
END_TEST

START_TEST(diagnostic_and_prevent)
{
	ck_assert_uint_eq(run_in(CDB(0x1d, 0x04), 0), 0);
	ck_assert_uint_eq(run_in(CDB(0x1d, 0x20), 0), 0x052400);
	ck_assert_uint_eq(run_in(CDB(0x1d, 0, 0, 0, 8), 0), 0x052400);
	ck_assert_uint_eq(run_in(CDB(0x1e, 0, 0, 0, 1), 0), 0);
	ck_assert_uint_eq(run_in(CDB(0x1e), 0), 0);
}
END_TEST

/* Finds @op in the list of all; the position of its descriptor. */
static const uint8_t *find_in_list(const struct scsi_op *op, size_t step)
{
	uint32_t len = be32_get(data), at;

	for (at = 4; at < 4 + len; at += step)
		if (data[at] == op->opcode && be16_get(data + at + 2) == op->action)
			return data + at;
	return NULL;
}

/* The list has each row, once, and nothing else. */
static void check_list(size_t step)
{
	const struct scsi_op *const tables[] = { spc_ops, sbc_ops };
	const struct scsi_op *op;
	size_t t, rows = 0;

	for (t = 0; t < 2; t++) {
		for (op = tables[t]; op->run; op++) {
			const uint8_t *d = find_in_list(op, step);

			ck_assert_int_eq(d != NULL, scsi_op_offered(op, &rig.lun));
			if (!d)
				continue;
			rows++;
			ck_assert_uint_eq(d[5], (step > 8 ? 2 : 0) | op->has_action);
			ck_assert_uint_eq(be16_get(d + 6), op->cdb_len);
			if (step > 8)
				ck_assert_mem_eq(d + 8, "\0\x0a\0\0\0\0\0\0\0\0\0\0", 12);
		}
	}
	ck_assert_uint_eq(be32_get(data), rows * step);
}

START_TEST(report_all_opcodes)
{
	ck_assert_uint_eq(run_in(CDB(0xa3, 0x0c, [8] = 16), 4096), 0);
	ck_assert_uint_eq(rig.cmd.moved, be32_get(data) + 4);
	check_list(8);
	ck_assert_uint_eq(run_in(CDB(0xa3, 0x0c, 0x80, [8] = 16), 4096), 0);
	check_list(20);

	rig.lun.discard = false;
	ck_assert_uint_eq(run_in(CDB(0xa3, 0x0c, [8] = 16), 4096), 0);
	check_list(8);
}
END_TEST

START_TEST(report_one_opcode)
{
	/* READ(10) */
	ck_assert_uint_eq(run_in(CDB(0xa3, 0x0c, 1, 0x28, [9] = 64), 64), 0);
	ck_assert_uint_eq(rig.cmd.moved, 14);
	ck_assert_mem_eq(data, "\x00\x03\x00\x0a\x28\x18\xff\xff\xff\xff\x3f\xff\xff\x00", 14);
	/* WRITE SAME(16), with the timeouts descriptor */
	ck_assert_uint_eq(run_in(CDB(0xa3, 0x0c, 0x81, 0x93, [9] = 64), 64), 0);
	ck_assert_uint_eq(rig.cmd.moved, 32);
	ck_assert_mem_eq(data, "\x00\x83\x00\x10\x93\x09\xff\xff", 8);
	ck_assert_mem_eq(data + 20, "\0\x0a\0\0\0\0\0\0\0\0\0\0", 12);
	/* READ CAPACITY(16) by its action: the action is in the usage data */
	ck_assert_uint_eq(run_in(CDB(0xa3, 0x0c, 2, 0x9e, 0, 0x10, [9] = 64), 64), 0);
	ck_assert_uint_eq(rig.cmd.moved, 20);
	ck_assert_mem_eq(data, "\x00\x03\x00\x10\x9e\x10", 6);
	/* Option 3 takes both kinds. */
	ck_assert_uint_eq(run_in(CDB(0xa3, 0x0c, 3, 0x9e, 0, 0x12, [9] = 64), 64), 0);
	ck_assert_uint_eq(data[1], 3);
	ck_assert_uint_eq(run_in(CDB(0xa3, 0x0c, 3, 0x28, [9] = 64), 64), 0);
	ck_assert_uint_eq(data[1], 3);
}
END_TEST

START_TEST(report_opcode_that_is_not_there)
{
	static const uint8_t requests[][6] = {
		{ 0xa3, 0x0c, 1, 0xff },           /* no such opcode */
		{ 0xa3, 0x0c, 0x81, 0x83 },
		{ 0xa3, 0x0c, 2, 0x9e, 0, 0x11 },  /* no such action */
		{ 0xa3, 0x0c, 2, 0x9e, 1, 0x10 },  /* nor with 16 bits */
		{ 0xa3, 0x0c, 3, 0x9e, 0, 0x11 },
		{ 0xa3, 0x0c, 3, 0x28, 0, 0x01 },
		{ 0xa3, 0x0c, 1, 0x42 },           /* UNMAP, once discard is off */
	};
	size_t i;

	rig.lun.discard = false;
	for (i = 0; i < ARRAY_SIZE(requests); i++) {
		uint8_t cdb[SCSI_CDB_MAX] = { [9] = 64 };

		memcpy(cdb, requests[i], 6);
		ck_assert_uint_eq(run_in(cdb, 64), 0);
		ck_assert_uint_eq(rig.cmd.moved, 4);
		ck_assert_mem_eq(data, "\x00\x01\x00\x00", 4);
	}
	ck_assert_uint_eq(run_in(CDB(0x42, [8] = 24), 64), 0x052000);
	/* Option 1 is for opcodes without actions, option 2 for those with. */
	ck_assert_uint_eq(run_in(CDB(0xa3, 0x0c, 1, 0x9e, [9] = 64), 64), 0x052400);
	ck_assert_uint_eq(run_in(CDB(0xa3, 0x0c, 2, 0x28, [9] = 64), 64), 0x052400);
	ck_assert_uint_eq(run_in(CDB(0xa3, 0x0c, 4, 0x28, [9] = 64), 64), 0x052400);
}
END_TEST

START_TEST(report_tmfs)
{
	ck_assert_uint_eq(run_in(CDB(0xa3, 0x0d, [9] = 64), 64), 0);
	ck_assert_uint_eq(rig.cmd.moved, 4);
	ck_assert_mem_eq(data, "\xdc\x03\x00\x00", 4);
	ck_assert_uint_eq(run_in(CDB(0xa3, 0x0d, 0x80, [9] = 64), 64), 0);
	ck_assert_uint_eq(rig.cmd.moved, 16);
	ck_assert_mem_eq(data, "\xdc\x03\x00\x0c\0\0\0\0\0\0\0\0\0\0\0\0", 16);
	ck_assert_uint_eq(run_in(CDB(0xa3, 0x0d, [9] = 3), 64), 0x052400);
}
END_TEST

Suite *spc_suite(void)
{
	Suite *suite = suite_create("spc");
	TCase *tc = unit_case(suite, "spc");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, test_unit_ready);
	tcase_add_test(tc, inquiry);
	tcase_add_test(tc, inquiry_with_an_old_lun);
	tcase_add_test(tc, allocation_length);
	tcase_add_test(tc, request_sense);
	tcase_add_test(tc, descriptor_sense);
	tcase_add_test(tc, report_luns);
	tcase_add_test(tc, diagnostic_and_prevent);
	tcase_add_test(tc, report_all_opcodes);
	tcase_add_test(tc, report_one_opcode);
	tcase_add_test(tc, report_opcode_that_is_not_there);
	tcase_add_test(tc, report_tmfs);
	return suite;
}

UNIT_MAIN(spc_suite)
