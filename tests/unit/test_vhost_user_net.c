/* SPDX-License-Identifier: MIT */
/* A network device that another process serves, by what its driver finds; and that process goes. */
#include "tests/unit/user_machines.h"

#include <linux/virtio_net.h>
#include <stdio.h>
#include <stdlib.h>

#include "vmm/core/fail.h"

Suite *vhost_user_net_suite(void);

#define OFFERS (VIRTIO_BIT(VIRTIO_NET_F_CSUM) | VIRTIO_BIT(VIRTIO_NET_F_MRG_RXBUF) | \
		VIRTIO_BIT(VIRTIO_NET_F_MQ) | VIRTIO_BIT(VIRTIO_NET_F_CTRL_VQ) |      \
		VIRTIO_BIT(VIRTIO_NET_F_MTU))

static char text[200];

static int make(const char *more)
{
	snprintf(text, sizeof(text), "vhost-user-net,id=n0,socket=%s%s", server.path, more);
	echo.vdev.offered |= OFFERS;
	return device_create(&tb.p, &tb.devices, text);
}

static void check_made(const char *more)
{
	ck_assert_int_eq(make(more), 0);
	testbed_start(&tb);
	ck_assert(vdriver_probe(&v, &tb, 0));
}

/* The server's features, without those of a control queue, and our own; of which it hears not. */
START_TEST(what_a_driver_finds)
{
	static const uint8_t mac[] = { 2, 0, 0, 0, 0, 7 };
	uint8_t config[12];

	check_made(",mac=02:00:00:00:00:07,mtu=9000");
	ck_assert_uint_eq(v.device_id, VIRTIO_ID_NET);
	vdriver_config_read(&v, 0, config, sizeof(config));
	ck_assert_mem_eq(config, mac, sizeof(mac));
	ck_assert_uint_eq(le16_get(config + offsetof(struct virtio_net_config, mtu)), 9000);
	ck_assert_uint_eq(v.offered & (OFFERS | VIRTIO_BIT(VIRTIO_NET_F_MAC)),
			  VIRTIO_BIT(VIRTIO_NET_F_CSUM) | VIRTIO_BIT(VIRTIO_NET_F_MRG_RXBUF) |
			  VIRTIO_BIT(VIRTIO_NET_F_MTU) | VIRTIO_BIT(VIRTIO_NET_F_MAC));
	ck_assert_uint_gt(vdriver_queue_max(&v, 1), 0);
	ck_assert_uint_eq(vdriver_queue_max(&v, 2), 0);
	ck_assert(vdriver_start(&v, ~0ull, 2, SIZE));
	check_echo(0);
	check_echo(1);
	ck_assert_uint_eq(echo.vdev.accepted & (OFFERS | VIRTIO_BIT(VIRTIO_NET_F_MAC)),
			  VIRTIO_BIT(VIRTIO_NET_F_CSUM) | VIRTIO_BIT(VIRTIO_NET_F_MRG_RXBUF));
}
END_TEST

/* Of which the guest is told nothing if nothing was said. */
START_TEST(mtu_of_the_drivers_own)
{
	check_made("");
	ck_assert(!(v.offered & VIRTIO_BIT(VIRTIO_NET_F_MTU)));
}
END_TEST

static const struct {
	const char *more, *line;
} wrong[] = {
	{ ",mac=03:00:00:00:00:01", "n0: mac=03:00:00:00:00:01: an address of one station" },
	{ ",mtu=67", "n0: mtu=67: is less than 68\n" },
	{ ",mtu=65536", "mtu" },
	{ ",queues=2", "queues" },
};

START_TEST(is_refused)
{
	stderr_begin(&said);
	ck_assert_int_eq(make(wrong[_i].more), -EUSAGE);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), wrong[_i].line));
	ck_assert_uint_eq(atomic_load(&server.connections), 0);
}
END_TEST

/* Frames are no requests: a server that keeps no account of them may come back, too. */
START_TEST(server_comes_back)
{
	server.serve.protocol &= ~(1ull << USER_P_INFLIGHT);
	check_made("");
	ck_assert(vdriver_start(&v, ~0ull, 2, SIZE));
	check_echo(0);
	check_echo(1);
	stderr_begin(&said);
	user_server_die(&server);
	user_server_live(&server);
	check_echo(0);
	check_echo(1);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "has gone away; requests wait until"));
	ck_assert(!(vdriver_status(&v) & VIRTIO_CONFIG_S_NEEDS_RESET));
	ck_assert_uint_ge(atomic_load(&server.connections), 2);
}
END_TEST

START_TEST(is_explained)
{
	char *out = NULL;
	size_t len;
	FILE *f = open_memstream(&out, &len);

	server.serve.protocol &= ~(1ull << USER_P_INFLIGHT);
	check_made(_i ? ",comeback=0" : ",mac=02:00:00:00:00:07");
	device_explain_all(&tb.devices, f);
	fclose(f);
	ck_assert_ptr_nonnull(strstr(out, "  queues: 2\n"));
	ck_assert_ptr_nonnull(strstr(out, _i ? "reset the device (comeback=0)\n" :
				     "requests wait for it"));
	ck_assert(_i || strstr(out, "  address: 02:00:00:00:00:07\n"));
	free(out);
}
END_TEST

/* The address, which nobody has chosen, comes along. */
START_TEST(reborn)
{
	uint8_t before[6], after[6];
	char again[sizeof(text)];

	ck_assert_int_eq(make(",mtu=1400"), 0);
	strcpy(again, text);
	device_destroy_all(&tb.devices);
	testbed_device(&tb, again);
	testbed_start(&tb);
	ck_assert(vdriver_probe(&v, &tb, 0));
	ck_assert(vdriver_start(&v, ~0ull, 2, SIZE));
	check_echo(1);
	vdriver_config_read(&v, 0, before, sizeof(before));
	testbed_rebirth(&tb);
	vdriver_config_read(&v, 0, after, sizeof(after));
	ck_assert_mem_eq(before, after, sizeof(before));
	check_echo(1);
}
END_TEST

Suite *vhost_user_net_suite(void)
{
	Suite *s = suite_create("vhost_user_net");
	TCase *tc = unit_case(s, "network");

	tcase_add_checked_fixture(tc, set_up_machines, tear_down_machines);
	tcase_add_test(tc, what_a_driver_finds);
	tcase_add_test(tc, mtu_of_the_drivers_own);
	tcase_add_loop_test(tc, is_refused, 0, ARRAY_SIZE(wrong));
	tcase_add_test(tc, server_comes_back);
	tcase_add_loop_test(tc, is_explained, 0, 2);
	tcase_add_test(tc, reborn);
	return s;
}

UNIT_MAIN(vhost_user_net_suite)
