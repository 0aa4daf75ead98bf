#include "tests/lib/scsi_run.h"

#include <errno.h>

#include "tests/unit/unit.h"
#include "vmm/core/util.h"

Suite *target_suite(void);

static struct scsi_rig rig;

static void setup(void)
{
	rig_init(&rig);
}

static void teardown(void)
{
	rig_fini(&rig);
}

static const struct scsi_op *const tables[] = { spc_ops, sbc_ops };

static uint32_t tur(void)
{
	return scsi_run(&rig, CDB(0), NULL, 0, NULL, 0);
}

START_TEST(addresses)
{
	static struct scsi_lun more[3];
	static const uint16_t numbers[] = { 300, 7, 16383 };
	static const struct {
		uint8_t field[8];
		int number; /* -1: none */
	} cases[] = {
		{ { 0 }, 0 },
		{ { 0x40, 0 }, 0 },
		{ { 0, 7 }, 7 },
		{ { 0x40, 7 }, 7 },
		{ { 0x41, 0x2c }, 300 },
		{ { 0x7f, 0xff }, 16383 },
		{ { 0, 8 }, -1 },
		{ { 0x01, 0x2c }, -1 },    /* bus 1 */
		{ { 0x80, 7 }, -1 },       /* logical unit addressing */
		{ { 0xc1, 0x01 }, -1 },    /* a well-known one */
		{ { 0, 7, 0, 1 }, -1 },    /* a second level */
		{ { 0, 7, 0, 0, 0, 0, 0, 1 }, -1 },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(numbers); i++) {
		scsi_lun_init(&more[i], &rig.ram->block, numbers[i], "x");
		rig_add(&rig, &more[i]);
	}
	ck_assert_int_eq(scsi_target_add(&rig.target, &more[1]), -EEXIST);
	ck_assert_uint_eq(rig.target.nluns, 4);
	for (i = 1; i < 4; i++)
		ck_assert_uint_lt(rig.target.lun[i - 1]->lun, rig.target.lun[i]->lun);

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		struct scsi_lun *lun = scsi_target_lun(&rig.target, cases[i].field);

		ck_assert_int_eq(lun ? lun->lun : -1, cases[i].number);
	}
}
END_TEST

START_TEST(address_of_a_number)
{
	uint8_t field[8];

	scsi_lun_address(255, field);
	ck_assert_mem_eq(field, "\x00\xff\0\0\0\0\0\0", 8);
	scsi_lun_address(256, field);
	ck_assert_mem_eq(field, "\x41\x00\0\0\0\0\0\0", 8);
	scsi_lun_address(16383, field);
	ck_assert_mem_eq(field, "\x7f\xff\0\0\0\0\0\0", 8);
}
END_TEST

START_TEST(names_are_stable)
{
	struct scsi_lun a, b;

	scsi_lun_init(&a, &rig.ram->block, 1, "serial-0");
	scsi_lun_init(&b, &rig.ram->block, 0, "serial-1");
	ck_assert_str_eq(a.naa, rig.lun.naa);
	ck_assert_str_ne(b.naa, rig.lun.naa);
	scsi_lun_fini(&a);
	scsi_lun_fini(&b);
}
END_TEST

/* What the kernel's target has been seen to make, with company 123456h and by the same rule. */
START_TEST(names_are_those_of_the_kernel)
{
	static const struct {
		uint32_t company;
		const char *serial, *naa;
	} names[] = {
		{ 0x123456, "the first a.img", "6123456efa0000000000000000000000" },
		{ 0x001405, "", "60014050000000000000000000000000" },
		{ 0x001405, "xyz", "60014050000000000000000000000000" },
		{ 0xffffff, "ABCDEFabcdef", "6ffffffabcdefabcdef0000000000000" },
		{ 0x000001, "0123456789012345678901234567890123456789",
		  "60000010123456789012345678901234" },
	};
	char naa[SCSI_NAA_MAX + 1];
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		scsi_naa_from_serial(naa, names[i].company, names[i].serial);
		ck_assert_str_eq(naa, names[i].naa);
		ck_assert_uint_eq(scsi_naa_company(naa), names[i].company);
	}
}
END_TEST

/* Also of serial numbers with the same hex digits, or none; and no vendor has such names. */
START_TEST(names_differ)
{
	static const char *const serials[] = { "root", "pool", "swap", "x", "y", "", "a.img",
					       "xa.img", "disk-1", "disk-2" };
	struct scsi_lun lun[ARRAY_SIZE(serials)];
	unsigned i, k;

	for (i = 0; i < ARRAY_SIZE(serials); i++) {
		scsi_lun_init(&lun[i], &rig.ram->block, 0, serials[i]);
		ck_assert_uint_eq(strlen(lun[i].naa), 32);
		ck_assert_uint_eq(scsi_naa_company(lun[i].naa) >> 16 & 3, 2);
		for (k = 0; k < i; k++)
			ck_assert_str_ne(lun[i].naa, lun[k].naa);
	}
	for (i = 0; i < ARRAY_SIZE(serials); i++)
		scsi_lun_fini(&lun[i]);
}
END_TEST

/* Is there a row for the opcode? */
static const struct scsi_op *row_of(unsigned opcode)
{
	const struct scsi_op *op;
	size_t t;

	for (t = 0; t < ARRAY_SIZE(tables); t++)
		for (op = tables[t]; op->run; op++)
			if (op->opcode == opcode)
				return op;
	return NULL;
}

START_TEST(unknown_opcodes)
{
	uint8_t cdb[SCSI_CDB_MAX] = { 0 }, data[512] = { 0 };
	unsigned opcode, unknown = 0;

	for (opcode = 0; opcode < 256; opcode++) {
		if (row_of(opcode))
			continue;
		unknown++;
		cdb[0] = (uint8_t)opcode;
		ck_assert_uint_eq(scsi_run(&rig, cdb, NULL, 0, NULL, 0), 0x052000);
		/* With data, too: never a transport's answer. */
		ck_assert_uint_eq(scsi_run(&rig, cdb, data, 512, data, 512), 0x052000);
		ck_assert_uint_eq(rig.cmd.moved, 0);
	}
	ck_assert_uint_gt(unknown, 200);
	/* Reservations are not there. */
	ck_assert_ptr_null(row_of(0x16));
	ck_assert_ptr_null(row_of(0x5e));
	ck_assert_ptr_null(row_of(0x5f));
}
END_TEST

START_TEST(unknown_service_actions)
{
	unsigned action;

	for (action = 0; action < 32; action++) {
		if (action != 0x10 && action != 0x12)
			ck_assert_uint_eq(scsi_run(&rig, CDB(0x9e, action), NULL, 0, NULL, 0),
					  0x052400);
		if (action != 0x0c && action != 0x0d)
			ck_assert_uint_eq(scsi_run(&rig, CDB(0xa3, action), NULL, 0, NULL, 0),
					  0x052400);
	}
	ck_assert_mem_eq(rig.cmd.sense + 15, "\xcc\x00\x01", 3);
}
END_TEST

/* Sets one bit that the row does not use. It is refused, and the sense data points at it. */
static unsigned try_reserved_bits(const struct scsi_op *op)
{
	unsigned byte, bit, tried = 0;

	for (byte = 1; byte < op->cdb_len; byte++) {
		for (bit = 0; bit < 8; bit++) {
			uint8_t cdb[SCSI_CDB_MAX] = { op->opcode, op->action };

			if (op->usage[byte - 1] & 1 << bit ||
			    (byte == 1 && op->has_action && bit < 5))
				continue;
			cdb[byte] |= 1 << bit;
			ck_assert_uint_eq(scsi_run(&rig, cdb, NULL, 0, NULL, 0), 0x052400);
			ck_assert_uint_eq(rig.cmd.sense[15], 0xc8 | bit);
			ck_assert_uint_eq(be16_get(rig.cmd.sense + 16), byte);
			tried++;
		}
	}
	return tried;
}

START_TEST(reserved_bits)
{
	const struct scsi_op *op;
	unsigned rows = 0;
	size_t t;

	for (t = 0; t < ARRAY_SIZE(tables); t++) {
		for (op = tables[t]; op->run; op++, rows++) {
			/* The CONTROL byte: NACA and all else is refused. */
			ck_assert_uint_eq(op->usage[op->cdb_len - 2], 0);
			ck_assert_uint_ge(try_reserved_bits(op), 8);
		}
	}
	ck_assert_uint_ge(rows, 36);
}
END_TEST

/* Rows of an opcode must stand together, in one table, for the index to find them all. */
START_TEST(table_is_in_order)
{
	const struct scsi_op *op;
	size_t t;

	for (t = 0; t < ARRAY_SIZE(tables); t++) {
		for (op = tables[t] + 1; op->run; op++) {
			ck_assert_uint_ge(op->opcode, op[-1].opcode);
			ck_assert(op->opcode != op[-1].opcode || op->action > op[-1].action);
		}
		for (op = tables[t]; op->run; op++) {
			ck_assert(t == 0 || row_of(op->opcode) >= tables[t]);
			ck_assert_ptr_eq(scsi_op_find(&rig.ctx, NULL, op->opcode, op->action), op);
		}
	}
}
END_TEST

START_TEST(attentions_in_order)
{
	uint8_t data[96] = { 0 };

	scsi_attention(&rig.lun, SENSE_LUNS_CHANGED);
	scsi_attention(&rig.lun, SENSE_CAPACITY_CHANGED);
	scsi_attention(&rig.lun, SENSE_CAPACITY_CHANGED);
	scsi_attention(&rig.lun, SENSE_BUS_DEVICE_RESET);
	scsi_attention(&rig.lun, SENSE_POWER_ON);

	/* INQUIRY and REPORT LUNS leave them alone, an unknown command does, too. */
	ck_assert_uint_eq(scsi_run(&rig, CDB(0x12, 0, 0, 0, 36), NULL, 0, data, 36), 0);
	ck_assert_uint_eq(scsi_run(&rig, CDB(0xa0, [9] = 16), NULL, 0, data, 16), 0);
	ck_assert_uint_eq(scsi_run(&rig, CDB(0xff), NULL, 0, NULL, 0), 0x052000);

	ck_assert_uint_eq(tur(), 0x062900);
	ck_assert_uint_eq(scsi_run(&rig, CDB(0x28, [8] = 1), NULL, 0, data, 0), 0x062903);
	/* REQUEST SENSE returns one as data, and clears it. */
	ck_assert_uint_eq(scsi_run(&rig, CDB(0x03, [4] = 18), NULL, 0, data, 18), 0);
	ck_assert_mem_eq(data, "\x70\0\x06\0\0\0\0\x0a\0\0\0\0\x2a\x09", 14);
	ck_assert_uint_eq(tur(), 0x063f0e);
	ck_assert_uint_eq(tur(), 0);
}
END_TEST

START_TEST(reset_leaves_power_on_alone)
{
	scsi_attention(&rig.lun, SENSE_MODE_PARAMETERS_CHANGED);
	scsi_attention(&rig.lun, SENSE_BUS_DEVICE_RESET);
	scsi_target_reset(&rig.target);
	ck_assert_uint_eq(tur(), 0x062900);
	ck_assert_uint_eq(tur(), 0);
}
END_TEST

START_TEST(fresh_lun_has_power_on)
{
	struct scsi_lun lun;
	struct scsi_target target = { 0 };

	scsi_lun_init(&lun, &rig.ram->block, 0, "x");
	ck_assert_int_eq(scsi_target_add(&target, &lun), 0);
	ck_assert_uint_eq(scsi_attention_take(&lun), SENSE_POWER_ON);
	ck_assert_uint_eq(scsi_attention_take(&lun), SENSE_NONE);
	scsi_target_fini(&target);
	scsi_lun_fini(&lun);
}
END_TEST

START_TEST(absent_lun)
{
	uint8_t data[96] = { 0 };

	rig.lun_field[1] = 5;
	ck_assert_uint_eq(tur(), 0x052500);
	ck_assert_uint_eq(scsi_run(&rig, CDB(0x28, [8] = 1), NULL, 0, data, 96), 0x052500);
	ck_assert_uint_eq(scsi_run(&rig, CDB(0xff), NULL, 0, NULL, 0), 0x052500);
	ck_assert_uint_eq(scsi_run(&rig, CDB(0x12, [4] = 96), NULL, 0, data, 96), 0);
	ck_assert_uint_eq(data[0], 0x7f);
	ck_assert_uint_eq(scsi_run(&rig, CDB(0x12, 1, 0, 0, 96), NULL, 0, data, 96), 0x052400);
	ck_assert_uint_eq(scsi_run(&rig, CDB(0xa0, [9] = 16), NULL, 0, data, 16), 0);
	ck_assert_uint_eq(data[3], 8);
	ck_assert_uint_eq(scsi_run(&rig, CDB(0x03, [4] = 18), NULL, 0, data, 18), 0);
	ck_assert_uint_eq(data[2], 0x05);
	ck_assert_uint_eq(data[12], 0x25);
}
END_TEST

START_TEST(well_known_lun)
{
	uint8_t data[96] = { 0 };

	memcpy(rig.lun_field, "\xc1\x01", 2);
	ck_assert_uint_eq(tur(), 0);
	ck_assert_uint_eq(scsi_run(&rig, CDB(0x12, [4] = 96), NULL, 0, data, 96), 0);
	ck_assert_uint_eq(data[0], 0x1e);
	ck_assert_uint_eq(scsi_run(&rig, CDB(0x12, 1, 0, 0, 96), NULL, 0, data, 96), 0);
	ck_assert_mem_eq(data, "\x1e\x00\x00\x02\x00\x83", 6);
	ck_assert_uint_eq(scsi_run(&rig, CDB(0x12, 1, 0x83, 0, 96), NULL, 0, data, 96), 0);
	ck_assert_mem_eq(data, "\x1e\x83\x00\x08\x01\x14\x00\x04\x00\x00\x00\x01", 12);
	ck_assert_uint_eq(scsi_run(&rig, CDB(0x12, 1, 0x80, 0, 96), NULL, 0, data, 96), 0x052400);
	ck_assert_uint_eq(scsi_run(&rig, CDB(0x03, [4] = 18), NULL, 0, data, 18), 0);
	ck_assert_uint_eq(data[2], 0);
	ck_assert_uint_eq(scsi_run(&rig, CDB(0xa0, [9] = 16), NULL, 0, data, 16), 0);
	ck_assert_uint_eq(scsi_run(&rig, CDB(0x28, [8] = 1), NULL, 0, data, 96), 0x052000);
	ck_assert_uint_eq(scsi_run(&rig, CDB(0x25), NULL, 0, data, 8), 0x052000);
}
END_TEST

START_TEST(drain_ends_all)
{
	struct scsi_flight flight[8] = { 0 };
	static uint8_t data[8][512];
	unsigned i;

	rig.ram->hold = true;
	for (i = 0; i < 8; i++)
		flight_start(&flight[i], &rig, CDB(0x28, [5] = i, [8] = 1), NULL, 0, data[i], 512);
	for (i = 0; i < 8; i++)
		ck_assert_uint_eq(flight[i].done, 0);
	scsi_ctx_drain(&rig.ctx);
	for (i = 0; i < 8; i++) {
		ck_assert_uint_eq(flight_result(&flight[i]), 0);
		ck_assert_uint_eq(data[i][5], rig_byte(i * 512 + 5));
	}
	ck_assert(LIST_EMPTY(&rig.ctx.tasks));
}
END_TEST

START_TEST(no_channel_no_ctx)
{
	struct scsi_target empty = { 0 };
	struct scsi_ctx ctx;

	ck_assert_int_eq(scsi_ctx_init(&ctx, &empty, rig.loop), 0);
	scsi_ctx_drain(&ctx);
	scsi_ctx_fini(&ctx);
}
END_TEST

Suite *target_suite(void)
{
	Suite *suite = suite_create("target");
	TCase *tc = unit_case(suite, "addressing");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, addresses);
	tcase_add_test(tc, address_of_a_number);
	tcase_add_test(tc, names_are_stable);
	tcase_add_test(tc, names_are_those_of_the_kernel);
	tcase_add_test(tc, names_differ);
	tcase_add_test(tc, absent_lun);
	tcase_add_test(tc, well_known_lun);
	tcase_add_test(tc, no_channel_no_ctx);

	tc = unit_case(suite, "dispatch");
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, unknown_opcodes);
	tcase_add_test(tc, unknown_service_actions);
	tcase_add_test(tc, reserved_bits);
	tcase_add_test(tc, table_is_in_order);
	tcase_add_test(tc, drain_ends_all);

	tc = unit_case(suite, "attentions");
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, attentions_in_order);
	tcase_add_test(tc, reset_leaves_power_on_alone);
	tcase_add_test(tc, fresh_lun_has_power_on);
	return suite;
}

UNIT_MAIN(target_suite)
