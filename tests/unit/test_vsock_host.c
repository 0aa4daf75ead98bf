/* SPDX-License-Identifier: MIT */
#include "tests/unit/vsock_fixture.h"

#include <sys/resource.h>

Suite *vsock_host_suite(void);

START_TEST(guest_connects)
{
	int fd;

	make(_i ? ",transport=mmio" : "");
	start_with(BUFFERS);
	fd = connected();
	guest_says(100, 7);
	host_hears(fd, 100, 7);
	ck_assert_int_eq(send(fd, "to the guest", 12, 0), 12);
	gets(VIRTIO_VSOCK_OP_RW, GUEST_PORT, HOST_PORT);
	ck_assert_uint_eq(got.len, 12);
	ck_assert_mem_eq(got.data, "to the guest", 12);
	ck_assert_uint_eq(got.fwd_cnt, 100);
	close(fd);
	gets(VIRTIO_VSOCK_OP_SHUTDOWN, GUEST_PORT, HOST_PORT);
	ck_assert_uint_eq(got.flags, 3);
	sends(VIRTIO_VSOCK_OP_RST, GUEST_PORT, HOST_PORT);
	guest_says(1, 1); /* it is known no more */
	gets(VIRTIO_VSOCK_OP_RST, GUEST_PORT, HOST_PORT);
}
END_TEST

START_TEST(host_connects)
{
	static const char call[] = "CONNECT 1234\nand more";
	char line[32] = "";
	uint32_t port;
	int fd;

	start();
	fd = vsock_connect(path);
	ck_assert_int_eq(send(fd, call, strlen(call), 0), (int)strlen(call));
	ck_assert(vsock_take(&v, &got, VSOCK_WAIT_MS));
	ck_assert_uint_eq(got.op, VIRTIO_VSOCK_OP_REQUEST);
	ck_assert_uint_eq(got.dst_port, GUEST_PORT);
	port = got.src_port;
	gets_nothing(); /* it has not answered */
	sends(VIRTIO_VSOCK_OP_RESPONSE, GUEST_PORT, port);
	gets(VIRTIO_VSOCK_OP_RW, GUEST_PORT, port);
	ck_assert_uint_eq(got.len, 8);
	ck_assert_mem_eq(got.data, "and more", 8);
	ck_assert_int_gt(read(fd, line, sizeof(line) - 1), 0);
	ck_assert_int_eq(sscanf(line, "OK %u\n", &port), 1);
	ck_assert_uint_eq(port, got.src_port);
	close(fd);
}
END_TEST

START_TEST(guest_refuses)
{
	int fd;

	start();
	fd = vsock_connect(path);
	ck_assert_int_eq(send(fd, "CONNECT 5\n", 10, 0), 10);
	ck_assert(vsock_take(&v, &got, VSOCK_WAIT_MS));
	sends(VIRTIO_VSOCK_OP_RST, 5, got.src_port);
	host_hears_end(fd);
	close(fd);
}
END_TEST

/* Nobody listens; it is for another guest; it is of another type; it is no request. */
static const struct {
	uint64_t dst_cid;
	uint16_t type, op;
} refused[] = {
	{ 2, 1, VIRTIO_VSOCK_OP_REQUEST }, { 3, 1, VIRTIO_VSOCK_OP_REQUEST },
	{ 0, 1, VIRTIO_VSOCK_OP_REQUEST }, { 2, 2, VIRTIO_VSOCK_OP_REQUEST },
	{ 2, 77, VIRTIO_VSOCK_OP_RW },     { 2, 1, VIRTIO_VSOCK_OP_RW },
	{ 2, 1, VIRTIO_VSOCK_OP_RESPONSE }, { 2, 1, VIRTIO_VSOCK_OP_SHUTDOWN },
	{ 2, 1, 0 },                        { 2, 1, 0xffff },
};

START_TEST(no_such_connection)
{
	struct vsock_packet p = vsock_packet(CID, refused[_i].op, GUEST_PORT, HOST_PORT);

	start();
	p.dst_cid = refused[_i].dst_cid;
	p.type = refused[_i].type;
	ck_assert_int_eq(vsock_send_raw(&v, &p, 0), 0);
	ck_assert(vsock_take(&v, &got, VSOCK_WAIT_MS));
	ck_assert_uint_eq(got.op, VIRTIO_VSOCK_OP_RST);
	ck_assert_uint_eq(got.type, p.type);
	ck_assert_uint_eq(got.src_cid, p.dst_cid);
	ck_assert_uint_eq(got.dst_port, GUEST_PORT);
	p.op = VIRTIO_VSOCK_OP_RST; /* which is not answered by another */
	ck_assert_int_eq(vsock_send_raw(&v, &p, 0), 0);
	gets_nothing();
}
END_TEST

START_TEST(another_guests_address)
{
	start();
	ck_assert_int_eq(vsock_send(&v, CID + 1, VIRTIO_VSOCK_OP_REQUEST, 1, 1), 0);
	gets_nothing();
}
END_TEST

/* What a connection does not take ends it, on both sides. */
static const struct {
	uint16_t op;
	uint32_t len, flags, has;
} wrong[] = {
	{ .op = VIRTIO_VSOCK_OP_INVALID }, { .op = VIRTIO_VSOCK_OP_REQUEST },
	{ .op = VIRTIO_VSOCK_OP_RESPONSE }, { .op = 8 }, { .op = 0xffff },
	{ .op = VIRTIO_VSOCK_OP_RW, .len = 11, .has = 10 },
	{ .op = VIRTIO_VSOCK_OP_RW, .len = UINT32_MAX, .has = 10 },
};

START_TEST(broken_rules)
{
	struct vsock_packet p = vsock_packet(CID, wrong[_i].op, GUEST_PORT, HOST_PORT);
	int fd;

	start();
	fd = connected();
	p.len = wrong[_i].len;
	ck_assert_int_eq(vsock_send_raw(&v, &p, wrong[_i].has), 0);
	gets(VIRTIO_VSOCK_OP_RST, GUEST_PORT, HOST_PORT);
	host_hears_end(fd);
	close(fd);
}
END_TEST

/* The guest may send VSOCK_BUFFER bytes beyond what the host's socket takes; it is told of room. */
START_TEST(back_pressure)
{
	uint32_t sent = 0, heard = 0;
	int fd, small = 4096;

	start();
	fd = connected();
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	for (;;) { /* as a driver does that keeps to its credit */
		while (sent - got.fwd_cnt <= got.buf_alloc - 4000) {
			guest_says(4000, 9);
			sent += 4000;
		}
		testbed_settle(&tb);
		if (!vsock_take(&v, &got, 50))
			break;
		ck_assert_uint_eq(got.op, VIRTIO_VSOCK_OP_CREDIT_UPDATE);
	}
	ck_assert_uint_gt(sent, VSOCK_BUFFER - 4000);
	while (heard < sent) {
		host_hears(fd, 4000, 9);
		heard += 4000;
	}
	ck_assert(vsock_take(&v, &got, VSOCK_WAIT_MS));
	ck_assert_uint_eq(got.op, VIRTIO_VSOCK_OP_CREDIT_UPDATE);
	sends(VIRTIO_VSOCK_OP_CREDIT_REQUEST, GUEST_PORT, HOST_PORT);
	do
		ck_assert(vsock_take(&v, &got, VSOCK_WAIT_MS));
	while (got.fwd_cnt != sent);
	close(fd);
}
END_TEST

START_TEST(too_much)
{
	unsigned i;
	int fd;

	start();
	fd = connected();
	for (i = 0; i < 200; i++) { /* some 800 KiB, which no socket has room for */
		guest_says(4000, 9);
		if (vsock_take(&v, &got, 0) && got.op == VIRTIO_VSOCK_OP_RST)
			break;
	}
	ck_assert_uint_lt(i, 200);
	close(fd);
}
END_TEST

/* The guest has room for 100 bytes, and then for 50 more. */
START_TEST(credit_of_the_guest)
{
	struct vsock_packet p = vsock_packet(CID, VIRTIO_VSOCK_OP_REQUEST, GUEST_PORT, HOST_PORT);
	char data[300];
	int fd, listener;

	start();
	listener = vsock_listen(path, HOST_PORT);
	p.buf_alloc = 100;
	ck_assert_int_eq(vsock_send_raw(&v, &p, 0), 0);
	fd = accept(listener, NULL, NULL);
	gets(VIRTIO_VSOCK_OP_RESPONSE, GUEST_PORT, HOST_PORT);
	memset(data, 5, sizeof(data));
	ck_assert_int_eq(send(fd, data, sizeof(data), 0), sizeof(data));
	gets(VIRTIO_VSOCK_OP_RW, GUEST_PORT, HOST_PORT);
	ck_assert_uint_eq(got.len, 100);
	gets(VIRTIO_VSOCK_OP_CREDIT_REQUEST, GUEST_PORT, HOST_PORT);
	gets_nothing();
	p.op = VIRTIO_VSOCK_OP_CREDIT_UPDATE;
	p.fwd_cnt = 50;
	ck_assert_int_eq(vsock_send_raw(&v, &p, 0), 0);
	gets(VIRTIO_VSOCK_OP_RW, GUEST_PORT, HOST_PORT);
	ck_assert_uint_eq(got.len, 50);
	p.fwd_cnt = 1000000; /* of which it never had so much: nothing is believed */
	p.buf_alloc = 10;
	ck_assert_int_eq(vsock_send_raw(&v, &p, 0), 0);
	gets(VIRTIO_VSOCK_OP_CREDIT_REQUEST, GUEST_PORT, HOST_PORT);
	gets_nothing();
	close(fd);
	close(listener);
}
END_TEST

/* Each half ends by itself. */
START_TEST(halves)
{
	struct vsock_packet p = vsock_packet(CID, VIRTIO_VSOCK_OP_SHUTDOWN, GUEST_PORT, HOST_PORT);
	int fd;

	start();
	fd = connected();
	guest_says(10, 3);
	p.flags = VIRTIO_VSOCK_SHUTDOWN_SEND;
	ck_assert_int_eq(vsock_send_raw(&v, &p, 0), 0);
	host_hears(fd, 10, 3);
	host_hears_end(fd);
	ck_assert_int_eq(send(fd, "late", 4, 0), 4); /* the other one is still there */
	gets(VIRTIO_VSOCK_OP_RW, GUEST_PORT, HOST_PORT);
	shutdown(fd, SHUT_WR);
	gets(VIRTIO_VSOCK_OP_SHUTDOWN, GUEST_PORT, HOST_PORT);
	ck_assert_uint_ne(got.flags & VIRTIO_VSOCK_SHUTDOWN_SEND, 0);
	p.flags = 3;
	ck_assert_int_eq(vsock_send_raw(&v, &p, 0), 0);
	gets(VIRTIO_VSOCK_OP_RST, GUEST_PORT, HOST_PORT);
	close(fd);
}
END_TEST

/* What waited for a buffer is of no interest any more. */
START_TEST(half_that_ends_before_its_turn)
{
	struct vsock_packet p = vsock_packet(CID, VIRTIO_VSOCK_OP_SHUTDOWN, GUEST_PORT, HOST_PORT);
	int fd;

	make("");
	start_with(1);
	fd = connected();
	ck_assert_int_eq(send(fd, "taken", 5, 0), 5);
	testbed_settle(&tb); /* there may be more, and no buffer */
	p.flags = VIRTIO_VSOCK_SHUTDOWN_RCV;
	ck_assert_int_eq(vsock_send_raw(&v, &p, 0), 0);
	gets(VIRTIO_VSOCK_OP_RW, GUEST_PORT, HOST_PORT);
	gets_nothing();
	guest_says(6, 6);
	host_hears(fd, 6, 6);
	close(fd);
}
END_TEST

START_TEST(host_ends_its_half)
{
	int fd;

	start();
	fd = connected();
	shutdown(fd, SHUT_WR);
	gets(VIRTIO_VSOCK_OP_SHUTDOWN, GUEST_PORT, HOST_PORT);
	ck_assert_uint_eq(got.flags, VIRTIO_VSOCK_SHUTDOWN_SEND);
	guest_says(20, 4);
	host_hears(fd, 20, 4);
	close(fd);
	guest_says(20, 4);
	gets(VIRTIO_VSOCK_OP_RST, GUEST_PORT, HOST_PORT);
}
END_TEST

/* After its end a half has no more. */
START_TEST(data_after_the_end)
{
	struct vsock_packet p = vsock_packet(CID, VIRTIO_VSOCK_OP_SHUTDOWN, GUEST_PORT, HOST_PORT);
	int fd;

	start();
	fd = connected();
	p.flags = VIRTIO_VSOCK_SHUTDOWN_SEND;
	ck_assert_int_eq(vsock_send_raw(&v, &p, 0), 0);
	guest_says(1, 1);
	gets(VIRTIO_VSOCK_OP_RST, GUEST_PORT, HOST_PORT);
	close(fd);
}
END_TEST

/* What was said before the end is written, though the guest has gone. */
START_TEST(kept_bytes_outlive_the_guests_socket)
{
	struct vsock_packet p = vsock_packet(CID, VIRTIO_VSOCK_OP_SHUTDOWN, GUEST_PORT, HOST_PORT);
	uint32_t sent = 0;
	int fd;

	start();
	fd = connected();
	while (sent - got.fwd_cnt <= got.buf_alloc - 4000) {
		guest_says(4000, 9);
		sent += 4000;
		testbed_settle(&tb);
		vsock_take(&v, &got, 20);
	}
	p.flags = 3;
	ck_assert_int_eq(vsock_send_raw(&v, &p, 0), 0);
	sends(VIRTIO_VSOCK_OP_RST, GUEST_PORT, HOST_PORT);
	host_hears(fd, sent, 9);
	host_hears_end(fd);
	close(fd);
}
END_TEST

#define MANY 3000 /* connections */

/* All are open at a time, and each has its own bytes. */
START_TEST(many)
{
	static int fd[MANY];
	static bool has[MANY];
	struct rlimit limit;
	int listener;
	unsigned i;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = limit.rlim_max;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	ck_assert_uint_ge(limit.rlim_max, 2 * MANY + 100); /* both ends are ours */
	make(",connections=3000");
	start_with(BUFFERS);
	listener = vsock_listen(path, HOST_PORT);
	for (i = 0; i < MANY; i++) {
		sends(VIRTIO_VSOCK_OP_REQUEST, GUEST_PORT + i, HOST_PORT);
		gets(VIRTIO_VSOCK_OP_RESPONSE, GUEST_PORT + i, HOST_PORT);
		fd[i] = accept(listener, NULL, NULL);
		ck_assert_int_ge(fd[i], 0);
	}
	for (i = 0; i < MANY; i++)
		ck_assert_int_eq(send(fd[i], &i, sizeof(i), 0), sizeof(i));
	for (i = 0; i < MANY; i++) { /* in whatever order */
		ck_assert(vsock_take(&v, &got, VSOCK_WAIT_MS));
		ck_assert_uint_eq(got.op, VIRTIO_VSOCK_OP_RW);
		ck_assert_uint_eq(got.len, sizeof(i));
		ck_assert_uint_eq(got.dst_port - GUEST_PORT, *(unsigned *)(void *)got.data);
		ck_assert(!has[got.dst_port - GUEST_PORT]);
		has[got.dst_port - GUEST_PORT] = true;
	}
	for (i = 0; i < MANY; i++)
		close(fd[i]);
	for (i = 0; i < MANY; i++) {
		ck_assert(vsock_take(&v, &got, VSOCK_WAIT_MS));
		ck_assert_uint_eq(got.op, VIRTIO_VSOCK_OP_SHUTDOWN);
		sends(VIRTIO_VSOCK_OP_RST, got.dst_port, HOST_PORT);
	}
	close(listener);
}
END_TEST

START_TEST(as_many_as_there_may_be)
{
	int fd, listener;
	unsigned i;

	make(",connections=3");
	start_with(BUFFERS);
	listener = vsock_listen(path, HOST_PORT);
	for (i = 0; i < 4; i++) {
		sends(VIRTIO_VSOCK_OP_REQUEST, GUEST_PORT + i, HOST_PORT);
		gets(i < 3 ? VIRTIO_VSOCK_OP_RESPONSE : VIRTIO_VSOCK_OP_RST, GUEST_PORT + i,
		     HOST_PORT);
	}
	fd = vsock_connect(path);
	ck_assert_int_eq(send(fd, "CONNECT 5\n", 10, 0), 10);
	host_hears_end(fd);
	sends(VIRTIO_VSOCK_OP_RST, GUEST_PORT, HOST_PORT);
	sends(VIRTIO_VSOCK_OP_REQUEST, GUEST_PORT + 3, HOST_PORT);
	gets(VIRTIO_VSOCK_OP_RESPONSE, GUEST_PORT + 3, HOST_PORT);
	close(fd);
	close(listener);
}
END_TEST

/* A guest that takes no answers is not listened to, until it does. */
START_TEST(refusals_that_nobody_takes)
{
	struct vdriver_queue *tx;
	unsigned i, n = 0;

	make("");
	start_with(0);
	for (i = 0; i < VSOCK_REFUSALS_MAX; i++)
		sends(VIRTIO_VSOCK_OP_REQUEST, i, HOST_PORT);
	tx = &v.queue[VSOCK_TX];
	ck_assert_uint_eq(tx->ring.nfree, tx->ring.size);
	vdriver_notify(&v, VSOCK_TX);
	testbed_settle(&tb);
	vsock_give(&v, BUFFERS);
	while (vsock_take(&v, &got, 100)) {
		ck_assert_uint_eq(got.op, VIRTIO_VSOCK_OP_RST);
		ck_assert_uint_eq(got.dst_port, n++);
	}
	ck_assert_uint_eq(n, VSOCK_REFUSALS_MAX);
	sends(VIRTIO_VSOCK_OP_REQUEST, 1000, HOST_PORT);
	gets(VIRTIO_VSOCK_OP_RST, 1000, HOST_PORT);
}
END_TEST

/* A reset, in mid-stream: the host's programs see the end, and all is as new. */
START_TEST(reset)
{
	int fd;

	start();
	fd = connected();
	guest_says(1000, 8);
	vdriver_reset(&v);
	vdriver_fini(&v);
	host_hears(fd, 1000, 8);
	host_hears_end(fd);
	close(fd);
	start_with(BUFFERS);
	unlink("v_700");
	sends(VIRTIO_VSOCK_OP_REQUEST, GUEST_PORT, HOST_PORT + 1);
	gets(VIRTIO_VSOCK_OP_RST, GUEST_PORT, HOST_PORT + 1);
}
END_TEST

/* A pause is none. */
START_TEST(a_pause)
{
	int fd;

	start();
	fd = connected();
	device_pause_all(&tb.devices, true);
	ck_assert_int_eq(send(fd, "meanwhile", 9, 0), 9);
	usleep(10000);
	device_pause_all(&tb.devices, false);
	gets(VIRTIO_VSOCK_OP_RW, GUEST_PORT, HOST_PORT);
	ck_assert_mem_eq(got.data, "meanwhile", 9);
	guest_says(5, 5);
	host_hears(fd, 5, 5);
	close(fd);
}
END_TEST

/* There is no room for a header, or none behind it; or there is none in what is sent. */
START_TEST(buffers_without_room)
{
	uint8_t raw[64] = { 0 };
	struct iovec iov = { raw, sizeof(struct virtio_vsock_hdr) - (_i == 1) };

	make("");
	start_with(0);
	if (_i < 2) {
		sends(VIRTIO_VSOCK_OP_REQUEST, 1, 1);
		vdriver_request(&v, VSOCK_RX, NULL, 0, &iov, 1, VSOCK_WAIT_MS);
	} else {
		iov.iov_len--;
		vdriver_request(&v, VSOCK_TX, &iov, 1, NULL, 0, VSOCK_WAIT_MS);
	}
	testbed_settle(&tb);
	ck_assert(vdriver_status(&v) & VIRTIO_CONFIG_S_NEEDS_RESET);
	vdriver_reset(&v);
	vdriver_fini(&v);
	start_with(BUFFERS);
	sends(VIRTIO_VSOCK_OP_REQUEST, 1, 1);
	gets(VIRTIO_VSOCK_OP_RST, 1, 1);
}
END_TEST

START_TEST(memory)
{
	ck_assert_uint_ge(vsock_host_memory(1024), 1024ull * VSOCK_BUFFER);
	ck_assert_uint_lt(vsock_host_memory(1024), 1024ull * VSOCK_BUFFER * 2);
}
END_TEST

Suite *vsock_host_suite(void)
{
	Suite *s = suite_create("vsock_host");
	TCase *tc = unit_case(s, "vsock_host");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_loop_test(tc, guest_connects, 0, 2);
	tcase_add_test(tc, host_connects);
	tcase_add_test(tc, guest_refuses);
	tcase_add_loop_test(tc, no_such_connection, 0, ARRAY_SIZE(refused));
	tcase_add_test(tc, another_guests_address);
	tcase_add_loop_test(tc, broken_rules, 0, ARRAY_SIZE(wrong));
	tcase_add_test(tc, back_pressure);
	tcase_add_test(tc, too_much);
	tcase_add_test(tc, credit_of_the_guest);
	tcase_add_test(tc, halves);
	tcase_add_test(tc, half_that_ends_before_its_turn);
	tcase_add_test(tc, host_ends_its_half);
	tcase_add_test(tc, data_after_the_end);
	tcase_add_test(tc, kept_bytes_outlive_the_guests_socket);
	tcase_add_test(tc, many);
	tcase_add_test(tc, as_many_as_there_may_be);
	tcase_add_test(tc, refusals_that_nobody_takes);
	tcase_add_test(tc, reset);
	tcase_add_test(tc, a_pause);
	tcase_add_loop_test(tc, buffers_without_room, 0, 3);
	tcase_add_test(tc, memory);
	return s;
}

UNIT_MAIN(vsock_host_suite)
