/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/lib/net_driver.h"
#include "vmm/core/fail.h"
#include "vmm/core/log.h"
#include "vmm/core/util.h"

Suite *virtio_net_suite(void);

static struct testbed tb;
static struct vdriver v;
static int pair[2];
static char said[512];

static void set_up(void)
{
	testbed_init(&tb);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	log_hear(said, sizeof(said));
}

static void tear_down(void)
{
	log_hear(NULL, 0);
	vdriver_fini(&v);
	testbed_fini(&tb);
	close(pair[0]);
	close(pair[1]);
}

/* The device over pair[1], and @more of its options. */
static int make(const char *more)
{
	char text[128];

	snprintf(text, sizeof(text), "virtio-net,fd=%d%s", pair[1], more);
	return device_create(&tb.p, &tb.devices, text);
}

static void read_config(struct virtio_net_config *c, unsigned n)
{
	ck_assert(vdriver_probe(&v, &tb, n));
	vdriver_config_read(&v, 0, c, offsetof(struct virtio_net_config, mtu) + 2);
	vdriver_fini(&v);
}

START_TEST(config_space)
{
	static const uint8_t mac[6] = { 2, 0, 0, 0xab, 0xcd, 0xef };
	struct virtio_net_config c;

	ck_assert_int_eq(make(",mac=02:00:00:aB:cd:ef,mtu=1400"), 0);
	testbed_start(&tb);
	read_config(&c, 0);
	ck_assert_mem_eq(c.mac, mac, 6);
	ck_assert_uint_eq(le16toh(c.status), VIRTIO_NET_S_LINK_UP);
	ck_assert_uint_eq(le16toh(c.mtu), 1400);
}
END_TEST

START_TEST(addresses_differ)
{
	struct virtio_net_config a, b;

	ck_assert_int_eq(make(""), 0);
	ck_assert_int_eq(make(""), 0);
	testbed_start(&tb);
	read_config(&a, 0);
	read_config(&b, 1);
	ck_assert_uint_eq(a.mac[0] & 3, 2); /* locally administered, of one station */
	ck_assert_mem_ne(a.mac, b.mac, 6);
	ck_assert_uint_eq(le16toh(a.mtu), 65520);
}
END_TEST

START_TEST(socket_has_frames_done_by_each_side)
{
	ck_assert_int_eq(make(""), 0);
	testbed_start(&tb);
	ck_assert(vdriver_probe(&v, &tb, 0));
	ck_assert_uint_eq(v.device_id, VIRTIO_ID_NET);
	ck_assert(vdriver_start(&v, ~0ull, NET_QUEUES, 64));
	ck_assert_uint_eq(v.offered, VIRTIO_QUEUE_FEATURES | VIRTIO_BIT(VIRTIO_NET_F_MAC) |
			  VIRTIO_BIT(VIRTIO_NET_F_STATUS) | VIRTIO_BIT(VIRTIO_NET_F_MTU) |
			  VIRTIO_BIT(VIRTIO_NET_F_MRG_RXBUF));
}
END_TEST

START_TEST(explains_itself)
{
	char *text;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	ck_assert_int_eq(make(",mac=02:00:00:00:00:07"), 0);
	ck_assert_int_eq(device_ready_all(&tb.devices), 0);
	device_explain_all(&tb.devices, out);
	fclose(out);
	ck_assert_ptr_nonnull(strstr(text, "02:00:00:00:00:07"));
	ck_assert_ptr_nonnull(strstr(text, "a socket that was given"));
	free(text);
}
END_TEST

static const struct {
	const char *options, *said;
} bad[] = {
	{ "", "one of user, tap=NAME and fd=FD" },
	{ ",user,tap=t0", "one of user, tap=NAME and fd=FD" },
	{ ",user,fd=5", "one of user, tap=NAME and fd=FD" },
	{ ",tap=t0,publish=80:80", "publish=80:80: needs user" },
	{ ",user,mtu=67", "mtu=67" },
	{ ",user,mtu=65536", "mtu" },
	{ ",user,mac=", "mac=" },
	{ ",user,mac=02:00:00:00:00", "mac=" },
	{ ",user,mac=02:00:00:00:00:0", "mac=" },
	{ ",user,mac=02:00:00:00:00:011", "mac=" },
	{ ",user,mac=02:00:00:00:00:0g", "mac=" },
	{ ",user,mac=00:00:00:00:00:00", "mac=" },
	{ ",user,mac=03:00:00:00:00:01", "mac=" }, /* of a group */
	{ ",user,mac=02-00-00-00-00-01", "mac=" },
	{ ",user,publish=80", "publish=80" },
	{ ",tap=", "tap=" },
};

START_TEST(options_that_make_no_sense)
{
	char text[128];

	snprintf(text, sizeof(text), "virtio-net%s", bad[_i].options);
	ck_assert_int_eq(device_create(&tb.p, &tb.devices, text), -EUSAGE);
	ck_assert_msg(strstr(said, bad[_i].said), "%s", said);
}
END_TEST

START_TEST(descriptors_that_are_no_stream)
{
	char text[64];
	int fd[] = { 60000, dup(0), socket(AF_UNIX, SOCK_DGRAM, 0),
		     fcntl(pair[1], F_DUPFD_CLOEXEC, 0) };
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(fd); i++) {
		snprintf(text, sizeof(text), "virtio-net,fd=%d", fd[i]);
		ck_assert_int_eq(device_create(&tb.p, &tb.devices, text), -EBADF);
		ck_assert_ptr_nonnull(strstr(said, "no stream socket"));
		close(fd[i]);
	}
}
END_TEST

Suite *virtio_net_suite(void)
{
	Suite *s = suite_create("virtio_net");
	TCase *tc = unit_case(s, "device");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, config_space);
	tcase_add_test(tc, addresses_differ);
	tcase_add_test(tc, socket_has_frames_done_by_each_side);
	tcase_add_test(tc, explains_itself);
	tcase_add_loop_test(tc, options_that_make_no_sense, 0, ARRAY_SIZE(bad));
	tcase_add_test(tc, descriptors_that_are_no_stream);
	return s;
}

UNIT_MAIN(virtio_net_suite)
