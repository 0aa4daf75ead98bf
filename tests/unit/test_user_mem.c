/* SPDX-License-Identifier: MIT */
/* What a vhost-user server with slots for guest memory is told of it, and how often. */
#include "tests/unit/user_fixture.h"

#include <stdio.h>

#include "virtio/user_call.h"
#include "virtio/user_mem.h"

Suite *user_mem_suite(void);

static unsigned heard(uint32_t request)
{
	return atomic_load(&server.heard[request]);
}

/* A driver's requests may be anywhere in memory, so that the server has all of it. */
START_TEST(once_for_a_connection)
{
	ck_assert(start_driver());
	check_echo(1);
	virtio_device_pause(&vdev, true);
	virtio_device_pause(&vdev, false);
	check_echo(1);
	ck_assert(start_driver());
	check_echo(2);
	ck_assert_uint_eq(heard(USER_GET_MAX_MEM_SLOTS), 1);
	ck_assert_uint_eq(heard(USER_ADD_MEM_REG), tb.mem.nregions);
	ck_assert_uint_eq(heard(USER_REM_MEM_REG), 0);
	ck_assert_uint_eq(heard(USER_SET_MEM_TABLE), 0);
}
END_TEST

/* Another server knows nothing yet. */
START_TEST(again_to_another)
{
	ck_assert(start_driver());
	user_server_die(&server);
	user_server_live(&server);
	WAIT_FOR(atomic_load(&server.connections) == 2 && !needs_reset());
	check_echo(1);
	ck_assert_uint_eq(heard(USER_ADD_MEM_REG), 2 * tb.mem.nregions);
}
END_TEST

static int tell(const struct mem *mem)
{
	int r;

	pthread_mutex_lock(&vdev.lock);
	user_call_begin(user);
	r = user_mem_tell(user, mem);
	pthread_mutex_unlock(&vdev.lock);
	return r;
}

/* As the server has it now. */
static struct mem its_memory(void)
{
	struct mem m;

	pthread_mutex_lock(&echo.vdev.lock);
	m = server.serve.mem;
	pthread_mutex_unlock(&echo.vdev.lock);
	return m;
}

/* Of what changes it is told, and no more. */
START_TEST(changes)
{
	struct mem less = tb.mem;
	unsigned n = tb.mem.nregions;

	ck_assert_uint_ge(n, 3);
	memmove(&less.region[1], &less.region[2], (n - 2) * sizeof(less.region[0]));
	less.nregions = n - 1;
	ck_assert_int_eq(tell(&tb.mem), 0);
	ck_assert_int_eq(tell(&less), 0);
	ck_assert_uint_eq(its_memory().nregions, n - 1);
	ck_assert_uint_eq(its_memory().region[1].gpa, tb.mem.region[2].gpa);
	ck_assert_uint_eq(heard(USER_ADD_MEM_REG), n);
	ck_assert_uint_eq(heard(USER_REM_MEM_REG), 1);
	less = tb.mem;
	less.region[0].size /= 2;
	ck_assert_int_eq(tell(&less), 0);
	ck_assert_uint_eq(its_memory().nregions, n);
	ck_assert_uint_eq(its_memory().region[0].size, tb.mem.region[0].size / 2);
	ck_assert_uint_eq(heard(USER_ADD_MEM_REG), n + 2);
	ck_assert_uint_eq(heard(USER_REM_MEM_REG), 2);
}
END_TEST

START_TEST(no_slots_at_all)
{
	unsigned before;

	set_up_ends();
	server.serve.protocol &= ~(1ull << USER_P_SLOTS);
	ck_assert(connect_and_make());
	testbed_start(&tb);
	ck_assert(start_driver());
	before = heard(USER_SET_MEM_TABLE);
	ck_assert_uint_ge(before, 1);
	ck_assert(start_driver());
	check_echo(1);
	ck_assert_uint_gt(heard(USER_SET_MEM_TABLE), before);
	ck_assert_uint_eq(heard(USER_GET_MAX_MEM_SLOTS) + heard(USER_ADD_MEM_REG), 0);
	tear_down();
}
END_TEST

START_TEST(too_few)
{
	char text[100];

	set_up_ends();
	server.slots = _i;
	snprintf(text, sizeof(text), "has room for %d regions of guest memory; this guest has 3\n",
		 _i);
	stderr_begin(&said);
	ck_assert(!connect_and_make());
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), text));
	ck_assert_ptr_eq(strchr(said.text, '\n'), said.text + strlen(said.text) - 1);
	tear_down_machines();
}
END_TEST

static const struct {
	enum user_lie lie;
	const char *text;
} lies[] = {
	{ LIE_SILENT, "has not answered ADD_MEM_REG" },
	{ LIE_HALF, "has not answered ADD_MEM_REG" },
	{ LIE_GONE, "has gone away" },
	{ LIE_SHORT, "answers ADD_MEM_REG with 7 bytes in place of 8" },
	{ LIE_LONG, "answers ADD_MEM_REG with 16 bytes in place of 8" },
	{ LIE_HUGE, "that is too long" },
	{ LIE_OTHER, "answers ADD_MEM_REG with message 38" },
	{ LIE_NO_REPLY, "answers ADD_MEM_REG with message 37, flags 0x1" },
	{ LIE_VERSION, "answers ADD_MEM_REG by version 2" },
	{ LIE_DESCRIPTORS, "descriptors that nobody asked for" },
	{ LIE_REFUSES, "refuses ADD_MEM_REG" },
};

/* The driver hears of it, and the next one is served, by a server that knows nothing. */
START_TEST(lies_of_a_region)
{
	user_server_lie(&server, lies[_i].lie, USER_ADD_MEM_REG);
	user->spec.patience = lies[_i].lie == LIE_SILENT || lies[_i].lie == LIE_HALF ? SHORT :
			      PATIENCE;
	stderr_begin(&said);
	ck_assert(!start_driver());
	stderr_end(&said);
	ck_assert_msg(strstr(said.text, lies[_i].text), "%s", said.text);
	ck_assert_ptr_eq(strchr(said.text, '\n'), said.text + strlen(said.text) - 1);
	ck_assert(needs_reset());
	user->spec.patience = PATIENCE;
	user_server_lie(&server, LIE_NONE, 0);
	ck_assert(start_driver());
	check_echo(1);
	ck_assert_uint_eq(atomic_load(&server.connections), 2);
}
END_TEST

Suite *user_mem_suite(void)
{
	Suite *s = suite_create("user_mem");
	TCase *tc = unit_case(s, "slots");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, once_for_a_connection);
	tcase_add_test(tc, again_to_another);
	tcase_add_test(tc, changes);
	tcase_add_loop_test(tc, lies_of_a_region, 0, ARRAY_SIZE(lies));
	tc = unit_case(s, "greeting");
	tcase_add_test(tc, no_slots_at_all);
	tcase_add_loop_test(tc, too_few, 0, 3);
	return s;
}

UNIT_MAIN(user_mem_suite)
