/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <string.h>

#include "tests/lib/block_run.h"
#include "tests/lib/stderr.h"
#include "vmm/core/fail.h"
#include "vmm/core/loop.h"
#include "vmm/core/util.h"

Suite *null_suite(void);

static struct stderr_text said;
static struct loop *loop;
static struct block *block;
static struct block_chan *chan;

static void set_up(void)
{
	struct block_open how = { .store = "null", .size = GIB(4) };

	loop = loop_create("test");
	ck_assert_int_eq(block_open(&how, &block), 0);
	chan = block_chan_open(block, loop);
	ck_assert_ptr_nonnull(chan);
}

static void tear_down(void)
{
	block_chan_close(chan);
	block_close(block);
	loop_destroy(loop);
}

START_TEST(facts)
{
	ck_assert_uint_eq(block->size, GIB(4));
	ck_assert_str_eq(block->path, "null");
	ck_assert(!block->readonly && block->can_discard && block->discard_zeroes);
	ck_assert(is_power_of_2(block->physical_block));
}
END_TEST

START_TEST(writes_vanish_and_reads_are_zero)
{
	char out[1000], in[1000], zero[1000] = { 0 };
	struct iovec iov[] = { { in, 1 }, { in + 1, 0 }, { in + 1, 999 } };

	memset(out, 'x', sizeof(out));
	memset(in, 'x', sizeof(in));
	ck_assert_int_eq(block_run(chan, BLOCK_WRITE, BLOCK_FUA, 512, out, sizeof(out)), 0);
	ck_assert_int_eq(block_run_iov(chan, BLOCK_READ, 0, 512, iov, 3), 0);
	ck_assert_mem_eq(in, zero, sizeof(zero));
}
END_TEST

START_TEST(other_verbs_succeed)
{
	ck_assert_int_eq(block_run(chan, BLOCK_FLUSH, 0, 0, NULL, 0), 0);
	ck_assert_int_eq(block_run(chan, BLOCK_DISCARD, 0, 0, NULL, GIB(4)), 0);
	ck_assert_int_eq(block_run(chan, BLOCK_ZERO, BLOCK_MAY_UNMAP, GIB(4) - 512, NULL, 512), 0);
}
END_TEST

struct chain {
	struct block_req req;
	unsigned left, done;
	struct loop *loop;
};

static void submit_next(struct block_req *req, int err)
{
	struct chain *c = container_of(req, struct chain, req);

	ck_assert_int_eq(err, 0);
	c->done++;
	if (c->left) {
		c->left--;
		block_submit(chan, req);
	} else if (c->loop) {
		loop_stop(c->loop);
	}
}

START_TEST(completes_from_the_loop)
{
	struct chain c = { .req = { .io = BLOCK_FLUSH, .done = submit_next }, .left = 3,
			   .loop = loop };

	block_submit(chan, &c.req);
	ck_assert_uint_eq(c.done, 0);
	ck_assert_uint_eq(chan->inflight, 1);
	loop_run(loop);
	ck_assert_uint_eq(c.done, 4);
	ck_assert_uint_eq(chan->inflight, 0);
}
END_TEST

START_TEST(drain_waits_for_what_done_submits)
{
	struct chain c = { .req = { .io = BLOCK_FLUSH, .done = submit_next }, .left = 9 };

	block_submit(chan, &c.req);
	block_drain(chan);
	ck_assert_uint_eq(c.done, 10);
}
END_TEST

START_TEST(size_is_needed)
{
	struct block_open how = { .store = "null", .path = "n0" };
	struct block *b = NULL;

	stderr_begin(&said);
	ck_assert_int_eq(block_open(&how, &b), -EUSAGE);
	ck_assert_str_eq(stderr_end(&said),
			 "lunette: error: n0: the null store needs a size; add size=1G\n");
	ck_assert_ptr_null(b);
}
END_TEST

Suite *null_suite(void)
{
	Suite *s = suite_create("null");
	TCase *tc = unit_case(s, "null");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, facts);
	tcase_add_test(tc, writes_vanish_and_reads_are_zero);
	tcase_add_test(tc, other_verbs_succeed);
	tcase_add_test(tc, completes_from_the_loop);
	tcase_add_test(tc, drain_waits_for_what_done_submits);
	tcase_add_test(tc, size_is_needed);
	return s;
}

UNIT_MAIN(null_suite)
