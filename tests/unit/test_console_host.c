/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/console_driver.h"
#include "vmm/core/loop.h"
#include "vmm/core/util.h"

Suite *console_host_suite(void);

#define PIPE_SIZE 4096

static enum virtio_transport transport;
static struct testbed tb;
static struct vdriver v;
static int to_guest[2], from_a[2], from_b[2]; /* pipes: port 1; 2 and 3 */

/* Ports 1 "in", 2 "a" and 3 "b". The device has our ends of the pipes by duplicates. */
static void set_up(void)
{
	char text[3][96];
	unsigned i;

	signal(SIGPIPE, SIG_IGN);
	testbed_init(&tb);
	ck_assert_int_eq(pipe(to_guest), 0);
	ck_assert_int_eq(pipe(from_a), 0);
	ck_assert_int_eq(pipe(from_b), 0);
	ck_assert_int_eq(fcntl(from_a[0], F_SETPIPE_SZ, PIPE_SIZE), PIPE_SIZE);
	snprintf(text[0], sizeof(text[0]), "console-port,name=in,in-fd=%d", to_guest[0]);
	snprintf(text[1], sizeof(text[1]), "console-port,name=a,out-fd=%d", from_a[1]);
	snprintf(text[2], sizeof(text[2]), "console-port,name=b,out-fd=%d", from_b[1]);
	ck_assert_int_eq(device_create(&tb.p, &tb.devices, transport == VIRTIO_ON_PCI ?
				       "virtio-console,terminal=off" :
				       "virtio-console,terminal=off,transport=mmio"), 0);
	for (i = 0; i < ARRAY_SIZE(text); i++)
		ck_assert_int_eq(device_create(&tb.p, &tb.devices, text[i]), 0);
	close(to_guest[0]);
	close(from_a[1]);
	close(from_b[1]);
	testbed_start(&tb);
	ck_assert(vdriver_probe(&v, &tb, 0));
	ck_assert(vdriver_start(&v, ~0ull, CONSOLE_TX(3) + 1, 32));
}

static void set_up_pci(void)
{
	transport = VIRTIO_ON_PCI;
	set_up();
}

static void set_up_mmio(void)
{
	transport = VIRTIO_ON_MMIO;
	set_up();
}

static void tear_down(void)
{
	vdriver_fini(&v);
	testbed_fini(&tb);
	close(to_guest[1]);
	close(from_a[0]);
	close(from_b[0]);
}

static void open_all(void)
{
	ck_assert(console_open(&v, 1, 4));
}

static void expect_bytes(int fd, const void *wanted, size_t len)
{
	char got[256];
	size_t n = 0;

	ck_assert_uint_le(len, sizeof(got));
	while (n < len) {
		struct pollfd p = { .fd = fd, .events = POLLIN };

		ck_assert_int_eq(poll(&p, 1, CONSOLE_WAIT_MS), 1);
		n += read(fd, got + n, len - n);
	}
	ck_assert_mem_eq(got, wanted, len);
}

static int64_t send(unsigned port, const void *data, size_t len, int timeout_ms)
{
	struct iovec out = { (void *)data, len };

	return vdriver_request(&v, CONSOLE_TX(port), &out, 1, NULL, 0, timeout_ms);
}

START_TEST(output_goes_to_its_own_end)
{
	open_all();
	ck_assert_int_eq(send(2, "to a", 4, CONSOLE_WAIT_MS), 0);
	ck_assert_int_eq(send(3, "to b", 4, CONSOLE_WAIT_MS), 0);
	expect_bytes(from_a[0], "to a", 4);
	expect_bytes(from_b[0], "to b", 4);
	ck_assert_int_eq(send(1, "nowhere", 7, CONSOLE_WAIT_MS), 0);
}
END_TEST

/* The numbers from 0 on, so that nothing can be lost or changed unnoticed. */
static void fill(uint8_t *buf, size_t len, uint64_t at)
{
	size_t i;

	for (i = 0; i < len; i++)
		buf[i] = (at + i) * 167 >> 3;
}

static void check_stream(int fd, uint64_t *at, uint64_t end)
{
	uint8_t got[4096], wanted[4096];

	while (*at < end) {
		ssize_t n = read(fd, got, min_u64(sizeof(got), end - *at));

		ck_assert_int_gt(n, 0);
		fill(wanted, n, *at);
		ck_assert_mem_eq(got, wanted, n);
		*at += n;
	}
}

START_TEST(slow_reader_stops_its_port_alone)
{
	static uint8_t data[3 * PIPE_SIZE];
	uint64_t at = 0;
	uint16_t head;
	uint32_t len;

	open_all();
	fill(data, sizeof(data), 0);
	ck_assert_int_eq(send(2, data, sizeof(data), 50), -ETIMEDOUT);
	ck_assert_int_eq(send(3, "b goes on", 9, CONSOLE_WAIT_MS), 0);
	expect_bytes(from_b[0], "b goes on", 9);
	check_stream(from_a[0], &at, sizeof(data));
	ck_assert_int_eq(vdriver_wait_used(&v, CONSOLE_TX(2), &head, &len, CONSOLE_WAIT_MS), 0);
	ck_assert_int_eq(send(2, "again", 5, CONSOLE_WAIT_MS), 0);
	expect_bytes(from_a[0], "again", 5);
}
END_TEST

static void *read_slowly(void *arg)
{
	uint64_t *wanted = arg, at = 0;

	usleep(200000);
	check_stream(from_a[0], &at, *wanted);
	return NULL;
}

/* All that is in the ring when the driver resets the device comes to its reader. */
START_TEST(nothing_is_lost_by_a_reset)
{
	uint8_t data[4000];
	uint64_t sent = 0;
	pthread_t reader;
	unsigned i;

	open_all();
	for (i = 0; i < 32; i++, sent += sizeof(data)) {
		fill(data, sizeof(data), sent);
		console_put(&v, CONSOLE_TX(2), data, sizeof(data));
	}
	pthread_create(&reader, NULL, read_slowly, &sent);
	vdriver_reset(&v);
	pthread_join(reader, NULL);
}
END_TEST

START_TEST(nothing_is_lost_when_all_is_taken_down)
{
	static uint8_t got[PIPE_SIZE];
	uint8_t data[4000];

	open_all();
	fill(data, sizeof(data), 0);
	console_put(&v, CONSOLE_TX(2), data, sizeof(data));
	console_put(&v, CONSOLE_TX(3), data, sizeof(data));
	vdriver_fini(&v);
	device_destroy_all(&tb.devices);
	ck_assert_int_eq(read(from_a[0], got, sizeof(got)), sizeof(data));
	ck_assert_mem_eq(got, data, sizeof(data));
	ck_assert_int_eq(read(from_a[0], got, 1), 0); /* no writer is left */
	ck_assert_int_eq(read(from_b[0], got, sizeof(got)), sizeof(data));
	ck_assert_mem_eq(got, data, sizeof(data));
}
END_TEST

static void *hurry_soon(void *arg)
{
	(void)arg;
	usleep(100000);
	atomic_store(&tb.p.hurry, true);
	return NULL;
}

START_TEST(reader_that_never_reads_is_given_up)
{
	static uint8_t data[8 * PIPE_SIZE];
	pthread_t thread;

	open_all();
	ck_assert_int_eq(send(2, data, sizeof(data), 50), -ETIMEDOUT);
	pthread_create(&thread, NULL, hurry_soon, NULL);
	vdriver_reset(&v);
	ck_assert(atomic_load(&tb.p.hurry));
	pthread_join(thread, NULL);
}
END_TEST

/* In the thread that looks at it. */
static int be_late(void *arg)
{
	(void)arg;
	tb.p.deadline = 1;
	return 0;
}

START_TEST(reader_is_given_up_at_the_deadline)
{
	static uint8_t data[8 * PIPE_SIZE];

	open_all();
	ck_assert_int_eq(send(2, data, sizeof(data), 50), -ETIMEDOUT);
	ck_assert_int_eq(loop_call(tb.iothread[0], be_late, NULL), 0);
	vdriver_reset(&v);
	ck_assert(atomic_load(&tb.p.hurry));
}
END_TEST

START_TEST(reader_that_has_gone_is_not_missed)
{
	static uint8_t data[8 * PIPE_SIZE];
	uint16_t head;
	uint32_t len;

	open_all();
	ck_assert_int_eq(send(2, data, sizeof(data), 50), -ETIMEDOUT);
	close(from_a[0]);
	ck_assert_int_eq(vdriver_wait_used(&v, CONSOLE_TX(2), &head, &len, CONSOLE_WAIT_MS), 0);
	ck_assert_int_eq(send(2, data, sizeof(data), CONSOLE_WAIT_MS), 0);
	from_a[0] = dup(from_b[0]);
}
END_TEST

static void expect_input(const char *wanted)
{
	char got[256];

	ck_assert_int_eq(console_take(&v, CONSOLE_RX(1), got, sizeof(got), CONSOLE_WAIT_MS),
			 strlen(wanted));
	ck_assert_mem_eq(got, wanted, strlen(wanted));
}

static void expect_no_input(void)
{
	char got[256];

	ck_assert_int_eq(console_take(&v, CONSOLE_RX(1), got, sizeof(got), 50), -ETIMEDOUT);
}

START_TEST(input_waits_until_the_port_is_open)
{
	ck_assert_int_eq(write(to_guest[1], "early", 5), 5);
	console_give(&v, CONSOLE_RX(1), 256);
	expect_no_input();
	open_all();
	expect_input("early");
	ck_assert(console_tell(&v, 1, VIRTIO_CONSOLE_PORT_OPEN, 0));
	ck_assert_int_eq(write(to_guest[1], "late", 4), 4);
	console_give(&v, CONSOLE_RX(1), 256);
	expect_no_input();
	ck_assert(console_tell(&v, 1, VIRTIO_CONSOLE_PORT_OPEN, 1));
	expect_input("late");
}
END_TEST

/* What the guest has given no buffer for stays in the pipe. */
START_TEST(input_is_read_as_there_are_buffers)
{
	open_all();
	ck_assert_int_eq(write(to_guest[1], "abcdefgh", 8), 8);
	expect_no_input();
	console_give(&v, CONSOLE_RX(1), 3);
	expect_input("abc");
	expect_no_input();
	console_give(&v, CONSOLE_RX(1), 3);
	console_give(&v, CONSOLE_RX(1), 3);
	expect_input("def");
	expect_input("gh");
}
END_TEST

START_TEST(end_of_input_closes_the_port)
{
	struct console_msg msg;

	open_all();
	ck_assert_int_eq(write(to_guest[1], "the end", 7), 7);
	console_give(&v, CONSOLE_RX(1), 256);
	expect_input("the end");
	console_give(&v, CONSOLE_RX(1), 256);
	close(to_guest[1]);
	ck_assert(console_hear(&v, &msg, CONSOLE_WAIT_MS));
	ck_assert_uint_eq(msg.id, 1);
	ck_assert_uint_eq(msg.event, VIRTIO_CONSOLE_PORT_OPEN);
	ck_assert_uint_eq(msg.value, 0);
	expect_no_input();
	to_guest[1] = dup(from_b[0]);
}
END_TEST

/* Messages that make no sense change nothing. */
START_TEST(nonsense_in_control_messages)
{
	static const struct {
		uint32_t id;
		uint16_t event;
	} bad[] = {
		{ 0, VIRTIO_CONSOLE_PORT_READY },  { 1, VIRTIO_CONSOLE_PORT_READY },
		{ 4, VIRTIO_CONSOLE_PORT_READY },  { 16, VIRTIO_CONSOLE_PORT_READY },
		{ UINT32_MAX, VIRTIO_CONSOLE_PORT_OPEN }, { 0x80000001, VIRTIO_CONSOLE_PORT_OPEN },
		{ 1, VIRTIO_CONSOLE_PORT_ADD },    { 1, VIRTIO_CONSOLE_PORT_REMOVE },
		{ 1, VIRTIO_CONSOLE_RESIZE },      { 1, VIRTIO_CONSOLE_PORT_NAME },
		{ 1, 8 }, { 1, UINT16_MAX },
	};
	struct console_msg msg;
	uint8_t in[8], raw[3] = { 0 };
	struct iovec out = { raw, sizeof(raw) }, room = { in, sizeof(in) };
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(bad); i++)
		ck_assert(console_tell(&v, bad[i].id, bad[i].event, 1));
	ck_assert_int_eq(vdriver_request(&v, CONSOLE_CTL_TX, &out, 1, NULL, 0, CONSOLE_WAIT_MS), 0);
	/* Nothing to read in it, but something to write. */
	ck_assert_int_eq(vdriver_request(&v, CONSOLE_CTL_TX, NULL, 0, &room, 1,
					 CONSOLE_WAIT_MS), 0);
	ck_assert(!console_hear(&v, &msg, 50));
	open_all();
	ck_assert_int_eq(send(2, "fine", 4, CONSOLE_WAIT_MS), 0);
	expect_bytes(from_a[0], "fine", 4);
}
END_TEST

START_TEST(no_room_for_a_message)
{
	uint8_t got[8];

	console_give(&v, CONSOLE_CTL_RX, 7);
	ck_assert(console_tell(&v, 0, VIRTIO_CONSOLE_DEVICE_READY, 1));
	ck_assert_int_eq(console_take(&v, CONSOLE_CTL_RX, got, 8, CONSOLE_WAIT_MS), 0);
	console_give(&v, CONSOLE_CTL_RX, 8);
	ck_assert_int_eq(console_take(&v, CONSOLE_CTL_RX, got, 8, CONSOLE_WAIT_MS), 8);
	ck_assert_uint_eq(le32_get(got), 2);
}
END_TEST

START_TEST(input_buffers_without_room)
{
	struct iovec out = { (char[]){ "?" }, 1 };

	open_all();
	ck_assert_int_eq(write(to_guest[1], "abc", 3), 3);
	ck_assert_int_eq(vdriver_request(&v, CONSOLE_RX(1), &out, 1, NULL, 0, CONSOLE_WAIT_MS), 0);
	console_give(&v, CONSOLE_RX(1), 256);
	expect_input("abc");
}
END_TEST

/* A bad ring on one queue: all rest until the reset, after which all is well. */
START_TEST(bad_ring)
{
	struct driver *ring = &v.queue[CONSOLE_TX(2)].ring;
	int64_t r;

	open_all();
	ring->a[2] = 200; /* more chains than there are descriptors */
	vdriver_notify(&v, CONSOLE_TX(2));
	r = send(3, "x", 1, 500);
	ck_assert(r == -EIO || r == 0);
	ck_assert_uint_eq(vdriver_status(&v) & VIRTIO_CONFIG_S_NEEDS_RESET,
			  VIRTIO_CONFIG_S_NEEDS_RESET);
	vdriver_fini(&v);
	ck_assert(vdriver_probe(&v, &tb, 0));
	ck_assert(vdriver_start(&v, ~0ull, CONSOLE_TX(3) + 1, 32));
	open_all();
	ck_assert_int_eq(send(2, "fine", 4, CONSOLE_WAIT_MS), 0);
	expect_bytes(from_a[0], "fine", 4);
}
END_TEST

static void add_tests(TCase *tc, SFun set_up_on)
{
	tcase_add_checked_fixture(tc, set_up_on, tear_down);
	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, output_goes_to_its_own_end);
	tcase_add_test(tc, slow_reader_stops_its_port_alone);
	tcase_add_test(tc, nothing_is_lost_by_a_reset);
	tcase_add_test(tc, nothing_is_lost_when_all_is_taken_down);
	tcase_add_test(tc, reader_that_never_reads_is_given_up);
	tcase_add_test(tc, reader_is_given_up_at_the_deadline);
	tcase_add_test(tc, reader_that_has_gone_is_not_missed);
	tcase_add_test(tc, input_waits_until_the_port_is_open);
	tcase_add_test(tc, input_is_read_as_there_are_buffers);
	tcase_add_test(tc, end_of_input_closes_the_port);
	tcase_add_test(tc, nonsense_in_control_messages);
	tcase_add_test(tc, no_room_for_a_message);
	tcase_add_test(tc, input_buffers_without_room);
	tcase_add_test(tc, bad_ring);
}

Suite *console_host_suite(void)
{
	Suite *s = suite_create("console_host");

	add_tests(unit_case(s, "pci"), set_up_pci);
	add_tests(unit_case(s, "mmio"), set_up_mmio);
	return s;
}

UNIT_MAIN(console_host_suite)
