/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "devices/block/guard.h"
#include "tests/lib/block_run.h"
#include "tests/lib/ramstore.h"
#include "tests/lib/stderr.h"
#include "vmm/core/loop.h"
#include "vmm/core/util.h"

Suite *guard_suite(void);

static struct stderr_text said;
static struct loop *loop;
static struct ramstore *ram;
static struct block_chan *chan;
static uint8_t data[4096];

static void set_up(void)
{
	loop = loop_create("unit");
	ram = ramstore_open(MIB(1));
	ram->block.path = "ram";
	ram->block.outermost = true;
	chan = block_chan_open(&ram->block, loop);
	memset(data, 0x5a, sizeof(data));
}

static void tear_down(void)
{
	block_chan_close(chan);
	ramstore_close(ram);
	loop_destroy(loop);
}

static void fail_next(int err)
{
	ram->fail_at = 1;
	ram->fail_with = -err;
}

static const struct {
	enum block_io io;
	int err;
	enum full_policy full;
	const char *line;
} lines[] = {
	{ BLOCK_READ, EIO, FULL_REPORT,
	  "read of 4096 bytes at 8192: Input/output error; the guest is told" },
	{ BLOCK_FLUSH, EIO, FULL_STOP, "flush: Input/output error; the guest is told" },
	{ BLOCK_WRITE, ENOSPC, FULL_REPORT,
	  "write of 4096 bytes at 8192: No space left on device; the guest is told; make room" },
	{ BLOCK_ZERO, EDQUOT, FULL_REPORT,
	  "zeroing of 4096 bytes at 8192: Disk quota exceeded; the guest is told; make room" },
	{ BLOCK_FLUSH, ENOSPC, FULL_STOP,
	  "flush: No space left on device; the guest is told; make room" },
	{ BLOCK_DISCARD, EROFS, FULL_FAIL,
	  "discard of 4096 bytes at 8192: Read-only file system; the guest is told" },
};

/* One line for many errors of one block. */
START_TEST(errors_are_told)
{
	char want[200];
	unsigned i;

	ram->block.full = lines[_i].full;
	stderr_begin(&said);
	for (i = 0; i < 5; i++) {
		fail_next(lines[_i].err);
		ck_assert_int_eq(block_run(chan, lines[_i].io, 0, 8192, data, 4096),
				 -lines[_i].err);
	}
	snprintf(want, sizeof(want), "lunette: warning: ram: %s\n", lines[_i].line);
	ck_assert_str_eq(stderr_end(&said), want);
	ck_assert_int_eq(block_run(chan, lines[_i].io, 0, 8192, data, 4096), 0);
}
END_TEST

static unsigned ended;
static int result;

static void on_end(struct block_req *req, int err)
{
	(void)req;
	ended++;
	result = err;
	loop_stop(loop);
}

static struct iovec iov = { data, sizeof(data) };
static struct block_req write_req = { .io = BLOCK_WRITE, .off = 4096, .len = sizeof(data),
				      .iov = &iov, .niov = 1, .done = on_end };

static unsigned fulls;

static void on_full(void *arg)
{
	struct ramstore *r = arg;

	fulls++;
	if (r)
		loop_stop(loop);
}

/* It fails once; of that its owner does not hear. */
START_TEST(held_until_there_is_room)
{
	ram->block.full = FULL_STOP;
	ram->block.on_full = on_full;
	fail_next(ENOSPC);
	stderr_begin(&said);
	block_submit(chan, &write_req);
	loop_run(loop);
	ck_assert_str_eq(stderr_end(&said),
			 "lunette: warning: ram: write of 4096 bytes at 4096: No space left on "
			 "device; the guest's request waits until you make room\n"
			 "lunette: ram: there is room again\n");
	ck_assert_uint_eq(ended, 1);
	ck_assert_int_eq(result, 0);
	ck_assert_uint_eq(chan->inflight, 0);
	ck_assert_uint_eq(fulls, 0);
	ck_assert_mem_eq(ram->bytes + 4096, data, sizeof(data));
}
END_TEST

/* A reset must not wait for room. */
START_TEST(drain_ends_what_is_held)
{
	ram->block.full = FULL_FAIL;
	ram->block.on_full = on_full;
	ram->block.on_full_arg = ram;
	fail_next(ENOSPC);
	stderr_begin(&said);
	block_submit(chan, &write_req);
	loop_run(loop);
	ck_assert_uint_eq(ended, 0);
	ck_assert_uint_eq(fulls, 1);
	ck_assert_uint_eq(chan->inflight, 1);
	block_drain(chan);
	ck_assert_uint_eq(ended, 1);
	ck_assert_int_eq(result, -ENOSPC);
	ck_assert_uint_eq(chan->inflight, 0);
	/* And what fails while it is drained is not held at all. */
	fail_next(ENOSPC);
	ck_assert_int_eq(block_run(chan, BLOCK_WRITE, 0, 0, data, 512), -ENOSPC);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "No space left on device; the run ends\n"));
}
END_TEST

START_TEST(inner_blocks_are_not_guarded)
{
	struct block_chan *inner;

	ram->block.outermost = false;
	inner = block_chan_open(&ram->block, loop);
	ck_assert_ptr_null(inner->guard);
	fail_next(EIO);
	stderr_begin(&said);
	ck_assert_int_eq(block_run(inner, BLOCK_READ, 0, 0, data, 512), -EIO);
	ck_assert_str_eq(stderr_end(&said), "");
	block_chan_close(inner);
}
END_TEST

Suite *guard_suite(void)
{
	Suite *s = suite_create("guard");
	TCase *tc = unit_case(s, "guard");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_set_timeout(tc, 30);
	tcase_add_loop_test(tc, errors_are_told, 0, ARRAY_SIZE(lines));
	tcase_add_test(tc, held_until_there_is_room);
	tcase_add_test(tc, drain_ends_what_is_held);
	tcase_add_test(tc, inner_blocks_are_not_guarded);
	return s;
}

UNIT_MAIN(guard_suite)
