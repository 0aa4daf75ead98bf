/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "devices/scsi_disk.h"
#include "devices/scsi_host.h"
#include "tests/lib/scsi_driver.h"
#include "tests/lib/stderr.h"
#include "vmm/core/fail.h"
#include "vmm/core/util.h"

Suite *scsi_live_suite(void);

static struct testbed tb;
static struct vdriver v;
static struct stderr_text said;
static char dir[64], path[100];

/* A disk as LUN 0, a CD-ROM drive with a medium as LUN 1. */
static void set_up(void)
{
	static const char *const files[] = { "disk.img", "cd.iso", "other.iso" };
	char text[200];
	unsigned i;

	snprintf(dir, sizeof(dir), "/tmp/lunette-live-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	for (i = 0; i < ARRAY_SIZE(files); i++) {
		FILE *f;

		snprintf(path, sizeof(path), "%s/%s", dir, files[i]);
		f = fopen(path, "w");
		ck_assert_int_eq(ftruncate(fileno(f), MIB(1 + i)), 0);
		fclose(f);
	}
	testbed_init(&tb);
	ck_assert_int_eq(device_create(&tb.p, &tb.devices, "virtio-scsi,id=s0"), 0);
	snprintf(path, sizeof(path), "%s/disk.img", dir);
	snprintf(text, sizeof(text), "scsi-disk,%s,id=disk", path);
	ck_assert_int_eq(device_create(&tb.p, &tb.devices, text), 0);
	snprintf(text, sizeof(text), "scsi-cd,%s/cd.iso,id=cd", dir);
	ck_assert_int_eq(device_create(&tb.p, &tb.devices, text), 0);
	testbed_start(&tb);
	ck_assert(vdriver_probe(&v, &tb, 0));
	ck_assert(vdriver_start(&v, ~0ull, 3, 64));
	scsi_driver_clear_attention(&v, 0);
	scsi_driver_clear_attention(&v, 1);
}

static void tear_down(void)
{
	char command[100];

	vdriver_fini(&v);
	device_destroy_all(&tb.devices);
	testbed_fini(&tb);
	snprintf(command, sizeof(command), "rm -r %s", dir);
	ck_assert_int_eq(system(command), 0);
}

static struct device *dev(const char *name)
{
	struct device *d = device_named(&tb.devices, name);

	ck_assert_ptr_nonnull(d);
	return d;
}

/* 0, or sense key and code as 0xKKAAQQ */
static uint32_t run(uint16_t lun, const uint8_t cdb[32], void *in, size_t len)
{
	struct scsi_driver_answer a = scsi_driver_run(&v, 2, lun, cdb, NULL, 0, in, len);

	if (!a.status)
		return 0;
	ck_assert_uint_eq(a.status, 2);
	return (a.sense[2] & 0xfu) << 16 | (uint32_t)a.sense[12] << 8 | a.sense[13];
}

static uint64_t capacity(uint16_t lun, uint32_t block)
{
	uint8_t data[8];

	ck_assert_uint_eq(run(lun, SCSI_DRIVER_CDB(0x25), data, sizeof(data)), 0);
	return (be32_get(data) + 1ull) * block;
}

static const uint8_t ready[32];

static uint64_t give_event_buffer(void)
{
	uint64_t gpa = testbed_alloc(&tb, 64, 16);
	struct driver_buf buf = { gpa, sizeof(struct virtio_scsi_event), true };

	ck_assert_int_ge(driver_add(&v.queue[SCSI_HOST_EVENT].ring, &buf, 1, 0), 0);
	vdriver_kick(&v, SCSI_HOST_EVENT);
	testbed_settle(&tb);
	return gpa;
}

START_TEST(grow_and_shrink)
{
	static const off_t sizes[] = { MIB(4), MIB(2), 512 };
	struct device *disk = dev("disk");
	uint8_t event[sizeof(struct virtio_scsi_event)];
	struct stat st;
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		uint64_t gpa = give_event_buffer();

		ck_assert_int_eq(disk->class->medium->resize(disk, sizes[i]), 0);
		mem_read(&tb.mem, gpa, event, sizeof(event));
		ck_assert_uint_eq(le32_get(event), VIRTIO_SCSI_T_PARAM_CHANGE);
		ck_assert_uint_eq(le32_get(event + 12), 0x092a);
		ck_assert_uint_eq(run(0, ready, NULL, 0), 0x062a09);
		ck_assert_uint_eq(capacity(0, 512), sizes[i]);
		ck_assert_int_eq(stat(path, &st), 0);
		ck_assert_int_eq(st.st_size, sizes[i]);
	}
	ck_assert_int_eq(disk->class->medium->resize(disk, 512), 0);
	ck_assert_uint_eq(run(0, ready, NULL, 0), 0); /* nothing has changed */
}
END_TEST

#define WRITES 8

/* Kicks for writes of 4 KiB at @lba; @answer: where theirs will be. */
static void start_writes(uint64_t lba, uint64_t answer[WRITES])
{
	struct virtio_scsi_cmd_req req;
	uint8_t cdb[32];
	unsigned i;

	scsi_driver_rw(cdb, true, lba, 8);
	scsi_driver_header(&req, 0, 9, cdb);
	for (i = 0; i < WRITES; i++) {
		uint64_t gpa = testbed_alloc(&tb, 8192, 16);
		struct driver_buf buf[3] = {
			{ gpa, sizeof(req), false },
			{ gpa + 1024, 4096, false },
			{ gpa + 512, sizeof(struct virtio_scsi_cmd_resp), true },
		};

		answer[i] = gpa + 512;
		mem_write(&tb.mem, gpa, &req, sizeof(req));
		ck_assert_int_ge(driver_add(&v.queue[2].ring, buf, 3, testbed_alloc(&tb, 48, 16)),
				 0);
	}
	vdriver_kick(&v, 2);
}

static void wait_for_writes(void)
{
	unsigned i = 0;
	uint16_t head;
	uint32_t len;

	while (i < WRITES) {
		testbed_settle(&tb);
		i += driver_used(&v.queue[2].ring, &head, &len);
	}
}

/* Writes end before the file becomes shorter, so none makes it long again. */
START_TEST(shrink_under_writes)
{
	struct device *disk = dev("disk");
	uint64_t answer[WRITES];
	struct stat st;
	unsigned n;

	for (n = 0; n < 20; n++) {
		start_writes(MIB(1) / 512 - 8, answer);
		ck_assert_int_eq(disk->class->medium->resize(disk, MIB(1) / 2), 0);
		wait_for_writes();
		ck_assert_int_eq(stat(path, &st), 0);
		ck_assert_int_eq(st.st_size, MIB(1) / 2);
		ck_assert_int_eq(disk->class->medium->resize(disk, MIB(1)), 0);
	}
}
END_TEST

START_TEST(what_cannot_be_resized)
{
	struct device *disk = dev("disk"), *cd = dev("cd");

	stderr_begin(&said);
	ck_assert_int_eq(disk->class->medium->resize(disk, 1000), -EUSAGE);
	ck_assert_int_eq(disk->class->medium->resize(disk, 0), -EUSAGE);
	ck_assert_int_eq(disk->class->medium->resize(disk, 1ull << 63), -EFBIG);
	ck_assert_int_eq(cd->class->medium->resize(cd, MIB(4)), -EUSAGE);
	ck_assert_int_eq(device_create(&tb.p, &tb.devices, "scsi-disk,store=null,size=1M,fault=,"
				       "id=f"), 0);
	ck_assert_int_eq(dev("f")->class->medium->resize(dev("f"), MIB(4)), -EOPNOTSUPP);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "cannot be made"));
	ck_assert_uint_eq(run(0, ready, NULL, 0), 0x063f0e); /* of the disk that has come */
	ck_assert_uint_eq(capacity(0, 512), MIB(1));
}
END_TEST

static int set_fault(const char *rules)
{
	return dev("disk")->class->medium->fault(dev("disk"), rules);
}

START_TEST(fault_on_demand)
{
	uint8_t cdb[32], data[512];

	scsi_driver_rw(cdb, false, 8, 1);
	ck_assert_int_eq(set_fault(""), 0);
	stderr_begin(&said);
	ck_assert_int_eq(set_fault("read:sense=3/11"), -EUSAGE);
	ck_assert_uint_eq(run(0, cdb, data, sizeof(data)), 0);
	ck_assert_int_eq(set_fault("read:lba=8:sense=3/11/04"), 0);
	ck_assert_uint_eq(run(0, cdb, data, sizeof(data)), 0x031104);
	ck_assert_uint_eq(run(0, ready, NULL, 0), 0); /* no attention, the same medium */
	ck_assert_int_eq(set_fault("read:times=1:error=EIO"), 0);
	ck_assert_uint_eq(run(0, cdb, data, sizeof(data)), 0x031100);
	stderr_end(&said);
	ck_assert_int_eq(set_fault(""), 0);
	ck_assert_uint_eq(run(0, cdb, data, sizeof(data)), 0);
	ck_assert_int_eq(dev("disk")->class->medium->resize(dev("disk"), MIB(4)), 0);
	ck_assert_uint_eq(run(0, ready, NULL, 0), 0x062a09);
	ck_assert_uint_eq(capacity(0, 512), MIB(4));
}
END_TEST

/* Those in flight are done, by the store that they began with. */
START_TEST(fault_under_writes)
{
	struct virtio_scsi_cmd_resp resp;
	uint64_t answer[WRITES];
	unsigned i;

	start_writes(0, answer);
	ck_assert_int_eq(set_fault("read:error=EIO"), 0);
	wait_for_writes();
	for (i = 0; i < WRITES; i++) {
		mem_read(&tb.mem, answer[i], &resp, sizeof(resp));
		ck_assert_uint_eq(resp.response | resp.status, 0);
	}
}
END_TEST

START_TEST(change_of_medium)
{
	struct device *cd = dev("cd");
	char file[100];

	snprintf(file, sizeof(file), "%s/other.iso", dir);
	ck_assert_uint_eq(capacity(1, 2048), MIB(2));
	ck_assert_int_eq(cd->class->medium->eject(cd), 0);
	ck_assert_uint_eq(run(1, ready, NULL, 0), 0x023a00);
	ck_assert_int_eq(cd->class->medium->insert(cd, file), 0);
	ck_assert_uint_eq(run(1, ready, NULL, 0), 0x062800);
	ck_assert_uint_eq(capacity(1, 2048), MIB(3));
}
END_TEST

/* The guest opens the tray itself; the same medium goes in again, then another one. */
START_TEST(tray_of_the_guest)
{
	struct device *cd = dev("cd");
	char file[100];

	ck_assert_uint_eq(run(1, SCSI_DRIVER_CDB(0x1b, 0, 0, 0, 2), NULL, 0), 0);
	ck_assert_uint_eq(run(1, ready, NULL, 0), 0x023a00);
	ck_assert_int_eq(cd->class->medium->insert(cd, NULL), 0);
	ck_assert_uint_eq(run(1, ready, NULL, 0), 0x062800);
	ck_assert_uint_eq(capacity(1, 2048), MIB(2));
	ck_assert_uint_eq(run(1, SCSI_DRIVER_CDB(0x1b, 0, 0, 0, 2), NULL, 0), 0);
	snprintf(file, sizeof(file), "%s/cd.iso", dir); /* which is still open, and locked */
	ck_assert_int_eq(cd->class->medium->insert(cd, file), 0);
	ck_assert_uint_eq(run(1, ready, NULL, 0), 0x062800);
}
END_TEST

START_TEST(locked_tray)
{
	static const uint8_t prevent[32] = { 0x1e, 0, 0, 0, 1 }, allow[32] = { 0x1e };
	struct device *cd = dev("cd"), *disk = dev("disk");
	uint8_t event[8];

	ck_assert_uint_eq(run(1, prevent, NULL, 0), 0);
	stderr_begin(&said);
	ck_assert_int_eq(cd->class->medium->eject(cd), -EBUSY);
	ck_assert_int_eq(disk->class->medium->eject(disk), -EUSAGE);
	ck_assert_int_eq(disk->class->medium->insert(disk, NULL), -EUSAGE);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "prevents the removal"));
	ck_assert_uint_eq(run(1, SCSI_DRIVER_CDB(0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8), event, 8), 0);
	ck_assert_uint_eq(event[4], 1); /* EJECT REQUEST */
	ck_assert_uint_eq(capacity(1, 2048), MIB(2));
	ck_assert_uint_eq(run(1, allow, NULL, 0), 0);
	ck_assert_int_eq(cd->class->medium->eject(cd), 0);
}
END_TEST

/* A file that cannot be used leaves the drive empty, and working. */
START_TEST(bad_medium)
{
	struct device *cd = dev("cd");

	ck_assert_int_eq(cd->class->medium->eject(cd), 0);
	stderr_begin(&said);
	ck_assert_int_eq(cd->class->medium->insert(cd, "/nonexistent.iso"), -ENOENT);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "there is no such file"));
	ck_assert_uint_eq(run(1, ready, NULL, 0), 0x023a00);
}
END_TEST

/* The changes of an overlay are kept by who takes the disk out in good order. */
START_TEST(unplug_commits)
{
	uint8_t cdb[32], data[512], got[512] = { 0 };
	struct device *new;
	char text[200];
	FILE *f;

	memset(data, 'x', sizeof(data));
	ck_assert_int_eq(device_unplug(&tb.devices, dev("disk")), 0);
	ck_assert_int_eq(scsi_driver_run(&v, 2, 0, ready, NULL, 0, NULL, 0).response, 0);
	snprintf(text, sizeof(text), "scsi-disk,%s,overlay=commit,lun=5", path);
	ck_assert_int_eq(device_plug(&tb.p, &tb.devices, text, &new), 0);
	scsi_driver_clear_attention(&v, 5);
	scsi_driver_rw(cdb, true, 1, 1);
	ck_assert_uint_eq(scsi_driver_run(&v, 2, 5, cdb, data, 512, NULL, 0).status, 0);
	ck_assert_int_eq(device_unplug(&tb.devices, new), 0);
	f = fopen(path, "r");
	ck_assert_int_eq(fseek(f, 512, SEEK_SET), 0);
	ck_assert_uint_eq(fread(got, 1, 512, f), 512);
	fclose(f);
	ck_assert_mem_eq(got, data, 512);
}
END_TEST

START_TEST(names_and_places)
{
	stderr_begin(&said);
	ck_assert_ptr_eq(device_named(&tb.devices, "lun:0"), dev("disk"));
	ck_assert_ptr_eq(device_named(&tb.devices, "lun:1"), dev("cd"));
	ck_assert_ptr_null(device_named(&tb.devices, "lun:01"));
	ck_assert_ptr_null(device_named(&tb.devices, "lun:2"));
	ck_assert_ptr_null(device_named(&tb.devices, "s0"));
	ck_assert_int_eq(device_create(&tb.p, &tb.devices, "scsi-disk,store=null,size=1M,lun=9,"
				       "id=nine"), 0);
	ck_assert_uint_eq(device_disk_rank(&tb.devices, dev("disk")), 0);
	ck_assert_uint_eq(device_disk_rank(&tb.devices, dev("nine")), 1); /* a drive is no disk */
	stderr_end(&said);
}
END_TEST

START_TEST(not_while_running)
{
	struct device *new;

	stderr_begin(&said);
	ck_assert_int_eq(device_plug(&tb.p, &tb.devices, "virtio-rng", &new), -EOPNOTSUPP);
	ck_assert_int_eq(device_plug(&tb.p, &tb.devices, "no-such", &new), -EUSAGE);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "cannot come while the guest runs"));
}
END_TEST

/* Counters. */

struct hearing {
	struct device_facts facts;
	uint64_t commands, flushes, timed;
};

static void hear_text(struct device_facts *to, const char *key, const char *value)
{
	ck_abort_msg("%p: %s=%s", (void *)to, key, value);
}

static void hear_number(struct device_facts *to, const char *key, uint64_t value)
{
	struct hearing *h = container_of(to, struct hearing, facts);

	if (!strcmp(key, "commands"))
		h->commands = value;
	else if (!strcmp(key, "flushes"))
		h->flushes = value;
}

static void hear_numbers(struct device_facts *to, const char *key, const uint64_t *value,
			 unsigned count)
{
	struct hearing *h = container_of(to, struct hearing, facts);

	ck_assert_str_eq(key, "latency");
	while (count--)
		h->timed += *value++;
}

static struct hearing counters(void)
{
	struct hearing h = { .facts = { hear_text, hear_number, hear_numbers } };

	ck_assert_int_eq(dev("disk")->class->counters(dev("disk"), &h.facts), 0);
	return h;
}

/* As the driver does when the guest is shut down, and when it is bound again. */
START_TEST(reset_loses_no_count)
{
	struct hearing before = counters(), h;

	ck_assert_uint_gt(before.commands, 0);
	ck_assert_uint_eq(run(0, SCSI_DRIVER_CDB(0x35), NULL, 0), 0);
	vdriver_reset(&v);
	h = counters();
	ck_assert_uint_eq(h.flushes, 1);
	ck_assert_uint_eq(h.commands, before.commands + 1);
	ck_assert_uint_eq(h.timed, h.commands);

	vdriver_fini(&v);
	ck_assert(vdriver_probe(&v, &tb, 0));
	ck_assert(vdriver_start(&v, ~0ull, 3, 64));
	run(0, SCSI_DRIVER_CDB(0x35), NULL, 0); /* POWER ON, maybe */
	ck_assert_uint_eq(run(0, SCSI_DRIVER_CDB(0x35), NULL, 0), 0);
	h = counters();
	ck_assert_uint_ge(h.flushes, 2);
	ck_assert_uint_eq(h.commands, before.commands + 3);
}
END_TEST

Suite *scsi_live_suite(void)
{
	Suite *s = suite_create("scsi_live");
	TCase *tc = unit_case(s, "scsi_live");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, grow_and_shrink);
	tcase_add_test(tc, shrink_under_writes);
	tcase_add_test(tc, what_cannot_be_resized);
	tcase_add_test(tc, fault_on_demand);
	tcase_add_loop_test(tc, fault_under_writes, 0, 10);
	tcase_add_test(tc, change_of_medium);
	tcase_add_test(tc, tray_of_the_guest);
	tcase_add_test(tc, locked_tray);
	tcase_add_test(tc, bad_medium);
	tcase_add_test(tc, unplug_commits);
	tcase_add_test(tc, names_and_places);
	tcase_add_test(tc, not_while_running);
	tcase_add_test(tc, reset_loses_no_count);
	return s;
}

UNIT_MAIN(scsi_live_suite)
