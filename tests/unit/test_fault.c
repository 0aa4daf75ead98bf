/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "devices/block/fault.h"
#include "tests/lib/block_run.h"
#include "tests/lib/stderr.h"
#include "vmm/core/fail.h"
#include "vmm/core/log.h"
#include "vmm/core/loop.h"
#include "vmm/core/util.h"

Suite *fault_suite(void);

#define SIZE MIB(1)

static struct stderr_text said;
static char path[64];
static struct loop *loop;
static struct block *block;
static struct block_chan *chan;
static uint8_t data[8192], got[8192], zeroes[8192];

static void set_up(void)
{
	int fd;

	log_set_level(LOG_ERR); /* errors of the disk are what these tests are about */
	snprintf(path, sizeof(path), "/tmp/lunette-fault-XXXXXX");
	fd = mkstemp(path);
	ck_assert_int_eq(ftruncate(fd, SIZE), 0);
	close(fd);
	loop = loop_create("unit");
	memset(data, 0x5a, sizeof(data));
	memset(got, 0xee, sizeof(got));
}

static void open_with(const char *rules)
{
	struct block_open how = { .path = path, .fault = rules, .block_size = 512 };

	ck_assert_int_eq(block_open(&how, &block), 0);
	chan = block_chan_open(block, loop);
	ck_assert_ptr_nonnull(chan);
}

static void close_all(void)
{
	block_chan_close(chan);
	block_close(block);
	chan = NULL;
	block = NULL;
}

static void tear_down(void)
{
	close_all();
	loop_join(loop);
	loop_destroy(loop);
	unlink(path);
}

static void check_image(uint64_t off, const void *want, size_t len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	ck_assert_int_eq(pread(fd, got, len, off), len);
	ck_assert_mem_eq(got, want, len);
	close(fd);
}

static int write_block(uint64_t lba)
{
	return block_run(chan, BLOCK_WRITE, 0, lba * 512, data, 512);
}

static int flush(void)
{
	return block_run(chan, BLOCK_FLUSH, 0, 0, NULL, 0);
}

START_TEST(errors)
{
	open_with("write:lba=4:times=2:error=EIO+flush:error=ENXIO");
	ck_assert_int_eq(write_block(3), 0);
	ck_assert_int_eq(write_block(4), -EIO);
	ck_assert_int_eq(write_block(4), -EIO);
	ck_assert_int_eq(write_block(4), 0);
	ck_assert_int_eq(flush(), -ENXIO);
	ck_assert_int_eq(block_run(chan, BLOCK_READ, 0, 3 * 512, got, 1024), 0);
	ck_assert_mem_eq(got, data, 1024);
	ck_assert_int_eq(block->fd, 0);
}
END_TEST

/* Like a disk with a cache: a flush, or the end without a cut, brings it to the medium. */
START_TEST(cache)
{
	open_with("discard:error=EIO");
	ck_assert_int_eq(write_block(0), 0);
	check_image(0, zeroes, 512);
	ck_assert_int_eq(flush(), 0);
	check_image(0, data, 512);
	ck_assert_int_eq(write_block(1), 0);
	check_image(512, zeroes, 512);
	close_all();
	check_image(0, data, 1024);
}
END_TEST

START_TEST(lost)
{
	open_with("flush:times=1:lost+write:lba=9:lost");
	ck_assert_int_eq(write_block(0), 0);
	ck_assert_int_eq(flush(), 0);
	check_image(0, zeroes, 512);
	ck_assert_int_eq(write_block(9), 0);
	ck_assert_int_eq(flush(), 0);
	check_image(0, data, 512);
	check_image(9 * 512, zeroes, 512);
}
END_TEST

START_TEST(torn)
{
	struct iovec iov[] = { { data, 700 }, { data + 700, 3396 } };

	open_with("write:times=1:torn=1536+write:after=1:times=1:torn=512:error=EIO");
	ck_assert_int_eq(block_run_iov(chan, BLOCK_WRITE, BLOCK_FUA, 0, iov, 2), 0);
	check_image(0, data, 1536);
	check_image(1536, zeroes, 4096 - 1536);
	ck_assert_int_eq(block_run_iov(chan, BLOCK_WRITE, BLOCK_FUA, 8192, iov, 2), 0);
	ck_assert_int_eq(block_run_iov(chan, BLOCK_WRITE, BLOCK_FUA, 16384, iov, 2), -EIO);
	check_image(8192, data, 4096);
	check_image(16384, data, 512);
	check_image(16384 + 512, zeroes, 4096 - 512);
}
END_TEST

START_TEST(cut)
{
	open_with("write:after=2:times=1:cut");
	ck_assert_int_eq(write_block(0), 0);
	ck_assert_int_eq(flush(), 0);
	ck_assert_int_eq(write_block(1), 0);
	ck_assert_int_eq(write_block(2), -EIO);
	ck_assert_int_eq(write_block(3), -EIO);
	ck_assert_int_eq(flush(), -EIO);
	ck_assert_int_eq(block_run(chan, BLOCK_READ, 0, 0, got, 512), -EIO);
	close_all();
	check_image(0, data, 512);
	check_image(512, zeroes, 4096);
}
END_TEST

static struct block_req req[80];
static struct iovec iov = { data, 512 };
static unsigned ended;
static int result;

static void on_end(struct block_req *r, int err)
{
	(void)r;
	result = err;
	if (++ended == 80)
		loop_stop(loop);
}

/* More than there are places for. */
static int submit_many(void *arg)
{
	unsigned i;

	(void)arg;
	for (i = 0; i < ARRAY_SIZE(req); i++) {
		req[i] = (struct block_req){ .io = BLOCK_WRITE, .off = i * 512, .len = 512,
					     .iov = &iov, .niov = 1, .done = on_end };
		block_submit(chan, &req[i]);
	}
	return 0;
}

static int write_atomic(uint64_t off)
{
	return block_run(chan, BLOCK_WRITE, BLOCK_ATOMIC, off, data, 4096);
}

/* What is to be all or nothing is not torn, and is all there or not behind a cut. */
START_TEST(atomic)
{
	open_with("write:times=1:torn=512:error=EIO+write:times=1:torn=512+"
		  "write:after=2:times=1:cut");
	ck_assert_uint_eq(block->atomic_max, 4096);
	ck_assert_int_eq(write_atomic(0), -EIO);
	ck_assert_int_eq(write_atomic(0), 0);
	ck_assert_int_eq(block_run(chan, BLOCK_READ, 0, 0, got, 4096), 0);
	ck_assert_mem_eq(got, zeroes, 4096);
	ck_assert_int_eq(write_atomic(0), 0);
	ck_assert_int_eq(flush(), 0);
	ck_assert_int_eq(write_atomic(4096), 0);
	ck_assert_int_eq(write_atomic(8192), -EIO); /* the cut */
	close_all();
	check_image(0, data, 4096);
	check_image(4096, zeroes, 8192);
}
END_TEST

START_TEST(hang_until_drained)
{
	open_with("write:hang");
	submit_many(NULL);
	ck_assert_uint_eq(chan->inflight, 80);
	block_drain(chan);
	ck_assert_uint_eq(ended, 80);
	ck_assert_int_eq(result, -ETIMEDOUT);
	ck_assert_int_eq(flush(), 0);
	check_image(0, zeroes, 512);
}
END_TEST

START_TEST(hang_until_other_rules)
{
	struct timespec moment = { .tv_nsec = 50000000 };

	open_with("write:hang");
	ck_assert_int_eq(loop_start(loop), 0);
	loop_call(loop, submit_many, NULL);
	nanosleep(&moment, NULL);
	ck_assert_int_eq(fault_set(block, "read:error=EIO"), 0);
	while (!loop_is_current(loop)) /* until on_end() has stopped it */
		nanosleep(&moment, NULL);
	loop_join(loop);
	ck_assert_uint_eq(ended, 80);
	ck_assert_int_eq(result, 0);
	ck_assert_int_eq(block_run(chan, BLOCK_READ, 0, 0, got, 512), -EIO);
	stderr_begin(&said);
	ck_assert_int_eq(fault_set(block, "nonsense"), -EUSAGE);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "fault=nonsense: is no rule"));
	ck_assert_int_eq(block_run(chan, BLOCK_READ, 0, 0, got, 512), -EIO);
	ck_assert_int_eq(fault_set(block, ""), 0);
	ck_assert_int_eq(block_run(chan, BLOCK_READ, 0, 79 * 512, got, 512), 0);
	ck_assert_mem_eq(got, data, 512);
}
END_TEST

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

START_TEST(delay)
{
	double before = seconds();

	open_with("write:delay=100");
	submit_many(NULL);
	loop_run(loop);
	ck_assert_uint_eq(ended, 80);
	ck_assert_int_eq(result, 0);
	ck_assert(seconds() - before > 0.099);
	/* A drain does not wait for it. */
	ck_assert_int_eq(fault_set(block, "write:delay=3600000"), 0);
	ck_assert_int_eq(write_block(0), 0);
}
END_TEST

START_TEST(around_others)
{
	struct block_open how = { .path = path, .readonly = true,
				  .fault = "write:lba=1:error=EIO" };

	ck_assert_int_eq(block_open(&how, &block), 0);
	ck_assert(block->readonly);
	block_close(block);
	how.readonly = false;
	how.overlay = BLOCK_OVERLAY_DROP;
	ck_assert_int_eq(block_open(&how, &block), 0);
	chan = block_chan_open(block, loop);
	ck_assert_int_eq(write_block(0), 0);
	ck_assert_int_eq(write_block(1), -EIO);
	ck_assert_int_eq(flush(), 0);
	ck_assert_int_eq(block_commit(block), 0);
	close_all();
	check_image(0, zeroes, 1024);
	how.path = "/none";
	stderr_begin(&said);
	ck_assert_int_eq(block_open(&how, &block), -ENOENT);
	how.fault = "x";
	ck_assert_int_eq(block_open(&how, &block), -EUSAGE);
	stderr_end(&said);
	block = NULL;
}
END_TEST

/* Around a store that is in use: the old channel goes on, and knows of nothing. */
START_TEST(inserted)
{
	struct block_open how = { .path = path, .block_size = 512 };
	struct block_chan *old;
	struct block *inner;
	uint64_t end;

	ck_assert_int_eq(block_open(&how, &inner), 0);
	old = block_chan_open(inner, loop);
	stderr_begin(&said);
	ck_assert_int_eq(fault_insert(inner, 4096, "write", &block), -EUSAGE);
	ck_assert_int_eq(fault_insert(inner, 4096, "write:cut", &block), -EOPNOTSUPP);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "from the start"));
	ck_assert_int_eq(fault_insert(inner, 4096, "write:lba=1:sense=2/04/01", &block), 0);
	chan = block_chan_open(block, loop);
	ck_assert_int_eq(write_block(0), 0);
	check_image(0, data, 512);
	ck_assert_int_eq(write_block(8), -(BLOCK_ERR_TOLD | 0x20401));
	check_image(4096, zeroes, 512);
	ck_assert(!block_is_mapped(block, SIZE / 2, &end));
	ck_assert_uint_eq(end, SIZE);
	ck_assert_int_eq(block_run(old, BLOCK_WRITE, 0, 4096, data, 512), 0);
	check_image(4096, data, 512);
	block_chan_close(old);
	stderr_begin(&said);
	ck_assert_int_eq(fault_set(block, "flush:cut"), -EOPNOTSUPP);
	stderr_end(&said);
	ck_assert_int_eq(fault_set(block, ""), 0);
	ck_assert_int_eq(write_block(8), 0);
	ck_assert_int_eq(block_resize(block, 2 * SIZE, NULL, NULL), 0);
	ck_assert_int_eq(write_block(2 * SIZE / 512 - 1), 0);
	check_image(2 * SIZE - 512, data, 512);
}
END_TEST

Suite *fault_suite(void)
{
	Suite *s = suite_create("fault");
	TCase *tc = unit_case(s, "fault");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, errors);
	tcase_add_test(tc, cache);
	tcase_add_test(tc, lost);
	tcase_add_test(tc, torn);
	tcase_add_test(tc, cut);
	tcase_add_test(tc, atomic);
	tcase_add_test(tc, hang_until_drained);
	tcase_add_test(tc, hang_until_other_rules);
	tcase_add_test(tc, delay);
	tcase_add_test(tc, around_others);
	tcase_add_test(tc, inserted);
	return s;
}

UNIT_MAIN(fault_suite)
