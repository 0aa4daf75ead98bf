/* SPDX-License-Identifier: MIT */
/* Messages over a socket, whatever the other side does. */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "virtio/user_msg.h"

Suite *user_msg_suite(void);

static int a, b, fds[USER_FDS_MAX];
static unsigned nfds;
static struct user_header h;
static uint8_t payload[USER_PAYLOAD_MAX];

static void set_up(void)
{
	int pair[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	a = pair[0];
	b = pair[1];
}

static void tear_down(void)
{
	close(a);
	close(b);
}

static int next_fd(void)
{
	int fd = dup(0);

	close(fd);
	return fd;
}

static int get(int ms)
{
	return user_recv(b, &h, payload, fds, &nfds, ms);
}

START_TEST(there_it_is)
{
	struct user_header sent = { USER_SET_VRING_KICK, USER_VERSION | USER_NEED_REPLY, 8 };
	int two[] = { a, b };

	ck_assert_int_eq(user_send(a, &sent, "12345678", two, 2, 1000), 0);
	ck_assert_int_eq(get(1000), 0);
	ck_assert_mem_eq(&h, &sent, sizeof(h));
	ck_assert_mem_eq(payload, "12345678", 8);
	ck_assert_uint_eq(nfds, 2);
	ck_assert(fcntl(fds[0], F_GETFD) & FD_CLOEXEC);
	user_close_fds(fds, &nfds);
	ck_assert_uint_eq(nfds, 0);
	sent.size = 0;
	ck_assert_int_eq(user_send(a, &sent, NULL, NULL, 0, 1000), 0);
	ck_assert_int_eq(get(1000), 0);
	ck_assert_uint_eq(h.size, 0);
	ck_assert_uint_eq(nfds, 0);
}
END_TEST

/* Bytes that are no message: of any number, with a descriptor, and only if all of them come. */
START_TEST(other_bytes)
{
	static uint8_t sent[3 * USER_PAYLOAD_MAX], got[sizeof(sent)];
	int next = next_fd();

	memset(sent, 0x5a, sizeof(sent));
	ck_assert_int_eq(user_put(a, sent, sizeof(sent), &a, 1, 0), 0);
	ck_assert_int_eq(user_take(b, got, sizeof(got), fds, &nfds, 1000), 0);
	ck_assert_mem_eq(got, sent, sizeof(got));
	ck_assert_uint_eq(nfds, 1);
	user_close_fds(fds, &nfds);
	ck_assert_int_eq(user_put(a, sent, sizeof(sent) - 1, &a, 1, 0), 0);
	ck_assert_int_eq(user_take(b, got, sizeof(got), fds, &nfds, 10), -ETIMEDOUT);
	ck_assert_uint_eq(nfds, 0);
	ck_assert_int_eq(next_fd(), next);
	while (user_put(a, sent, sizeof(sent), NULL, 0, 0) == 0)
		;
	ck_assert_int_eq(user_put(a, sent, sizeof(sent), NULL, 0, 0), -ETIMEDOUT);
}
END_TEST

/* The waits have an end, whatever part has come. */
START_TEST(not_all_of_it)
{
	uint64_t before = user_now();
	uint8_t bytes[20] = { USER_GET_FEATURES, 0, 0, 0, 1, 0, 0, 0, 8 };
	unsigned part = (const unsigned[]){ 0, 1, 11, 12, 19 }[_i];

	ck_assert_int_eq(write(a, bytes, part), part);
	ck_assert_int_eq(get(30), -ETIMEDOUT);
	ck_assert_uint_ge(user_now(), before + 30);
}
END_TEST

START_TEST(in_two_parts_and_gone)
{
	uint8_t bytes[12] = { USER_GET_FEATURES, 0, 0, 0, 1, 0, 0, 0, 8 };

	ck_assert_int_eq(write(a, bytes, 12), 12);
	close(a);
	ck_assert_int_eq(get(1000), -EPIPE);
	h = (struct user_header){ USER_GET_FEATURES, USER_VERSION, 0 };
	ck_assert_int_eq(user_send(b, &h, NULL, NULL, 0, 1000), -EPIPE);
}
END_TEST

START_TEST(too_long)
{
	struct user_header sent = { USER_GET_CONFIG, USER_VERSION, USER_PAYLOAD_MAX + 1 };

	ck_assert_int_eq(write(a, &sent, sizeof(sent)), sizeof(sent));
	ck_assert_int_eq(get(1000), -EPROTO);
	sent.size = UINT32_MAX;
	ck_assert_int_eq(write(a, &sent, sizeof(sent)), sizeof(sent));
	ck_assert_int_eq(get(1000), -EPROTO);
}
END_TEST

/* @n descriptors go along. */
static void send_with(const void *bytes, size_t len, unsigned n)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(USER_FDS_MAX * sizeof(int))];
	} control = { .head = { .cmsg_len = CMSG_LEN(n * sizeof(int)), .cmsg_level = SOL_SOCKET,
				.cmsg_type = SCM_RIGHTS } };
	struct iovec iov = { (void *)bytes, len };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
			    .msg_controllen = CMSG_SPACE(n * sizeof(int)) };
	static const int many[USER_FDS_MAX];

	memcpy(CMSG_DATA(&control.head), many, n * sizeof(int));
	ck_assert_int_eq(sendmsg(a, &m, 0), len);
}

/* More than a message may have, with two sends: none is left open. */
START_TEST(too_many_descriptors)
{
	static const unsigned counts[][2] = { { 6, 6 }, { USER_FDS_MAX, 1 }, { 1, USER_FDS_MAX } };
	struct user_header sent = { USER_GET_CONFIG, USER_VERSION, 8 };
	int free_fd = next_fd();

	send_with(&sent, sizeof(sent), counts[_i][0]);
	send_with("12345678", 8, counts[_i][1]);
	ck_assert_int_eq(get(1000), -EPROTO);
	ck_assert_uint_eq(nfds, 0);
	ck_assert_int_eq(next_fd(), free_fd);
}
END_TEST

/* Nobody reads at the other end. */
START_TEST(not_taken)
{
	struct user_header sent = { USER_SET_CONFIG, USER_VERSION, USER_PAYLOAD_MAX };
	int r = 0, n;

	for (n = 0; n < 10000 && !r; n++)
		r = user_send(a, &sent, payload, NULL, 0, 20);
	ck_assert_int_eq(r, -ETIMEDOUT);
}
END_TEST

Suite *user_msg_suite(void)
{
	Suite *s = suite_create("user_msg");
	TCase *tc = unit_case(s, "messages");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, there_it_is);
	tcase_add_loop_test(tc, not_all_of_it, 0, 5);
	tcase_add_test(tc, other_bytes);
	tcase_add_test(tc, in_two_parts_and_gone);
	tcase_add_test(tc, too_long);
	tcase_add_loop_test(tc, too_many_descriptors, 0, 3);
	tcase_add_test(tc, not_taken);
	return s;
}

UNIT_MAIN(user_msg_suite)
