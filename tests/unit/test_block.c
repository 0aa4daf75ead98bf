/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "tests/lib/block_run.h"
#include "tests/lib/stderr.h"
#include "vmm/core/fail.h"
#include "vmm/core/loop.h"
#include "vmm/core/util.h"

Suite *block_suite(void);

static struct stderr_text said;

/* A store that keeps requests until it is drained, and gives each the error in @result. */
static struct parked {
	struct block block;
	struct block_chan chan;
	struct block_queue queue;
	unsigned closed, chan_closed, drained, hangs; /* hangs: the first drains find nothing */
	int ms;
	int result;
} parked;

static struct block_chan *parked_chan_open(struct block *block, struct loop *loop)
{
	parked.chan = (struct block_chan){ .block = block, .loop = loop };
	STAILQ_INIT(&parked.queue);
	return &parked.chan;
}

static void parked_submit(struct block_chan *chan, struct block_req *req)
{
	(void)chan;
	STAILQ_INSERT_TAIL(&parked.queue, req, link);
}

static bool parked_drain(struct block_chan *chan, int ms)
{
	struct block_req *req;

	parked.drained++;
	parked.ms = ms;
	if (parked.drained <= parked.hangs)
		return false;
	while ((req = STAILQ_FIRST(&parked.queue))) {
		STAILQ_REMOVE_HEAD(&parked.queue, link);
		block_done(chan, req, parked.result);
	}
	return true;
}

static void parked_chan_close(struct block_chan *chan)
{
	ck_assert_uint_eq(chan->inflight, 0);
	parked.chan_closed++;
}

static void parked_close(struct block *block)
{
	(void)block;
	parked.closed++;
}

static const struct block_ops parked_ops = {
	.name = "parked",
	.close = parked_close,
	.chan_open = parked_chan_open,
	.chan_close = parked_chan_close,
	.submit = parked_submit,
	.drain = parked_drain,
};

static struct loop *loop;
static struct block_chan *chan;
static char page[4096];

static void set_up(void)
{
	memset(&parked, 0, sizeof(parked));
	parked.block = (struct block){ .ops = &parked_ops, .size = 8192 };
	loop = loop_create("test");
	chan = block_chan_open(&parked.block, loop);
}

static void tear_down(void)
{
	loop_destroy(loop);
}

START_TEST(result_comes_through)
{
	parked.result = -ENOSPC;
	ck_assert_int_eq(block_run(chan, BLOCK_WRITE, 0, 4096, page, 4096), -ENOSPC);
	parked.result = 0;
	ck_assert_int_eq(block_run(chan, BLOCK_READ, 0, 8192, page, 0), 0);
}
END_TEST

static void count(struct block_req *req, int err)
{
	(void)req;
	(void)err;
}

START_TEST(close_drains_first)
{
	struct block_req req[3];
	unsigned i;

	for (i = 0; i < 3; i++) {
		req[i] = (struct block_req){ .io = BLOCK_FLUSH, .done = count };
		block_submit(chan, &req[i]);
		ck_assert_uint_eq(chan->inflight, i + 1);
	}
	block_chan_close(chan);
	ck_assert_uint_eq(parked.drained, 1);
	ck_assert_uint_eq(parked.chan_closed, 1);
	block_close(&parked.block);
	ck_assert_uint_eq(parked.closed, 1);
}
END_TEST

static void on_hang(void *arg)
{
	++*(unsigned *)arg;
}

/* Each time that patience is over somebody hears of it, and it goes on. */
START_TEST(disk_hangs)
{
	struct block_req req = { .io = BLOCK_FLUSH, .done = count };
	struct stderr_text err;
	unsigned heard = 0;

	parked.hangs = 2;
	parked.block.on_hang = on_hang;
	parked.block.on_hang_arg = &heard;
	block_submit(chan, &req);
	ck_assert(!block_try_drain(chan, 7));
	ck_assert_int_eq(parked.ms, 7);
	ck_assert(chan->late);
	ck_assert_uint_eq(heard, 0);
	stderr_begin(&err);
	block_drain(chan);
	stderr_end(&err);
	ck_assert_int_eq(parked.ms, BLOCK_PATIENCE);
	ck_assert_uint_eq(heard, 1);
	ck_assert(!chan->late);
	ck_assert_ptr_nonnull(strstr(err.text, "the host's disk hangs: 1 request has not come back "
					       "for 60 s; the run ends without"));
	block_chan_close(chan);
}
END_TEST

/* The time begins anew with each request that comes back. */
START_TEST(patience)
{
	struct block_wait wait = block_wait_begin(chan, 1000000);

	ck_assert_int_gt(block_wait_left(&wait), 900000);
	wait.since -= 600000;
	ck_assert_int_le(block_wait_left(&wait), 400000);
	chan->ended++;
	ck_assert_int_gt(block_wait_left(&wait), 900000);
	wait.since -= 1000000;
	ck_assert_int_eq(block_wait_left(&wait), 0);
	block_chan_close(chan);
}
END_TEST

START_TEST(idle_channel_is_not_drained)
{
	block_drain(chan);
	ck_assert_uint_eq(parked.drained, 0);
}
END_TEST

START_TEST(nothing_to_close)
{
	block_chan_close(NULL);
	block_close(NULL);
	ck_assert_uint_eq(parked.closed + parked.chan_closed, 0);
}
END_TEST

static const struct block_req wrong[] = {
	{ .io = BLOCK_READ, .off = 8192, .len = 1 },
	{ .io = BLOCK_DISCARD, .off = 1, .len = UINT64_MAX },
	{ .io = BLOCK_ZERO, .off = UINT64_MAX, .len = 1 },
};

/* Loop tests with a signal: each is our own bug, and must not go on. */
START_TEST(outside_is_a_bug)
{
	struct block_req req = wrong[_i];

	block_submit(chan, &req);
}
END_TEST

START_TEST(write_to_readonly_is_a_bug)
{
	struct block_req req = { .io = BLOCK_DISCARD, .len = 512 };

	parked.block.readonly = true;
	block_submit(chan, &req);
}
END_TEST

START_TEST(table)
{
	unsigned i, k;

	for (i = 0; block_stores[i]; i++) {
		const struct block_ops *o = block_stores[i];

		ck_assert(o->name && o->help && o->open && o->close && o->chan_open);
		for (k = 0; k < i; k++)
			ck_assert_str_ne(block_stores[k]->name, o->name);
	}
	ck_assert_str_eq(block_stores[0]->name, "file");
}
END_TEST

START_TEST(unknown_store)
{
	struct block_open how = { .store = "floppy", .path = "x" };
	struct block *b;

	stderr_begin(&said);
	ck_assert_int_eq(block_open(&how, &b), -EUSAGE);
	ck_assert_str_eq(stderr_end(&said),
			 "lunette: error: store=floppy: is none of: file (a file or a block "
			 "device), null (nothing: drops writes, reads zeroes)\n");
}
END_TEST

/* What was asked for by the old size may still come while the block is made smaller. */
static void at_the_old_end(void *arg)
{
	struct block_chan *c = arg;

	ck_assert_uint_eq(c->block->size, 4096);
	ck_assert_int_eq(block_run(c, BLOCK_READ, 8192 - 512, 512, page, 0), 0);
}

START_TEST(resize)
{
	struct block_open how = { .store = "null", .size = 8192 };
	struct loop *own = loop_create("resize");
	struct block_chan *c;
	struct block *b;

	ck_assert_int_eq(block_open(&how, &b), 0);
	c = block_chan_open(b, own);
	ck_assert_int_eq(block_resize(b, 4096, at_the_old_end, c), 0);
	ck_assert_uint_eq(b->size, 4096);
	ck_assert_uint_eq(b->before, 0);
	ck_assert_int_eq(block_resize(b, 16384, NULL, NULL), 0); /* nothing to wait for */
	ck_assert_uint_eq(b->size, 16384);
	block_chan_close(c);
	block_close(b);
	loop_destroy(own);

	stderr_begin(&said);
	ck_assert_int_eq(block_resize(&parked.block, 512, NULL, NULL), -EOPNOTSUPP);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "cannot be resized"));
}
END_TEST

Suite *block_suite(void)
{
	Suite *s = suite_create("block");
	TCase *tc = unit_case(s, "block");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, result_comes_through);
	tcase_add_test(tc, close_drains_first);
	tcase_add_test(tc, disk_hangs);
	tcase_add_test(tc, patience);
	tcase_add_test(tc, idle_channel_is_not_drained);
	tcase_add_test(tc, nothing_to_close);
	tcase_add_loop_test_raise_signal(tc, outside_is_a_bug, SIGABRT, 0, ARRAY_SIZE(wrong));
	tcase_add_test_raise_signal(tc, write_to_readonly_is_a_bug, SIGABRT);
	tcase_add_test(tc, resize);
	tcase_add_test(tc, table);
	tcase_add_test(tc, unknown_store);
	return s;
}

UNIT_MAIN(block_suite)
