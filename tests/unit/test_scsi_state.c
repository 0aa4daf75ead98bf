/* SPDX-License-Identifier: MIT */
/*
 * test_scsi_state.c - a LUN as bytes: what is refused. What comes back the suites of its commands
 * show, where it is saved and restored before each of them.
 */
#include "tests/lib/scsi_run.h"

#include <errno.h>
#include <stdlib.h>

#include "tests/unit/unit.h"
#include "vmm/core/state.h"
#include "vmm/core/util.h"

Suite *scsi_state_suite(void);

static struct scsi_rig rig;
static struct scsi_rig_port other;
static uint8_t *bytes;
static size_t len;

static void visit(void *lun, struct state *s)
{
	scsi_lun_state(lun, s);
}

static void setup(void)
{
	rig_init(&rig);
	rig_other_init(&rig, &other, 2);
}

static void teardown(void)
{
	free(bytes);
	bytes = NULL;
	rig_other_fini(&other);
	rig_fini(&rig);
}

static uint32_t pr_out(uint8_t action, uint8_t type, uint64_t key, uint64_t new_key)
{
	uint8_t parameters[24] = { 0 };

	be64_put(parameters, key);
	be64_put(parameters + 8, new_key);
	return scsi_run(&rig, CDB(0x5f, action, type, [8] = 24), parameters, 24, NULL, 0);
}

/* Port 1 is registered, and holds a reservation of type 1; port 2 has something to hear. */
static void save(void)
{
	ck_assert_uint_eq(pr_out(0, 0, 0, 7), 0);
	ck_assert_uint_eq(pr_out(1, 1, 7, 0), 0);
	scsi_attention_others(rig.ctx.path[0]->nexus, SENSE_MODE_PARAMETERS_CHANGED);
	ck_assert_int_eq(state_save(visit, &rig.lun, &bytes, &len), 0);
	ck_assert_uint_eq(len, 78);
}

static void check_same(void)
{
	uint8_t *now;
	size_t n;

	ck_assert_int_eq(state_save(visit, &rig.lun, &now, &n), 0);
	ck_assert_uint_eq(n, len);
	ck_assert_mem_eq(now, bytes, len);
	free(now);
}

START_TEST(what_is_refused_comes_back)
{
	save();
	teardown();
	setup();
	save();
	ck_assert_uint_eq(pr_out(3, 0, 7, 0), 0); /* CLEAR */
	ck_assert_uint_eq(rig.lun.reservation.type, 0);
	ck_assert_int_eq(state_restore(visit, &rig.lun, bytes, len), 0);
	check_same();
	rig.other = &other;
	ck_assert_uint_eq(scsi_run(&rig, CDB(0), NULL, 0, NULL, 0), 0x062a01);
	ck_assert_uint_eq(scsi_run(&rig, CDB(0x2a, [8] = 1), bytes, len, NULL, 0),
			  RIG_STATUS(SCSI_RESERVATION_CONFLICT));
}
END_TEST

START_TEST(truncated)
{
	size_t n;

	save();
	for (n = 0; n < len; n++)
		ck_assert_int_eq(state_restore(visit, &rig.lun, bytes, n), -EPROTO);
	check_same();
}
END_TEST

/*
 * Five numbers of 4 bytes; 20: five switches; 25: media event, 4; 29: generation, 4; 33: type;
 * 34: holder, 2; 36: owner, 2; then for each port its number, 4; attentions, 4; access; whether
 * that was set; registered; key, 8; prevents.
 */
#define HOLDER 34
#define OWNER 36
#define PORT(n) (38 + 20 * ((n) - 1))

START_TEST(refused)
{
	static const struct {
		size_t at;
		uint8_t value;
	} bad[] = {
		{ 0, 1 }, { 4, 1 }, { 8, 1 }, { 13, 4 }, { 16, 3 }, /* another LUN */
		{ 20, 2 }, { 25, 4 },
		{ 33, 2 }, { 33, 9 }, { 33, 0 }, /* no type; none, but a holder */
		{ 33, 7 },               /* of all registrants, but a holder */
		{ HOLDER, 3 }, { HOLDER, 2 }, { HOLDER, 0 }, /* nobody; not registered; none */
		{ OWNER, 3 },
		{ PORT(1), 2 }, { PORT(2), 1 },
		{ PORT(1) + 4, 1 }, { PORT(1) + 8, 5 },
		{ PORT(1) + 10, 0 }, { PORT(1) + 11, 0 }, /* a key alone, no key */
		{ PORT(2) + 10, 1 },
		{ PORT(2) + 19, 2 },
	};

	save();
	rig.lun.swp = true; /* would be taken, if anything was */
	bytes[bad[_i].at] = bad[_i].value;
	ck_assert_int_eq(state_restore(visit, &rig.lun, bytes, len), -EINVAL);
	ck_assert(rig.lun.swp);
}
END_TEST

Suite *scsi_state_suite(void)
{
	Suite *suite = suite_create("scsi_state");
	TCase *tc = unit_case(suite, "state");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, what_is_refused_comes_back);
	tcase_add_test(tc, truncated);
	tcase_add_loop_test(tc, refused, 0, 23);
	return suite;
}

UNIT_MAIN(scsi_state_suite)
