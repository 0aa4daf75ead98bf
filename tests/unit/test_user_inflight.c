/* SPDX-License-Identifier: MIT */
/* A server that is killed, and another that goes on with what it had taken: by a process that
 * really ends, at each step of a request, and at any moment under load. */
#include "tests/unit/unit.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/kept_server.h"
#include "tests/lib/vdriver.h"
#include "vmm/core/util.h"

Suite *user_inflight_suite(void);

#define SLOTS 8 /* requests at a time, of a queue */
#define LEN 200
#define SIZE 32
#define TIME 20000
#define KILLS 50

static struct kept_server server;
static struct testbed tb;
static struct vdriver v;
static uint32_t serial;    /* the next request's number */
static unsigned completed;
static struct slot {
	bool busy;
	uint16_t head;
	uint8_t out[LEN];
} slots[KEPT_QUEUES][SLOTS];

static void set_up(void)
{
	char text[128];

	kept_server_begin(&server);
	kept_server_live(&server);
	log_set_level(LOG_ERR);
	testbed_init_shared(&tb);
	tb.p.cpus = KEPT_QUEUES;
	snprintf(text, sizeof(text), "vhost-user-blk,id=d0,socket=%s", server.path);
	testbed_device(&tb, text);
	testbed_start(&tb);
	ck_assert(vdriver_probe(&v, &tb, 0));
	ck_assert(vdriver_start(&v, ~0ull, KEPT_QUEUES, SIZE));
	memset(slots, 0, sizeof(slots));
	serial = completed = 0;
}

static void tear_down(void)
{
	vdriver_fini(&v);
	testbed_fini(&tb);
	kept_server_end(&server);
}

static uint64_t place(unsigned q, unsigned n)
{
	return v.queue[q].arena + n * 1024;
}

/* @n more requests on queue @q, in free slots. Returns how many there was room for. */
static unsigned add(unsigned q, unsigned n)
{
	unsigned i, b, done = 0;

	for (i = 0; i < SLOTS && done < n; i++) {
		struct slot *s = &slots[q][i];
		const uint8_t nothing[LEN] = { 0 };
		struct driver_buf buf[] = { { place(q, i), LEN, false },
					    { place(q, i) + 512, LEN, true } };
		int head;

		if (s->busy)
			continue;
		le32_put(s->out, serial);
		for (b = 4; b < LEN; b++)
			s->out[b] = serial * 7 + b;
		serial++;
		mem_write(&tb.mem, buf[0].gpa, s->out, LEN);
		mem_write(&tb.mem, buf[1].gpa, nothing, LEN);
		head = driver_add(&v.queue[q].ring, buf, 2, 0);
		ck_assert_int_ge(head, 0);
		s->head = head;
		s->busy = true;
		done++;
	}
	if (done)
		vdriver_kick(&v, q);
	return done;
}

/* It was asked for, has not come before, and is right. */
static void check_one(unsigned q, uint16_t head, uint32_t len)
{
	uint8_t in[LEN];
	unsigned i, b;

	for (i = 0; i < SLOTS && !(slots[q][i].busy && slots[q][i].head == head); i++)
		;
	ck_assert_msg(i < SLOTS, "chain %u of queue %u has come twice, or from nowhere", head, q);
	ck_assert_uint_eq(len, LEN);
	mem_read(&tb.mem, place(q, i) + 512, in, LEN);
	for (b = 0; b < LEN; b++)
		ck_assert_uint_eq(in[b], slots[q][i].out[b] ^ KEPT_CHANGE);
	slots[q][i].busy = false;
	completed++;
}

static unsigned busy(unsigned q)
{
	unsigned i, n = 0;

	for (i = 0; i < SLOTS; i++)
		n += slots[q][i].busy;
	return n;
}

/* Until at most @left of queue @q are not answered. */
static void answered(unsigned q, unsigned left)
{
	uint16_t head;
	uint32_t len;

	while (busy(q) > left) {
		ck_assert_int_eq(vdriver_wait_used(&v, q, &head, &len, TIME), 0);
		check_one(q, head, len);
	}
}

static void nothing_more(void)
{
	uint16_t head;
	uint32_t len;
	unsigned q;

	for (q = 0; q < KEPT_QUEUES; q++) {
		add(q, 1);
		answered(q, 0);
		ck_assert(!driver_used(&v.queue[q].ring, &head, &len));
	}
}

/* Until a count of the server's has come to that. */
static void wait_for(atomic_uint *count, unsigned n)
{
	int tries;

	for (tries = 0; atomic_load(count) < n && tries < 4000; tries++)
		usleep(5000);
	ck_assert_uint_ge(atomic_load(count), n);
}

/* Some of the first are answered, so that heads come back in any order. */
static void warm_up(void)
{
	unsigned q;

	for (q = 0; q < KEPT_QUEUES; q++) {
		add(q, SLOTS);
		answered(q, 0);
	}
}

/* Each is done by the second one, in the order in which the first one took them. */
START_TEST(taken_and_not_done)
{
	struct kept_shared *s = server.shared;
	unsigned i, down = 0, first;
	uint16_t last = 0;

	warm_up();
	atomic_store(&s->hold, 1);
	first = serial;
	ck_assert_uint_eq(add(1, SLOTS), SLOTS);
	wait_for(&server.shared->taken, 2 * SLOTS + SLOTS);
	for (i = 0; i < SLOTS; i++) {
		down += slots[1][i].head < last;
		last = slots[1][i].head;
	}
	ck_assert_uint_gt(down, 0); /* their order is not that of their heads */
	kept_server_kill(&server);
	ck_assert_uint_eq(busy(1), SLOTS);
	ck_assert_uint_eq(atomic_load(&s->again), 0);
	atomic_store(&s->hold, 0);
	kept_server_live(&server);
	answered(1, 0);
	ck_assert_uint_eq(atomic_load(&s->again), SLOTS);
	for (i = 0; i < SLOTS; i++)
		ck_assert_uint_eq(s->order[i], first + i);
	ck_assert_uint_eq(atomic_load(&s->lives), 2);
	nothing_more();
}
END_TEST

/* And the same ones by a third, as the second has not done them either; it has taken more. */
START_TEST(killed_again)
{
	struct kept_shared *s = server.shared;
	unsigned i;

	warm_up();
	atomic_store(&s->hold, 1);
	add(0, SLOTS / 2);
	wait_for(&server.shared->taken, 2 * SLOTS + SLOTS / 2);
	kept_server_kill(&server);
	add(0, SLOTS / 2);
	kept_server_live(&server);
	wait_for(&server.shared->taken, 2 * SLOTS + SLOTS);
	kept_server_kill(&server);
	atomic_store(&s->hold, 0);
	kept_server_live(&server);
	answered(0, 0);
	ck_assert_uint_eq(atomic_load(&s->again), SLOTS / 2 + SLOTS);
	for (i = 0; i < SLOTS; i++)
		ck_assert_uint_eq(s->order[SLOTS / 2 + i], 2 * SLOTS + i);
	nothing_more();
}
END_TEST

/* Wherever it stood. */
START_TEST(dies_on_the_way)
{
	unsigned q, dies;

	warm_up();
	atomic_store(&server.shared->dies, _i);
	for (q = 0; q < KEPT_QUEUES; q++)
		add(q, SLOTS);
	for (dies = 0; atomic_load(&server.shared->dies) && dies < 4000; dies++)
		usleep(5000);
	ck_assert_uint_eq(atomic_load(&server.shared->dies), KEPT_NOWHERE);
	kept_server_kill(&server);
	kept_server_live(&server);
	for (q = 0; q < KEPT_QUEUES; q++)
		answered(q, 0);
	ck_assert_uint_eq(atomic_load(&server.shared->lives), 2);
	ck_assert_uint_eq(completed, serial);
	nothing_more();
}
END_TEST

/* As many as there is room for at each time, and each is answered once. */
START_TEST(killed_under_load)
{
	unsigned n, q, kills = unit_rows(KILLS), lost = 0;
	uint32_t seed = 27;

	for (n = 0; n < kills; n++) {
		unsigned until = completed + 1 + driver_random(&seed) % 60;

		wait_for(&server.shared->lives, n + 1);
		for (q = 0; completed < until; q = !q) {
			add(q, 1 + driver_random(&seed) % SLOTS);
			answered(q, driver_random(&seed) % SLOTS);
		}
		for (q = 0; q < KEPT_QUEUES; q++)
			add(q, SLOTS);
		kept_server_kill(&server);
		lost += busy(0) + busy(1);
		kept_server_live(&server);
	}
	wait_for(&server.shared->lives, kills + 1);
	for (q = 0; q < KEPT_QUEUES; q++)
		answered(q, 0);
	ck_assert_uint_eq(completed, serial);
	ck_assert_uint_gt(lost, kills); /* it had something to do when it was killed */
	nothing_more();
}
END_TEST

/* The driver has begun anew: nobody does what it has given up. */
START_TEST(a_reset_forgets)
{
	atomic_store(&server.shared->hold, 1);
	add(0, SLOTS);
	wait_for(&server.shared->taken, SLOTS);
	kept_server_kill(&server);
	vdriver_reset(&v);
	vdriver_fini(&v);
	testbed_release(&tb);
	memset(slots, 0, sizeof(slots));
	atomic_store(&server.shared->hold, 0);
	kept_server_live(&server);
	ck_assert(vdriver_probe(&v, &tb, 0));
	ck_assert(vdriver_start(&v, ~0ull, KEPT_QUEUES, SIZE));
	nothing_more();
	ck_assert_uint_eq(atomic_load(&server.shared->again), 0);
}
END_TEST

Suite *user_inflight_suite(void)
{
	Suite *s = suite_create("user_inflight");
	TCase *tc = unit_case(s, "killed");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, taken_and_not_done);
	tcase_add_test(tc, killed_again);
	tcase_add_loop_test(tc, dies_on_the_way, KEPT_NUMBERED, KEPT_POINTS);
	tcase_add_test(tc, killed_under_load);
	tcase_add_test(tc, a_reset_forgets);
	tcase_set_timeout(tc, 120);
	return s;
}

UNIT_MAIN(user_inflight_suite)
