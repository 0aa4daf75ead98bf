/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "devices/block/pool.h"
#include "tests/lib/block_run.h"
#include "vmm/core/loop.h"
#include "vmm/core/util.h"

Suite *pool_suite(void);

static struct block block;
static struct loop *loop;
static struct block_chan *chan;
static sem_t gate;
static atomic_uint inside, most;
static atomic_bool gated;

/* Waits at the gate if there is one; the error is the request's offset. */
static int run(struct block *b, const struct block_req *req)
{
	unsigned now = atomic_fetch_add(&inside, 1) + 1, old = atomic_load(&most);

	ck_assert_ptr_eq(b, &block);
	while (now > old && !atomic_compare_exchange_weak(&most, &old, now))
		;
	if (atomic_load(&gated))
		sem_wait(&gate);
	atomic_fetch_sub(&inside, 1);
	return -(int)req->off;
}

static void set_up(void)
{
	block = (struct block){ .size = 1 << 20 };
	loop = loop_create("test");
	chan = pool_open(&block, loop, run);
	ck_assert_ptr_nonnull(chan);
	sem_init(&gate, 0, 0);
}

static void tear_down(void)
{
	block_chan_close(chan);
	sem_destroy(&gate);
	loop_destroy(loop);
}

static unsigned workers(void)
{
	DIR *dir = opendir("/proc/self/task");
	char path[300], name[32];
	struct dirent *e;
	unsigned n = 0;

	while ((e = readdir(dir))) {
		FILE *f;

		snprintf(path, sizeof(path), "/proc/self/task/%s/comm", e->d_name);
		f = fopen(path, "re");
		if (!f)
			continue;
		n += fgets(name, sizeof(name), f) && !strcmp(name, "block-worker\n");
		fclose(f);
	}
	closedir(dir);
	return n;
}

START_TEST(result_comes_back)
{
	ck_assert_int_eq(block_run(chan, BLOCK_READ, 0, 0, NULL, 0), 0);
	ck_assert_int_eq(block_run(chan, BLOCK_READ, 0, EIO, NULL, 0), -EIO);
}
END_TEST

START_TEST(one_at_a_time_takes_one_thread)
{
	unsigned i;

	for (i = 0; i < 1000; i++)
		ck_assert_int_eq(block_run(chan, BLOCK_READ, 0, 0, NULL, 0), 0);
	ck_assert_uint_eq(atomic_load(&most), 1);
	ck_assert_uint_eq(workers(), 1);
}
END_TEST

static unsigned done;

static void on_done(struct block_req *req, int err)
{
	ck_assert(loop_is_current(loop));
	ck_assert_int_eq(err, -(int)req->off);
	done++;
}

START_TEST(four_threads_and_no_more)
{
	struct block_req req[64];
	unsigned i;

	atomic_store(&gated, true);
	for (i = 0; i < 64; i++) {
		req[i] = (struct block_req){ .io = BLOCK_READ, .off = i, .done = on_done };
		block_submit(chan, &req[i]);
	}
	while (atomic_load(&inside) < 4)
		;
	ck_assert_uint_eq(done, 0);
	ck_assert_uint_eq(workers(), 4);
	for (i = 0; i < 64; i++)
		sem_post(&gate);
	block_drain(chan);
	ck_assert_uint_eq(done, 64);
	ck_assert_uint_eq(chan->inflight, 0);
	ck_assert_uint_eq(atomic_load(&most), 4);
	block_chan_close(chan);
	ck_assert_uint_eq(workers(), 0);
	chan = pool_open(&block, loop, run);
}
END_TEST

/* Each submits itself again from its done function, as long as any are left. */
static struct block_req storm[64];
static unsigned left;

static void on_storm(struct block_req *req, int err)
{
	ck_assert_int_eq(err, 0);
	done++;
	if (left) {
		left--;
		block_submit(chan, req);
	} else if (!chan->inflight) {
		loop_stop(loop);
	}
}

static int submit_storm(void *arg)
{
	unsigned i;

	(void)arg;
	for (i = 0; i < ARRAY_SIZE(storm); i++) {
		storm[i] = (struct block_req){ .io = BLOCK_READ, .done = on_storm };
		block_submit(chan, &storm[i]);
	}
	return 0;
}

START_TEST(completes_on_the_loops_thread)
{
	left = 5000;
	ck_assert_int_eq(loop_start(loop), 0);
	loop_call(loop, submit_storm, NULL);
	/* Ends when on_storm() has stopped the loop. */
	while (!loop_is_current(loop))
		usleep(1000);
	loop_join(loop);
	ck_assert_uint_eq(done, 5064);
}
END_TEST

Suite *pool_suite(void)
{
	Suite *s = suite_create("pool");
	TCase *tc = unit_case(s, "pool");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, result_comes_back);
	tcase_add_test(tc, one_at_a_time_takes_one_thread);
	tcase_add_test(tc, four_threads_and_no_more);
	tcase_add_test(tc, completes_on_the_loops_thread);
	return s;
}

UNIT_MAIN(pool_suite)
