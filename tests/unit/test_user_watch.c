/* SPDX-License-Identifier: MIT */
/* What a vhost-user server does of its own accord: it goes, comes back, asks, and talks. */
#include "tests/unit/user_fixture.h"

Suite *user_watch_suite(void);

#define REQUESTS 8

/* Has its end been noticed? */
static bool is_waited_for(void)
{
	bool waits;

	pthread_mutex_lock(&vdev.lock);
	waits = user->watch.until;
	pthread_mutex_unlock(&vdev.lock);
	return waits;
}

/* Adds @n requests to queue 1 that are not waited for. */
static void add(unsigned n)
{
	struct vdriver_queue *q = &v.queue[1];

	for (; n; n--) {
		struct driver_buf buf[] = { { q->arena, 64, false },
					    { q->arena + 4096 + 64 * n, 64, true } };

		ck_assert_int_ge(driver_add(&q->ring, buf, 2, 0), 0);
	}
	vdriver_kick(&v, 1);
}

static void check_answered(unsigned n)
{
	uint16_t head;
	uint32_t len;

	for (; n; n--) {
		ck_assert_int_eq(vdriver_wait_used(&v, 1, &head, &len, 20000), 0);
		ck_assert_uint_eq(len, 64);
	}
	ck_assert(!driver_used(&v.queue[1].ring, &head, &len));
}

/* Requests of while nobody was there are answered, each once; and the new server knows the memory
 * in which the old one kept those it had. */
START_TEST(comes_back)
{
	unsigned long node;
	unsigned n;

	ck_assert(start_driver());
	node = server.inflight_node;
	for (n = 1; n <= 3; n++) {
		user_server_die(&server);
		WAIT_FOR(is_waited_for());
		add(REQUESTS);
		user_server_live(&server);
		check_answered(REQUESTS);
		check_echo(1);
		ck_assert_uint_eq(server.inflight_node, node);
		ck_assert_uint_eq(atomic_load(&server.heard[USER_GET_INFLIGHT_FD]), 1);
		ck_assert_uint_eq(atomic_load(&server.connections), 1 + n);
	}
	ck_assert(!needs_reset());
}
END_TEST

START_TEST(paused_while_it_is_gone)
{
	unsigned long node;

	ck_assert(start_driver());
	node = server.inflight_node;
	user_server_die(&server);
	WAIT_FOR(is_waited_for());
	add(REQUESTS);
	virtio_device_pause(&vdev, true);
	user_server_live(&server);
	virtio_device_pause(&vdev, false);
	check_answered(REQUESTS);
	ck_assert_uint_eq(server.inflight_node, node);
}
END_TEST

/* That it has gone is noticed by who stops it: what it had begun is known all the same. */
START_TEST(gone_when_it_is_stopped)
{
	unsigned long node;

	echo.hold = 2;
	ck_assert(start_driver());
	node = server.inflight_node;
	add(2);
	pthread_mutex_lock(&vdev.lock);
	user_server_die(&server);
	virtio_device_hold(&vdev, VIRTIO_HOLD_PAUSE, true);
	user_server_live(&server);
	virtio_device_hold(&vdev, VIRTIO_HOLD_PAUSE, false);
	pthread_mutex_unlock(&vdev.lock);
	ck_assert(!needs_reset());
	ck_assert_uint_eq(server.inflight_node, node);
	ck_assert_uint_eq(atomic_load(&server.heard[USER_GET_INFLIGHT_FD]), 1);
}
END_TEST

/* A reset ends the waiting, and what was in flight. */
START_TEST(reset_while_it_is_gone)
{
	ck_assert(start_driver());
	user_server_die(&server);
	WAIT_FOR(is_waited_for());
	add(REQUESTS);
	vdriver_reset(&v);
	user_server_live(&server);
	ck_assert(start_driver());
	check_echo(1);
	ck_assert_uint_eq(atomic_load(&server.heard[USER_GET_INFLIGHT_FD]), 2);
}
END_TEST

START_TEST(does_not_come_back)
{
	user->spec.comeback = 100;
	ck_assert(start_driver());
	stderr_begin(&said);
	user_server_die(&server);
	WAIT_FOR(needs_reset());
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "is the server running"));
	user_server_live(&server);
	ck_assert(start_driver());
	check_echo(1);
}
END_TEST

START_TEST(comes_back_as_another)
{
	ck_assert(start_driver());
	stderr_begin(&said);
	user_server_die(&server);
	server.serve.protocol &= ~(1ull << USER_P_CONFIG);
	user_server_live(&server);
	WAIT_FOR(needs_reset());
	stderr_end(&said);
	ck_assert_msg(strstr(said.text, "has come back without the protocol's features 0x200"),
		      "%s", said.text);
}
END_TEST

/* It ends while it is greeted, and is there again: each time. */
START_TEST(comes_back_at_the_second_try)
{
	static const uint32_t at[] = { USER_GET_FEATURES, USER_SET_OWNER, USER_SET_INFLIGHT_FD,
				       USER_ADD_MEM_REG, USER_SET_VRING_KICK, USER_SET_STATUS };
	unsigned i;

	ck_assert(start_driver());
	for (i = 0; i < ARRAY_SIZE(at); i++) {
		unsigned before = atomic_load(&server.connections);

		user_server_die(&server);
		WAIT_FOR(is_waited_for());
		add(REQUESTS);
		user_server_lie(&server, LIE_GONE, at[i]);
		user_server_live(&server);
		WAIT_FOR(atomic_load(&server.connections) >= before + 2);
		user_server_lie(&server, LIE_NONE, 0);
		check_answered(REQUESTS);
	}
}
END_TEST

START_TEST(cannot_come_back)
{
	set_up_ends();
	server.serve.protocol &= ~(1ull << USER_P_INFLIGHT);
	ck_assert(connect_and_make());
	testbed_start(&tb);
	ck_assert(start_driver());
	stderr_begin(&said);
	user_server_die(&server);
	WAIT_FOR(needs_reset());
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "has gone away; nobody knows what it had "
				     "begun, and the guest has to reset the device\n"));
	user_server_live(&server);
	ck_assert(start_driver());
	check_echo(1);
	tear_down();
}
END_TEST

START_TEST(gone_before_the_driver)
{
	user_server_die(&server);
	user_server_live(&server);
	ck_assert(start_driver());
	check_echo(1);
}
END_TEST

START_TEST(talks_unasked)
{
	ck_assert(start_driver());
	stderr_begin(&said);
	user_server_babble(&server, _i, "a word or two, or three, or four, or a few more, or yet "
			   "more of them, until somebody hears", 80);
	WAIT_FOR(needs_reset());
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), _i ? "in a message of a wrong size" :
				     "says something that nobody asked for"));
	ck_assert(start_driver());
	check_echo(1);
}
END_TEST

static uint8_t config_byte(unsigned n)
{
	uint8_t byte;

	vdriver_config_read(&v, n, &byte, 1);
	return byte;
}

START_TEST(config_changes)
{
	unsigned before = atomic_load(&vdev.generation);

	ck_assert(start_driver());
	vdriver_irqs(&v);
	pthread_mutex_lock(&echo.vdev.lock);
	echo.config[2] = 77;
	pthread_mutex_unlock(&echo.vdev.lock);
	user_server_config_changed(&server, _i);
	WAIT_FOR(config_byte(2) == 77);
	WAIT_FOR(atomic_load(&vdev.generation) > before);
	check_echo(1);
}
END_TEST

/* However much it asks, the lock is free in between. */
START_TEST(asks_without_a_pause)
{
	struct user_header ask[20];
	unsigned i, before = atomic_load(&server.heard[USER_GET_CONFIG]);
	uint64_t begin;

	for (i = 0; i < ARRAY_SIZE(ask); i++)
		ask[i] = (struct user_header){ USER_BACKEND_CONFIG_CHANGE, USER_VERSION, 0 };
	ck_assert(start_driver());
	begin = user_now();
	user_server_babble(&server, true, ask, sizeof(ask));
	WAIT_FOR(atomic_load(&server.heard[USER_GET_CONFIG]) == before + ARRAY_SIZE(ask));
	ck_assert_uint_ge(user_now() - begin, 10 * (ARRAY_SIZE(ask) - 1));
	check_echo(1);
}
END_TEST

static struct virtio_transport_ops ending;
static const struct virtio_transport_ops *usual;
static atomic_bool detached, too_late;

static void detach_slowly(struct virtio_device *d, struct platform *p)
{
	unsigned before = atomic_load(&d->generation);

	usual->detach(d, p);
	atomic_store(&detached, true);
	user_server_config_changed(&server, false);
	WAIT_FOR(atomic_load(&d->generation) > before);
	usleep(20000);
}

static void notify_too_late(struct virtio_device *d)
{
	if (atomic_load(&detached))
		atomic_store(&too_late, true);
	else
		usual->notify_config(d);
}

/* The server may ask until the connection ends, and the registers have gone by then. */
START_TEST(asks_while_the_device_is_unmade)
{
	ck_assert(start_driver());
	usual = vdev.transport;
	ending = *usual;
	ending.detach = detach_slowly;
	ending.notify_config = notify_too_late;
	vdev.transport = &ending;
	vdriver_fini(&v);
	memset(&v, 0, sizeof(v));
	virtio_unmake(&vdev);
	ck_assert(!atomic_load(&too_late));
}
END_TEST

/* Its driver holds the lock meanwhile: it is heard later. */
START_TEST(lock_is_held)
{
	ck_assert(start_driver());
	pthread_mutex_lock(&vdev.lock);
	user_server_die(&server);
	user_server_live(&server);
	usleep(100000);
	pthread_mutex_unlock(&vdev.lock);
	check_echo(1);
	ck_assert_uint_eq(atomic_load(&server.connections), 2);
}
END_TEST

Suite *user_watch_suite(void)
{
	Suite *s = suite_create("user_watch");
	TCase *tc = unit_case(s, "watch");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, comes_back);
	tcase_add_test(tc, paused_while_it_is_gone);
	tcase_add_test(tc, gone_when_it_is_stopped);
	tcase_add_test(tc, reset_while_it_is_gone);
	tcase_add_test(tc, does_not_come_back);
	tcase_add_test(tc, comes_back_as_another);
	tcase_add_test(tc, comes_back_at_the_second_try);
	tcase_add_test(tc, gone_before_the_driver);
	tcase_add_loop_test(tc, talks_unasked, 0, 2);
	tcase_add_loop_test(tc, config_changes, 0, 2);
	tcase_add_test(tc, asks_without_a_pause);
	tcase_add_test(tc, asks_while_the_device_is_unmade);
	tcase_add_test(tc, lock_is_held);
	tcase_set_timeout(tc, 60);
	tc = unit_case(s, "less");
	tcase_add_test(tc, cannot_come_back);
	tcase_set_timeout(tc, 60);
	return s;
}

UNIT_MAIN(user_watch_suite)
