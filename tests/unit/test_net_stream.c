/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "devices/net_link.h"
#include "devices/net_stream.h"
#include "tests/lib/net_driver.h"
#include "vmm/core/util.h"

Suite *net_stream_suite(void);

static struct net_link *link_;
static int peer;
static uint8_t hdr[NET_HDR_LEN], got[NET_FRAME_MAX + 100], wanted[NET_FRAME_MAX + 4];

/* What has this at its 54th byte. */
#define UNWANTED 0xa5
static bool refuse(const uint8_t *head, size_t len)
{
	ck_assert_uint_le(len, NET_HEAD_MAX);
	return len == NET_HEAD_MAX && head[NET_HEAD_MAX - 1] == UNWANTED;
}

static void set_up(void)
{
	int pair[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	peer = pair[0];
	link_ = net_stream_create(pair[1], refuse);
	ck_assert_ptr_nonnull(link_);
}

static void tear_down(void)
{
	link_->ops->destroy(link_);
	close(peer);
}

static ssize_t receive_into(size_t room)
{
	struct iovec iov = { got, room };

	return link_->ops->receive(link_, hdr, iov_cursor(&iov, 1));
}

static void expect_frame(size_t len, uint32_t seed)
{
	net_fill(wanted, len, seed);
	ck_assert_int_eq(link_->ops->next(link_), len);
	ck_assert_int_eq(receive_into(sizeof(got)), len);
	ck_assert_mem_eq(got, wanted, len);
}

static void send_frame(size_t len, uint32_t seed)
{
	net_fill(wanted, len, seed);
	ck_assert(net_peer_sends(peer, wanted, len));
}

START_TEST(frames_come_one_by_one)
{
	static const uint8_t zero[NET_HDR_LEN];

	ck_assert_int_eq(link_->ops->next(link_), -EAGAIN);
	send_frame(60, 1);
	send_frame(1, 2);
	send_frame(1514, 3);
	memset(hdr, 0xff, sizeof(hdr));
	expect_frame(60, 1);
	ck_assert_mem_eq(hdr, zero, sizeof(zero));
	expect_frame(1, 2);
	expect_frame(1514, 3);
	ck_assert_int_eq(link_->ops->next(link_), -EAGAIN);
}
END_TEST

/* The first @n bytes of what stands for a frame of @len. */
static void send_bytes(const uint8_t *data, size_t n)
{
	ck_assert_int_eq(send(peer, data, n, 0), n);
}

START_TEST(frame_comes_byte_by_byte)
{
	uint8_t raw[4 + 100];
	unsigned i;

	be32_put(raw, 100);
	net_fill(raw + 4, 100, 7);
	for (i = 0; i < sizeof(raw) - 1; i++) {
		send_bytes(raw + i, 1);
		if (i < 3)
			ck_assert_int_eq(link_->ops->next(link_), -EAGAIN);
		else
			ck_assert_int_eq(link_->ops->next(link_), 100);
		if (i >= 3)
			ck_assert_int_eq(receive_into(100), -EAGAIN);
	}
	send_bytes(raw + i, 1);
	ck_assert_int_eq(receive_into(100), 100);
	ck_assert_mem_eq(got, raw + 4, 100);
}
END_TEST

START_TEST(frame_in_pieces_of_memory)
{
	struct iovec iov[100];
	unsigned i;

	for (i = 0; i < 100; i++)
		iov[i] = (struct iovec){ got + i * 20, i % 20 };
	send_frame(900, 5);
	send_frame(10, 6);
	ck_assert_int_eq(link_->ops->next(link_), 900);
	ck_assert_int_eq(link_->ops->receive(link_, hdr, iov_cursor(iov, 100)), 900);
	net_fill(wanted, 900, 5);
	ck_assert_mem_eq(got + 20, wanted, 1);
	ck_assert_mem_eq(got + 19 * 20, wanted + 171, 19);
	expect_frame(10, 6);
}
END_TEST

START_TEST(too_large_a_frame_is_passed_over)
{
	send_frame(60, 1);
	send_frame(20000, 2);
	send_frame(61, 3);
	expect_frame(60, 1);
	ck_assert_int_eq(link_->ops->next(link_), 20000);
	ck_assert_int_eq(receive_into(19999), -EMSGSIZE);
	expect_frame(61, 3);
}
END_TEST

START_TEST(rest_of_a_forgotten_frame_is_passed_over)
{
	uint8_t raw[4 + 1000];

	be32_put(raw, 1000);
	send_bytes(raw, 500);
	ck_assert_int_eq(link_->ops->next(link_), 1000);
	ck_assert_int_eq(receive_into(1000), -EAGAIN);
	link_->ops->forget(link_);
	ck_assert_int_eq(link_->ops->next(link_), -EAGAIN);
	send_bytes(raw + 500, sizeof(raw) - 500);
	send_frame(70, 4);
	expect_frame(70, 4);
	link_->ops->forget(link_); /* nothing has been begun */
	send_frame(71, 5);
	expect_frame(71, 5);
}
END_TEST

START_TEST(largest_frame)
{
	ck_assert_int_eq(setsockopt(peer, SOL_SOCKET, SO_SNDBUF, &(int){ 400000 }, sizeof(int)),
			 0);
	send_frame(NET_FRAME_MAX, 9);
	expect_frame(NET_FRAME_MAX, 9);
}
END_TEST

START_TEST(length_that_no_frame_has)
{
	uint8_t raw[4];

	be32_put(raw, _i ? NET_FRAME_MAX + 1 : 0);
	send_bytes(raw, 4);
	ck_assert_int_eq(link_->ops->next(link_), -EPROTO);
	ck_assert_int_eq(link_->ops->next(link_), -EPROTO);
}
END_TEST

static int send_out(size_t len, uint32_t seed)
{
	static uint8_t out[NET_FRAME_MAX];
	struct iovec iov = { out, len };

	net_fill(out, len, seed);
	return link_->ops->send(link_, hdr, iov_cursor(&iov, 1));
}

START_TEST(end_of_the_other_side)
{
	shutdown(peer, SHUT_RDWR);
	ck_assert_int_eq(link_->ops->next(link_), -EPIPE);
	ck_assert_int_eq(send_out(60, 1), -EPIPE);
	ck_assert_int_eq(link_->ops->flush(link_), 0);
}
END_TEST

/* With something left unread there, which the kernel has another error for. */
START_TEST(end_of_the_other_side_in_haste)
{
	ck_assert_int_eq(send_out(60, 1), 0);
	close(peer);
	ck_assert_int_eq(link_->ops->next(link_), -EPIPE);
}
END_TEST

START_TEST(end_in_the_middle_of_a_frame)
{
	uint8_t raw[4 + 100] = { 0 };

	raw[3] = 100;
	send_bytes(raw, 50);
	ck_assert_int_eq(link_->ops->next(link_), 100);
	ck_assert_int_eq(receive_into(100), -EAGAIN);
	shutdown(peer, SHUT_RDWR);
	ck_assert_int_eq(link_->ops->next(link_), 100);
	ck_assert_int_eq(receive_into(100), -EPIPE);
}
END_TEST

static void expect_sent(size_t len, uint32_t seed)
{
	net_fill(wanted, len, seed);
	ck_assert(net_peer_gets(peer, wanted, len));
}

START_TEST(frames_go_out)
{
	ck_assert_int_eq(send_out(60, 1), 0);
	ck_assert_int_eq(send_out(NET_FRAME_MAX, 2), 0);
	ck_assert_int_eq(link_->ops->flush(link_), 0);
	expect_sent(60, 1);
	expect_sent(NET_FRAME_MAX, 2);
}
END_TEST

/* However it is cut into pieces; and the next one goes out. */
START_TEST(refused)
{
	uint8_t out[100] = { [NET_HEAD_MAX - 1] = UNWANTED };
	struct iovec iov[3] = { { out, 53 }, { out + 53, 1 }, { out + 54, 46 } };

	ck_assert_int_eq(link_->ops->send(link_, hdr, iov_cursor(iov, 3)), -EACCES);
	iov[1] = (struct iovec){ out, 54 };
	ck_assert_int_eq(link_->ops->send(link_, hdr, iov_cursor(iov + 1, 1)), -EACCES);
	out[NET_HEAD_MAX - 1] = 0;
	iov[1] = (struct iovec){ out + 53, 1 };
	ck_assert_int_eq(link_->ops->flush(link_), 0);
	ck_assert_int_eq(link_->ops->send(link_, hdr, iov_cursor(iov, 3)), 0);
	ck_assert(net_peer_gets(peer, out, sizeof(out)));
}
END_TEST

START_TEST(short_frames_go_out)
{
	size_t len;

	for (len = 1; len <= NET_HEAD_MAX + 1; len++) {
		ck_assert_int_eq(send_out(len, 7), 0);
		expect_sent(len, 7);
	}
}
END_TEST

/* Frames of changing length until the socket is full: whatever it has not taken comes later. */
START_TEST(full_socket_keeps_the_rest)
{
	unsigned sent = 0, i;

	ck_assert_int_eq(setsockopt(link_->out, SOL_SOCKET, SO_SNDBUF, &(int){ 4096 },
				    sizeof(int)), 0);
	while (link_->ops->flush(link_) == 0) {
		ck_assert_int_eq(send_out(1000 + 777 * (sent % 50), sent), 0);
		sent++;
		ck_assert_uint_lt(sent, 10000);
	}
	ck_assert_int_eq(link_->ops->flush(link_), -EAGAIN);
	for (i = 0; i < sent; i++) {
		struct pollfd room = { .fd = link_->out, .events = POLLOUT };

		if (i == sent - 1) /* the socket took a part of it at most */
			ck_assert(poll(&room, 1, NET_WAIT_MS) == 1 &&
				  link_->ops->flush(link_) == 0);
		expect_sent(1000 + 777 * (i % 50), i);
	}
}
END_TEST

Suite *net_stream_suite(void)
{
	Suite *s = suite_create("net_stream");
	TCase *tc = unit_case(s, "frames");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, frames_come_one_by_one);
	tcase_add_test(tc, frame_comes_byte_by_byte);
	tcase_add_test(tc, frame_in_pieces_of_memory);
	tcase_add_test(tc, too_large_a_frame_is_passed_over);
	tcase_add_test(tc, rest_of_a_forgotten_frame_is_passed_over);
	tcase_add_test(tc, largest_frame);
	tcase_add_loop_test(tc, length_that_no_frame_has, 0, 2);
	tcase_add_test(tc, end_of_the_other_side);
	tcase_add_test(tc, end_of_the_other_side_in_haste);
	tcase_add_test(tc, end_in_the_middle_of_a_frame);
	tcase_add_test(tc, frames_go_out);
	tcase_add_test(tc, refused);
	tcase_add_test(tc, short_frames_go_out);
	tcase_add_test(tc, full_socket_keeps_the_rest);
	return s;
}

UNIT_MAIN(net_stream_suite)
