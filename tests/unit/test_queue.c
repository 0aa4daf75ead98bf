/* SPDX-License-Identifier: MIT */
#include "tests/unit/queue_fixture.h"

Suite *queue_suite(void);

static const struct bad_state {
	uint16_t size;
	uint64_t desc, driver, device;
} bad_states[] = {
	{ 0, 0x1000, 0x2000, 0x3000 },
	{ 3, 0x1000, 0x2000, 0x3000 },
	{ 512, 0x1000, 0x2000, 0x3000 },
	{ 65535, 0x1000, 0x2000, 0x3000 },
	{ 16, 0x1008, 0x2000, 0x3000 },
	{ 16, 0x1000, 0x2001, 0x3000 },
	{ 16, 0x1000, 0x2000, 0x3002 },
	{ 16, 2 * REGION, 0x2000, 0x3000 },
	{ 16, 2 * REGION - 16, 0x2000, 0x3000 },
	{ 16, 0x1000, 2 * REGION - 36, 0x3000 }, /* two bytes too few, for the event index */
	{ 16, 0x1000, 0x2000, 2 * REGION - 132 },
	{ 16, REGION - 16, 0x2000, 0x3000 }, /* in two regions */
	{ 16, UINT64_MAX - 15, 0x2000, 0x3000 },
	{ 16, 0x1000, UINT64_MAX - 1, 0x3000 },
	{ 16, 0x1000, 0x2000, UINT64_MAX - 3 },
};

START_TEST(start_refuses)
{
	const struct bad_state *b = &bad_states[_i];

	vq = (struct virtqueue){ .s = good };
	vq.s.size = b->size;
	vq.s.desc = b->desc;
	vq.s.driver = b->driver;
	vq.s.device = b->device;
	ck_assert_int_eq(vq_start(&vq, &mem), -EINVAL);
	ck_assert(!vq_started(&vq));
}
END_TEST

/* The same checks, for queues that are served elsewhere. */
START_TEST(view)
{
	vq = (struct virtqueue){ .s = good };
	vq.s.size = 0;
	ck_assert_int_eq(vq_view(&vq, &mem), -EINVAL);
	vq.s.size = vq.s.max_size;
	ck_assert_int_eq(vq_view(&vq, &mem), 0);
	ck_assert(!vq_started(&vq));
	ck_assert_ptr_eq(vq.desc, mem_ptr(&mem, vq.s.desc, 1, 1));
	ck_assert_ptr_eq(vq.driver, mem_ptr(&mem, vq.s.driver, 1, 1));
	ck_assert_ptr_eq(vq.device, mem_ptr(&mem, vq.s.device, 1, 1));
	vq.s.device |= 2;
	ck_assert_int_eq(vq_view(&vq, &mem), -EINVAL);
}
END_TEST

START_TEST(start_at_the_very_end)
{
	vq = (struct virtqueue){ .s = good };
	vq.s.desc = REGION - 256;
	vq.s.driver = 2 * REGION - 38;
	vq.s.device = REGION - 512;
	ck_assert_int_eq(vq_start(&vq, &mem), 0);
	ck_assert(vq_started(&vq));
	vq_stop(&vq);
	ck_assert(!vq_started(&vq));
}
END_TEST

START_TEST(start_asks_for_kicks)
{
	uint8_t flags[2];

	driver_init(&drv, &mem, RING, 8, false, 0);
	le16_put(drv.u, VRING_USED_F_NO_NOTIFY);
	vq = (struct virtqueue){ .s = { .max_size = 8, .size = 8, .desc = drv.desc,
					.driver = drv.driver, .device = drv.device } };
	ck_assert_int_eq(vq_start(&vq, &mem), 0);
	mem_read(&mem, drv.device, flags, 2);
	ck_assert_uint_eq(le16_get(flags), 0);
	close_queue();
}
END_TEST

/* Popped, pushed but not shown, or available: together they are never more than the ring holds. */
START_TEST(no_more_chains_than_descriptors)
{
	unsigned i;

	open_queue(4, false, 65534);
	for (i = 0; i < 4; i++) {
		put_desc(drv.desc, i, DATA, 1, R, 0);
		offer(i);
	}
	for (i = 0; i < 4; i++)
		ck_assert_int_eq(pop(), 1);
	ck_assert_int_eq(pop(), 0);
	if (_i) { /* pushed, but a driver cannot know */
		vq_push(&vq, 0, 0);
		vq_push(&vq, 1, 0);
	}
	offer(0);
	ck_assert_int_eq(pop(), -EPROTO);
	while (vq.inflight)
		vq_push(&vq, 3, 0);
	close_queue();
}
END_TEST

/* Ahead are those that are not popped, left those that are not shown as used. */
START_TEST(chains_are_counted)
{
	open_queue(4, false, 65535);
	put_desc(drv.desc, 0, DATA, 1, R, 0);
	ck_assert_uint_eq(vq_ahead(&vq) + vq_left(&vq), 0);
	offer(0);
	offer(0);
	ck_assert_uint_eq(vq_ahead(&vq), 2);
	ck_assert_uint_eq(vq_left(&vq), 2);
	ck_assert_int_eq(pop(), 1);
	ck_assert_uint_eq(vq_ahead(&vq), 1);
	ck_assert_uint_eq(vq_left(&vq), 2);
	vq_push(&vq, 0, 0);
	vq_flush(&vq);
	ck_assert_uint_eq(vq_left(&vq), 1);
	close_queue();
}
END_TEST

START_TEST(shown_chains_make_room)
{
	open_queue(1, false, 0);
	put_desc(drv.desc, 0, DATA, 1, R, 0);
	offer(0);
	ck_assert_int_eq(pop(), 1);
	vq_push(&vq, 0, 0);
	vq_flush(&vq);
	offer(0);
	ck_assert_int_eq(pop(), 1);
	vq_push(&vq, 0, 0);
	close_queue();
}
END_TEST

START_TEST(used_in_any_order)
{
	uint16_t head[4], got;
	uint32_t len;
	unsigned i;

	open_queue(4, false, 65534);
	for (i = 0; i < 4; i++)
		driver_add(&drv, &bufs[i], 1, 0);
	driver_publish(&drv);
	for (i = 0; i < 4; i++) {
		ck_assert_int_eq(pop(), 1);
		head[i] = chain.head;
	}
	for (i = 0; i < 4; i++)
		vq_push(&vq, head[3 - i], 100 + i);
	ck_assert(!driver_used(&drv, &got, &len)); /* pushed, not shown */
	ck_assert(vq_flush(&vq));
	for (i = 0; i < 4; i++) {
		ck_assert(driver_used(&drv, &got, &len));
		ck_assert_uint_eq(got, head[3 - i]);
		ck_assert_uint_eq(len, 100 + i);
	}
	ck_assert(!driver_used(&drv, &got, &len));
	ck_assert(!vq_flush(&vq)); /* nothing new */
	close_queue();
}
END_TEST

static void take_used(unsigned n)
{
	uint16_t head;
	uint32_t len;

	while (n--)
		ck_assert(driver_used(&drv, &head, &len));
}

/* §2.7.7.2: exactly when the used index passes used_event, for every event and around the wrap. */
START_TEST(interrupt_exactly_at_the_event)
{
	static const uint16_t starts[] = { 0, 1, 32767, 65533, 65535 };
	uint16_t start = starts[_i];
	unsigned k, event;

	for (k = 1; k <= 4; k++) {
		for (event = 0; event < 65536; event += k == 3 && start == 65533 ? 1 : 13) {
			bool expected = false;
			uint8_t raw[2];
			unsigned i;

			if (event == 0) {
				if (vq_started(&vq))
					close_queue();
				open_queue(8, true, start);
			}
			for (i = 0; i < k; i++)
				expected |= (uint16_t)(drv.used + i) == event;
			le16_put(raw, event);
			mem_write(&mem, drv.driver + 4 + 2 * 8, raw, 2);
			pass(k);
			ck_assert_int_eq(vq_flush(&vq), expected);
			take_used(k);
		}
	}
	close_queue();
}
END_TEST

START_TEST(interrupt_by_flag)
{
	open_queue(8, false, 0);
	pass(1);
	ck_assert(vq_flush(&vq));
	take_used(1);
	driver_disarm(&drv);
	pass(2);
	ck_assert(!vq_flush(&vq));
	take_used(2);
	ck_assert(!driver_rearm(&drv));
	pass(1);
	ck_assert(vq_flush(&vq));
	close_queue();
}
END_TEST

START_TEST(kick_exactly_at_the_event)
{
	struct driver_buf b = { DATA, 1, false };

	open_queue(8, true, 65535);
	ck_assert(!vq_rearm(&vq));
	driver_add(&drv, &b, 1, 0);
	ck_assert(driver_publish(&drv)); /* the one we wait for */
	driver_add(&drv, &b, 1, 0);
	ck_assert(!driver_publish(&drv)); /* we are at work already */
	ck_assert_int_eq(pop(), 1);
	ck_assert(vq_rearm(&vq)); /* there is one more */
	vq_push(&vq, chain.head, 0);
	ck_assert_int_eq(pop(), 1);
	vq_push(&vq, chain.head, 0);
	ck_assert(!vq_rearm(&vq));
	driver_add(&drv, &b, 1, 0);
	ck_assert(driver_publish(&drv));
	ck_assert_int_eq(pop(), 1);
	vq_push(&vq, chain.head, 0);
	close_queue();
}
END_TEST

START_TEST(indices_wrap)
{
	unsigned i;

	open_queue(4, _i, 0);
	for (i = 0; i < 70000; i++) {
		pass(1 + i % 4);
		vq_flush(&vq);
		take_used(1 + i % 4);
	}
	ck_assert_uint_eq(vq.s.next_avail, vq.s.next_used);
	ck_assert_uint_eq(vq.s.next_used, drv.used);
	close_queue();
}
END_TEST

/* Stop shows what was pushed, and what it leaves is enough for another to go on. */
START_TEST(stop_and_go_on)
{
	struct virtqueue other = { 0 };
	uint16_t head;
	uint32_t len;

	open_queue(4, true, 65530);
	pass(3);
	vq_stop(&vq);
	other.s = vq.s;
	ck_assert_int_eq(vq_start(&other, &mem), 0);
	take_used(3);
	driver_add(&drv, bufs, 4, TABLE);
	driver_publish(&drv);
	ck_assert_int_eq(vq_pop(&other, &chain, iov, PIECES), 1);
	vq_push(&other, chain.head, 77);
	vq_stop(&other);
	ck_assert(driver_used(&drv, &head, &len));
	ck_assert_uint_eq(len, 77);
	driver_fini(&drv);
}
END_TEST

#define EXCHANGES 100000

/* The device side of the exchange, in a thread; sleeps whenever vq_rearm() says that it may. */
struct server {
	int kick, call;
	bool stop;
};

static void *serve(void *arg)
{
	struct server *s = arg;
	struct pollfd p = { .fd = s->kick, .events = POLLIN };
	struct iovec my_iov[4];
	struct vq_chain c;
	eventfd_t n;

	while (poll(&p, 1, 10000) > 0 && !__atomic_load_n(&s->stop, __ATOMIC_SEQ_CST)) {
		eventfd_read(s->kick, &n);
		do {
			while (vq_pop(&vq, &c, my_iov, 4) > 0)
				vq_push(&vq, c.head, 1);
			if (vq_flush(&vq))
				eventfd_write(s->call, 1);
		} while (vq_rearm(&vq));
	}
	return NULL;
}

/* Both sides sleep when they may and wake the other when they must: nothing may be lost. */
START_TEST(no_wakeup_is_lost)
{
	struct server s = { .kick = eventfd(0, EFD_NONBLOCK), .call = eventfd(0, EFD_NONBLOCK) };
	struct pollfd p = { .fd = s.call, .events = POLLIN };
	struct driver_buf b = { DATA, 1, true };
	unsigned sent = 0, done = 0, kicks = 0;
	pthread_t thread;
	uint16_t head;
	uint32_t len;
	eventfd_t n;

	open_queue(16, _i, 65000);
	vq_rearm(&vq);
	pthread_create(&thread, NULL, serve, &s);
	while (done < EXCHANGES) {
		while (sent < EXCHANGES && driver_add(&drv, &b, 1, 0) >= 0)
			sent++;
		if (driver_publish(&drv)) {
			eventfd_write(s.kick, 1);
			kicks++;
		}
		while (driver_used(&drv, &head, &len))
			done++;
		if (drv.nfree || driver_rearm(&drv))
			continue;
		ck_assert_msg(poll(&p, 1, 10000) > 0, "lost after %u of %u", done, sent);
		eventfd_read(s.call, &n);
	}
	__atomic_store_n(&s.stop, true, __ATOMIC_SEQ_CST);
	eventfd_write(s.kick, 1);
	pthread_join(thread, NULL);
	ck_assert_uint_eq(sent, done);
	ck_assert_uint_eq(vq.inflight, 0);
	ck_assert_uint_le(kicks, EXCHANGES);
	close_queue();
}
END_TEST

Suite *queue_suite(void)
{
	Suite *s = suite_create("queue");
	TCase *tc = unit_case(s, "queue");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_set_timeout(tc, 30);
	tcase_add_loop_test(tc, start_refuses, 0, ARRAY_SIZE(bad_states));
	tcase_add_test(tc, view);
	tcase_add_test(tc, start_at_the_very_end);
	tcase_add_test(tc, start_asks_for_kicks);
	tcase_add_loop_test(tc, no_more_chains_than_descriptors, 0, 2);
	tcase_add_test(tc, chains_are_counted);
	tcase_add_test(tc, shown_chains_make_room);
	tcase_add_test(tc, used_in_any_order);
	tcase_add_loop_test(tc, interrupt_exactly_at_the_event, 0, 5);
	tcase_add_test(tc, interrupt_by_flag);
	tcase_add_test(tc, kick_exactly_at_the_event);
	tcase_add_loop_test(tc, indices_wrap, 0, 2);
	tcase_add_test(tc, stop_and_go_on);
	tcase_add_loop_test(tc, no_wakeup_is_lost, 0, 2);
	return s;
}

UNIT_MAIN(queue_suite)
