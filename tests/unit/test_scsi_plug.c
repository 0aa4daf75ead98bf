/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "devices/scsi/scsi.h"
#include "devices/scsi_host.h"
#include "devices/scsi_plug.h"
#include "devices/virtio_scsi.h"
#include "tests/lib/ramstore.h"
#include "tests/lib/scsi_driver.h"
#include "tests/lib/stderr.h"
#include "virtio/virtio.h"
#include "vmm/core/util.h"

Suite *scsi_plug_suite(void);

#define EVENT_LEN sizeof(struct virtio_scsi_event)

static struct testbed tb;
static struct vdriver v;
static struct ramstore *ram;
static struct scsi_lun lun[3];
static struct scsi_host *host;
static struct stderr_text said;

/* LUN 3 is there from the start; 4, and 300 of target 2, can come. */
static void set_up(void)
{
	static const uint16_t numbers[] = { 3, 4, 300 };
	unsigned i;

	testbed_init(&tb);
	ck_assert_int_eq(device_create(&tb.p, &tb.devices,
				       "virtio-scsi,queues=2,iothreads=2,queue-size=16"), 0);
	ram = ramstore_open(2048 * 512);
	for (i = 0; i < 3; i++)
		scsi_lun_init(&lun[i], &ram->block, numbers[i], "ram");
	lun[2].target = 2;
	ck_assert_int_eq(scsi_port_add(virtio_scsi_port(tb.devices.last), &lun[0]), 0);
	testbed_start(&tb);
	host = virtio_scsi_host(tb.devices.last);
}

static void start(uint64_t features)
{
	ck_assert(vdriver_probe(&v, &tb, 0));
	ck_assert(vdriver_start(&v, features, SCSI_HOST_REQUEST + 2, 16));
	scsi_driver_clear_attention(&v, 3);
}

static void tear_down(void)
{
	unsigned i;

	vdriver_fini(&v);
	virtio_scsi_stop(tb.devices.last);
	device_destroy_all(&tb.devices);
	for (i = 0; i < 3; i++)
		scsi_lun_fini(&lun[i]);
	ramstore_close(ram);
	testbed_fini(&tb);
}

/* Gives the device a buffer for one event. */
static uint64_t give(uint32_t len)
{
	uint64_t gpa = testbed_alloc(&tb, 64, 16);
	struct driver_buf buf = { gpa, len, true };

	ck_assert_int_ge(driver_add(&v.queue[SCSI_HOST_EVENT].ring, &buf, 1, 0), 0);
	vdriver_kick(&v, SCSI_HOST_EVENT);
	testbed_settle(&tb);
	return gpa;
}

static bool came(void)
{
	uint16_t head;
	uint32_t len;

	if (!driver_used(&v.queue[SCSI_HOST_EVENT].ring, &head, &len))
		return false;
	ck_assert_uint_eq(len, EVENT_LEN);
	return true;
}

static void check(uint64_t gpa, uint32_t event, const char *address, uint32_t reason)
{
	uint8_t got[EVENT_LEN];

	ck_assert(came());
	mem_read(&tb.mem, gpa, got, sizeof(got));
	ck_assert_uint_eq(le32_get(got), event);
	ck_assert_mem_eq(got + 4, address, 8);
	ck_assert_uint_eq(le32_get(got + 12), reason);
}

static uint8_t status_of(uint8_t target, uint16_t number, uint8_t *response)
{
	struct virtio_scsi_cmd_req req;
	struct scsi_driver_answer a;

	scsi_driver_header(&req, number, 1, SCSI_DRIVER_CDB(0x00));
	scsi_driver_lun(req.lun, target, number);
	a = scsi_driver_raw(&v, 3, &req, sizeof(req), sizeof(struct virtio_scsi_cmd_resp), NULL, 0,
			    NULL, 0);
	*response = a.response;
	return a.status;
}

START_TEST(plug_and_unplug)
{
	uint64_t near, far;
	uint8_t response;

	start(~0ull);
	near = give(EVENT_LEN);
	far = give(EVENT_LEN);
	ck_assert_int_eq(scsi_plug_add(host, &lun[1]), 0);
	check(near, VIRTIO_SCSI_T_TRANSPORT_RESET, "\1\0\0\4\0\0\0\0",
	      VIRTIO_SCSI_EVT_RESET_RESCAN);
	ck_assert_uint_eq(status_of(0, 4, &response), SCSI_CHECK_CONDITION); /* POWER ON */
	ck_assert_uint_eq(status_of(0, 4, &response), SCSI_GOOD);
	ck_assert_uint_eq(status_of(0, 3, &response), SCSI_CHECK_CONDITION); /* LUNS CHANGED */
	ck_assert_int_eq(scsi_plug_add(host, &lun[1]), -EEXIST);
	ck_assert_int_eq(scsi_plug_add(host, &lun[2]), 0);
	ck_assert_uint_eq(status_of(0, 3, &response), SCSI_GOOD); /* not of this target */
	check(far, VIRTIO_SCSI_T_TRANSPORT_RESET, "\1\2\x41\x2c\0\0\0\0",
	      VIRTIO_SCSI_EVT_RESET_RESCAN);
	ck_assert_uint_eq(status_of(2, 300, &response), SCSI_CHECK_CONDITION);
	ck_assert_uint_eq(response, VIRTIO_SCSI_S_OK);

	far = give(EVENT_LEN);
	scsi_plug_remove(host, &lun[2]);
	check(far, VIRTIO_SCSI_T_TRANSPORT_RESET, "\1\2\x41\x2c\0\0\0\0",
	      VIRTIO_SCSI_EVT_RESET_REMOVED);
	status_of(2, 300, &response);
	ck_assert_uint_eq(response, VIRTIO_SCSI_S_BAD_TARGET);
	scsi_plug_remove(host, &lun[2]); /* is gone already */
	ck_assert(!came());
}
END_TEST

START_TEST(resize)
{
	uint64_t gpa;
	uint8_t data[8];

	start(~0ull);
	gpa = give(EVENT_LEN);
	ram->bytes = realloc(ram->bytes, 4096 * 512);
	ram->block.size = 4096 * 512;
	scsi_plug_resized(host, &lun[0]);
	check(gpa, VIRTIO_SCSI_T_PARAM_CHANGE, "\1\0\0\3\0\0\0\0", 0x092a);
	scsi_driver_clear_attention(&v, 3);
	scsi_driver_run(&v, 2, 3, SCSI_DRIVER_CDB(0x25), NULL, 0, data, 8);
	ck_assert_uint_eq(be32_get(data), 4095);
}
END_TEST

/* What found no buffer is told of with the next one, once. */
START_TEST(missed)
{
	uint64_t first, second;

	start(~0ull);
	ck_assert_int_eq(scsi_plug_add(host, &lun[1]), 0);
	scsi_plug_remove(host, &lun[1]);
	ck_assert(!came());
	first = give(EVENT_LEN);
	check(first, VIRTIO_SCSI_T_EVENTS_MISSED, "\0\0\0\0\0\0\0\0", 0);
	second = give(EVENT_LEN);
	ck_assert(!came());
	ck_assert_int_eq(scsi_plug_add(host, &lun[1]), 0);
	check(second, VIRTIO_SCSI_T_TRANSPORT_RESET, "\1\0\0\4\0\0\0\0",
	      VIRTIO_SCSI_EVT_RESET_RESCAN);
}
END_TEST

/* So is what happened in a pause, or before it. */
START_TEST(missed_in_a_pause)
{
	start(~0ull);
	if (_i)
		ck_assert_int_eq(scsi_plug_add(host, &lun[1]), 0);
	device_pause_all(&tb.devices, true);
	if (!_i)
		ck_assert_int_eq(scsi_plug_add(host, &lun[1]), 0);
	device_pause_all(&tb.devices, false);
	check(give(EVENT_LEN), VIRTIO_SCSI_T_EVENTS_MISSED, "\0\0\0\0\0\0\0\0", 0);
	scsi_plug_remove(host, &lun[1]);
}
END_TEST

/* A driver that has not taken the feature is left in peace, and so is one that is not there. */
START_TEST(not_wanted)
{
	ck_assert_int_eq(scsi_plug_add(host, &lun[1]), 0);
	scsi_plug_remove(host, &lun[1]);
	start(VIRTIO_BIT(VIRTIO_SCSI_F_HOTPLUG));
	give(EVENT_LEN);
	scsi_plug_resized(host, &lun[0]);
	ck_assert(!came());
	ck_assert_int_eq(scsi_plug_add(host, &lun[1]), 0);
	ck_assert(came());
}
END_TEST

START_TEST(buffer_too_short)
{
	start(~0ull);
	give(EVENT_LEN - 1);
	stderr_begin(&said);
	ck_assert_int_eq(scsi_plug_add(host, &lun[1]), 0);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "event buffer shorter than an event"));
	ck_assert(vdriver_status(&v) & VIRTIO_CONFIG_S_NEEDS_RESET);
}
END_TEST

/* With a request in flight on each thread: it ends before the LUN is gone. */
START_TEST(unplug_in_flight)
{
	struct virtio_scsi_cmd_req req;
	struct virtio_scsi_cmd_resp resp;
	uint8_t cdb[32];
	unsigned q;
	uint64_t gpa[2];

	start(~0ull);
	ram->hold = true;
	scsi_driver_rw(cdb, true, 0, 1);
	scsi_driver_header(&req, 3, 9, cdb);
	for (q = 0; q < 2; q++) {
		struct driver_buf buf[3];

		gpa[q] = testbed_alloc(&tb, 2048, 16);
		buf[0] = (struct driver_buf){ gpa[q], sizeof(req), false };
		buf[1] = (struct driver_buf){ gpa[q] + 1024, 512, false };
		buf[2] = (struct driver_buf){ gpa[q] + 512, sizeof(resp), true };
		mem_write(&tb.mem, gpa[q], &req, sizeof(req));
		ck_assert_int_ge(driver_add(&v.queue[2 + q].ring, buf, 3,
					    testbed_alloc(&tb, 48, 16)), 0);
		vdriver_kick(&v, 2 + q);
	}
	testbed_settle(&tb);
	scsi_plug_remove(host, &lun[0]);
	testbed_settle(&tb); /* what a round has answered is shown to the driver at its end */
	for (q = 0; q < 2; q++) {
		uint16_t head;
		uint32_t len;

		ck_assert(driver_used(&v.queue[2 + q].ring, &head, &len));
		mem_read(&tb.mem, gpa[q] + 512, &resp, sizeof(resp));
		ck_assert_uint_eq(resp.response, VIRTIO_SCSI_S_RESET);
	}
	ram->hold = false;
}
END_TEST

/* Of both threads together. */
START_TEST(counters)
{
	struct block_counters sum = { 0 };
	uint8_t data[1024] = { 0 }, cdb[32];
	uint64_t timed = 0;
	unsigned q, i;

	start(~0ull);
	scsi_plug_count(host, &lun[0], &sum);
	ck_assert_uint_ge(sum.errors, 1); /* POWER ON */
	memset(&sum, 0, sizeof(sum));
	scsi_plug_count(host, &lun[1], &sum);
	ck_assert_uint_eq(sum.commands, 0);

	ck_assert_int_eq(scsi_plug_add(host, &lun[1]), 0);
	scsi_driver_clear_attention(&v, 4);
	for (q = 2; q < 4; q++) {
		scsi_driver_rw(cdb, true, 0, 2);
		scsi_driver_run(&v, q, 4, cdb, data, 1024, NULL, 0);
		scsi_driver_rw(cdb, false, 0, 1);
		scsi_driver_run(&v, q, 4, cdb, NULL, 0, data, 512);
		scsi_driver_run(&v, q, 4, SCSI_DRIVER_CDB(0x35), NULL, 0, NULL, 0);
		scsi_driver_run(&v, q, 4, SCSI_DRIVER_CDB(0xff), NULL, 0, NULL, 0);
	}
	scsi_driver_tmf(&v, VIRTIO_SCSI_T_TMF_LOGICAL_UNIT_RESET, 4, 0);
	scsi_plug_count(host, &lun[1], &sum);
	ck_assert_uint_eq(sum.commands, 2 + 8);
	ck_assert_uint_eq(sum.errors, 1 + 2);
	ck_assert_uint_eq(sum.reads, 2);
	ck_assert_uint_eq(sum.writes, 2);
	ck_assert_uint_eq(sum.written, 2048);
	ck_assert_uint_eq(sum.read, 1024);
	ck_assert_uint_eq(sum.flushes, 2);
	ck_assert_uint_eq(sum.resets, 1);
	for (i = 0; i < BLOCK_LATENCIES; i++)
		timed += sum.latency[i];
	ck_assert_uint_eq(timed, sum.commands);
}
END_TEST

Suite *scsi_plug_suite(void)
{
	Suite *s = suite_create("scsi_plug");
	TCase *tc = unit_case(s, "scsi_plug");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, plug_and_unplug);
	tcase_add_test(tc, resize);
	tcase_add_test(tc, missed);
	tcase_add_loop_test(tc, missed_in_a_pause, 0, 2);
	tcase_add_test(tc, not_wanted);
	tcase_add_test(tc, buffer_too_short);
	tcase_add_test(tc, unplug_in_flight);
	tcase_add_test(tc, counters);
	return s;
}

UNIT_MAIN(scsi_plug_suite)
