/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "devices/block/nbd.h"
#include "tests/lib/block_run.h"
#include "tests/lib/nbd_server.h"
#include "vmm/core/loop.h"
#include "vmm/core/util.h"

Suite *nbd_chan_suite(void);

#define SIZE MIB(80)
#define MANY 300
#define BLOCK NBD_SERVER_BLOCK

static struct nbd_server server;
static struct nbd nbd;
static struct loop *loop;
static struct block_chan *chan;
static uint8_t *data;

static void set_up(void)
{
	server = (struct nbd_server){ .listening = -1 };
	nbd = (struct nbd){ .asks = -1, .at = -1 };
	nbd_server_start(&server, nbd_server_listen(&nbd.at), SIZE);
	ck_assert_int_eq(nbd_init(&nbd), 0);
	nbd.block.size = nbd.size;
	loop = loop_create("nbd");
	chan = nbd_chan_open(&nbd, loop);
	ck_assert_ptr_nonnull(chan);
	data = malloc(SIZE);
}

static void tear_down(void)
{
	block_chan_close(chan);
	loop_destroy(loop);
	nbd_fini(&nbd);
	nbd_server_stop(&server);
	close(nbd.at);
	free(data);
}

static void fill(uint8_t *at, size_t len, unsigned seed)
{
	size_t i;

	for (i = 0; i < len; i++)
		at[i] = (uint8_t)(i * 7 + i / 256 + seed);
}

START_TEST(verbs)
{
	uint8_t back[3 * BLOCK];

	fill(data, 3 * BLOCK, 1);
	ck_assert_int_eq(block_run(chan, BLOCK_WRITE, 0, BLOCK, data, 3 * BLOCK), 0);
	ck_assert_mem_eq(server.data + BLOCK, data, 3 * BLOCK);
	ck_assert_uint_eq(server.fua, 0);
	ck_assert_int_eq(block_run(chan, BLOCK_WRITE, BLOCK_FUA, 0, data, 512), 0);
	ck_assert_uint_eq(server.fua, 1);
	ck_assert_int_eq(block_run(chan, BLOCK_READ, 0, BLOCK, back, 3 * BLOCK), 0);
	ck_assert_mem_eq(back, data, 3 * BLOCK);
	ck_assert_int_eq(block_run(chan, BLOCK_FLUSH, 0, 0, NULL, 0), 0);
	ck_assert_uint_eq(server.calls[NBD_FLUSH], 1);
	ck_assert_int_eq(block_run(chan, BLOCK_ZERO, 0, BLOCK, NULL, BLOCK), 0);
	ck_assert_uint_eq(server.no_hole, 1);
	ck_assert_int_eq(block_run(chan, BLOCK_ZERO, BLOCK_MAY_UNMAP, 2 * BLOCK, NULL, BLOCK), 0);
	ck_assert_uint_eq(server.no_hole, 1);
	ck_assert(server.mapped[1] && !server.mapped[2] && server.mapped[3]);
	ck_assert_int_eq(block_run(chan, BLOCK_DISCARD, 0, 3 * BLOCK, NULL, BLOCK), 0);
	ck_assert(!server.mapped[3]);
	ck_assert_int_eq(block_run(chan, BLOCK_READ, 0, BLOCK, back, 2 * BLOCK), 0);
	ck_assert(!back[0] && !memcmp(back, back + 1, 2 * BLOCK - 1));
}
END_TEST

/* More than one call may carry, and more pieces than go into one. */
START_TEST(long_ones)
{
	static struct iovec iov[500];
	unsigned i;

	fill(data, SIZE, 2);
	ck_assert_int_eq(block_run(chan, BLOCK_WRITE, 0, 0, data, SIZE), 0);
	ck_assert_uint_eq(server.calls[NBD_WRITE], 3); /* of 32 MiB at most */
	ck_assert_mem_eq(server.data, data, SIZE);
	memset(data, 0, SIZE);
	ck_assert_int_eq(block_run(chan, BLOCK_READ, 0, 0, data, SIZE), 0);
	ck_assert_mem_eq(server.data, data, SIZE);
	for (i = 0; i < 500; i++)
		iov[i] = (struct iovec){ data + i * 1000, 512 + (i % 2) };
	ck_assert_int_eq(block_run_iov(chan, BLOCK_READ, 0, 512, iov, 500), 0);
	ck_assert_mem_eq(data + 1000, server.data + 512 + 512, 513);
	fill(data, SIZE, 3);
	ck_assert_int_eq(block_run_iov(chan, BLOCK_WRITE, 0, 1024, iov, 500), 0);
	ck_assert_mem_eq(server.data + 1024 + 512, data + 1000, 513);
}
END_TEST

/* Many, more than are sent at a time; the server answers in another order than they came. */
static unsigned done, failed;

static void on_done(struct block_req *req, int err)
{
	(void)req;
	done++;
	failed += err != 0;
	ck_assert(!err || err == -EIO);
}

static struct block_req reqs[MANY];
static struct iovec iovs[MANY];

static void submit_many(enum block_io io)
{
	unsigned i;

	done = failed = 0;
	for (i = 0; i < MANY; i++) {
		iovs[i] = (struct iovec){ data + (size_t)i * BLOCK, BLOCK };
		reqs[i] = (struct block_req){ .io = io, .off = (uint64_t)i * BLOCK, .len = BLOCK,
					      .iov = &iovs[i], .niov = 1, .done = on_done };
		block_submit(chan, &reqs[i]);
	}
	ck_assert_uint_eq(done, 0);
}

START_TEST(many)
{
	server.hold = 4; /* of 300 */
	fill(data, MANY * BLOCK, 4);
	submit_many(BLOCK_WRITE);
	block_drain(chan);
	ck_assert_uint_eq(done, MANY);
	ck_assert_mem_eq(server.data, data, MANY * BLOCK);
	memset(data, 0, MANY * BLOCK);
	submit_many(BLOCK_READ);
	block_drain(chan);
	ck_assert_uint_eq(done, MANY);
	ck_assert_uint_eq(failed, 0);
	ck_assert_mem_eq(server.data, data, MANY * BLOCK);
}
END_TEST

START_TEST(error_of_one)
{
	server.fail = 28;
	ck_assert_int_eq(block_run(chan, BLOCK_WRITE, 0, 0, data, 512), -ENOSPC);
	server.fail = 5;
	ck_assert_int_eq(block_run(chan, BLOCK_READ, 0, 0, data, 512), -EIO);
	ck_assert_int_eq(block_run(chan, BLOCK_READ, 0, 0, data, 512), 0);
}
END_TEST

/* What makes no sense ends the connection, and with it all that waits, and what comes later. */
START_TEST(lies)
{
	static const enum nbd_lie rows[] = { NBD_LIES_COOKIE, NBD_LIES_MAGIC, NBD_LIES_TWICE };

	server.lie = rows[_i];
	submit_many(BLOCK_READ);
	block_drain(chan);
	ck_assert_uint_eq(done, MANY);
	ck_assert_uint_ge(failed, MANY - 1);
	ck_assert_int_eq(block_run(chan, BLOCK_READ, 0, 0, data, 512), -EIO);
	ck_assert_int_eq(block_run(chan, BLOCK_FLUSH, 0, 0, NULL, 0), -EIO);
}
END_TEST

/* In the middle of what it has been given. */
START_TEST(server_goes)
{
	server.hold = 7;
	submit_many(_i ? BLOCK_READ : BLOCK_WRITE);
	nbd_server_stop(&server);
	block_drain(chan);
	ck_assert_uint_eq(done, MANY);
	ck_assert_uint_gt(failed, 0);
	nbd_server_start(&server, nbd_server_listen(&(int){ 0 }), SIZE);
}
END_TEST

/* By the loop, as in service; and one that only it can end fails there, not in its submission. */
static void stop_after(struct block_req *req, int err)
{
	on_done(req, err);
	if (done == MANY)
		loop_stop(loop);
}

START_TEST(in_a_loop)
{
	unsigned i;

	fill(data, MANY * BLOCK, 5);
	submit_many(BLOCK_WRITE);
	for (i = 0; i < MANY; i++)
		reqs[i].done = stop_after;
	loop_run(loop);
	ck_assert_uint_eq(failed, 0);
	ck_assert_mem_eq(server.data, data, MANY * BLOCK);
}
END_TEST

Suite *nbd_chan_suite(void)
{
	Suite *s = suite_create("nbd_chan");
	TCase *tc = unit_case(s, "nbd_chan");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, verbs);
	tcase_add_test(tc, long_ones);
	tcase_add_test(tc, many);
	tcase_add_test(tc, error_of_one);
	tcase_add_loop_test(tc, lies, 0, 3);
	tcase_add_loop_test(tc, server_goes, 0, 2);
	tcase_add_test(tc, in_a_loop);
	return s;
}

UNIT_MAIN(nbd_chan_suite)
