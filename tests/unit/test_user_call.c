/* SPDX-License-Identifier: MIT */
/* One question after the other, and the bound of all of them. */
#include "tests/unit/unit.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/lib/stderr.h"
#include "virtio/user_call.h"
#include "virtio/virtio.h"

Suite *user_call_suite(void);

#define PATIENCE 400
#define SLOW 150 /* ms that the server takes for each answer, if it is slow */

static struct virtio_device vdev;
static struct vhost_user *u;
static int far;
static pthread_t thread;
static bool slow;
static atomic_uint answers;
static uint64_t value;
static struct stderr_text said;

/* Answers each question with @value, until the connection ends. */
static void *serve(void *arg)
{
	uint8_t payload[USER_PAYLOAD_MAX];
	int fds[USER_FDS_MAX];
	struct user_header h;
	unsigned nfds;

	while (user_recv(far, &h, payload, fds, &nfds, 60000) == 0) {
		user_close_fds(fds, &nfds);
		if (h.request >= USER_REQUESTS)
			break;
		if (slow)
			usleep(SLOW * 1000);
		h.flags = USER_VERSION | USER_REPLY;
		h.size = sizeof(value);
		atomic_fetch_add(&answers, 1);
		user_send(far, &h, &value, NULL, 0, 1000);
	}
	return arg;
}

static void set_up(void)
{
	int pair[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	u = calloc(1, sizeof(*u));
	u->vdev = &vdev;
	u->spec = (struct vhost_user_spec){ .id = "u0", .path = "here", .patience = PATIENCE };
	u->protocol = 1ull << USER_P_REPLY_ACK;
	u->sock = pair[0];
	far = pair[1];
	slow = false;
	value = 0;
	atomic_store(&answers, 0);
}

static void let_serve(void)
{
	ck_assert_int_eq(pthread_create(&thread, NULL, serve, NULL), 0);
}

static void tear_down(void)
{
	close(u->sock);
	if (thread)
		pthread_join(thread, NULL);
	close(far);
	free(u);
}

START_TEST(an_answer)
{
	uint64_t got = 0;

	value = 77;
	let_serve();
	user_call_begin(u);
	ck_assert_int_eq(user_get_u64(u, USER_GET_QUEUE_NUM, &got), 0);
	ck_assert_uint_eq(got, 77);
	ck_assert(!u->failed);
}
END_TEST

/* It is asked whether it has done what it was told. */
START_TEST(a_refusal)
{
	value = _i;
	let_serve();
	user_call_begin(u);
	stderr_begin(&said);
	ck_assert_int_eq(user_tell(u, USER_SET_OWNER, NULL, 0), _i ? -EPROTO : 0);
	ck_assert_str_eq(stderr_end(&said),
			 _i ? "lunette: error: u0: the server at here refuses SET_OWNER\n" : "");
	ck_assert_uint_eq(atomic_load(&answers), 1);
	ck_assert_int_eq(u->lied, _i);
}
END_TEST

/* Who cannot say so is not waited for. */
START_TEST(no_answer_is_wanted)
{
	u->protocol = 0;
	user_call_begin(u);
	ck_assert_int_eq(user_tell_ring(u, USER_SET_VRING_NUM, 1, 16), 0);
	ck_assert(!u->failed);
}
END_TEST

/* However fast each answer comes: all of them together have the time. */
START_TEST(slow_each_time)
{
	uint64_t got, before = user_now();
	unsigned n = 0;
	int r;

	slow = true;
	let_serve();
	user_call_begin(u);
	ck_assert_int_le(user_call_left(u), PATIENCE);
	stderr_begin(&said);
	while ((r = user_get_u64(u, USER_GET_FEATURES, &got)) == 0)
		n++;
	stderr_end(&said);
	ck_assert_int_eq(r, -ETIMEDOUT);
	ck_assert_uint_ge(user_now(), before + PATIENCE);
	ck_assert_uint_le(n, PATIENCE / SLOW + 1); /* one may come while we look away */
	ck_assert_int_eq(user_call_left(u), 0);
	ck_assert_str_eq(said.text, "lunette: error: u0: the server at here has not answered "
			 "GET_FEATURES; all of a start, or of a stop, may take 400 ms\n");
}
END_TEST

/* After that the connection is of no use, and nothing more is said of it. */
START_TEST(one_line)
{
	stderr_begin(&said);
	user_call_begin(u);
	ck_assert_int_eq(user_tell(u, USER_SET_OWNER, NULL, 0), -ETIMEDOUT);
	stderr_end(&said);
	ck_assert_ptr_nonnull(strstr(said.text, "has not answered SET_OWNER"));
	stderr_begin(&said);
	user_call_begin(u);
	ck_assert_int_eq(user_tell(u, USER_SET_OWNER, NULL, 0), -EPIPE);
	ck_assert_str_eq(stderr_end(&said), "");
}
END_TEST

START_TEST(unasked)
{
	ck_assert_int_eq(write(far, "x", 1), 1);
	stderr_begin(&said);
	user_call_begin(u);
	ck_assert_int_eq(user_tell_fd(u, USER_SET_VRING_ERR, &value, sizeof(value), 2), -EPROTO);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "says something that nobody asked for"));
}
END_TEST

Suite *user_call_suite(void)
{
	Suite *s = suite_create("user_call");
	TCase *tc = unit_case(s, "calls");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, an_answer);
	tcase_add_loop_test(tc, a_refusal, 0, 2);
	tcase_add_test(tc, no_answer_is_wanted);
	tcase_add_test(tc, slow_each_time);
	tcase_add_test(tc, one_line);
	tcase_add_test(tc, unasked);
	tcase_set_timeout(tc, 60);
	return s;
}

UNIT_MAIN(user_call_suite)
