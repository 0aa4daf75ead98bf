/* SPDX-License-Identifier: MIT */
/*
 * test_reborn.c - whole devices that are saved, destroyed and restored before each of their
 * driver's accesses: the driver goes on.
 */
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/lib/blk_driver.h"
#include "tests/lib/console_driver.h"
#include "tests/lib/net_driver.h"
#include "tests/lib/scsi_driver.h"
#include "vmm/core/log.h"
#include "vmm/core/state.h"
#include "vmm/core/util.h"

Suite *reborn_suite(void);

static struct testbed tb;
static struct vdriver v, second;

/* From here on at every step. */
static void start(void)
{
	log_set_level(LOG_ERR);
	testbed_start(&tb);
	tb.step = testbed_rebirth;
	tb.step_arg = &tb;
	ck_assert(vdriver_probe(&v, &tb, 0));
}

static void tear_down(void)
{
	tb.step = NULL;
	vdriver_fini(&v);
	vdriver_fini(&second);
	testbed_fini(&tb);
}

/* A disk on two controllers. */

static char image[] = "/tmp/reborn-XXXXXX", disk[64];

static void set_up_scsi(void)
{
	int fd = mkstemp(image);

	ck_assert_int_eq(ftruncate(fd, MIB(1)), 0);
	close(fd);
	snprintf(disk, sizeof(disk), "scsi-disk,%s,bus=s0+s1", image);
	testbed_init(&tb);
	testbed_device(&tb, "virtio-scsi,id=s0,queues=1,queue-size=16");
	testbed_device(&tb, "virtio-scsi,id=s1,queues=1,queue-size=16,transport=mmio");
	testbed_device(&tb, disk);
	start();
	ck_assert(vdriver_start(&v, ~0ull, 3, 16));
	ck_assert(vdriver_probe(&second, &tb, 1));
	ck_assert(vdriver_start(&second, ~0ull, 3, 16));
}

static void tear_down_disk(void)
{
	tear_down();
	unlink(image);
}

static void check_status(struct scsi_driver_answer a, uint8_t status)
{
	ck_assert_int_ge(a.used, 0);
	ck_assert_uint_eq(a.response, 0);
	ck_assert_uint_eq(a.status, status);
}

static struct scsi_driver_answer tur(struct vdriver *driver)
{
	return scsi_driver_run(driver, 2, 0, SCSI_DRIVER_CDB(0x00), NULL, 0, NULL, 0);
}

START_TEST(scsi_data)
{
	uint8_t out[4096], in[4096], cdb[32];
	unsigned i;

	scsi_driver_clear_attention(&v, 0);
	for (i = 0; i < 4; i++) {
		memset(out, 'a' + i, sizeof(out));
		scsi_driver_rw(cdb, true, 8 * i, 8);
		check_status(scsi_driver_run(&v, 2, 0, cdb, out, sizeof(out), NULL, 0), 0);
		scsi_driver_rw(cdb, false, 8 * i, 8);
		check_status(scsi_driver_run(&v, 2, 0, cdb, NULL, 0, in, sizeof(in)), 0);
		ck_assert_mem_eq(in, out, sizeof(in));
	}
}
END_TEST

/* One of power on for each, once; none of another power on. */
START_TEST(scsi_attentions)
{
	struct scsi_driver_answer a = tur(&v);

	check_status(a, 2);
	ck_assert_uint_eq(a.sense[12], 0x29);
	check_status(tur(&v), 0);
	check_status(tur(&v), 0);
	check_status(tur(&second), 2);
	check_status(tur(&second), 0);
}
END_TEST

START_TEST(scsi_reservation)
{
	uint8_t parameters[24] = { 0 }, cdb[32], block[512] = { 0 };

	scsi_driver_clear_attention(&v, 0);
	scsi_driver_clear_attention(&second, 0);
	be64_put(parameters + 8, 0x4711);
	check_status(scsi_driver_run(&v, 2, 0, SCSI_DRIVER_CDB(0x5f, 0, [8] = 24), parameters, 24,
				     NULL, 0), 0);
	be64_put(parameters, 0x4711);
	check_status(scsi_driver_run(&v, 2, 0, SCSI_DRIVER_CDB(0x5f, 1, 1, [8] = 24), parameters,
				     24, NULL, 0), 0);
	scsi_driver_rw(cdb, true, 0, 1);
	check_status(scsi_driver_run(&second, 2, 0, cdb, block, 512, NULL, 0), 0x18);
	check_status(scsi_driver_run(&v, 2, 0, cdb, block, 512, NULL, 0), 0);
	ck_assert_int_eq(scsi_driver_tmf(&v, VIRTIO_SCSI_T_TMF_LOGICAL_UNIT_RESET, 0, 0), 0);
}
END_TEST

/* The sizes that the driver has chosen for the fields of a request. */
START_TEST(scsi_sizes)
{
	uint8_t size[4];

	vdriver_reset(&v);
	vdriver_fini(&v);
	ck_assert(vdriver_probe(&v, &tb, 1));
	vdriver_config_write(&v, offsetof(struct virtio_scsi_config, cdb_size), 16, 4);
	vdriver_config_read(&v, offsetof(struct virtio_scsi_config, cdb_size), size, 4);
	ck_assert_uint_eq(le32_get(size), 16);
}
END_TEST

/* A disk without SCSI. */

static void set_up_blk(void)
{
	int fd = mkstemp(image);

	ck_assert_int_eq(ftruncate(fd, MIB(1)), 0);
	close(fd);
	snprintf(disk, sizeof(disk), "virtio-blk,%s,queue-size=16", image);
	testbed_init(&tb);
	testbed_device(&tb, disk);
	start();
	ck_assert(vdriver_start(&v, ~0ull, 1, 16));
}

/* And whether it has a cache, as the driver wants it. */
START_TEST(blk_data)
{
	const size_t wce = offsetof(struct virtio_blk_config, wce);
	uint8_t out[4096], in[4096], cache = 1;
	unsigned i;

	vdriver_config_write(&v, wce, 0, 1);
	for (i = 0; i < 4; i++) {
		memset(out, 'a' + (int)i, sizeof(out));
		ck_assert_uint_eq(blk_driver_rw(&v, 0, true, 8 * i, out, sizeof(out)).status, 0);
		ck_assert_uint_eq(blk_driver_rw(&v, 0, false, 8 * i, in, sizeof(in)).status, 0);
		ck_assert_mem_eq(in, out, sizeof(in));
	}
	vdriver_config_read(&v, wce, &cache, 1);
	ck_assert_uint_eq(cache, 0);
}
END_TEST

/* A port with both directions, and the terminal. */

static struct console_terminal term;
static int to_guest[2], from_guest[2];
static char port[96];

static void set_up_console(void)
{
	testbed_init(&tb);
	console_terminal_init(&term, &tb);
	ck_assert_int_eq(pipe(to_guest), 0);
	ck_assert_int_eq(pipe(from_guest), 0);
	snprintf(port, sizeof(port), "console-port,name=p,in-fd=%d,out-fd=%d", to_guest[0],
		 from_guest[1]);
	testbed_device(&tb, "virtio-console");
	testbed_device(&tb, port);
	start();
	ck_assert(vdriver_start(&v, ~0ull, CONSOLE_TX(1) + 1, 32));
	ck_assert(console_open(&v, 0, 2));
}

static void tear_down_console(void)
{
	unsigned i;

	tear_down();
	console_terminal_fini(&term);
	for (i = 0; i < 2; i++) {
		close(to_guest[i]);
		close(from_guest[i]);
	}
}

START_TEST(console_data)
{
	char buf[64];
	unsigned i;

	for (i = 0; i < 3; i++) {
		struct iovec out = { (char[]){ "from" }, 4 };

		ck_assert_int_eq(vdriver_request(&v, CONSOLE_TX(1), &out, 1, NULL, 0,
						 CONSOLE_WAIT_MS), 0);
		ck_assert_int_eq(read(from_guest[0], buf, sizeof(buf)), 4);
		ck_assert_mem_eq(buf, "from", 4);
		ck_assert_int_eq(write(to_guest[1], "to", 2), 2);
		console_give(&v, CONSOLE_RX(1), 64);
		ck_assert_int_eq(console_take(&v, CONSOLE_RX(1), buf, sizeof(buf),
					      CONSOLE_WAIT_MS), 2);
		ck_assert_mem_eq(buf, "to", 2);
	}
	console_put(&v, CONSOLE_TX(0), "hello", 5);
	ck_assert(console_terminal_shows(&term, "hello", 5));
}
END_TEST

/* Its reader is slow: nothing waits for it, and each byte comes once. */
START_TEST(console_stalled)
{
	size_t size = KIB(200), got = 0;
	char *data = malloc(size), *back = malloc(size);
	struct vdriver_queue *vq = &v.queue[CONSOLE_TX(1)];
	struct driver_buf buf = { .gpa = vq->arena, .len = size };
	unsigned i;

	for (i = 0; i < size; i++)
		data[i] = i * 7 + (i >> 8);
	mem_write(&tb.mem, vq->arena, data, size);
	ck_assert_int_ge(driver_add(&vq->ring, &buf, 1, 0), 0);
	vdriver_kick(&v, CONSOLE_TX(1));
	while (got < size) {
		ssize_t n;

		vdriver_status(&v);
		n = read(from_guest[0], back + got, size - got);
		ck_assert_int_gt(n, 0);
		got += n;
	}
	ck_assert_mem_eq(back, data, size);
	free(data);
	free(back);
}
END_TEST

/* A socket. */

static int pair[2];
static char net[64];
static uint8_t got[NET_HDR_LEN + NET_FRAME_MAX], frame[1500];

static void set_up_net(void)
{
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	snprintf(net, sizeof(net), "virtio-net,fd=%d", pair[1]);
	testbed_init(&tb);
	testbed_device(&tb, net);
	start();
	ck_assert(vdriver_start(&v, NET_ALL, NET_QUEUES, 64));
}

static void tear_down_net(void)
{
	tear_down();
	close(pair[0]);
	close(pair[1]);
}

/* The address, which was one by chance, stays; and frames come both ways. */
START_TEST(net_frames)
{
	uint8_t mac[2][6];
	unsigned i;

	vdriver_config_read(&v, 0, mac[0], 6);
	for (i = 0; i < 3; i++) {
		net_fill(frame, sizeof(frame), i);
		ck_assert_int_eq(net_send(&v, NULL, frame, sizeof(frame)), 0);
		ck_assert(net_peer_gets(pair[0], frame, sizeof(frame)));
		net_give(&v, 2048);
		net_give(&v, 2048);
		ck_assert(net_peer_sends(pair[0], frame, sizeof(frame)));
		ck_assert_int_eq(net_take(&v, got, sizeof(got), NET_WAIT_MS), sizeof(frame));
		ck_assert_mem_eq(got + NET_HDR_LEN, frame, sizeof(frame));
	}
	vdriver_config_read(&v, 0, mac[1], 6);
	ck_assert_mem_eq(mac[0], mac[1], 6);
}
END_TEST

/* Each byte is changed in turn: what is refused changes nothing, the rest hurts nobody. */
START_TEST(changed_bytes)
{
	uint8_t *data, *other, *now;
	size_t len, at, n;

	tb.step = NULL;
	if (v.device_id == VIRTIO_ID_CONSOLE) /* for whatever it may have to say */
		console_give(&v, CONSOLE_CTL_RX, 128);
	testbed_settle(&tb);
	device_pause_all(&tb.devices, true);
	ck_assert_int_eq(state_save(device_state_all, &tb.devices, &data, &len), 0);
	other = malloc(len);
	for (at = 0; at < len; at++) {
		memcpy(other, data, len);
		other[at] ^= 1 << (at + _i) % 8;
		if (state_restore(device_state_all, &tb.devices, other, len) == 0) {
			device_pause_all(&tb.devices, false);
			testbed_settle(&tb);
			device_pause_all(&tb.devices, true);
			ck_assert_int_eq(state_restore(device_state_all, &tb.devices, data, len),
					 0);
		}
		ck_assert_int_eq(state_save(device_state_all, &tb.devices, &now, &n), 0);
		ck_assert_uint_eq(n, len);
		ck_assert_mem_eq(now, data, len);
		free(now);
	}
	free(other);
	free(data);
	device_pause_all(&tb.devices, false);
}
END_TEST

Suite *reborn_suite(void)
{
	Suite *s = suite_create("reborn");
	TCase *tc = unit_case(s, "scsi");

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, set_up_scsi, tear_down_disk);
	tcase_add_test(tc, scsi_data);
	tcase_add_test(tc, scsi_attentions);
	tcase_add_test(tc, scsi_reservation);
	tcase_add_test(tc, scsi_sizes);
	tcase_add_loop_test(tc, changed_bytes, 0, unit_rows(8));

	tc = unit_case(s, "blk");
	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, set_up_blk, tear_down_disk);
	tcase_add_test(tc, blk_data);
	tcase_add_loop_test(tc, changed_bytes, 0, unit_rows(8));

	tc = unit_case(s, "console");
	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, set_up_console, tear_down_console);
	tcase_add_test(tc, console_data);
	tcase_add_test(tc, console_stalled);
	tcase_add_loop_test(tc, changed_bytes, 0, unit_rows(8));

	tc = unit_case(s, "net");
	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, set_up_net, tear_down_net);
	tcase_add_test(tc, net_frames);
	tcase_add_loop_test(tc, changed_bytes, 0, unit_rows(8));
	return s;
}

UNIT_MAIN(reborn_suite)
