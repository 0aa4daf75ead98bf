/* SPDX-License-Identifier: MIT */
/* A socket device that another process serves, by what its driver finds; and that process goes. */
#include "tests/unit/user_machines.h"

#include <linux/virtio_vsock.h>
#include <stdio.h>
#include <stdlib.h>

#include "vmm/core/fail.h"

Suite *vhost_user_vsock_suite(void);

static char text[200];

static int make(const char *more)
{
	snprintf(text, sizeof(text), "vhost-user-vsock,id=v0,socket=%s%s", server.path, more);
	return device_create(&tb.p, &tb.devices, text);
}

/* Its address is the server's to say, and no driver writes to it. */
START_TEST(what_a_driver_finds)
{
	uint8_t config[8];
	unsigned q;

	echo.vdev.offered |= VIRTIO_BIT(VIRTIO_VSOCK_F_SEQPACKET);
	ck_assert_int_eq(make(""), 0);
	testbed_start(&tb);
	ck_assert(vdriver_probe(&v, &tb, 0));
	ck_assert_uint_eq(v.device_id, VIRTIO_ID_VSOCK);
	ck_assert(v.offered & VIRTIO_BIT(VIRTIO_VSOCK_F_SEQPACKET));
	ck_assert_uint_gt(vdriver_queue_max(&v, 2), 0);
	ck_assert_uint_eq(vdriver_queue_max(&v, 3), 0);
	ck_assert(vdriver_start(&v, ~0ull, 3, SIZE));
	vdriver_config_write(&v, 0, 99, 1);
	vdriver_config_read(&v, 0, config, sizeof(config));
	ck_assert_mem_eq(config, "\1\2\3\4\5\6\7\10", sizeof(config));
	ck_assert_uint_eq(atomic_load(&server.heard[USER_SET_CONFIG]), 0);
	for (q = 0; q < 3; q++)
		check_echo(q);
}
END_TEST

static const struct {
	const char *more, *line;
} wrong[] = {
	{ ",queues=2", "queues" },
	{ ",comeback=1", "comeback" },
	{ ",cid=3", "cid" },
};

START_TEST(is_refused)
{
	stderr_begin(&said);
	ck_assert_int_eq(make(wrong[_i].more), -EUSAGE);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), wrong[_i].line));
}
END_TEST

START_TEST(no_config_space)
{
	server.serve.protocol &= ~(1ull << USER_P_CONFIG);
	stderr_begin(&said);
	ck_assert_int_lt(make(""), 0);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "does not tell the device's config space"));
}
END_TEST

/* Nobody else knows of the connections. */
START_TEST(server_goes)
{
	char *out = NULL;
	size_t len;
	FILE *f = open_memstream(&out, &len);

	ck_assert_int_eq(make(""), 0);
	testbed_start(&tb);
	device_explain_all(&tb.devices, f);
	fclose(f);
	ck_assert_ptr_nonnull(strstr(out, "  queues: 3\n"));
	ck_assert_ptr_nonnull(strstr(out, "  if that ends: the guest has to reset the device, as "
				     "what it has open there is lost\n"));
	free(out);
	ck_assert(vdriver_probe(&v, &tb, 0));
	ck_assert(vdriver_start(&v, ~0ull, 3, SIZE));
	stderr_begin(&said);
	user_server_die(&server);
	for (len = 0; !(vdriver_status(&v) & VIRTIO_CONFIG_S_NEEDS_RESET) && len < 2000; len++)
		usleep(5000);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "v0: the server at "));
	ck_assert(vdriver_status(&v) & VIRTIO_CONFIG_S_NEEDS_RESET);
	user_server_live(&server);
	vdriver_fini(&v);
	ck_assert(vdriver_probe(&v, &tb, 0));
	ck_assert(vdriver_start(&v, ~0ull, 3, SIZE));
	check_echo(1);
}
END_TEST

Suite *vhost_user_vsock_suite(void)
{
	Suite *s = suite_create("vhost_user_vsock");
	TCase *tc = unit_case(s, "sockets");

	tcase_add_checked_fixture(tc, set_up_machines, tear_down_machines);
	tcase_add_test(tc, what_a_driver_finds);
	tcase_add_loop_test(tc, is_refused, 0, ARRAY_SIZE(wrong));
	tcase_add_test(tc, no_config_space);
	tcase_add_test(tc, server_goes);
	return s;
}

UNIT_MAIN(vhost_user_vsock_suite)
