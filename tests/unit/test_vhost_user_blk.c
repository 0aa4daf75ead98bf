/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/blk_driver.h"
#include "tests/lib/echo.h"
#include "tests/lib/user_server.h"
#include "tests/lib/vdriver.h"
#include "vmm/core/util.h"

Suite *vhost_user_blk_suite(void);

#define AT(field) offsetof(struct virtio_blk_config, field)

static struct testbed tb, far;
static struct echo echo;
static struct user_server server;
static struct vdriver v;
static uint8_t disk[60];

static void set_up(void)
{
	char text[128];

	testbed_init_shared(&tb);
	testbed_init(&far);
	echo_init(&echo, &far, "far0", VIRTIO_ON_PCI);
	le64_put(disk, 12345);
	le32_put(disk + AT(blk_size), 4096);
	le16_put(disk + AT(num_queues), 3);
	echo.vdev.config = disk;
	echo.vdev.config_len = sizeof(disk);
	echo.vdev.offered |= VIRTIO_BIT(VIRTIO_BLK_F_FLUSH) | VIRTIO_BIT(VIRTIO_BLK_F_CONFIG_WCE) |
			     VIRTIO_BIT(VIRTIO_BLK_F_SECURE_ERASE) | VIRTIO_BIT(VIRTIO_BLK_F_MQ);
	testbed_start(&far);
	user_server_start(&server, &echo.vdev);
	server.serve.protocol &= ~(1ull << USER_P_MQ);
	tb.p.cpus = 2;
	snprintf(text, sizeof(text), "vhost-user-blk,socket=%s", server.path);
	ck_assert_int_eq(device_create(&tb.p, &tb.devices, text), 0);
	ck_assert_str_eq(tb.devices.last->id, "user-blk0");
	testbed_start(&tb);
	ck_assert(vdriver_probe(&v, &tb, 0));
}

static void tear_down(void)
{
	vdriver_fini(&v);
	device_destroy_all(&tb.devices);
	user_server_end(&server);
	echo_fini(&echo);
	testbed_fini(&far);
	testbed_fini(&tb);
}

static uint64_t field(size_t at, unsigned len)
{
	uint8_t raw[8] = { 0 };

	vdriver_config_read(&v, at, raw, len);
	return le64_get(raw);
}

/* The server's own, but for the queues, which are as many as have been made; and no features with
 * fields that are beyond. */
START_TEST(what_a_driver_finds)
{
	ck_assert_uint_eq(v.device_id, VIRTIO_ID_BLOCK);
	ck_assert_uint_eq(field(0, 8), 12345);
	ck_assert_uint_eq(field(AT(blk_size), 4), 4096);
	ck_assert_uint_eq(field(AT(num_queues), 2), 2);
	ck_assert(v.offered & VIRTIO_BIT(VIRTIO_BLK_F_FLUSH));
	ck_assert(v.offered & VIRTIO_BIT(VIRTIO_BLK_F_MQ));
	ck_assert(!(v.offered & VIRTIO_BIT(VIRTIO_BLK_F_SECURE_ERASE)));
	ck_assert_uint_gt(vdriver_queue_max(&v, 1), 0);
	ck_assert_uint_eq(vdriver_queue_max(&v, 2), 0);
}
END_TEST

START_TEST(write_cache_is_switched)
{
	ck_assert(vdriver_start(&v, ~0ull, 2, 16));
	vdriver_config_write(&v, AT(wce), 1, 1);
	ck_assert_uint_eq(field(AT(wce), 1), 1);
	ck_assert_uint_eq(disk[AT(wce)], 1);
}
END_TEST

/* What is not for drivers to write does not come to the server (5.2.4). */
START_TEST(size_is_not_written)
{
	static const struct {
		unsigned at, len;
	} rows[] = { { 0, 4 }, { 0, 8 }, { AT(wce) - 1, 1 }, { AT(wce), 2 }, { AT(wce) + 1, 1 },
		     { AT(wce) - 3, 4 } };
	unsigned i;

	ck_assert(vdriver_start(&v, ~0ull, 2, 16));
	for (i = 0; i < ARRAY_SIZE(rows); i++)
		vdriver_config_write(&v, rows[i].at, 1, rows[i].len);
	ck_assert_uint_eq(atomic_load(&server.heard[USER_SET_CONFIG]), 0);
	ck_assert_uint_eq(field(0, 8), 12345);
}
END_TEST

START_TEST(grows)
{
	int tries;

	ck_assert(vdriver_start(&v, ~0ull, 2, 16));
	pthread_mutex_lock(&echo.vdev.lock);
	le64_put(disk, 54321);
	pthread_mutex_unlock(&echo.vdev.lock);
	user_server_config_changed(&server, false);
	for (tries = 0; field(0, 8) != 54321 && tries < 2000; tries++)
		usleep(5000);
	ck_assert_uint_eq(field(0, 8), 54321);
	ck_assert_uint_eq(field(AT(num_queues), 2), 2);
}
END_TEST

Suite *vhost_user_blk_suite(void)
{
	Suite *s = suite_create("vhost_user_blk");
	TCase *tc = unit_case(s, "disk");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, what_a_driver_finds);
	tcase_add_test(tc, write_cache_is_switched);
	tcase_add_test(tc, size_is_not_written);
	tcase_add_test(tc, grows);
	return s;
}

UNIT_MAIN(vhost_user_blk_suite)
