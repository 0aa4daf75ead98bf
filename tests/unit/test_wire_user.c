/* SPDX-License-Identifier: MIT */
/* What a vhost-user server is told, and what each lie of it leads to. */
#include <fcntl.h>
#include <sys/eventfd.h>

#include "tests/unit/user_fixture.h"

Suite *wire_user_suite(void);

/* It hears of memory in one message at each start; of slots for it tells user_mem's suite. */
static void set_up_table(void)
{
	set_up_ends();
	server.serve.protocol &= ~(1ull << USER_P_SLOTS);
	ck_assert(connect_and_make());
	testbed_start(&tb);
}

START_TEST(driver_is_served)
{
	unsigned q;

	ck_assert_mem_eq(config, "\1\2\3\4\5\6\7\10", 8);
	ck_assert_uint_eq(user->queues, ECHO_QUEUES);
	ck_assert(start_driver());
	ck_assert_uint_eq(v.accepted, vdev.offered);
	ck_assert(v.accepted & ECHO_FEATURE && v.accepted & VIRTIO_BIT(VIRTIO_RING_F_EVENT_IDX));
	for (q = 0; q < ECHO_QUEUES; q++)
		check_echo(q);
	ck_assert_uint_gt(atomic_load(&echo.kicks), 0);
}
END_TEST

/* Rings go on from where they were, as often as they rest. */
START_TEST(goes_on_after_a_pause)
{
	unsigned n;

	ck_assert(start_driver());
	for (n = 0; n < 3 * SIZE; n++) {
		check_echo(1);
		virtio_device_pause(&vdev, true);
		ck_assert_uint_eq(vdev.vq[1].s.next_avail, n + 1);
		ck_assert_uint_eq(vdev.vq[1].s.next_used, n + 1);
		virtio_device_pause(&vdev, false);
	}
	ck_assert_uint_eq(atomic_load(&server.connections), 1);
}
END_TEST

/* What the server has when it is to stop it answers first. */
START_TEST(nothing_is_in_flight_after_a_stop)
{
	char out[8] = "12345678", in[8];
	struct iovec o = { out, 8 }, i = { in, 8 };

	echo.hold = 1;
	ck_assert(start_driver());
	ck_assert_int_eq(vdriver_request(&v, 1, &o, 1, &i, 1, 50), -ETIMEDOUT);
	virtio_device_pause(&vdev, true);
	ck_assert_uint_eq(vdev.vq[1].s.next_used, 1);
	virtio_device_pause(&vdev, false);
}
END_TEST

START_TEST(reset_and_again)
{
	ck_assert(start_driver());
	check_echo(1);
	ck_assert(start_driver());
	check_echo(1);
	ck_assert_uint_ge(atomic_load(&server.heard[USER_RESET_DEVICE]), 1);
	ck_assert_uint_eq(atomic_load(&server.connections), 1);
}
END_TEST

START_TEST(config_is_written)
{
	uint8_t now[8];

	pthread_mutex_lock(&vdev.lock);
	ck_assert_int_eq(vhost_user_config_set(user, 4, "\x21\x22", 2, now), 0);
	pthread_mutex_unlock(&vdev.lock);
	ck_assert_mem_eq(now, "\1\2\3\4\x21\x22\7\10", 8);
}
END_TEST

/* Servers of few words. */
static const uint64_t less[] = {
	1ull << USER_P_CONFIG,
	1ull << USER_P_CONFIG | 1ull << USER_P_REPLY_ACK,
	1ull << USER_P_CONFIG | 1ull << USER_P_MQ,
	1ull << USER_P_CONFIG | 1ull << USER_P_STATUS,
	1ull << USER_P_CONFIG | 1ull << USER_P_BACKEND_REQ,
	1ull << USER_P_CONFIG | 1ull << USER_P_INFLIGHT,
};

START_TEST(server_with_less)
{
	set_up_ends();
	server.serve.protocol = less[_i];
	ck_assert(connect_and_make());
	testbed_start(&tb);
	ck_assert(start_driver());
	check_echo(2);
	ck_assert(start_driver());
	check_echo(3);
	tear_down();
}
END_TEST

/* @text: of the one line that is said. */
static void check_refused(const char *text)
{
	const char *line;

	stderr_begin(&said);
	ck_assert(!connect_and_make());
	line = stderr_end(&said);
	ck_assert_msg(strstr(line, text), "'%s' is not in '%s'", text, line);
	ck_assert_ptr_eq(strchr(line, '\n'), line + strlen(line) - 1);
}

START_TEST(no_config_space)
{
	set_up_ends();
	server.serve.protocol &= ~(1ull << USER_P_CONFIG);
	check_refused("does not tell the device's config space");
	tear_down_machines();
}
END_TEST

START_TEST(nobody_listens)
{
	set_up_ends();
	user_server_die(&server);
	check_refused("u0: socket=");
	user_server_live(&server);
	spec.path = "/tmp/a-path-that-is-much-too-long-for-the-address-of-a-unix-socket-which-has-"
		    "107-bytes-and-no-more-of-them-at-all";
	check_refused("a path of at most 107 bytes is wanted");
	tear_down_machines();
}
END_TEST

/* At each message of a connection: what the server may do, and what is said of it. */
static const struct {
	enum user_lie lie;
	const char *text;
} lies[] = {
	{ LIE_SILENT, "may take 200 ms" },
	{ LIE_HALF, "may take 200 ms" },
	{ LIE_GONE, "has gone away" },
	{ LIE_SHORT, "in place of" },
	{ LIE_LONG, "in place of" },
	{ LIE_HUGE, "that is too long" },
	{ LIE_OTHER, " with message " },
	{ LIE_NO_REPLY, " with message " },
	{ LIE_VERSION, "by version 2" },
	{ LIE_DESCRIPTORS, "descriptors that nobody asked for" },
};

static int patience_for(enum user_lie lie)
{
	return lie == LIE_SILENT || lie == LIE_HALF ? SHORT : PATIENCE;
}

static const uint32_t greetings[] = {
	USER_GET_FEATURES, USER_GET_PROTOCOL_FEATURES, USER_GET_QUEUE_NUM, USER_GET_MAX_MEM_SLOTS,
	USER_SET_OWNER, USER_SET_BACKEND_REQ_FD, USER_GET_CONFIG,
};

START_TEST(lies_when_it_is_greeted)
{
	unsigned i;

	set_up_ends();
	spec.patience = patience_for(lies[_i].lie);
	for (i = 0; i < ARRAY_SIZE(greetings); i++) {
		user_server_lie(&server, lies[_i].lie, greetings[i]);
		check_refused(lies[_i].text);
	}
	tear_down_machines();
}
END_TEST

static const uint32_t start_messages[] = {
	USER_SET_FEATURES, USER_GET_INFLIGHT_FD, USER_SET_INFLIGHT_FD, USER_SET_MEM_TABLE,
	USER_SET_VRING_NUM, USER_SET_VRING_BASE, USER_SET_VRING_ADDR, USER_SET_VRING_ERR,
	USER_SET_VRING_CALL, USER_SET_VRING_KICK, USER_SET_VRING_ENABLE, USER_SET_STATUS,
};

/* The driver is told, and the next one is served if the server is honest by then. */
static void check_start_fails(uint32_t at, enum user_lie lie, const char *text)
{
	const char *line;

	if (v.tb)
		vdriver_reset(&v);
	user_server_lie(&server, lie, at);
	user->spec.patience = patience_for(lie);
	stderr_begin(&said);
	ck_assert(!start_driver());
	line = stderr_end(&said);
	user->spec.patience = PATIENCE;
	ck_assert_msg(strstr(line, text), "message %u: '%s' is not in '%s'", at, text, line);
	ck_assert_msg(strchr(line, '\n') == line + strlen(line) - 1, "more than a line: %s", line);
	ck_assert(needs_reset());
	user_server_lie(&server, LIE_NONE, 0);
	ck_assert(start_driver());
	check_echo(1);
}

START_TEST(lies_at_the_start)
{
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(start_messages); i++) {
		if (lies[_i].lie != LIE_DESCRIPTORS || start_messages[i] != USER_GET_INFLIGHT_FD)
			check_start_fails(start_messages[i], lies[_i].lie, lies[_i].text);
	}
}
END_TEST

START_TEST(refuses)
{
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(start_messages); i++) {
		if (start_messages[i] != USER_GET_INFLIGHT_FD)
			check_start_fails(start_messages[i], LIE_REFUSES, "refuses SET_");
	}
	check_start_fails(USER_GET_INFLIGHT_FD, LIE_REFUSES, "answers GET_INFLIGHT_FD with 1844");
}
END_TEST

START_TEST(answers_twice)
{
	const char *line;

	user_server_lie(&server, LIE_TWICE, USER_SET_MEM_TABLE);
	stderr_begin(&said);
	ck_assert(!start_driver());
	line = stderr_end(&said);
	ck_assert(strstr(line, "says something that nobody asked for") ||
		  strstr(line, "answers SET_VRING_NUM with message 5")); /* it was slow */
}
END_TEST

/* To stop is not to fail: rings are where they say they are. */
START_TEST(lies_at_the_end)
{
	ck_assert(start_driver());
	check_echo(1);
	user_server_lie(&server, lies[_i].lie, USER_GET_VRING_BASE);
	user->spec.patience = patience_for(lies[_i].lie);
	stderr_begin(&said);
	virtio_device_pause(&vdev, true);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), lies[_i].text));
	ck_assert_uint_eq(vdev.vq[1].s.next_avail, 1);
	ck_assert_uint_eq(vdev.vq[1].s.next_used, 1);
	user_server_lie(&server, LIE_NONE, 0);
	user->spec.patience = PATIENCE;
	virtio_device_pause(&vdev, false);
	check_echo(1);
}
END_TEST

/*
 * An eventfd's flags are those of all who have it: no other process makes us wait for it, nor one
 * that has filled it.
 */
START_TEST(eventfds_that_block)
{
	int kick;

	ck_assert(start_driver());
	pthread_mutex_lock(&echo.vdev.lock);
	ck_assert_int_eq(fcntl(server.serve.ring[1].err, F_SETFL, 0), 0);
	ck_assert_int_eq(fcntl(server.serve.ring[1].kick, F_SETFL, 0), 0);
	kick = dup(server.serve.ring[1].kick);
	pthread_mutex_unlock(&echo.vdev.lock);
	virtio_device_pause(&vdev, true);
	ck_assert_int_eq(eventfd_write(kick, UINT64_MAX - 1), 0);
	virtio_queue_again(&vdev, 1);
	virtio_device_pause(&vdev, false);
	close(kick);
	ck_assert(!needs_reset());
}
END_TEST

/* Has the server let go of the connection, and so of guest memory? */
static bool has_hung_up(void)
{
	bool has;

	pthread_mutex_lock(&server.lock);
	has = server.conn < 0;
	pthread_mutex_unlock(&server.lock);
	return has;
}

/* It cannot be stopped, and nobody will know what it has done of what it had. */
START_TEST(silent_with_requests)
{
	char out[8] = "12345678", in[8];
	struct iovec o = { out, 8 }, i = { in, 8 };

	echo.hold = 1;
	ck_assert(start_driver());
	ck_assert_int_eq(vdriver_request(&v, 1, &o, 1, &i, 1, 50), -ETIMEDOUT);
	user->spec.patience = SHORT;
	pthread_mutex_lock(&echo.vdev.lock);
	virtio_device_pause(&vdev, true);
	pthread_mutex_unlock(&echo.vdev.lock);
	user->spec.patience = PATIENCE;
	virtio_device_pause(&vdev, false);
	ck_assert(needs_reset());
	WAIT_FOR(has_hung_up());
	ck_assert(start_driver());
}
END_TEST

/* A driver that resets the device in a loop does not fill the log. */
START_TEST(no_server_and_a_stubborn_driver)
{
	ck_assert(start_driver());
	user_server_die(&server);
	atomic_store(&vdev.limit.total, LOG_TOTAL);
	stderr_begin(&said);
	ck_assert(!start_driver());
	ck_assert_str_eq(stderr_end(&said), "");
	user_server_live(&server);
}
END_TEST

static unsigned messages(void)
{
	unsigned i, n = 0;

	for (i = 0; i < USER_REQUESTS; i++)
		n += atomic_load(&server.heard[i]);
	return n;
}

/* Each answer in time, and all of them together not: the start ends, or the stop. */
START_TEST(slow_each_time)
{
	unsigned before, most = 7; /* four, a reset, and what comes while we look away */

	if (_i)
		ck_assert(start_driver());
	before = messages();
	user_server_lie(&server, LIE_SLOW, USER_SERVER_ANY);
	user->spec.patience = 3 * USER_SERVER_SLOW;
	stderr_begin(&said);
	if (_i)
		virtio_device_pause(&vdev, true);
	else
		ck_assert(!start_driver());
	stderr_end(&said);
	ck_assert_ptr_nonnull(strstr(said.text, "all of a start, or of a stop, may take 450 ms"));
	ck_assert_uint_le(messages() - before, most);
	user_server_lie(&server, LIE_NONE, 0);
	user->spec.patience = PATIENCE;
	if (_i)
		virtio_device_pause(&vdev, false);
	else
		ck_assert(start_driver());
	check_echo(1);
}
END_TEST

Suite *wire_user_suite(void)
{
	Suite *s = suite_create("wire_user");
	TCase *tc = unit_case(s, "served");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, driver_is_served);
	tcase_add_test(tc, goes_on_after_a_pause);
	tcase_add_test(tc, nothing_is_in_flight_after_a_stop);
	tcase_add_test(tc, reset_and_again);
	tcase_add_test(tc, config_is_written);
	tcase_add_test(tc, eventfds_that_block);
	tcase_add_test(tc, silent_with_requests);
	tcase_add_test(tc, no_server_and_a_stubborn_driver);
	tcase_add_loop_test(tc, lies_at_the_end, 0, ARRAY_SIZE(lies));
	tcase_add_loop_test(tc, slow_each_time, 0, 2);
	tcase_set_timeout(tc, 60);
	tc = unit_case(s, "start");
	tcase_add_checked_fixture(tc, set_up_table, tear_down);
	tcase_add_loop_test(tc, lies_at_the_start, 0, ARRAY_SIZE(lies));
	tcase_add_test(tc, refuses);
	tcase_add_test(tc, answers_twice);
	tcase_set_timeout(tc, 60);
	tc = unit_case(s, "greeting");
	tcase_add_loop_test(tc, server_with_less, 0, ARRAY_SIZE(less));
	tcase_add_test(tc, no_config_space);
	tcase_add_test(tc, nobody_listens);
	tcase_add_loop_test(tc, lies_when_it_is_greeted, 0, ARRAY_SIZE(lies));
	tcase_set_timeout(tc, 60);
	return s;
}

UNIT_MAIN(wire_user_suite)
