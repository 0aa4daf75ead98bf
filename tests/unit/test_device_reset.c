/* SPDX-License-Identifier: MIT */
/* Devices that a guest has used are as new for the next one; their disks are not. */
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "devices/devices.h"
#include "tests/lib/scsi_driver.h"
#include "tests/lib/stderr.h"
#include "vmm/core/bus.h"
#include "vmm/core/log.h"
#include "vmm/core/state.h"
#include "vmm/core/util.h"

Suite *device_reset_suite(void);

static struct testbed tb;
static struct vdriver v;
static char image[] = "/tmp/device-reset-XXXXXX", disk[64];

static const char *const transports[] = { "pci", "mmio" };

static void set_up(const char *transport)
{
	int fd = mkstemp(image);
	char text[64];

	ck_assert_int_eq(ftruncate(fd, MIB(1)), 0);
	close(fd);
	log_set_level(LOG_ERR);
	snprintf(disk, sizeof(disk), "scsi-disk,%s", image);
	snprintf(text, sizeof(text), "virtio-scsi,queues=1,queue-size=16,transport=%s", transport);
	testbed_init(&tb);
	testbed_device(&tb, text);
	testbed_device(&tb, disk);
	testbed_start(&tb);
	ck_assert_int_eq(device_keep_fresh(&tb.devices), 0);
}

static void tear_down(void)
{
	vdriver_fini(&v);
	testbed_fini(&tb);
	unlink(image);
}

static void saved(uint8_t **data, size_t *len)
{
	device_pause_all(&tb.devices, true);
	ck_assert_int_eq(state_save(device_state_all, &tb.devices, data, len), 0);
	device_pause_all(&tb.devices, false);
}

static void use(uint8_t wanted)
{
	uint8_t out[512], in[512], cdb[32];
	struct scsi_driver_answer a;

	ck_assert(vdriver_probe(&v, &tb, 0));
	ck_assert(vdriver_start(&v, ~0ull, 3, 16));
	a = scsi_driver_run(&v, 2, 0, SCSI_DRIVER_CDB(0x00), NULL, 0, NULL, 0);
	ck_assert_uint_eq(a.status, 2); /* power on, for each driver once */
	ck_assert_uint_eq(a.sense[12], 0x29);
	scsi_driver_rw(cdb, false, 0, 1);
	a = scsi_driver_run(&v, 2, 0, cdb, NULL, 0, in, sizeof(in));
	ck_assert_uint_eq(a.status, 0);
	ck_assert_uint_eq(in[0], wanted);
	memset(out, wanted + 1, sizeof(out));
	scsi_driver_rw(cdb, true, 0, 1);
	a = scsi_driver_run(&v, 2, 0, cdb, out, sizeof(out), NULL, 0);
	ck_assert_uint_eq(a.status, 0);
}

START_TEST(used_and_reset)
{
	uint8_t *fresh = NULL, *now;
	size_t len, n;
	unsigned i;

	set_up(transports[_i]);
	for (i = 0; i < 3; i++) {
		use((uint8_t)i);
		device_pause_all(&tb.devices, true);
		ck_assert_int_eq(device_reset_all(&tb.devices), 0);
		device_pause_all(&tb.devices, false);
		vdriver_fini(&v);
		saved(&now, &n);
		if (i > 0) { /* what the first driver has changed once is the disk's */
			ck_assert_uint_eq(n, len);
			ck_assert_mem_eq(now, fresh, len);
		}
		free(fresh);
		fresh = now;
		len = n;
	}
	free(fresh);
	memset(&v, 0, sizeof(v));
	ck_assert(vdriver_probe(&v, &tb, 0));
	tear_down();
}
END_TEST

/* One that came while the guest ran has nothing that was kept, and stays. */
START_TEST(plugged_meanwhile)
{
	char other[] = "/tmp/device-reset-XXXXXX", text[64];
	int fd = mkstemp(other);
	struct device *dev;

	ck_assert_int_eq(ftruncate(fd, MIB(1)), 0);
	close(fd);
	set_up("pci");
	snprintf(text, sizeof(text), "scsi-disk,%s", other);
	ck_assert_int_eq(device_plug(&tb.p, &tb.devices, text, &dev), 0);
	use(0);
	device_pause_all(&tb.devices, true);
	ck_assert_int_eq(device_reset_all(&tb.devices), 0);
	device_pause_all(&tb.devices, false);
	ck_assert_ptr_eq(device_by_id(&tb.devices, dev->id), dev);
	vdriver_fini(&v);
	use(1);
	tear_down();
	unlink(other);
}
END_TEST

/* Registers that are not virtio's. */
static uint8_t cells[2], broken;

static void visit(struct device *dev, struct state *s)
{
	(void)dev;
	state_bytes(s, cells, sizeof(cells));
	state_check(s, !broken);
}

static void no_destroy(struct device *dev)
{
	(void)dev;
}

START_TEST(plain_registers)
{
	static const struct device_class class = { .name = "x", .state = visit,
						   .destroy = no_destroy };
	static struct device dev = { .class = &class, .id = "x0" };
	struct device_list list = { &dev };
	struct stderr_text said;

	cells[0] = 1;
	cells[1] = 2;
	ck_assert_int_eq(device_keep_fresh(&list), 0);
	cells[1] = 3;
	ck_assert_int_eq(device_reset_all(&list), 0);
	ck_assert_uint_eq(cells[0], 1);
	ck_assert_uint_eq(cells[1], 2);
	stderr_begin(&said);
	broken = 1;
	ck_assert_int_eq(device_reset_all(&list), -EINVAL);
	free(dev.fresh);
	ck_assert_int_eq(device_keep_fresh(&list), -EINVAL);
	ck_assert_str_eq(stderr_end(&said),
			 "lunette: error: x0: cannot be made what it was at the start: Invalid "
			 "argument\n"
			 "lunette: error: x0: what it is at the start cannot be kept: Invalid "
			 "argument\n");
}
END_TEST

Suite *device_reset_suite(void)
{
	Suite *s = suite_create("device_reset");
	TCase *tc = unit_case(s, "reset");

	tcase_set_timeout(tc, 30);
	tcase_add_loop_test(tc, used_and_reset, 0, ARRAY_SIZE(transports));
	tcase_add_test(tc, plugged_meanwhile);
	tcase_add_test(tc, plain_registers);
	return s;
}

UNIT_MAIN(device_reset_suite)
