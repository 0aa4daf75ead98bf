/* SPDX-License-Identifier: MIT */
/* PREEMPT AND ABORT, and what who is thrown out has begun to write. */
#include "tests/unit/reserve_fixture.h"

Suite *reserve_abort_suite(void);

static struct scsi_flight writing, fencing;
static uint8_t parameters_of[24];

/* B throws out A, which has a write in flight. */
static void fence_a_writer(void)
{
	static uint8_t block[512];

	memset(block, 0xaa, sizeof(block));
	join(A);
	join(B);
	ck_assert_uint_eq(pr_out(A, RESERVE, 5, KEY(A), 0), 0);
	rig.ram->hold = true;
	rig.other = NULL;
	flight_start(&writing, &rig, CDB(0x2a, [8] = 1), block, 512, NULL, 0);
	rig.other = &ports[0];
	be64_put(parameters_of, KEY(B));
	be64_put(parameters_of + 8, KEY(A));
	flight_start(&fencing, &rig, CDB(0x5f, PREEMPT_AND_ABORT, 5, [8] = 24), parameters_of, 24,
		     NULL, 0);
	ck_assert_uint_eq(fencing.done, 0);
	ck_assert(!rig.port.nexus[0]->registered);
	ck_assert(ramstore_step(ports[0].ctx.path[0]->chan));
	ck_assert(ramstore_step(ports[0].ctx.path[0]->chan));
	ck_assert_uint_eq(fencing.done, 0);
	ck_assert_uint_eq(rig.ram->bytes[0], rig_byte(0));
}

/* It is not done before that write is, which is the last one. */
START_TEST(abort_waits_for_writes)
{
	fence_a_writer();
	ck_assert(ramstore_step(rig.ctx.path[0]->chan));
	ck_assert_uint_eq(flight_result(&writing), RIG_RESPONSE(SCSI_RESPONSE_RESET));
	ck_assert_uint_eq(rig.ram->bytes[0], 0xaa);
	ck_assert(ramstore_step(ports[0].ctx.path[0]->chan));
	ck_assert_uint_eq(flight_result(&fencing), 0);
	ck_assert_uint_eq(tur(A), 0x062a05);
	ck_assert_uint_eq(write_block(A), CONFLICT);
}
END_TEST

/* A disk that hangs is waited for as task management does. */
START_TEST(abort_does_not_wait_for_ever)
{
	fence_a_writer();
	fencing.cmd.began -= (BLOCK_PATIENCE_TMF + 1) * 1000000ull;
	ck_assert(ramstore_step(ports[0].ctx.path[0]->chan));
	ck_assert_uint_eq(flight_result(&fencing), 0x044400);
	scsi_ctx_drain(&rig.ctx);
	ck_assert_uint_eq(flight_result(&writing), RIG_RESPONSE(SCSI_RESPONSE_RESET));
}
END_TEST

/* Two that throw out each other: who comes second finds that it is not registered any more. */
START_TEST(abort_by_both)
{
	fence_a_writer();
	ck_assert_uint_eq(pr_out(A, PREEMPT_AND_ABORT, 5, KEY(A), KEY(B)), 0x062a05);
	ck_assert_uint_eq(pr_out(A, PREEMPT_AND_ABORT, 5, KEY(A), KEY(B)), CONFLICT);
	scsi_ctx_drain(&ports[0].ctx);
	ck_assert_uint_eq(flight_result(&fencing), 0);
}
END_TEST

/* A command on its way, when another thread has just ended it, or got a reservation. */
START_TEST(too_late_to_write)
{
	struct scsi_nexus *nexus = rig.port.nexus[0];
	struct scsi_cmd cmd = { .unit = &rig.lun, .nexus = nexus, .epoch = nexus->epoch,
				.op = scsi_op_find(&rig.ctx, &rig.lun, 0x2a, 0) };

	ck_assert(scsi_claim(&cmd, 0, 1, false));
	LIST_REMOVE(&cmd, claim.link);
	scsi_nexus_end_commands(nexus);
	ck_assert(!scsi_claim(&cmd, 0, 1, false));
	cmd.epoch = nexus->epoch;
	join(B);
	ck_assert_uint_eq(pr_out(B, RESERVE, 1, KEY(B), 0), 0);
	ck_assert(!scsi_claim(&cmd, 0, 1, false));
	ck_assert_uint_eq(pr_out(B, CLEAR, 0, KEY(B), 0), 0);
	ck_assert(scsi_claim(&cmd, 0, 1, false));
	LIST_REMOVE(&cmd, claim.link);
}
END_TEST

Suite *reserve_abort_suite(void)
{
	Suite *suite = suite_create("reserve_abort");
	TCase *tc = unit_case(suite, "fencing");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, abort_waits_for_writes);
	tcase_add_test(tc, abort_does_not_wait_for_ever);
	tcase_add_test(tc, abort_by_both);
	tcase_add_test(tc, too_late_to_write);
	return suite;
}

UNIT_MAIN(reserve_abort_suite)
