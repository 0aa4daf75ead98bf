/* SPDX-License-Identifier: MIT */
#include "tests/unit/reserve_fixture.h"

Suite *reserve_suite(void);

static void step(void)
{
	rig_rebirth(&rig, teardown, setup);
}

static void setup_reborn(void)
{
	setup();
	rig.step = step;
}

/* Generation and number of keys; the keys are in data + 8. */
static void check_keys(uint32_t generation, unsigned n)
{
	ck_assert_uint_eq(run(A, CDB(0x5e, 0, [8] = 255), NULL, 0, 255), 0);
	ck_assert_uint_eq(be32_get(data), generation);
	ck_assert_uint_eq(be32_get(data + 4), 8 * n);
	ck_assert_uint_eq(rig.cmd.moved, 8 + 8 * n);
}

/* Type 0: there must be no reservation. */
static void check_reservation(uint8_t type, uint64_t key)
{
	ck_assert_uint_eq(run(A, CDB(0x5e, 1, [8] = 255), NULL, 0, 255), 0);
	ck_assert_uint_eq(be32_get(data + 4), type ? 16 : 0);
	ck_assert_uint_eq(rig.cmd.moved, type ? 24 : 8);
	if (type) {
		ck_assert_uint_eq(be64_get(data + 8), key);
		ck_assert_uint_eq(data[21], type);
	}
}

START_TEST(registration)
{
	check_keys(0, 0);
	join(A);
	check_keys(1, 1);
	ck_assert_uint_eq(be64_get(data + 8), KEY(A));
	/* With another key than the one it has; without being registered. */
	ck_assert_uint_eq(pr_out(A, REGISTER, 0, 0, 5), CONFLICT);
	ck_assert_uint_eq(pr_out(B, REGISTER, 0, KEY(A), 5), CONFLICT);
	ck_assert_uint_eq(pr_out(B, RESERVE, 1, 0, 0), CONFLICT);
	check_keys(1, 1);
	/* A new key, with or without the old one. */
	ck_assert_uint_eq(pr_out(A, REGISTER, 0, KEY(A), 7), 0);
	ck_assert_uint_eq(pr_out(A, IGNORE, 0, 99, 8), 0);
	ck_assert_uint_eq(pr_out(B, IGNORE, 0, 99, 8), 0);
	check_keys(4, 2);
	ck_assert_uint_eq(be64_get(data + 8) | be64_get(data + 16), 8);
	ck_assert_uint_eq(pr_out(A, REGISTER, 0, 8, 0), 0);
	ck_assert_uint_eq(pr_out(B, IGNORE, 0, 0, 0), 0);
	check_keys(6, 0);
}
END_TEST

/* Who may do what: none, read, read and write. For the holder, a registered and another one. */
static const struct {
	uint8_t type;
	uint32_t registered_read, registered_write, other_read, other_write;
} types[] = {
	{ 1, 0, CONFLICT, 0, CONFLICT },
	{ 3, CONFLICT, CONFLICT, CONFLICT, CONFLICT },
	{ 5, 0, 0, 0, CONFLICT },
	{ 6, 0, 0, CONFLICT, CONFLICT },
	{ 7, 0, 0, 0, CONFLICT },
	{ 8, 0, 0, CONFLICT, CONFLICT },
};

START_TEST(access_by_type)
{
	bool all = types[_i].type >= 7;

	join(A);
	join(B);
	ck_assert_uint_eq(pr_out(A, RESERVE, types[_i].type, KEY(A), 0), 0);
	check_reservation(types[_i].type, all ? 0 : KEY(A));
	ck_assert_uint_eq(read_block(A), 0);
	ck_assert_uint_eq(write_block(A), 0);
	ck_assert_uint_eq(read_block(B), types[_i].registered_read);
	ck_assert_uint_eq(write_block(B), types[_i].registered_write);
	ck_assert_uint_eq(read_block(C), types[_i].other_read);
	ck_assert_uint_eq(write_block(C), types[_i].other_write);
	ck_assert_uint_eq(tur(C), 0);
	ck_assert_uint_eq(rig.ram->bytes[0], 0);

	/* Once more is no change; another type is a conflict, and so is another holder. */
	ck_assert_uint_eq(pr_out(A, RESERVE, types[_i].type, KEY(A), 0), 0);
	ck_assert_uint_eq(pr_out(A, RESERVE, types[_i].type ^ 2, KEY(A), 0),
			  types[_i].type == 6 || types[_i].type == 8 ? 0x052400 : CONFLICT);
	ck_assert_uint_eq(pr_out(B, RESERVE, types[_i].type, KEY(B), 0), all ? 0 : CONFLICT);

	/* A release with another type is refused; the right one tells other registrants. */
	ck_assert_uint_eq(pr_out(A, RELEASE, types[_i].type == 1 ? 3 : 1, KEY(A), 0), 0x052604);
	ck_assert_uint_eq(pr_out(A, RELEASE, types[_i].type, KEY(A), 0), 0);
	check_reservation(0, 0);
	ck_assert_uint_eq(tur(B), types[_i].type >= 5 ? 0x062a04 : 0);
	ck_assert_uint_eq(tur(C), 0);
	ck_assert_uint_eq(write_block(C), 0);
}
END_TEST

/* Every row of the command table, sent by one that is neither holder nor registered. */
START_TEST(access_of_every_command)
{
	static const uint8_t type_of[] = { 1, 3 };
	const struct scsi_op *tables[] = { spc_ops, sbc_ops }, *op;
	unsigned t, k;

	join(A);
	for (k = 0; k < 2; k++) {
		unsigned refused = k ? ACCESS_READ | ACCESS_WRITE : ACCESS_WRITE;

		ck_assert_uint_eq(pr_out(A, IGNORE, 0, 0, KEY(A)), 0);
		ck_assert_uint_eq(pr_out(A, RESERVE, type_of[k], KEY(A), 0), 0);
		for (t = 0; t < 2; t++) {
			for (op = tables[t]; op->run; op++) {
				uint8_t cdb[SCSI_CDB_MAX] = { op->opcode, op->action };
				uint32_t result = run(C, cdb, NULL, 0, 0);

				if (op->access)
					ck_assert_msg((result == CONFLICT) ==
						      !!(op->access & refused), "%s", op->name);
			}
		}
		rig.lun.stopped = false;
		ck_assert_uint_eq(pr_out(A, CLEAR, 0, KEY(A), 0), 0);
	}
}
END_TEST

/* What stops the unit is a write, what starts it is not. */
START_TEST(start_stop_and_prevent)
{
	join(A);
	ck_assert_uint_eq(pr_out(A, RESERVE, 1, KEY(A), 0), 0);
	ck_assert_uint_eq(run(C, CDB(0x1b), NULL, 0, 0), CONFLICT);
	ck_assert_uint_eq(run(C, CDB(0x1b, [4] = 1), NULL, 0, 0), 0);
	ck_assert_uint_eq(run(C, CDB(0x1e, [4] = 1), NULL, 0, 0), CONFLICT);
	ck_assert_uint_eq(run(C, CDB(0x1e), NULL, 0, 0), 0);
	ck_assert_uint_eq(run(A, CDB(0x1b), NULL, 0, 0), 0);
	ck_assert_uint_eq(run(A, CDB(0x1b, [4] = 1), NULL, 0, 0), 0);
}
END_TEST

START_TEST(unregister_releases)
{
	join(A);
	join(B);
	ck_assert_uint_eq(pr_out(A, RESERVE, 6, KEY(A), 0), 0);
	ck_assert_uint_eq(pr_out(A, REGISTER, 0, KEY(A), 0), 0);
	check_reservation(0, 0);
	ck_assert_uint_eq(tur(B), 0x062a04);
	ck_assert_uint_eq(read_block(C), 0);
	/* With all registrants as holders, only the last one takes it along. */
	join(A);
	ck_assert_uint_eq(pr_out(A, RESERVE, 8, KEY(A), 0), 0);
	ck_assert_uint_eq(pr_out(A, REGISTER, 0, KEY(A), 0), 0);
	check_reservation(8, 0);
	ck_assert_uint_eq(read_block(A), CONFLICT);
	ck_assert_uint_eq(pr_out(B, REGISTER, 0, KEY(B), 0), 0);
	check_reservation(0, 0);
}
END_TEST

START_TEST(clear)
{
	join(A);
	join(B);
	ck_assert_uint_eq(pr_out(A, RESERVE, 3, KEY(A), 0), 0);
	ck_assert_uint_eq(pr_out(C, CLEAR, 0, 0, 0), CONFLICT);
	ck_assert_uint_eq(pr_out(B, CLEAR, 0, KEY(B), 0), 0);
	ck_assert_uint_eq(tur(A), 0x062a03);
	ck_assert_uint_eq(tur(B), 0);
	ck_assert_uint_eq(tur(C), 0);
	check_keys(3, 0);
	check_reservation(0, 0);
}
END_TEST

START_TEST(preempt_the_holder)
{
	join(A);
	join(B);
	join(C);
	ck_assert_uint_eq(pr_out(A, RESERVE, 5, KEY(A), 0), 0);
	ck_assert_uint_eq(pr_out(B, PREEMPT, 2, KEY(B), KEY(A)), 0x052400);
	ck_assert_uint_eq(pr_out(B, PREEMPT, 3, KEY(B), KEY(A)), 0);
	ck_assert_uint_eq(tur(A), 0x062a05);
	ck_assert_uint_eq(tur(B), 0);
	ck_assert_uint_eq(tur(C), 0x062a04); /* the type has changed for it */
	check_reservation(3, KEY(B));
	check_keys(4, 2);
	ck_assert_uint_eq(write_block(A), CONFLICT);
	ck_assert_uint_eq(write_block(B), 0);
}
END_TEST

START_TEST(preempt_a_registrant)
{
	join(A);
	join(B);
	ck_assert_uint_eq(pr_out(A, PREEMPT, 1, KEY(A), 0xdead), CONFLICT);
	ck_assert_uint_eq(pr_out(A, PREEMPT, 1, KEY(A), 0), 0x052600);
	ck_assert_uint_eq(pr_out(A, PREEMPT, 1, KEY(A), KEY(B)), 0);
	check_reservation(0, 0); /* there was none to take */
	check_keys(3, 1);
	ck_assert_uint_eq(tur(B), 0x062a05);
}
END_TEST

START_TEST(preempt_all_registrants)
{
	join(A);
	join(B);
	join(C);
	ck_assert_uint_eq(pr_out(A, RESERVE, 7, KEY(A), 0), 0);
	/* One of them goes, the reservation stays; key 0 stands for all. */
	ck_assert_uint_eq(pr_out(B, PREEMPT, 1, KEY(B), KEY(C)), 0);
	check_reservation(7, 0);
	ck_assert_uint_eq(tur(C), 0x062a05);
	ck_assert_uint_eq(pr_out(B, PREEMPT, 1, KEY(B), 0), 0);
	ck_assert_uint_eq(tur(A), 0x062a05);
	check_reservation(1, KEY(B));
}
END_TEST

/* What the preempted one has in flight ends; without ABORT it does not. */
START_TEST(preempt_and_abort)
{
	static struct scsi_flight flight;
	unsigned i;

	for (i = 0; i < 2; i++) {
		join(B);
		ck_assert_uint_eq(pr_out(A, IGNORE, 0, 0, KEY(A)), 0);
		ck_assert_uint_eq(pr_out(A, RESERVE, 1, KEY(A), 0), 0);
		rig.other = NULL;
		rig.ram->hold = true;
		flight_start(&flight, &rig, CDB(0x28, [8] = 1), NULL, 0, data, 512);
		ck_assert_uint_eq(pr_out(B, i ? PREEMPT_AND_ABORT : PREEMPT, 1, KEY(B), KEY(A)), 0);
		rig.ram->hold = false;
		scsi_ctx_drain(&rig.ctx);
		ck_assert_uint_eq(flight_result(&flight),
				  i ? RIG_RESPONSE(SCSI_RESPONSE_RESET) : 0);
		ck_assert_uint_eq(tur(A), 0x062a05);
		ck_assert_uint_eq(pr_out(B, CLEAR, 0, KEY(B), 0), 0);
	}
}
END_TEST

static uint32_t move(unsigned who, uint64_t key, uint16_t to, uint8_t flags)
{
	uint8_t parameters[48] = { [17] = flags, [23] = 24, [24] = 0x06, [28] = 0x30 };

	be64_put(parameters, key);
	be64_put(parameters + 8, 0xbeef);
	be16_put(parameters + 18, to);
	be16_put(parameters + 34, to);
	return run(who, CDB(0x5f, MOVE, 1, [8] = 48), parameters, 48, 0);
}

START_TEST(register_and_move)
{
	join(A);
	ck_assert_uint_eq(move(A, KEY(A), 2, 0), CONFLICT); /* nothing is held */
	ck_assert_uint_eq(pr_out(A, RESERVE, 1, KEY(A), 0), 0);
	ck_assert_uint_eq(move(A, KEY(A), 9, 0), 0x052600); /* to nobody, to itself */
	ck_assert_uint_eq(move(A, KEY(A), 1, 0), 0x052600);
	ck_assert_uint_eq(move(A, KEY(A), 2, 1), 0x052600); /* APTPL */
	ck_assert_uint_eq(move(A, KEY(A), 2, 2), 0);        /* UNREG */
	check_reservation(1, 0xbeef);
	check_keys(2, 1);
	ck_assert_uint_eq(write_block(A), CONFLICT);
	ck_assert_uint_eq(write_block(B), 0);
}
END_TEST

START_TEST(full_status)
{
	join(A);
	join(B);
	ck_assert_uint_eq(pr_out(B, RESERVE, 5, KEY(B), 0), 0);
	ck_assert_uint_eq(run(A, CDB(0x5e, 3, [7] = 1), NULL, 0, 256), 0);
	ck_assert_uint_eq(be32_get(data + 4), 2 * 48);
	ck_assert_uint_eq(be64_get(data + 8), KEY(B));
	ck_assert_uint_eq(data[20], 1);
	ck_assert_uint_eq(data[21], 5);
	ck_assert_uint_eq(be16_get(data + 26), 2);
	ck_assert_uint_eq(be32_get(data + 28), 24);
	ck_assert_uint_eq(data[32], 0x06);
	ck_assert_uint_eq(be64_get(data + 36), 0x3000000000000002);
	ck_assert_uint_eq(be64_get(data + 56), KEY(A));
	ck_assert_uint_eq(data[68] | data[69], 0);
}
END_TEST

START_TEST(capabilities)
{
	ck_assert_uint_eq(run(A, CDB(0x5e, 2, [8] = 255), NULL, 0, 255), 0);
	ck_assert_mem_eq(data, "\x00\x08\x00\x80\xea\x01\x00\x00", 8);
	ck_assert_uint_eq(run(A, CDB(0x5e, 4, [8] = 255), NULL, 0, 255), 0x052400);
}
END_TEST

START_TEST(refused)
{
	uint8_t parameters[64] = { [15] = 1 };
	unsigned flag;

	ck_assert_uint_eq(run(A, CDB(0x5f, 0, 0, [8] = 23), parameters, 64, 0), 0x051a00);
	ck_assert_uint_eq(run(A, CDB(0x5f, 0, 0, [8] = 25), parameters, 64, 0), 0x051a00);
	ck_assert_uint_eq(run(A, CDB(0x5f, 0, 0, [8] = 24), parameters, 23, 0),
			  RIG_RESPONSE(SCSI_RESPONSE_OVERRUN));
	ck_assert_uint_eq(run(A, CDB(0x5f, 8, 0, [8] = 24), parameters, 24, 0), 0x052400);
	for (flag = 0; flag < 8; flag++) { /* APTPL, ALL_TG_PT, SPEC_I_PT, and reserved ones */
		parameters[20] = 1 << flag;
		ck_assert_uint_eq(run(A, CDB(0x5f, 0, 0, [8] = 24), parameters, 24, 0), 0x052600);
		ck_assert_uint_eq(rig.cmd.sense[15], 0x88 | flag);
		ck_assert_uint_eq(be16_get(rig.cmd.sense + 16), 20);
	}
	check_keys(0, 0);
	join(A);
	ck_assert_uint_eq(pr_out(A, RESERVE, 0x11, KEY(A), 0), 0x052400); /* scope, type */
	ck_assert_uint_eq(rig.cmd.sense[15], 0xcf);
	ck_assert_uint_eq(pr_out(A, RESERVE, 0x02, KEY(A), 0), 0x052400);
	ck_assert_uint_eq(rig.cmd.sense[15], 0xcb);
	ck_assert_uint_eq(pr_out(A, RESERVE, 0x0f, KEY(A), 0), 0x052400);
	check_reservation(0, 0);
}
END_TEST

/* A reservation outlives resets; with its initiator's port it goes. */
START_TEST(resets_and_loss)
{
	join(B);
	ck_assert_uint_eq(pr_out(B, RESERVE, 3, KEY(B), 0), 0);
	scsi_port_reset(&rig.port);
	ck_assert_uint_eq(tur(A), 0x062900);
	ck_assert_uint_eq(tur(B), 0);
	ck_assert_uint_eq(read_block(A), CONFLICT);
	rig_other_fini(&ports[0]);
	ck_assert_uint_eq(read_block(A), 0);
	check_keys(1, 0);
	rig_other_init(&rig, &ports[0], 2);
}
END_TEST

START_TEST(old_reserve)
{
	static const uint8_t reserve[] = { 0x16, 0x56 }, release[] = { 0x17, 0x57 };
	unsigned i;

	for (i = 0; i < 2; i++) {
		ck_assert_uint_eq(run(A, CDB(reserve[i]), NULL, 0, 0), 0);
		ck_assert_uint_eq(run(A, CDB(reserve[i]), NULL, 0, 0), 0);
		ck_assert_uint_eq(run(B, CDB(reserve[i]), NULL, 0, 0), CONFLICT);
		ck_assert_uint_eq(tur(B), CONFLICT);
		ck_assert_uint_eq(read_block(B), CONFLICT);
		ck_assert_uint_eq(run(B, CDB(0x12, [4] = 36), NULL, 0, 36), 0);
		ck_assert_uint_eq(run(B, CDB(0xa0, [9] = 16), NULL, 0, 16), 0);
		ck_assert_uint_eq(run(B, CDB(0x03, [4] = 18), NULL, 0, 18), 0);
		ck_assert_uint_eq(pr_out(B, REGISTER, 0, 0, 1), CONFLICT);
		/* Who does not hold it releases nothing. */
		ck_assert_uint_eq(run(B, CDB(release[i]), NULL, 0, 0), 0);
		ck_assert_uint_eq(tur(B), CONFLICT);
		ck_assert_uint_eq(write_block(A), 0);
		ck_assert_uint_eq(run(A, CDB(release[i]), NULL, 0, 0), 0);
		ck_assert_uint_eq(tur(B), 0);
	}
	/* Third parties and extents are not there; with registrations, neither is the old kind. */
	ck_assert_uint_eq(run(A, CDB(0x16, 0x10), NULL, 0, 0), 0x052400);
	ck_assert_uint_eq(run(A, CDB(0x16, 0x01), NULL, 0, 0), 0x052400);
	join(A);
	ck_assert_uint_eq(run(A, CDB(0x16), NULL, 0, 0), CONFLICT);
	ck_assert_uint_eq(run(A, CDB(0x17), NULL, 0, 0), CONFLICT);
}
END_TEST

/* It ends with each reset, unlike a persistent one. */
START_TEST(old_reserve_and_resets)
{
	struct scsi_ctx *const of_b[] = { &ports[0].ctx };
	struct scsi_tmf_request reset = { .what = SCSI_LOGICAL_UNIT_RESET };

	ck_assert_uint_eq(run(A, CDB(0x16), NULL, 0, 0), 0);
	ck_assert_int_eq(scsi_tmf(of_b, 1, &reset), SCSI_TMF_COMPLETE);
	ck_assert_uint_eq(tur(B), 0x062903);
	ck_assert_uint_eq(tur(A), 0x062903);
	ck_assert_uint_eq(tur(B), 0);
	/* Nor does it outlive the start of a new driver. */
	ck_assert_uint_eq(run(A, CDB(0x16), NULL, 0, 0), 0);
	scsi_port_reset(&ports[0].port);
	ck_assert_uint_eq(tur(B), 0x062900);
	ck_assert_uint_eq(tur(B), CONFLICT);
	scsi_port_reset(&rig.port);
	ck_assert_uint_eq(tur(B), 0);
	ck_assert_uint_eq(tur(A), 0x062900);
	/* The loss of another nexus does not end it, that of its own does. */
	ck_assert_uint_eq(run(A, CDB(0x16), NULL, 0, 0), 0);
	reset.what = SCSI_I_T_NEXUS_RESET;
	ck_assert_int_eq(scsi_tmf(of_b, 1, &reset), SCSI_TMF_COMPLETE);
	ck_assert_uint_eq(tur(B), 0x062907);
	ck_assert_uint_eq(tur(B), CONFLICT);
	ck_assert_int_eq(scsi_tmf((struct scsi_ctx *[]){ &rig.ctx }, 1, &reset), SCSI_TMF_COMPLETE);
	ck_assert_uint_eq(tur(B), 0);
}
END_TEST

Suite *reserve_suite(void)
{
	Suite *suite = suite_create("reserve");
	TCase *tc = unit_case(suite, "persistent");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, registration);
	tcase_add_loop_test(tc, access_by_type, 0, ARRAY_SIZE(types));
	tcase_add_test(tc, access_of_every_command);
	tcase_add_test(tc, start_stop_and_prevent);
	tcase_add_test(tc, unregister_releases);
	tcase_add_test(tc, clear);
	tcase_add_test(tc, preempt_the_holder);
	tcase_add_test(tc, preempt_a_registrant);
	tcase_add_test(tc, preempt_all_registrants);
	tcase_add_test(tc, preempt_and_abort);
	tcase_add_test(tc, register_and_move);
	tcase_add_test(tc, full_status);
	tcase_add_test(tc, capabilities);
	tcase_add_test(tc, refused);
	tcase_add_test(tc, resets_and_loss);

	tc = unit_case(suite, "old");
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, old_reserve);
	tcase_add_test(tc, old_reserve_and_resets);

	tc = unit_case(suite, "reborn"); /* saved, destroyed and restored before each command */
	tcase_add_checked_fixture(tc, setup_reborn, teardown);
	tcase_add_test(tc, registration);
	tcase_add_loop_test(tc, access_by_type, 0, ARRAY_SIZE(types));
	tcase_add_test(tc, unregister_releases);
	tcase_add_test(tc, clear);
	tcase_add_test(tc, preempt_the_holder);
	tcase_add_test(tc, preempt_a_registrant);
	tcase_add_test(tc, preempt_all_registrants);
	tcase_add_test(tc, register_and_move);
	tcase_add_test(tc, full_status);
	tcase_add_test(tc, refused);
	tcase_add_test(tc, old_reserve);
	return suite;
}

UNIT_MAIN(reserve_suite)
