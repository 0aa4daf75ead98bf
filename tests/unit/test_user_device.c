/* SPDX-License-Identifier: MIT */
/* What devices share that another process serves, by one of them. */
#include "tests/unit/user_machines.h"

#include <stdio.h>
#include <stdlib.h>

#include "vmm/core/fail.h"

Suite *user_device_suite(void);

static char text[160];

static int make(const char *more)
{
	snprintf(text, sizeof(text), "vhost-user-blk,id=d0,socket=%s%s", server.path, more);
	return device_create(&tb.p, &tb.devices, text);
}

START_TEST(is_served)
{
	ck_assert_int_eq(make(_i ? ",transport=mmio" : ""), 0);
	testbed_start(&tb);
	ck_assert(vdriver_probe(&v, &tb, 0));
	ck_assert(vdriver_start(&v, ~0ull, 1, SIZE));
	check_echo(0);
	vdriver_reset(&v);
	ck_assert_uint_eq(atomic_load(&server.heard[USER_RESET_DEVICE]), 2);
}
END_TEST

static const struct {
	unsigned cpus;
	const char *more;
	unsigned queues; /* 0: refused */
} choices[] = {
	{ 1, "", 1 }, { 2, "", 2 }, { 9, "", ECHO_QUEUES }, { 0, "", 1 },
	{ 1, ",queues=4", 4 }, { 8, ",queues=2", 2 }, { 8, ",queues=5", 0 },
};

START_TEST(queues_are_chosen)
{
	unsigned wanted = choices[_i].queues;
	int r;

	tb.p.cpus = choices[_i].cpus;
	stderr_begin(&said);
	r = make(choices[_i].more);
	stderr_end(&said);
	if (!wanted) {
		ck_assert_int_eq(r, -ENOSPC);
		ck_assert_ptr_nonnull(strstr(said.text, "d0: queues=5: the server at /tmp/"));
		return;
	}
	ck_assert_int_eq(r, 0);
	testbed_start(&tb);
	ck_assert(vdriver_probe(&v, &tb, 0));
	ck_assert_uint_gt(vdriver_queue_max(&v, wanted - 1), 0);
	ck_assert_uint_eq(vdriver_queue_max(&v, wanted), 0);
}
END_TEST

START_TEST(a_socket_is_wanted)
{
	stderr_begin(&said);
	ck_assert_int_eq(device_create(&tb.p, &tb.devices, "vhost-user-blk,id=d0"), -EUSAGE);
	ck_assert_str_eq(stderr_end(&said), "lunette: error: d0: socket=PATH is wanted, where the "
			 "program that serves it listens\n");
}
END_TEST

START_TEST(memory_is_not_shared)
{
	tb.mem.shared = false;
	stderr_begin(&said);
	ck_assert_int_eq(make(""), -EOPNOTSUPP);
	tb.mem.shared = true;
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "d0: the guest's memory is not shared"));
	ck_assert_uint_eq(atomic_load(&server.connections), 0);
}
END_TEST

START_TEST(nobody_is_there)
{
	user_server_die(&server);
	stderr_begin(&said);
	ck_assert_int_lt(make(""), 0);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "is the server running"));
	user_server_live(&server);
}
END_TEST

START_TEST(is_explained)
{
	char *out = NULL;
	size_t len;
	FILE *f = open_memstream(&out, &len);

	ck_assert_int_eq(make(_i ? ",comeback=0" : ""), 0);
	testbed_start(&tb);
	device_explain_all(&tb.devices, f);
	fclose(f);
	ck_assert_ptr_nonnull(strstr(out, "  served by: the program that listens at /tmp/"));
	ck_assert_ptr_nonnull(strstr(out, _i ? "reset the device (comeback=0)\n" :
				     "requests wait for it"));
	free(out);
}
END_TEST

/* All that the driver has set up comes along. */
START_TEST(reborn)
{
	char again[sizeof(text)];

	ck_assert_int_eq(make(""), 0);
	strcpy(again, text);
	device_destroy_all(&tb.devices);
	testbed_device(&tb, again);
	testbed_start(&tb);
	ck_assert(vdriver_probe(&v, &tb, 0));
	ck_assert(vdriver_start(&v, ~0ull, 1, SIZE));
	check_echo(0);
	testbed_rebirth(&tb);
	check_echo(0);
}
END_TEST

Suite *user_device_suite(void)
{
	Suite *s = suite_create("user_device");
	TCase *tc = unit_case(s, "devices");

	tcase_add_checked_fixture(tc, set_up_machines, tear_down_machines);
	tcase_add_loop_test(tc, is_served, 0, 2);
	tcase_add_loop_test(tc, queues_are_chosen, 0, ARRAY_SIZE(choices));
	tcase_add_test(tc, a_socket_is_wanted);
	tcase_add_test(tc, memory_is_not_shared);
	tcase_add_test(tc, nobody_is_there);
	tcase_add_loop_test(tc, is_explained, 0, 2);
	tcase_add_test(tc, reborn);
	return s;
}

UNIT_MAIN(user_device_suite)
