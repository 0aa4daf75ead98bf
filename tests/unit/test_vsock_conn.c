/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <linux/virtio_vsock.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "devices/vsock_conn.h"
#include "vmm/core/util.h"

Suite *vsock_conn_suite(void);

static struct loop *loop;
static struct vsock_conn *c;
static int peer;
static unsigned reads, writes;
static uint8_t out[VSOCK_BUFFER], in[VSOCK_BUFFER];

static void readable(void *conn)
{
	reads++;
	vsock_conn_watch(conn, false);
	loop_stop(loop);
}

static void writable(void *conn)
{
	writes++;
	ck_assert_int_eq(vsock_conn_flush(conn), 0);
	if (!vsock_conn_kept(conn))
		loop_stop(loop);
}

static void set_up(void)
{
	int pair[2];
	size_t i;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	peer = pair[0];
	loop = loop_create("test");
	c = vsock_conn_new(loop, pair[1], readable, writable);
	ck_assert_ptr_nonnull(c);
	c->peer_alloc = 1000;
	for (i = 0; i < sizeof(out); i++)
		out[i] = (uint8_t)(i * 7 + i / 256);
}

static void tear_down(void)
{
	vsock_conn_free(c);
	loop_destroy(loop);
	close(peer);
}

static int give(const void *data, size_t len)
{
	struct iovec iov = { (void *)data, len };

	return vsock_conn_give(c, iov_cursor(&iov, 1));
}

static ssize_t take(size_t room)
{
	struct iovec iov = { in, room };

	return vsock_conn_read(c, iov_cursor(&iov, 1));
}

/* §5.10.6.3: sent and forwarded run freely, and wrap. */
static const struct {
	uint32_t sent, forwarded, alloc, credit;
} credits[] = {
	{ 0, 0, 0, 0 }, { 0, 0, 100, 100 }, { 100, 0, 100, 0 }, { 100, 60, 100, 60 },
	{ 5, UINT32_MAX - 4, 20, 10 }, { 200, 0, 100, 0 }, { 0, 1, UINT32_MAX, 0 },
	{ 0, 1, 100, 0 }, { UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX },
};

START_TEST(credit)
{
	c->sent = credits[_i].sent;
	c->peer_forwarded = credits[_i].forwarded;
	c->peer_alloc = credits[_i].alloc;
	ck_assert_uint_eq(vsock_conn_credit(c), credits[_i].credit);
}
END_TEST

START_TEST(reads_no_more_than_the_credit)
{
	ck_assert_int_eq(take(2000), -EAGAIN);
	ck_assert_int_eq(send(peer, out, 1500, 0), 1500);
	ck_assert_int_eq(take(600), 600);
	ck_assert_int_eq(take(600), 400);
	ck_assert_mem_eq(in, out + 600, 400);
	ck_assert_uint_eq(c->sent, 1000);
	c->peer_forwarded = 1000;
	ck_assert_int_eq(take(2000), 500);
	close(peer);
	peer = -1;
	ck_assert_int_eq(take(2000), 0);
	ck_assert(vsock_conn_is_left(c));
}
END_TEST

START_TEST(half_an_end)
{
	shutdown(peer, SHUT_WR);
	ck_assert_int_eq(take(1), 0);
	ck_assert(!vsock_conn_is_left(c));
	ck_assert_int_eq(give("more", 4), 0);
	ck_assert_int_eq(recv(peer, in, 10, MSG_DONTWAIT), 4);
}
END_TEST

START_TEST(is_called)
{
	ck_assert_int_eq(vsock_conn_watch(c, true), 0);
	ck_assert_int_eq(vsock_conn_watch(c, true), 0);
	ck_assert_int_eq(send(peer, "x", 1, 0), 1);
	loop_run(loop);
	ck_assert_uint_eq(reads, 1);
	ck_assert(!c->reads);
}
END_TEST

/* Fills the socket and then the buffer, in pieces that wrap; all of it comes, in order. */
START_TEST(what_is_kept)
{
	size_t given = 0, got = 0, i;
	ssize_t n;

	do {
		size_t len = min_u64(1000 + 37 * (given % 13), VSOCK_BUFFER - vsock_conn_kept(c));

		for (i = 0; i < len; i++)
			out[i] = (uint8_t)((given + i) * 31 >> 3);
		ck_assert_int_eq(give(out, len), 0);
		given += len;
	} while (vsock_conn_kept(c) < VSOCK_BUFFER);
	ck_assert_int_eq(give("x", 1), -EPROTO);
	ck_assert_uint_eq(c->received, given);
	ck_assert_uint_eq(c->forwarded, given - VSOCK_BUFFER);
	ck_assert_int_eq(vsock_conn_flush(c), 0); /* there is no room yet */
	while (got < given) {
		n = recv(peer, in, 5000, MSG_DONTWAIT);
		ck_assert_int_gt(n, 0);
		for (i = 0; i < (size_t)n; i++)
			ck_assert_uint_eq(in[i], (uint8_t)((got + i) * 31 >> 3));
		got += (size_t)n;
		if (vsock_conn_kept(c))
			ck_assert_int_eq(vsock_conn_flush(c), 0);
	}
	ck_assert_uint_eq(vsock_conn_kept(c), 0);
	ck_assert_int_lt(c->writable.fd, 0);
	ck_assert(vsock_conn_owes_credit(c));
	c->told = c->forwarded;
	ck_assert(!vsock_conn_owes_credit(c));
}
END_TEST

/* The loop writes it, once there is room. */
START_TEST(the_rest_is_written)
{
	size_t given = 0;
	ssize_t n;

	while (!vsock_conn_kept(c)) {
		ck_assert_int_eq(give(out, 4000), 0);
		given += 4000;
	}
	while ((n = recv(peer, in, sizeof(in), MSG_DONTWAIT)) > 0)
		given -= (size_t)n;
	loop_run(loop);
	ck_assert_uint_ge(writes, 1);
	ck_assert_int_eq(recv(peer, in, sizeof(in), MSG_DONTWAIT), (ssize_t)given);
}
END_TEST

START_TEST(nobody_reads_any_more)
{
	close(peer);
	peer = -1;
	ck_assert_int_eq(give("x", 1), -EPIPE);
	ck_assert_int_eq(give("", 0), 0);
}
END_TEST

START_TEST(shut)
{
	vsock_conn_shut(c, VIRTIO_VSOCK_SHUTDOWN_SEND);
	ck_assert_int_eq(recv(peer, in, 1, 0), 0);
	ck_assert_int_eq(send(peer, "x", 1, MSG_NOSIGNAL), 1);
	vsock_conn_shut(c, VIRTIO_VSOCK_SHUTDOWN_RCV);
	ck_assert_int_lt(send(peer, "x", 1, MSG_NOSIGNAL), 0);
}
END_TEST

Suite *vsock_conn_suite(void)
{
	Suite *s = suite_create("vsock_conn");
	TCase *tc = unit_case(s, "vsock_conn");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_loop_test(tc, credit, 0, ARRAY_SIZE(credits));
	tcase_add_test(tc, reads_no_more_than_the_credit);
	tcase_add_test(tc, half_an_end);
	tcase_add_test(tc, is_called);
	tcase_add_test(tc, what_is_kept);
	tcase_add_test(tc, the_rest_is_written);
	tcase_add_test(tc, nobody_reads_any_more);
	tcase_add_test(tc, shut);
	return s;
}

UNIT_MAIN(vsock_conn_suite)
