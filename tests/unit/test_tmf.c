/* SPDX-License-Identifier: MIT */
#include "tests/lib/scsi_run.h"

#include "tests/unit/unit.h"

#include <pthread.h>
#include <time.h>

#include "vmm/core/loop.h"
#include "vmm/core/util.h"

Suite *tmf_suite(void);

static struct scsi_rig rig;
static struct scsi_ctx *const ctxs[] = { &rig.ctx };
static const uint8_t lun0[8], lun5[8] = { 0, 5 };
static struct scsi_flight flight[4];
static uint8_t data[4][512];

static void setup(void)
{
	rig_init(&rig);
	rig.ram->hold = true;
}

static void teardown(void)
{
	rig_fini(&rig);
}

/* Four reads in flight, tags 10 to 13. */
static void start_reads(void)
{
	unsigned i;

	for (i = 0; i < 4; i++) {
		flight[i].cmd.tag = 10 + i;
		flight_start(&flight[i], &rig, CDB(0x28, [5] = i, [8] = 1), NULL, 0, data[i], 512);
	}
}

static enum scsi_tmf_response ask_of(struct scsi_ctx *const *ctx, unsigned n, enum scsi_tmf what,
				     const uint8_t lun_field[8], uint64_t tag)
{
	struct scsi_tmf_request request = { .what = what, .tag = tag };

	memcpy(request.lun_field, lun_field, 8);
	return scsi_tmf(ctx, n, &request);
}

static enum scsi_tmf_response ask(enum scsi_tmf what, uint64_t tag)
{
	return ask_of(ctxs, 1, what, lun0, tag);
}

static uint32_t tur(void)
{
	return scsi_run(&rig, CDB(0), NULL, 0, NULL, 0);
}

START_TEST(abort_task)
{
	start_reads();
	ck_assert_int_eq(ask(SCSI_ABORT_TASK, 12), SCSI_TMF_COMPLETE);
	ck_assert_uint_eq(flight_result(&flight[2]), RIG_RESPONSE(SCSI_RESPONSE_ABORTED));
	scsi_ctx_drain(&rig.ctx);
	ck_assert_uint_eq(flight_result(&flight[0]), 0);
	ck_assert_uint_eq(flight_result(&flight[1]), 0);
	ck_assert_uint_eq(flight_result(&flight[3]), 0);
	/* No such task: as if it had just ended. */
	ck_assert_int_eq(ask(SCSI_ABORT_TASK, 12), SCSI_TMF_COMPLETE);
	ck_assert_uint_eq(tur(), 0);
}
END_TEST

START_TEST(abort_and_clear_task_set)
{
	unsigned i, round;

	for (round = 0; round < 2; round++) {
		start_reads();
		ck_assert_int_eq(ask(round ? SCSI_CLEAR_TASK_SET : SCSI_ABORT_TASK_SET, 0),
				 SCSI_TMF_COMPLETE);
		for (i = 0; i < 4; i++)
			ck_assert_uint_eq(flight_result(&flight[i]),
					  RIG_RESPONSE(SCSI_RESPONSE_ABORTED));
		ck_assert_uint_eq(tur(), 0);
	}
}
END_TEST

START_TEST(logical_unit_reset)
{
	unsigned i;

	rig.lun.write_cache = false;
	rig.lun.descriptor_sense = rig.lun.swp = true;
	start_reads();
	rig.lun.stopped = true;
	ck_assert_int_eq(ask(SCSI_LOGICAL_UNIT_RESET, 0), SCSI_TMF_COMPLETE);
	for (i = 0; i < 4; i++)
		ck_assert_uint_eq(flight_result(&flight[i]), RIG_RESPONSE(SCSI_RESPONSE_RESET));
	ck_assert_uint_eq(tur(), 0x062903);
	ck_assert_uint_eq(tur(), 0);
	ck_assert(rig.lun.write_cache);
	ck_assert(!rig.lun.descriptor_sense && !rig.lun.swp && !rig.lun.stopped);
}
END_TEST

START_TEST(nexus_reset)
{
	unsigned i;

	start_reads();
	rig.lun.write_cache = false;
	ck_assert_int_eq(ask_of(ctxs, 1, SCSI_I_T_NEXUS_RESET, lun5, 0), SCSI_TMF_COMPLETE);
	for (i = 0; i < 4; i++)
		ck_assert_uint_eq(flight_result(&flight[i]), RIG_RESPONSE(SCSI_RESPONSE_RESET));
	ck_assert(!rig.lun.write_cache);
	ck_assert_uint_eq(tur(), 0x062907);
}
END_TEST

/* A disk that hangs: the function fails in time, and who comes next does not wait for it again. */
START_TEST(disk_hangs)
{
	static struct scsi_lun other;
	unsigned i;

	scsi_lun_init(&other, &rig.ram->block, 5, "serial-5");
	rig_add(&rig, &other);
	start_reads();
	rig.ram->stuck = true;
	ck_assert_int_eq(ask(SCSI_ABORT_TASK, 12), SCSI_TMF_FAILURE);
	ck_assert_int_eq(rig.ram->waited, BLOCK_PATIENCE_TMF);
	ck_assert_uint_eq(flight[2].done, 0);
	ck_assert_int_eq(ask(SCSI_LOGICAL_UNIT_RESET, 0), SCSI_TMF_FAILURE);
	ck_assert_int_eq(rig.ram->waited, 0);
	rig.ram->waited = -1;
	ck_assert_int_eq(ask_of(ctxs, 1, SCSI_LOGICAL_UNIT_RESET, lun5, 0), SCSI_TMF_COMPLETE);
	ck_assert_int_eq(ask(SCSI_QUERY_TASK, 13), SCSI_TMF_SUCCEEDED);
	ck_assert_int_eq(rig.ram->waited, -1);

	/* It moves again. */
	rig.ram->stuck = false;
	ck_assert(ramstore_step(rig.ctx.path[0]->chan));
	ck_assert_uint_eq(flight_result(&flight[0]), RIG_RESPONSE(SCSI_RESPONSE_RESET));
	ck_assert_int_eq(ask(SCSI_LOGICAL_UNIT_RESET, 0), SCSI_TMF_COMPLETE);
	ck_assert_int_eq(rig.ram->waited, BLOCK_PATIENCE_TMF);
	for (i = 0; i < 4; i++)
		ck_assert_uint_eq(flight_result(&flight[i]), RIG_RESPONSE(SCSI_RESPONSE_RESET));
}
END_TEST

START_TEST(queries)
{
	ck_assert_int_eq(ask(SCSI_QUERY_TASK_SET, 0), SCSI_TMF_COMPLETE);
	start_reads();
	ck_assert_int_eq(ask(SCSI_QUERY_TASK_SET, 0), SCSI_TMF_SUCCEEDED);
	ck_assert_int_eq(ask(SCSI_QUERY_TASK, 13), SCSI_TMF_SUCCEEDED);
	ck_assert_int_eq(ask(SCSI_QUERY_TASK, 14), SCSI_TMF_COMPLETE);
	ck_assert_uint_eq(flight[3].done, 0);
	scsi_ctx_drain(&rig.ctx);
	ck_assert_uint_eq(flight_result(&flight[3]), 0);
	ck_assert_int_eq(ask(SCSI_QUERY_TASK, 13), SCSI_TMF_COMPLETE);
}
END_TEST

START_TEST(refused)
{
	unsigned what;

	ck_assert_int_eq(ask(SCSI_CLEAR_ACA, 0), SCSI_TMF_REJECTED);
	ck_assert_int_eq(ask(SCSI_TMF_COUNT, 0), SCSI_TMF_REJECTED);
	ck_assert_int_eq(ask((enum scsi_tmf)0xffffffff, 0), SCSI_TMF_REJECTED);
	for (what = 0; what < SCSI_TMF_COUNT; what++)
		if (what != SCSI_CLEAR_ACA && what != SCSI_I_T_NEXUS_RESET)
			ck_assert_int_eq(ask_of(ctxs, 1, what, lun5, 0), SCSI_TMF_INCORRECT_LUN);
}
END_TEST

static enum scsi_tmf_response idle(struct scsi_port *port, enum scsi_tmf what, uint8_t target,
				   const uint8_t lun_field[8])
{
	struct scsi_tmf_request request = { .what = what, .target = target };

	memcpy(request.lun_field, lun_field, 8);
	return scsi_tmf_idle(port, &request);
}

/* The same answers where somebody else has served, and where nobody knows what LUNs there are. */
START_TEST(idle_answers)
{
	struct scsi_port *port = rig.ctx.port;
	unsigned what;

	for (what = 0; what <= SCSI_TMF_COUNT; what++) {
		ck_assert_int_eq(idle(port, what, 0, lun0), ask(what, 4711));
		ck_assert_int_eq(idle(port, what, 0, lun5), ask_of(ctxs, 1, what, lun5, 4711));
		ck_assert_int_eq(idle(port, what, 9, lun0), SCSI_TMF_BAD_TARGET);
		ck_assert_int_eq(idle(NULL, what, 9, lun5),
				 what == SCSI_CLEAR_ACA || what == SCSI_TMF_COUNT ?
				 SCSI_TMF_REJECTED : SCSI_TMF_COMPLETE);
	}
}
END_TEST

/* A command of several steps takes no further one. */
START_TEST(abort_between_steps)
{
	static uint8_t block[512];
	unsigned before;

	memset(block, 0x55, sizeof(block));
	/* WRITE SAME of 1 MiB: 16 steps. */
	flight[0].cmd.tag = 1;
	flight_start(&flight[0], &rig, CDB(0x93, [12] = 0x08), block, 512, NULL, 0);
	ck_assert(ramstore_step(rig.ctx.path[0]->chan));
	ck_assert(ramstore_step(rig.ctx.path[0]->chan));
	before = rig.ram->nlog;
	ck_assert_int_eq(ask(SCSI_ABORT_TASK, 1), SCSI_TMF_COMPLETE);
	ck_assert_uint_eq(flight_result(&flight[0]), RIG_RESPONSE(SCSI_RESPONSE_ABORTED));
	ck_assert_uint_eq(rig.ram->nlog, before + 1);
	ck_assert_uint_eq(rig.ram->bytes[3 * 65536], rig_byte(3 * 65536));
	/* And its claim is gone. */
	ck_assert_uint_eq(scsi_run(&rig, CDB(0x89, [13] = 1), block, 512, NULL, 0),
			  RIG_RESPONSE(SCSI_RESPONSE_OVERRUN));
	ck_assert(LIST_EMPTY(&rig.lun.claims[0]) && LIST_EMPTY(&rig.lun.claims[1]));
}
END_TEST

/* Another LUN's commands are left alone. */
START_TEST(other_lun)
{
	static struct scsi_lun other;

	scsi_lun_init(&other, &rig.ram->block, 5, "serial-5");
	rig_add(&rig, &other);
	memcpy(rig.lun_field, lun5, 8);
	start_reads();
	ck_assert_int_eq(ask(SCSI_QUERY_TASK_SET, 0), SCSI_TMF_COMPLETE);
	ck_assert_int_eq(ask(SCSI_ABORT_TASK, 10), SCSI_TMF_COMPLETE);
	ck_assert_int_eq(ask(SCSI_LOGICAL_UNIT_RESET, 0), SCSI_TMF_COMPLETE);
	ck_assert_uint_eq(flight[0].done, 0);
	ck_assert_uint_eq(LIST_FIRST(&other.nexuses)->attentions, 0);
	ck_assert_int_eq(ask(SCSI_I_T_NEXUS_RESET, 0), SCSI_TMF_COMPLETE);
	ck_assert_uint_eq(flight_result(&flight[0]), RIG_RESPONSE(SCSI_RESPONSE_RESET));
	ck_assert_uint_eq(tur(), 0x062907);
}
END_TEST

/* What another initiator does to commands of ours: they end as the store gives them back. */
START_TEST(other_initiator)
{
	static const struct {
		enum scsi_tmf what;
		uint32_t result, attention;
	} cases[] = {
		{ SCSI_CLEAR_TASK_SET, RIG_RESPONSE(SCSI_RESPONSE_RESET), 0x062f00 },
		{ SCSI_LOGICAL_UNIT_RESET, RIG_RESPONSE(SCSI_RESPONSE_RESET), 0x062903 },
		{ SCSI_ABORT_TASK_SET, 0, 0 },
		{ SCSI_I_T_NEXUS_RESET, 0, 0 },
		{ SCSI_QUERY_TASK_SET, 0, 0 },
	};
	struct scsi_rig_port other;
	struct scsi_ctx *const theirs[] = { &other.ctx };
	unsigned i;

	rig_other_init(&rig, &other, 2);
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		start_reads();
		ck_assert_int_eq(ask_of(theirs, 1, cases[i].what, lun0, 0), SCSI_TMF_COMPLETE);
		ck_assert_uint_eq(flight[0].done, 0);
		scsi_ctx_drain(&rig.ctx);
		ck_assert_uint_eq(flight_result(&flight[0]), cases[i].result);
		ck_assert_uint_eq(flight_result(&flight[3]), cases[i].result);
		ck_assert_uint_eq(tur(), cases[i].attention);
		ck_assert_uint_eq(tur(), 0);
	}
	rig_other_fini(&other);
}
END_TEST

/* Commands on two threads, each with its own loop; the function is asked for on the first one's. */
struct second {
	struct loop *loop;
	struct scsi_ctx ctx;
	struct scsi_flight flight;
	uint8_t data[512];
};

static int second_start(void *arg)
{
	struct second *s = arg;
	struct scsi_cmd *cmd = &s->flight.cmd;

	ck_assert_int_eq(scsi_ctx_init(&s->ctx, &rig.port, s->loop), 0);
	memset(&s->flight, 0, sizeof(s->flight));
	flight_prepare(&s->flight, &rig, CDB(0x28, [8] = 1), NULL, 0, s->data, 512);
	cmd->ctx = &s->ctx;
	cmd->tag = 99;
	scsi_submit(cmd);
	return 0;
}

static int second_stop(void *arg)
{
	struct second *s = arg;

	scsi_ctx_fini(&s->ctx);
	return 0;
}

START_TEST(two_threads)
{
	struct second second = { .loop = loop_create("second") };
	struct scsi_ctx *const both[] = { &rig.ctx, &second.ctx };

	ck_assert_int_eq(loop_start(second.loop), 0);
	loop_call(second.loop, second_start, &second);
	start_reads();
	ck_assert_int_eq(ask_of(both, 2, SCSI_QUERY_TASK, lun0, 99), SCSI_TMF_SUCCEEDED);
	ck_assert_int_eq(ask_of(both, 2, SCSI_ABORT_TASK, lun0, 99), SCSI_TMF_COMPLETE);
	ck_assert_uint_eq(flight_result(&second.flight), RIG_RESPONSE(SCSI_RESPONSE_ABORTED));
	ck_assert_uint_eq(flight[0].done, 0);

	loop_call(second.loop, second_stop, &second);
	loop_call(second.loop, second_start, &second);
	ck_assert_int_eq(ask_of(both, 2, SCSI_LOGICAL_UNIT_RESET, lun0, 0), SCSI_TMF_COMPLETE);
	ck_assert_uint_eq(flight_result(&second.flight), RIG_RESPONSE(SCSI_RESPONSE_RESET));
	ck_assert_uint_eq(flight_result(&flight[0]), RIG_RESPONSE(SCSI_RESPONSE_RESET));
	loop_call(second.loop, second_stop, &second);
	loop_join(second.loop);
	loop_destroy(second.loop);
}
END_TEST

/* Another initiator's write, on a thread of its own, is in flight; who waits for it is here. */
struct writer {
	struct loop *loop;
	struct scsi_rig_port other;
	struct scsi_flight flight;
	uint8_t block[512];
	bool ends;
};

static int writer_start(void *arg)
{
	struct writer *w = arg;

	ck_assert_int_eq(scsi_ctx_init(&w->other.ctx, &w->other.port, w->loop), 0);
	memset(w->block, 0x77, sizeof(w->block));
	flight_prepare(&w->flight, &rig, CDB(0x2a, [8] = 1), w->block, 512, NULL, 0);
	w->flight.cmd.ctx = &w->other.ctx;
	scsi_submit(&w->flight.cmd);
	return 0;
}

static int writer_step(void *arg)
{
	struct writer *w = arg;

	return ramstore_step(w->other.ctx.path[0]->chan);
}

static int writer_stop(void *arg)
{
	struct writer *w = arg;

	scsi_ctx_fini(&w->other.ctx);
	return 0;
}

static void *end_soon(void *arg)
{
	struct writer *w = arg;

	nanosleep(&(struct timespec){ .tv_nsec = 50000000 }, NULL);
	ck_assert_int_eq(loop_call(w->loop, writer_step, w), 1);
	return NULL;
}

static const enum scsi_tmf of_others[] = { SCSI_LOGICAL_UNIT_RESET, SCSI_CLEAR_TASK_SET };

/* What it was to write is written when the function is done; or it is not done. */
static void end_a_writer(struct writer *w, enum scsi_tmf what)
{
	pthread_t thread;
	uint8_t byte;

	w->loop = loop_create("writer");
	scsi_port_init(&w->other.port, 2);
	ck_assert_int_eq(scsi_port_add(&w->other.port, &rig.lun), 0);
	rig.lun.nexuses.lh_first->attentions = 0;
	ck_assert_int_eq(loop_start(w->loop), 0);
	loop_call(w->loop, writer_start, w);
	if (w->ends)
		ck_assert_int_eq(pthread_create(&thread, NULL, end_soon, w), 0);
	ck_assert_int_eq(ask(what, 0), w->ends ? SCSI_TMF_COMPLETE : SCSI_TMF_FAILURE);
	pthread_mutex_lock(&rig.ram->lock);
	byte = rig.ram->bytes[0];
	pthread_mutex_unlock(&rig.ram->lock);
	if (w->ends)
		pthread_join(thread, NULL);
	ck_assert_uint_eq(byte, w->ends ? 0x77 : rig_byte(0));
	loop_call(w->loop, writer_stop, w);
	ck_assert_uint_eq(flight_result(&w->flight), RIG_RESPONSE(SCSI_RESPONSE_RESET));
	scsi_port_fini(&w->other.port);
	loop_join(w->loop);
	loop_destroy(w->loop);
}

START_TEST(write_of_another)
{
	static struct writer w;

	w.ends = true;
	end_a_writer(&w, of_others[_i]);
}
END_TEST

/* For ten seconds, and no longer. */
START_TEST(write_of_another_hangs)
{
	static struct writer w;

	end_a_writer(&w, SCSI_LOGICAL_UNIT_RESET);
}
END_TEST

Suite *tmf_suite(void)
{
	Suite *suite = suite_create("tmf");
	TCase *tc = unit_case(suite, "tmf");

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, abort_task);
	tcase_add_test(tc, abort_and_clear_task_set);
	tcase_add_test(tc, logical_unit_reset);
	tcase_add_test(tc, nexus_reset);
	tcase_add_test(tc, disk_hangs);
	tcase_add_test(tc, queries);
	tcase_add_test(tc, refused);
	tcase_add_test(tc, idle_answers);
	tcase_add_test(tc, abort_between_steps);
	tcase_add_test(tc, other_lun);
	tcase_add_test(tc, other_initiator);
	tcase_add_test(tc, two_threads);
	tcase_add_loop_test(tc, write_of_another, 0, ARRAY_SIZE(of_others));
	tcase_add_test(tc, write_of_another_hangs);
	return suite;
}

UNIT_MAIN(tmf_suite)
