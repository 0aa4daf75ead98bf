/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vmm/core/loop.h"
#include "vmm/core/util.h"

Suite *loop_suite(void);

static struct loop *loop;

static void set_up(void)
{
	loop = loop_create("unit");
	ck_assert_ptr_nonnull(loop);
}

static void tear_down(void)
{
	loop_join(loop);
	loop_destroy(loop);
}

struct counter {
	struct loop_source src;
	atomic_uint calls;
	bool foreign; /* was called on a thread that is not the loop's */
	struct loop_source *victim; /* removed by our call */
	void (*remove)(struct loop *loop, struct loop_source *src);
};

static void count(void *arg)
{
	struct counter *c = arg;
	eventfd_t n;

	eventfd_read(c->src.fd, &n);
	c->foreign |= !loop_is_current(loop);
	if (c->victim)
		c->remove(loop, c->victim);
	atomic_fetch_add(&c->calls, 1);
}

static void counter_init(struct counter *c)
{
	*c = (struct counter){ .src = { .fd = eventfd(0, EFD_NONBLOCK), .fn = count, .arg = c } };
	ck_assert_int_eq(loop_add(loop, &c->src), 0);
}

static int nothing(void *arg)
{
	(void)arg;
	return 0;
}

/* What was ready before this has been called after it. */
static void settle(void)
{
	loop_call(loop, nothing, NULL);
	loop_call(loop, nothing, NULL);
}

START_TEST(source_is_called_while_ready)
{
	struct counter c;

	counter_init(&c);
	eventfd_write(c.src.fd, 1); /* before there is a thread */
	ck_assert_int_eq(loop_start(loop), 0);
	ck_assert(!loop_is_current(loop));
	settle();
	ck_assert_uint_eq(c.calls, 1);
	eventfd_write(c.src.fd, 1);
	settle();
	ck_assert_uint_eq(c.calls, 2);
	settle();
	ck_assert_uint_eq(c.calls, 2);
	loop_join(loop);
	ck_assert(!c.foreign);
	close(c.src.fd);
}
END_TEST

START_TEST(regular_file_is_refused)
{
	char path[] = "/tmp/lunette-loop-XXXXXX";
	struct loop_source src = { .fd = mkstemp(path) };

	ck_assert_int_ge(src.fd, 0);
	unlink(path);
	ck_assert_int_eq(loop_add(loop, &src), -EPERM);
	close(src.fd);
}
END_TEST

static void (*const removers[])(struct loop *, struct loop_source *) = { loop_del, loop_pause };

/* Both are ready in one round, and the first to be called removes the other. */
START_TEST(removal_is_final)
{
	struct counter a, b;

	counter_init(&a);
	counter_init(&b);
	a.victim = &b.src;
	b.victim = &a.src;
	a.remove = b.remove = removers[_i];
	eventfd_write(a.src.fd, 1);
	eventfd_write(b.src.fd, 1);
	ck_assert_int_eq(loop_start(loop), 0);
	settle();
	ck_assert_uint_eq(a.calls + b.calls, 1);
	loop_join(loop);
	close(a.src.fd);
	close(b.src.fd);
}
END_TEST

START_TEST(pause_and_resume)
{
	struct counter c;

	counter_init(&c);
	ck_assert_int_eq(loop_start(loop), 0);
	loop_pause(loop, &c.src);
	eventfd_write(c.src.fd, 1);
	settle();
	ck_assert_uint_eq(c.calls, 0);
	loop_resume(loop, &c.src);
	settle();
	ck_assert_uint_eq(c.calls, 1);
	loop_join(loop);
	close(c.src.fd);
}
END_TEST

static int add_one(void *arg)
{
	return ++*(int *)arg;
}

static int nested(void *arg)
{
	return loop_call(loop, add_one, arg) + 100;
}

START_TEST(call_without_a_thread)
{
	int n = 0;

	ck_assert(loop_is_current(loop));
	ck_assert_int_eq(loop_call(loop, add_one, &n), 1);
	ck_assert_int_eq(loop_call(loop, nested, &n), 102);
}
END_TEST

START_TEST(call_from_its_own_thread)
{
	int n = 0;

	ck_assert_int_eq(loop_start(loop), 0);
	ck_assert_int_eq(loop_call(loop, nested, &n), 101);
	loop_join(loop);
	ck_assert_int_eq(loop_call(loop, add_one, &n), 2); /* the thread has ended */
}
END_TEST

#define CALLERS 4
#define CALLS 5000

struct caller {
	pthread_t thread;
	int *shared; /* plain: the loop's thread alone touches it */
	int last;
	bool ordered;
};

static void *caller_main(void *arg)
{
	struct caller *c = arg;
	int i, r;

	c->ordered = true;
	for (i = 0; i < CALLS; i++) {
		r = loop_call(loop, add_one, c->shared);
		c->ordered &= r > c->last;
		c->last = r;
	}
	return NULL;
}

static atomic_bool has_called, was_served;

static int note_call(void *arg)
{
	(void)arg;
	atomic_store(&was_served, true);
	return 0;
}

static void *call_it(void *arg)
{
	(void)arg;
	atomic_store(&has_called, true);
	loop_call(loop, note_call, NULL);
	return NULL;
}

/* A call that waits for another one to come, which nobody else could answer. */
static int wait_and_serve(void *arg)
{
	(void)arg;
	while (!atomic_load(&was_served)) {
		loop_serve(loop);
		sched_yield();
	}
	return atomic_load(&has_called);
}

START_TEST(calls_in_a_callback)
{
	pthread_t thread;

	ck_assert_int_eq(loop_start(loop), 0);
	pthread_create(&thread, NULL, call_it, NULL);
	ck_assert_int_eq(loop_call(loop, wait_and_serve, NULL), 1);
	pthread_join(thread, NULL);
}
END_TEST

START_TEST(calls_from_many_threads)
{
	struct caller caller[CALLERS];
	int shared = 0, i;

	ck_assert_int_eq(loop_start(loop), 0);
	for (i = 0; i < CALLERS; i++) {
		caller[i] = (struct caller){ .shared = &shared };
		pthread_create(&caller[i].thread, NULL, caller_main, &caller[i]);
	}
	for (i = 0; i < CALLERS; i++) {
		pthread_join(caller[i].thread, NULL);
		ck_assert(caller[i].ordered);
	}
	loop_join(loop);
	ck_assert_int_eq(shared, CALLERS * CALLS);
}
END_TEST

/* Nobody waits for ever on a loop that is ending. */
START_TEST(calls_while_it_ends)
{
	int round;

	for (round = 0; round < 200; round++) {
		int shared = 0;
		struct caller c = { .shared = &shared };
		unsigned i;

		tear_down();
		set_up();
		ck_assert_int_eq(loop_start(loop), 0);
		pthread_create(&c.thread, NULL, caller_main, &c);
		for (i = 0; i < (unsigned)round; i++)
			sched_yield();
		loop_join(loop);
		pthread_join(c.thread, NULL);
		ck_assert_int_eq(shared, CALLS);
	}
}
END_TEST

static void count_and_stop(void *arg)
{
	count(arg);
	loop_stop(loop);
}

START_TEST(run_in_this_thread)
{
	struct counter c;

	counter_init(&c);
	c.src.fn = count_and_stop;
	eventfd_write(c.src.fd, 1);
	loop_run(loop);
	ck_assert_uint_eq(c.calls, 1);
	ck_assert(!c.foreign);
	close(c.src.fd);
}
END_TEST

START_TEST(stop_before_run)
{
	loop_stop(loop);
	loop_run(loop);
	ck_assert(loop_is_current(loop));
}
END_TEST

START_TEST(more_sources_than_one_round_takes)
{
	struct counter c[40];
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(c); i++) {
		counter_init(&c[i]);
		eventfd_write(c[i].src.fd, 1);
	}
	ck_assert_int_eq(loop_start(loop), 0);
	for (i = 0; i < 4; i++)
		settle();
	loop_join(loop);
	for (i = 0; i < ARRAY_SIZE(c); i++) {
		ck_assert_uint_eq(c[i].calls, 1);
		close(c[i].src.fd);
	}
}
END_TEST

/* What a round of events has gathered is done after it, in order and once. */
static struct chore {
	struct loop_task task;
	unsigned runs, again, events_before;
	struct loop_task *also; /* queued by our run */
} chore[2];
static struct counter gathered[3];

static void on_chore(void *arg)
{
	struct chore *c = arg;

	if (!c->runs++)
		c->events_before = gathered[0].calls + gathered[1].calls + gathered[2].calls;
	if (c->also)
		loop_defer(loop, c->also);
	if (c->again) {
		c->again--;
		loop_defer(loop, &c->task);
	} else if (!c->also) {
		loop_stop(loop);
	}
}

static void count_and_defer(void *arg)
{
	count(arg);
	loop_defer(loop, &chore[0].task);
}

START_TEST(task_runs_once_after_the_round)
{
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(chore); i++)
		chore[i] = (struct chore){ .task = { .fn = on_chore, .arg = &chore[i] } };
	chore[0].also = &chore[1].task;
	chore[1].again = 2;
	for (i = 0; i < ARRAY_SIZE(gathered); i++) {
		counter_init(&gathered[i]);
		gathered[i].src.fn = count_and_defer;
		eventfd_write(gathered[i].src.fd, 1);
	}
	loop_run(loop);
	ck_assert_uint_eq(chore[0].runs, 1);
	ck_assert_uint_eq(chore[0].events_before, 3);
	ck_assert_uint_eq(chore[1].runs, 3);
	ck_assert(!chore[0].task.queued && !chore[1].task.queued);
	for (i = 0; i < ARRAY_SIZE(gathered); i++)
		close(gathered[i].src.fd);
}
END_TEST

START_TEST(task_taken_back_does_not_run)
{
	struct chore gone = { .task = { .fn = on_chore, .arg = &gone } };

	chore[0] = (struct chore){ .task = { .fn = on_chore, .arg = &chore[0] } };
	loop_defer(loop, &gone.task);
	loop_defer(loop, &chore[0].task);
	loop_cancel(loop, &gone.task);
	loop_cancel(loop, &gone.task);
	loop_run(loop);
	ck_assert_uint_eq(gone.runs, 0);
	ck_assert_uint_eq(chore[0].runs, 1);
}
END_TEST

START_TEST(shared_place_and_name)
{
	void **shared = loop_shared(loop);

	ck_assert_ptr_null(*shared);
	*shared = &chore;
	ck_assert_ptr_eq(*loop_shared(loop), &chore);
	ck_assert_str_eq(loop_name(loop), "unit");
}
END_TEST

static void heard_and_stop(void *arg)
{
	count(arg);
	loop_stop(loop);
}

/* It is stopped, and runs once more; between the two a round is served. */
START_TEST(runs_again)
{
	struct counter c;

	counter_init(&c);
	c.src.fn = heard_and_stop;
	eventfd_write(c.src.fd, 1);
	loop_run(loop);
	ck_assert_uint_eq(c.calls, 1);
	loop_round(loop); /* which waits for nothing */
	ck_assert_uint_eq(c.calls, 1);
	eventfd_write(c.src.fd, 1);
	loop_run(loop);
	ck_assert_uint_eq(c.calls, 1);
	loop_round(loop);
	ck_assert_uint_eq(c.calls, 2);
	loop_again(loop);
	eventfd_write(c.src.fd, 1);
	loop_run(loop);
	ck_assert_uint_eq(c.calls, 3);
	close(c.src.fd);
}
END_TEST

Suite *loop_suite(void)
{
	Suite *s = suite_create("loop");
	TCase *tc = unit_case(s, "loop");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, runs_again);
	tcase_add_test(tc, source_is_called_while_ready);
	tcase_add_test(tc, regular_file_is_refused);
	tcase_add_loop_test(tc, removal_is_final, 0, ARRAY_SIZE(removers));
	tcase_add_test(tc, pause_and_resume);
	tcase_add_test(tc, call_without_a_thread);
	tcase_add_test(tc, call_from_its_own_thread);
	tcase_add_test(tc, calls_in_a_callback);
	tcase_add_test(tc, calls_from_many_threads);
	tcase_add_test(tc, calls_while_it_ends);
	tcase_add_test(tc, run_in_this_thread);
	tcase_add_test(tc, stop_before_run);
	tcase_add_test(tc, more_sources_than_one_round_takes);
	tcase_add_test(tc, task_runs_once_after_the_round);
	tcase_add_test(tc, task_taken_back_does_not_run);
	tcase_add_test(tc, shared_place_and_name);
	return s;
}

UNIT_MAIN(loop_suite)
