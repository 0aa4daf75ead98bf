/* SPDX-License-Identifier: MIT */
#include "tests/lib/scsi_run.h"

#include <stdlib.h>

#include "tests/unit/unit.h"
#include "vmm/core/util.h"

Suite *bounce_suite(void);

#define MANY 40

static struct scsi_rig rig;
static struct scsi_ctx *const ctxs[] = { &rig.ctx };
static struct scsi_flight flight[MANY];
static uint8_t out[MANY][1024];
static const uint8_t lun0[8], lun5[8] = { 0, 5 };
static struct scsi_lun other;

static void setup(void)
{
	rig_init(&rig);
	rig.ram->hold = true;
	memset(flight, 0, sizeof(flight));
}

static void teardown(void)
{
	ck_assert_uint_le(rig.ctx.bounce.made, SCSI_BOUNCE_MAX);
	rig_fini(&rig);
}

/* A command of one or two blocks from 2 * @n on. */
static const struct kind {
	uint8_t opcode, flags;
	uint8_t blocks_at; /* where the CDB has their number */
	bool unmap;
	size_t len; /* of data */
} kinds[] = {
	{ 0x8f, 0x00, 13, false, 0 },    /* VERIFY, of the medium */
	{ 0x8f, 0x02, 13, false, 512 },  /* with data */
	{ 0x8f, 0x06, 13, false, 512 },  /* with one block */
	{ 0x8e, 0x02, 13, false, 512 },  /* WRITE AND VERIFY */
	{ 0x93, 0x00, 13, false, 512 },  /* WRITE SAME */
	{ 0x8b, 0x00, 13, false, 512 },  /* ORWRITE */
	{ 0x89, 0x00, 13, false, 1024 }, /* COMPARE AND WRITE */
	{ 0x42, 0x00, 0, true, 24 },     /* UNMAP */
};

static void fill(const struct kind *kind, unsigned n)
{
	unsigned i;

	for (i = 0; i < 1024; i++)
		out[n][i] = rig_byte(n * 1024 + i % 512);
	if (!kind->unmap)
		return;
	memset(out[n], 0, 24);
	be16_put(out[n], 22);
	be16_put(out[n] + 2, 16);
	be64_put(out[n] + 8, 2 * n);
	be32_put(out[n] + 16, 1);
}

static void start(const struct kind *kind, unsigned n)
{
	uint8_t cdb[SCSI_CDB_MAX] = { kind->opcode, kind->flags };

	fill(kind, n);
	if (kind->unmap) {
		be16_put(cdb + 7, 24);
	} else {
		be64_put(cdb + 2, 2 * n);
		cdb[kind->blocks_at] = 1;
	}
	flight[n].cmd.tag = 100 + n;
	flight_start(&flight[n], &rig, cdb, out[n], kind->len, NULL, 0);
}

static void start_many(const struct kind *kind, unsigned first, unsigned n)
{
	for (; n--; first++)
		start(kind, first);
}

static unsigned ended(void)
{
	unsigned i, n = 0;

	for (i = 0; i < MANY; i++) {
		ck_assert_uint_le(flight[i].done, 1);
		n += flight[i].done;
	}
	return n;
}

static void all_are(unsigned first, unsigned n, uint32_t result)
{
	for (; n--; first++) {
		ck_assert_uint_eq(flight[first].done, 1);
		ck_assert_uint_eq(flight_result(&flight[first]), result);
	}
}

static struct block_chan *chan_of(unsigned path)
{
	return rig.ctx.path[path]->chan;
}

static enum scsi_tmf_response ask(enum scsi_tmf what, const uint8_t lun_field[8], uint64_t tag)
{
	struct scsi_tmf_request request = { .what = what, .tag = tag };

	memcpy(request.lun_field, lun_field, 8);
	return scsi_tmf(ctxs, 1, &request);
}

START_TEST(all_have_their_turn)
{
	start_many(&kinds[_i], 0, MANY);
	ck_assert_uint_eq(chan_of(0)->inflight, SCSI_BOUNCE_MAX);
	ck_assert_uint_eq(rig.ctx.bounce.made, SCSI_BOUNCE_MAX);
	while (ramstore_step(chan_of(0)))
		ck_assert_uint_le(chan_of(0)->inflight, SCSI_BOUNCE_MAX);
	all_are(0, MANY, 0);
	ck_assert_uint_eq(rig.ctx.bounce.nfree, SCSI_BOUNCE_MAX);
}
END_TEST

START_TEST(in_their_order)
{
	unsigned i;

	start_many(&kinds[0], 0, MANY);
	for (i = 0; i < MANY; i++) {
		ck_assert(ramstore_step(chan_of(0)));
		ck_assert_uint_eq(flight[i].done, 1);
		ck_assert_uint_eq(ended(), i + 1);
	}
}
END_TEST

START_TEST(drained)
{
	start_many(&kinds[1], 0, MANY);
	scsi_ctx_drain(&rig.ctx);
	all_are(0, MANY, 0);
}
END_TEST

/* One that waits has no I/O that an abort would have to wait for. */
START_TEST(abort_one_that_waits)
{
	start_many(&kinds[1], 0, 10);
	ck_assert_int_eq(ask(SCSI_QUERY_TASK, lun0, 107), SCSI_TMF_SUCCEEDED);
	ck_assert_int_eq(ask(SCSI_ABORT_TASK, lun0, 107), SCSI_TMF_COMPLETE);
	all_are(7, 1, RIG_RESPONSE(SCSI_RESPONSE_ABORTED));
	ck_assert_uint_eq(ended(), 1);
	ck_assert_uint_eq(rig.ram->nlog, 0);
	scsi_ctx_drain(&rig.ctx);
	all_are(8, 2, 0);
}
END_TEST

START_TEST(reset_ends_all)
{
	start_many(&kinds[_i], 0, MANY);
	ck_assert_int_eq(ask(SCSI_LOGICAL_UNIT_RESET, lun0, 0), SCSI_TMF_COMPLETE);
	all_are(0, MANY, RIG_RESPONSE(SCSI_RESPONSE_RESET));
	ck_assert(LIST_EMPTY(&rig.lun.claims[0]) && LIST_EMPTY(&rig.lun.claims[1]));
	ck_assert_uint_eq(rig.ctx.bounce.nfree, rig.ctx.bounce.made);
}
END_TEST

/* Those of another initiator end at their turn. */
START_TEST(others_end)
{
	struct scsi_rig_port port;
	struct scsi_ctx *const theirs[] = { &port.ctx };
	struct scsi_tmf_request request = { .what = SCSI_LOGICAL_UNIT_RESET };

	rig_other_init(&rig, &port, 2);
	start_many(&kinds[1], 0, 10);
	ck_assert_int_eq(scsi_tmf(theirs, 1, &request), SCSI_TMF_COMPLETE);
	scsi_ctx_drain(&rig.ctx);
	all_are(0, 10, RIG_RESPONSE(SCSI_RESPONSE_RESET));
	ck_assert_uint_eq(rig.ram->nlog, SCSI_BOUNCE_MAX);
	rig_other_fini(&port);
}
END_TEST

/* LUN 0 has all buffers, and what is for LUN 5 waits. */
static struct ramstore *two_luns(void)
{
	struct ramstore *ram = ramstore_open(RIG_BLOCKS * 512);

	ram->hold = true;
	scsi_lun_init(&other, &ram->block, 5, "serial-5");
	rig_add(&rig, &other);
	start_many(&kinds[0], 0, 6);
	memcpy(rig.lun_field, lun5, 8);
	start_many(&kinds[0], 6, 4);
	ck_assert_uint_eq(chan_of(0)->inflight, SCSI_BOUNCE_MAX);
	ck_assert_uint_eq(chan_of(1)->inflight, 0);
	return ram;
}

static void end_two(struct ramstore *ram)
{
	struct scsi_nexus *nexus;

	scsi_ctx_drain(&rig.ctx);
	ck_assert_uint_eq(ended(), 10);
	all_are(0, 6, 0);
	nexus = scsi_port_take(&rig.port, &other);
	ck_assert_int_eq(scsi_ctx_sync(&rig.ctx), 0);
	scsi_nexus_free(nexus);
	ramstore_close(ram);
}

START_TEST(reset_of_who_waits)
{
	struct ramstore *ram = two_luns();

	ck_assert_int_eq(ask(SCSI_LOGICAL_UNIT_RESET, lun5, 0), SCSI_TMF_COMPLETE);
	all_are(6, 4, RIG_RESPONSE(SCSI_RESPONSE_RESET));
	ck_assert_uint_eq(ended(), 4); /* nothing of LUN 0 was waited for */
	end_two(ram);
}
END_TEST

START_TEST(reset_of_who_has)
{
	struct ramstore *ram = two_luns();

	ck_assert_int_eq(ask(SCSI_ABORT_TASK, lun0, 100), SCSI_TMF_COMPLETE);
	ck_assert_uint_eq(flight_result(&flight[0]), RIG_RESPONSE(SCSI_RESPONSE_ABORTED));
	flight[0].cmd.response = SCSI_RESPONSE_OK;
	end_two(ram);
	all_are(6, 4, 0);
}
END_TEST

START_TEST(lun_that_waits_goes)
{
	struct ramstore *ram = two_luns();
	struct scsi_nexus *nexus = scsi_port_take(&rig.port, &other);

	ck_assert_int_eq(scsi_ctx_sync(&rig.ctx), 0);
	all_are(6, 4, RIG_RESPONSE(SCSI_RESPONSE_RESET));
	scsi_nexus_free(nexus);
	scsi_ctx_drain(&rig.ctx);
	all_are(0, 6, 0);
	ramstore_close(ram);
}
END_TEST

START_TEST(settled)
{
	struct ramstore *ram = two_luns();

	scsi_ctx_settle(&rig.ctx, &other);
	all_are(6, 4, 0);
	end_two(ram);
}
END_TEST

/* What waits goes to the store that is there at its turn. */
START_TEST(store_changes)
{
	struct ramstore *ram = two_luns(), *next = ramstore_open(RIG_BLOCKS * 512);

	other.block = &next->block;
	ck_assert_int_eq(scsi_ctx_swap(&rig.ctx, &other), 0);
	scsi_ctx_drain(&rig.ctx);
	all_are(6, 4, 0);
	ck_assert_uint_eq(ram->nlog, 0);
	ck_assert_uint_eq(next->nlog, 4);
	ramstore_close(ram);
	end_two(next);
}
END_TEST

Suite *bounce_suite(void)
{
	Suite *s = suite_create("bounce");
	TCase *tc = unit_case(s, "bounce");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, all_have_their_turn, 0, ARRAY_SIZE(kinds));
	tcase_add_test(tc, in_their_order);
	tcase_add_test(tc, drained);
	tcase_add_test(tc, abort_one_that_waits);
	tcase_add_loop_test(tc, reset_ends_all, 0, ARRAY_SIZE(kinds));
	tcase_add_test(tc, others_end);
	tcase_add_test(tc, reset_of_who_waits);
	tcase_add_test(tc, reset_of_who_has);
	tcase_add_test(tc, lun_that_waits_goes);
	tcase_add_test(tc, settled);
	tcase_add_test(tc, store_changes);
	return s;
}

UNIT_MAIN(bounce_suite)
