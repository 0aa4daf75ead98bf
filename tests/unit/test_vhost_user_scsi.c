/* SPDX-License-Identifier: MIT */
/* A SCSI controller that is served by lunette's own, of another machine, behind a socket. */
#include "tests/unit/unit.h"

#include <linux/virtio_ids.h>
#include <linux/virtio_scsi.h>
#include <stdio.h>
#include <string.h>

#include "tests/lib/scsi_driver.h"
#include "tests/lib/user_server.h"
#include "vmm/core/util.h"

Suite *vhost_user_scsi_suite(void);

static struct testbed tb, far;
static struct user_server server;
static struct vdriver v;

static void set_up(void)
{
	const struct device *controller;
	char text[128];

	testbed_init_shared(&tb);
	testbed_init(&far);
	testbed_device(&far, "virtio-scsi,id=s0,queues=2,vhost=off");
	testbed_device(&far, "scsi-disk,store=null,size=1M,bus=s0");
	testbed_start(&far);
	controller = device_find(&far.devices, "virtio-scsi", NULL);
	user_server_start(&server, controller->class->virtio((struct device *)controller));
	tb.p.cpus = 2;
	snprintf(text, sizeof(text), "vhost-user-scsi,socket=%s", server.path);
	ck_assert_int_eq(device_create(&tb.p, &tb.devices, text), 0);
	ck_assert_str_eq(tb.devices.last->id, "user-scsi0");
	testbed_start(&tb);
	ck_assert(vdriver_probe(&v, &tb, 0));
}

static void tear_down(void)
{
	vdriver_fini(&v);
	device_destroy_all(&tb.devices);
	user_server_end(&server);
	testbed_fini(&far);
	testbed_fini(&tb);
}

static uint32_t field(size_t at)
{
	uint8_t raw[4];

	vdriver_config_read(&v, at, raw, sizeof(raw));
	return le32_get(raw);
}

START_TEST(what_a_driver_finds)
{
	ck_assert_uint_eq(v.device_id, VIRTIO_ID_SCSI);
	ck_assert_uint_eq(field(offsetof(struct virtio_scsi_config, num_queues)), 2);
	ck_assert_uint_eq(field(offsetof(struct virtio_scsi_config, sense_size)), 96);
	ck_assert_uint_eq(field(offsetof(struct virtio_scsi_config, cdb_size)), 32);
	ck_assert_uint_gt(vdriver_queue_max(&v, 3), 0);
	ck_assert_uint_eq(vdriver_queue_max(&v, 4), 0);
}
END_TEST

/* Commands, by each queue, and task management. */
START_TEST(a_disk_behind_it)
{
	struct scsi_driver_answer a;
	uint8_t data[4096], cdb[32] = { 0 };
	unsigned q;

	ck_assert(vdriver_start(&v, ~0ull, 4, 64));
	scsi_driver_clear_attention(&v, 0);
	for (q = 2; q < 4; q++) {
		scsi_driver_rw(cdb, false, 8, 8);
		memset(data, 0xff, sizeof(data));
		a = scsi_driver_run(&v, q, 0, cdb, NULL, 0, data, sizeof(data));
		ck_assert_int_gt(a.used, (int64_t)sizeof(data));
		ck_assert_uint_eq(a.response, VIRTIO_SCSI_S_OK);
		ck_assert_uint_eq(a.status, 0);
		ck_assert_uint_eq(data[0] | data[4095], 0);
	}
	ck_assert_int_eq(scsi_driver_tmf(&v, VIRTIO_SCSI_T_TMF_LOGICAL_UNIT_RESET, 0, 0),
			 VIRTIO_SCSI_S_OK); /* FUNCTION COMPLETE */
	a = scsi_driver_run(&v, 2, 1, SCSI_DRIVER_CDB(0), NULL, 0, NULL, 0);
	ck_assert_uint_eq(a.status, 2); /* no such LUN */
}
END_TEST

Suite *vhost_user_scsi_suite(void)
{
	Suite *s = suite_create("vhost_user_scsi");
	TCase *tc = unit_case(s, "controller");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, what_a_driver_finds);
	tcase_add_test(tc, a_disk_behind_it);
	return s;
}

UNIT_MAIN(vhost_user_scsi_suite)
