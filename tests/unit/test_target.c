/* SPDX-License-Identifier: MIT */
#include "tests/lib/scsi_examples.h"
#include "tests/lib/scsi_run.h"

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
}
END_TEST

START_TEST(unknown_service_actions)
{
	unsigned action;

	for (action = 0; action < 32; action++) {
		if (action != 0x10 && action != 0x12)
			ck_assert_uint_eq(scsi_run(&rig, CDB(0x9e, action), NULL, 0, NULL, 0),
					  0x052400);
		if (action != 0x0c && action != 0x0d) /* nor 0Ah, with one port */
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

	rig.lun.alua = true;

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
	struct scsi_port empty;
	struct scsi_ctx ctx;

	scsi_port_init(&empty, 1);
	ck_assert_int_eq(scsi_ctx_init(&ctx, &empty, rig.loop), 0);
	scsi_ctx_drain(&ctx);
	scsi_ctx_fini(&ctx);
	scsi_port_fini(&empty);
}
END_TEST

/* Media: every command of a type, where there is none to be had. */

static enum scsi_type type;

/* A LUN as after power on, whose first blocks are zeroes. */
static void renew(void)
{
	rig_fini(&rig);
	rig_init(&rig);
	memset(rig.ram->bytes, 0, 1024);
	rig.lun.removable = true;
	if (type == SCSI_CD)
		scsi_lun_become_cd(&rig.lun);
	rig_restart(&rig);
}

static const struct scsi_op *const type_tables[][2] = {
	[SCSI_DISK] = { spc_ops, sbc_ops },
	[SCSI_CD] = { spc_ops, mmc_ops },
};

/* Runs @check for each row that the LUN offers. */
static void each_row(void (*check)(const struct scsi_op *op))
{
	const struct scsi_op *op;
	size_t t;

	for (type = 0; type < SCSI_TYPES; type++) {
		for (t = 0; t < 2; t++) {
			for (op = type_tables[type][t]; op->run; op++) {
				renew();
				if (scsi_op_offered(op, &rig.lun))
					check(op);
			}
		}
	}
}

static void take_medium(void)
{
	scsi_lun_eject(&rig.lun);
	rig.lun.block = NULL;
	ck_assert_int_eq(scsi_ctx_sync(&rig.ctx), 0);
}

static void is_good(const struct scsi_op *op)
{
	uint32_t result = scsi_example_run(&rig, op);

	if (op->flags & SCSI_OP_MEDIUM && result)
		ck_abort_msg("%s: %x", op->name, result);
}

static void has_none(const struct scsi_op *op, uint32_t with)
{
	uint32_t without = scsi_example_run(&rig, op);

	if (without != (op->flags & SCSI_OP_MEDIUM ? 0x023a00 : with))
		ck_abort_msg("%s: %x", op->name, without);
	if (rig.ram->nlog && op->flags & SCSI_OP_MEDIUM)
		ck_abort_msg("%s: reaches the medium", op->name);
}

/* A command needs the medium, or does the same without, and with one in an open tray. */
static void no_medium(const struct scsi_op *op)
{
	uint32_t with = scsi_example_run(&rig, op);

	renew();
	scsi_lun_eject(&rig.lun);
	has_none(op, with);
	renew();
	take_medium();
	has_none(op, with);
	ck_assert_uint_eq(rig.ram->nlog, 0);
}

/* The medium goes when the store has done none, one or two of the steps. */
static void during_eject(const struct scsi_op *op)
{
	struct scsi_flight flight = { .cmd.tag = 0 };
	unsigned steps, i;

	for (steps = 0; steps < 3; steps++) {
		renew();
		rig.ram->hold = true;
		scsi_example_start(&flight, &rig, op);
		for (i = 0; i < steps; i++)
			ramstore_step(rig.ctx.path[0]->chan);
		i = flight.done;
		take_medium();
		ck_assert_uint_eq(flight.done, 1);
		if (!i && flight_result(&flight) != RIG_RESPONSE(SCSI_RESPONSE_RESET))
			ck_abort_msg("%s: %x", op->name, flight_result(&flight));
		ck_assert(LIST_EMPTY(&rig.ctx.tasks));
	}
}

/* Examples that do nothing would test nothing. */
START_TEST(all_with_a_medium)
{
	each_row(is_good);
}
END_TEST

START_TEST(all_without_a_medium)
{
	each_row(no_medium);
}
END_TEST

START_TEST(all_during_eject)
{
	each_row(during_eject);
}
END_TEST

Suite *target_suite(void)
{
	Suite *suite = suite_create("target");
	TCase *tc = unit_case(suite, "absence");

	tcase_add_checked_fixture(tc, setup, teardown);
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

	tc = unit_case(suite, "media");
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, all_with_a_medium);
	tcase_add_test(tc, all_without_a_medium);
	tcase_add_test(tc, all_during_eject);

	return suite;
}

UNIT_MAIN(target_suite)
