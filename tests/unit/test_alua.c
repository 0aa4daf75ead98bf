/* SPDX-License-Identifier: MIT */
#include "tests/lib/scsi_examples.h"
#include "tests/lib/scsi_run.h"

#include <errno.h>

#include "tests/unit/unit.h"
#include "vmm/core/util.h"

Suite *alua_suite(void);

static struct scsi_rig rig;
static struct scsi_rig_port other;
static uint8_t data[512];

static void setup(void)
{
	rig_init(&rig);
	rig.lun.alua = true;
	rig_other_init(&rig, &other, 7);
}

static void teardown(void)
{
	rig_other_fini(&other);
	rig_fini(&rig);
}

static void step(void)
{
	rig_rebirth(&rig, teardown, setup);
}

static void setup_reborn(void)
{
	setup();
	rig.step = step;
}

static void forget(void)
{
	rig.ctx.path[0]->nexus->attentions = 0;
	other.ctx.path[0]->nexus->attentions = 0;
}

/* The rig's own port gets a state, of which no attention tells. */
static void set(enum scsi_access_state state)
{
	ck_assert_int_eq(scsi_access_set(&rig.lun, &rig.port, state), 0);
	forget();
}

static uint32_t run_by(struct scsi_rig_port *port, const uint8_t *cdb, size_t in_len)
{
	rig.other = port;
	memset(data, 0xee, sizeof(data));
	return scsi_run(&rig, cdb, NULL, 0, data, in_len);
}

static const uint8_t tur[SCSI_CDB_MAX] = { 0 };
static const uint8_t report[SCSI_CDB_MAX] = { 0xa3, 0x0a, [9] = 64 };

/* The group of a port in the report. */
static const uint8_t *group(uint8_t port)
{
	const uint8_t *g = data + 4;

	ck_assert_uint_eq(run_by(&other, report, 64), 0);
	ck_assert_uint_eq(rig.cmd.moved, 4 + 2 * 12);
	ck_assert_uint_eq(be32_get(data), 2 * 12);
	return g[3] == port ? g : g + 12;
}

START_TEST(groups)
{
	static const uint8_t codes[] = { 0, 1, 2, 3, 3 };
	unsigned state;

	ck_assert_mem_eq(group(1), "\x00\x0f\x00\x01\x00\x00\x00\x01\x00\x00\x00\x01", 12);
	ck_assert_mem_eq(group(7), "\x00\x0f\x00\x07\x00\x00\x00\x01\x00\x00\x00\x07", 12);
	for (state = 0; state < SCSI_ACCESS_STATES; state++) {
		uint8_t wanted[12] = { codes[state], 0x0f, 0, 1, 0, 2, 0, 1, 0, 0, 0, 1 };

		set(state);
		ck_assert_mem_eq(group(1), wanted, 12);
		ck_assert_uint_eq(group(7)[0], 0);
		ck_assert_uint_eq(group(7)[5], 0);
	}
}
END_TEST

START_TEST(formats)
{
	ck_assert_uint_eq(run_by(NULL, CDB(0xa3, 0x2a, [9] = 64), 64), 0);
	ck_assert_uint_eq(rig.cmd.moved, 8 + 2 * 12);
	ck_assert_mem_eq(data, "\0\0\0\x1c\x10\0\0\0\0\x0f", 10);
	ck_assert_uint_eq(run_by(NULL, CDB(0xa3, 0x4a, [9] = 64), 64), 0x052400);
	ck_assert_mem_eq(rig.cmd.sense + 15, "\xcf\x00\x01", 3);
	ck_assert_uint_eq(run_by(NULL, CDB(0xa3, 0x0a, [9] = 5), 64), 0);
	ck_assert_uint_eq(rig.cmd.moved, 5);
	ck_assert_uint_eq(be32_get(data), 2 * 12);
}
END_TEST

/* A LUN with one port has no groups. */
START_TEST(one_port)
{
	rig.lun.alua = false;
	ck_assert_uint_eq(run_by(NULL, report, 64), 0x052400);
	ck_assert_uint_eq(run_by(NULL, CDB(0x12, [4] = 96), 96), 0);
	ck_assert_uint_eq(data[5], 0);
	ck_assert_uint_eq(run_by(NULL, CDB(0x12, 1, 0x83, 0, 255), 255), 0);
	ck_assert_mem_eq(data + rig.cmd.moved - 8, "\x01\x14\x00\x04\x00\x00\x00\x01", 8);
	ck_assert_uint_eq(run_by(NULL, CDB(0xa3, 0x0c, 3, 0xa3, 0, 0x0a, [9] = 64), 64), 0);
	ck_assert_uint_eq(data[1], 1);
	/* Nor are they set by anybody. */
	rig.lun.alua = true;
	ck_assert_uint_eq(run_by(NULL, CDB(0xa3, 0x0c, 3, 0xa3, 0, 0x0a, [9] = 64), 64), 0);
	ck_assert_uint_eq(data[1], 3);
	ck_assert_uint_eq(run_by(NULL, CDB(0xa4, 0x0a), 0), 0x052000);
}
END_TEST

START_TEST(inquiry)
{
	ck_assert_uint_eq(run_by(NULL, CDB(0x12, [4] = 96), 96), 0);
	ck_assert_uint_eq(data[5], 0x10);
	ck_assert_uint_eq(run_by(&other, CDB(0x12, 1, 0x83, 0, 255), 255), 0);
	ck_assert_uint_eq(be16_get(data + 2), rig.cmd.moved - 4);
	ck_assert_mem_eq(data + rig.cmd.moved - 16,
			 "\x01\x14\x00\x04\x00\x00\x00\x07\x01\x15\x00\x04\x00\x00\x00\x07", 16);
}
END_TEST

START_TEST(all_are_told)
{
	unsigned state;

	for (state = 1; state < SCSI_ACCESS_STATES; state++) {
		scsi_access_set(&rig.lun, &other.port, state);
		ck_assert_uint_eq(run_by(NULL, tur, 0), 0x062a06);
		ck_assert_uint_eq(run_by(NULL, tur, 0), 0);
		if (state != SCSI_ACCESS_FAILS)
			ck_assert_uint_eq(run_by(&other, tur, 0), 0x062a06);
	}
	/* Of what is new. */
	ck_assert_int_eq(scsi_access_set(&rig.lun, &other.port, SCSI_ACCESS_FAILS), 0);
	ck_assert_uint_eq(run_by(NULL, tur, 0), 0);
	/* It is still there when the path is back. */
	scsi_access_set(&rig.lun, &other.port, SCSI_ACCESS_OPTIMIZED);
	ck_assert_uint_eq(run_by(&other, tur, 0), 0x062a06);
	ck_assert_uint_eq(run_by(&other, tur, 0), 0);
	ck_assert_int_eq(scsi_access_set(&rig.lun, NULL, SCSI_ACCESS_STANDBY), -ENOENT);
}
END_TEST

static const struct {
	uint8_t opcode;
	int action; /* -1: all of them */
	bool unavailable; /* or in standby only */
} allowed[] = {
	{ 0x03, -1, true }, { 0x12, -1, true }, { 0xa0, -1, true }, { 0xa3, 0x0a, true },
	{ 0x15, -1, false }, { 0x1a, -1, false }, { 0x1d, -1, false }, { 0x4d, -1, false },
	{ 0x55, -1, false }, { 0x5a, -1, false }, { 0x5e, -1, false }, { 0x5f, -1, false },
};

static bool is_allowed(const struct scsi_op *op, enum scsi_access_state state)
{
	size_t i;

	for (i = 0; state >= SCSI_ACCESS_STANDBY && i < ARRAY_SIZE(allowed); i++)
		if (allowed[i].opcode == op->opcode &&
		    (allowed[i].action < 0 || allowed[i].action == op->action))
			return state == SCSI_ACCESS_STANDBY ||
			       (state == SCSI_ACCESS_UNAVAILABLE && allowed[i].unavailable);
	return state < SCSI_ACCESS_STANDBY;
}

/* SPC-4 5.15.2.4, for each row. */
START_TEST(what_each_state_allows)
{
	static const struct scsi_op *const tables[] = { spc_ops, sbc_ops };
	static const uint32_t refused[] = {
		[SCSI_ACCESS_STANDBY] = 0x02040b,
		[SCSI_ACCESS_UNAVAILABLE] = 0x02040c,
		[SCSI_ACCESS_FAILS] = RIG_RESPONSE(SCSI_RESPONSE_PATH),
	};
	const struct scsi_op *op;
	uint32_t result;
	size_t t;

	for (t = 0; t < ARRAY_SIZE(tables); t++) {
		for (op = tables[t]; op->run; op++) {
			if (!scsi_op_offered(op, &rig.lun))
				continue;
			teardown();
			setup();
			memset(rig.ram->bytes, 0, 1024);
			set(_i);
			rig.ram->nlog = 0;
			result = scsi_example_run(&rig, op);
			if (is_allowed(op, _i) ? result == 0x02040b || result == 0x02040c :
						 result != refused[_i])
				ck_abort_msg("%s: %x", op->name, result);
			if (!is_allowed(op, _i))
				ck_assert_uint_eq(rig.ram->nlog, 0);
		}
	}
	/* The other port goes on. */
	rig.other = &other;
	forget();
	ck_assert_uint_eq(run_by(&other, CDB(0x28, [8] = 1), 512), 0);
}
END_TEST

/* What REQUEST SENSE finds there; and an unknown command is unknown everywhere. */
START_TEST(polled)
{
	set(SCSI_ACCESS_STANDBY);
	ck_assert_uint_eq(run_by(NULL, CDB(0x03, [4] = 18), 18), 0);
	ck_assert_uint_eq(data[2] << 16 | data[12] << 8 | data[13], 0x02040b);
	ck_assert_uint_eq(run_by(NULL, CDB(0xff), 0), 0x052000);
	set(SCSI_ACCESS_UNAVAILABLE);
	ck_assert_uint_eq(run_by(NULL, CDB(0x03, [4] = 18), 18), 0);
	ck_assert_uint_eq(data[2] << 16 | data[12] << 8 | data[13], 0x02040c);
	set(SCSI_ACCESS_NON_OPTIMIZED);
	ck_assert_uint_eq(run_by(NULL, CDB(0x03, [4] = 18), 18), 0);
	ck_assert_uint_eq(data[2], 0);
}
END_TEST

/* A driver that starts anew does not get its path back, and what is in flight ends well. */
START_TEST(resets_and_flight)
{
	struct scsi_flight flight = { .cmd.tag = 0 };

	rig.other = NULL;
	rig.ram->hold = true;
	flight_start(&flight, &rig, CDB(0x28, [8] = 1), NULL, 0, data, 512);
	set(SCSI_ACCESS_FAILS);
	scsi_ctx_drain(&rig.ctx);
	ck_assert_uint_eq(flight_result(&flight), 0);
	scsi_port_reset(&rig.port);
	ck_assert_uint_eq(run_by(NULL, tur, 0), RIG_RESPONSE(SCSI_RESPONSE_PATH));
	ck_assert_int_eq(scsi_access_of(&rig.lun, &rig.port), SCSI_ACCESS_FAILS);
	ck_assert_int_eq(scsi_access_of(&rig.lun, &other.port), SCSI_ACCESS_OPTIMIZED);
}
END_TEST

Suite *alua_suite(void)
{
	Suite *suite = suite_create("alua");
	TCase *tc = unit_case(suite, "alua");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, groups);
	tcase_add_test(tc, formats);
	tcase_add_test(tc, one_port);
	tcase_add_test(tc, inquiry);
	tcase_add_test(tc, all_are_told);
	tcase_add_loop_test(tc, what_each_state_allows, 0, SCSI_ACCESS_STATES);
	tcase_add_test(tc, polled);
	tcase_add_test(tc, resets_and_flight);

	tc = unit_case(suite, "reborn"); /* saved, destroyed and restored before each command */
	tcase_add_checked_fixture(tc, setup_reborn, teardown);
	tcase_add_test(tc, groups);
	tcase_add_test(tc, formats);
	tcase_add_test(tc, all_are_told);
	return suite;
}

UNIT_MAIN(alua_suite)
