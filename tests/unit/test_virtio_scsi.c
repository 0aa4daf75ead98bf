/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <linux/virtio_ids.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "devices/virtio_scsi.h"
#include "tests/lib/scsi_driver.h"
#include "tests/lib/stderr.h"
#include "vmm/core/fail.h"
#include "vmm/core/util.h"

Suite *virtio_scsi_suite(void);

static struct stderr_text said;
static struct testbed tb;
static struct vdriver v;

static enum virtio_transport transport;

static void set_up_pci(void)
{
	transport = VIRTIO_ON_PCI;
	testbed_init(&tb);
}

static void set_up_mmio(void)
{
	transport = VIRTIO_ON_MMIO;
	testbed_init(&tb);
}

static void tear_down(void)
{
	vdriver_fini(&v);
	device_destroy_all(&tb.devices);
	testbed_fini(&tb);
}

static void make(const char *text)
{
	char full[128];

	snprintf(full, sizeof(full), "%s,transport=%s", text, virtio_transport_words[transport]);
	ck_assert_int_eq(device_create(&tb.p, &tb.devices, full), 0);
	testbed_start(&tb);
	ck_assert(vdriver_probe(&v, &tb, 0));
}

#define AT(field) offsetof(struct virtio_scsi_config, field)

static uint32_t config32(size_t off)
{
	uint8_t raw[4];

	vdriver_config_read(&v, off, raw, sizeof(raw));
	return le32_get(raw);
}

static void config_write32(size_t off, uint32_t value)
{
	vdriver_config_write(&v, off, value, 4);
}

START_TEST(what_a_driver_finds)
{
	uint8_t raw[2];

	make("virtio-scsi,queues=5,queue-size=64");
	ck_assert_uint_eq(v.device_id, VIRTIO_ID_SCSI);
	/* Of the device type nothing else is to be promised. */
	ck_assert_uint_eq(v.offered & 0xff,
			  1 << VIRTIO_SCSI_F_HOTPLUG | 1 << VIRTIO_SCSI_F_CHANGE);
	ck_assert_uint_eq(config32(AT(num_queues)), 5);
	ck_assert_uint_eq(config32(AT(seg_max)), 62);
	ck_assert_uint_eq(config32(AT(max_sectors)), 65535);
	ck_assert_uint_eq(config32(AT(cmd_per_lun)), 64);
	ck_assert_uint_eq(config32(AT(event_info_size)), 16);
	ck_assert_uint_eq(config32(AT(sense_size)), 96);
	ck_assert_uint_eq(config32(AT(cdb_size)), 32);
	vdriver_config_read(&v, AT(max_channel), raw, 2);
	ck_assert_uint_eq(le16_get(raw), 0);
	vdriver_config_read(&v, AT(max_target), raw, 2);
	ck_assert_uint_eq(le16_get(raw), 1);
	ck_assert_uint_eq(config32(AT(max_lun)), 16383);
	ck_assert_uint_eq(config32(36), 0); /* behind the end */
}
END_TEST

START_TEST(queues)
{
	unsigned q;

	make("virtio-scsi,queues=5,queue-size=64");
	for (q = 0; q < 8; q++)
		ck_assert_uint_eq(vdriver_queue_max(&v, q), q < 7 ? 64 : 0);
}
END_TEST

/* More segments than a chain may have are not promised by a long queue. */
START_TEST(segments_are_bounded)
{
	make("virtio-scsi,queue-size=1024");
	ck_assert_uint_eq(config32(AT(seg_max)), 126);
}
END_TEST

static const struct {
	size_t off;
	uint32_t value, result;
} writes[] = {
	{ AT(sense_size), 18, 18 },
	{ AT(sense_size), 0, 0 },
	{ AT(sense_size), 97, 96 },
	{ AT(sense_size), UINT32_MAX, 96 },
	{ AT(cdb_size), 16, 16 },
	{ AT(cdb_size), 0, 32 },
	{ AT(cdb_size), 33, 32 },
	{ AT(num_queues), 77, 2 },
	{ AT(max_lun), 1, 16383 },
	{ AT(seg_max), 1, 126 },
};

START_TEST(writable_fields)
{
	make("virtio-scsi,queues=2");
	stderr_begin(&said);
	config_write32(writes[_i].off, writes[_i].value);
	stderr_end(&said);
	ck_assert_uint_eq(config32(writes[_i].off), writes[_i].result);
	ck_assert(vdriver_probe(&v, &tb, 0));
	ck_assert_uint_eq(config32(AT(sense_size)), 96);
	ck_assert_uint_eq(config32(AT(cdb_size)), 32);
	ck_assert_uint_eq(config32(AT(num_queues)), 2);
}
END_TEST

START_TEST(byte_by_byte)
{
	make("virtio-scsi");
	vdriver_config_write(&v, AT(cdb_size), 16, 1);
	ck_assert_uint_eq(config32(AT(cdb_size)), 16);
	vdriver_config_write(&v, AT(sense_size), 20, 2);
	ck_assert_uint_eq(config32(AT(sense_size)), 20);
	/* Across the border of two fields, one of them read-only. */
	vdriver_config_write(&v, AT(cdb_size) + 2, 0x09090000, 4);
	ck_assert_uint_eq(config32(AT(cdb_size)), 16);
}
END_TEST

START_TEST(sizes_hold_while_in_service)
{
	make("virtio-scsi");
	config_write32(AT(sense_size), 30);
	ck_assert(vdriver_start(&v, ~0ull, 3, 64));
	stderr_begin(&said);
	config_write32(AT(sense_size), 18);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "refused while in service"));
	ck_assert_uint_eq(config32(AT(sense_size)), 30);
}
END_TEST

static const struct {
	const char *text, *line;
} refused[] = {
	{ "virtio-scsi,queue-size=48", "queue-size=48: is not a power of two" },
	{ "virtio-scsi,queue-size=2", "queue-size=2: out of range, 4 to 1024" },
	{ "virtio-scsi,queues=0", "queues=0: out of range, 1 to 64" },
	{ "virtio-scsi,iothreads=17,queues=20", "iothreads=17: out of range, 1 to 16" },
	{ "virtio-scsi,iothreads=4,queues=2",
	  "iothreads=4: queues=2 gives work to so many only; raise queues" },
	{ "virtio-scsi,vhost=maybe", "vhost=maybe: is none of: auto, on, off, or the name of a" },
	{ "virtio-scsi,vhost=", "vhost=: is empty; auto|on|off|WWN is wanted" },
};

START_TEST(bad_options)
{
	stderr_begin(&said);
	ck_assert_int_eq(device_create(&tb.p, &tb.devices, refused[_i].text), -EUSAGE);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), refused[_i].line));
	ck_assert_uint_eq(tb.p.nslots, 0);
}
END_TEST

START_TEST(no_slot_left)
{
	struct mmio_slot slot;

	while (platform_slot_alloc(&tb.p, 4096, &slot) == 0)
		;
	ck_assert_int_eq(device_create(&tb.p, &tb.devices, "virtio-scsi,transport=mmio"), 0);
	stderr_begin(&said);
	ck_assert_int_eq(device_ready_all(&tb.devices), -ENOSPC);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "no room for another device"));
}
END_TEST

/* It is the default, so the line has to name the cure. */
START_TEST(no_pci)
{
	tb.p.pci = NULL;
	ck_assert_int_eq(device_create(&tb.p, &tb.devices, "virtio-scsi,id=s0"), 0);
	stderr_begin(&said);
	ck_assert_int_eq(device_ready_all(&tb.devices), -ENODEV);
	ck_assert_str_eq(stderr_end(&said), "lunette: error: s0: transport=pci: this machine has "
					    "no PCI; transport=mmio will do\n");
}
END_TEST

START_TEST(threads_are_made)
{
	make("virtio-scsi,queues=4,iothreads=3,id=a-long-name-123");
	ck_assert_uint_eq(tb.niothreads, 3);
}
END_TEST

/* No disk at all: the controller works, and says that nobody is there. */
START_TEST(empty_bus)
{
	struct scsi_driver_answer a;
	uint8_t data[36];

	make("virtio-scsi");
	ck_assert(vdriver_start(&v, ~0ull, 3, 64));
	a = scsi_driver_run(&v, 2, 0, SCSI_DRIVER_CDB(0x12, 0, 0, 0, 36), NULL, 0, data, 36);
	ck_assert_int_ge(a.used, 0);
	ck_assert_uint_eq(a.response, VIRTIO_SCSI_S_BAD_TARGET);
}
END_TEST

static const struct {
	const char *options;
	int err; /* of device_ready_all() */
	const char *line; /* begins so; NULL: nothing is said */
} paths[] = {
	{ "vhost=off", 0, NULL },
	{ "vhost=auto", 0, "lunette: virtio-scsi0: disks are served in process: " },
	{ "vhost=on", -ENODEV, "lunette: error: virtio-scsi0: vhost=on: " },
	{ "vhost=naa.1", -EUSAGE, "lunette: error: virtio-scsi0: vhost=naa.1: null cannot be added "
				  "to a target that is there; give it another bus=" },
};

/* The null store is nothing for the kernel, so these choices are the same everywhere. */
START_TEST(data_path)
{
	char full[128];
	const char *line;

	snprintf(full, sizeof(full), "virtio-scsi,%s", paths[_i].options);
	ck_assert_int_eq(device_create(&tb.p, &tb.devices, full), 0);
	ck_assert_int_eq(device_create(&tb.p, &tb.devices, "scsi-disk,store=null,size=1M"), 0);
	stderr_begin(&said);
	ck_assert_int_eq(device_ready_all(&tb.devices), paths[_i].err);
	line = stderr_end(&said);
	if (!paths[_i].line) {
		ck_assert_str_eq(line, "");
		return;
	}
	ck_assert_msg(strstr(line, paths[_i].line) == line, "%s", line);
	ck_assert_ptr_eq(strchr(line, '\n'), line + strlen(line) - 1);
}
END_TEST

/* The machine's wish is for controllers that have none. */
START_TEST(data_path_by_default)
{
	tb.p.vhost = VHOST_ON;
	ck_assert_int_eq(device_create(&tb.p, &tb.devices, "virtio-scsi,vhost=off"), 0);
	ck_assert_int_eq(device_create(&tb.p, &tb.devices, "virtio-scsi"), 0);
	ck_assert_int_eq(device_create(&tb.p, &tb.devices, "scsi-disk,store=null,size=1M"), 0);
	stderr_begin(&said);
	ck_assert_int_eq(device_ready_all(&tb.devices), -ENODEV);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "virtio-scsi1: vhost=on: "));
}
END_TEST

/* Nothing to choose, nothing to say. */
START_TEST(no_disks)
{
	ck_assert_int_eq(device_create(&tb.p, &tb.devices, "virtio-scsi,vhost=auto"), 0);
	stderr_begin(&said);
	testbed_start(&tb);
	ck_assert_str_eq(stderr_end(&said), "");
	ck_assert_uint_eq(tb.niothreads, 1);
}
END_TEST

START_TEST(a_queue_for_each_cpu)
{
	tb.p.cpus = 3;
	make("virtio-scsi");
	ck_assert_uint_eq(config32(AT(num_queues)), 3);
}
END_TEST

START_TEST(explained)
{
	static const char *const parts[] = {
		"virtio-scsi0: SCSI controller", "2 for requests, one for each CPU; 256 entries",
		"interrupts: by pci: ", "disks: served in process: vhost=off\n",
		"image: null, 1048576 bytes in blocks of 512, writable", "LUN 0 of virtio-scsi0",
		"names: serial the-disk, NAA 6",
	};
	char *text = NULL;
	size_t len, i;
	FILE *f = open_memstream(&text, &len);

	tb.p.cpus = 2;
	ck_assert_int_eq(device_create(&tb.p, &tb.devices, "virtio-scsi"), 0);
	ck_assert_int_eq(device_create(&tb.p, &tb.devices,
				       "scsi-disk,store=null,size=1M,serial=the-disk"), 0);
	testbed_start(&tb);
	device_explain_all(&tb.devices, f);
	fclose(f);
	for (i = 0; i < ARRAY_SIZE(parts); i++)
		ck_assert_msg(strstr(text, parts[i]), "no '%s' in:\n%s", parts[i], text);
	free(text);
}
END_TEST

static void add_tests(TCase *tc, SFun set_up_on)
{
	tcase_add_checked_fixture(tc, set_up_on, tear_down);
	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, what_a_driver_finds);
	tcase_add_test(tc, queues);
	tcase_add_test(tc, segments_are_bounded);
	tcase_add_loop_test(tc, writable_fields, 0, ARRAY_SIZE(writes));
	tcase_add_test(tc, byte_by_byte);
	tcase_add_test(tc, sizes_hold_while_in_service);
	tcase_add_test(tc, threads_are_made);
	tcase_add_test(tc, empty_bus);
}

Suite *virtio_scsi_suite(void)
{
	Suite *s = suite_create("virtio_scsi");
	TCase *tc = unit_case(s, "options");

	tcase_add_checked_fixture(tc, set_up_pci, tear_down);
	tcase_add_loop_test(tc, bad_options, 0, ARRAY_SIZE(refused));
	tcase_add_test(tc, no_slot_left);
	tcase_add_test(tc, no_pci);
	tcase_add_loop_test(tc, data_path, 0, ARRAY_SIZE(paths));
	tcase_add_test(tc, data_path_by_default);
	tcase_add_test(tc, no_disks);
	tcase_add_test(tc, a_queue_for_each_cpu);
	tcase_add_test(tc, explained);
	add_tests(unit_case(s, "pci"), set_up_pci);
	add_tests(unit_case(s, "mmio"), set_up_mmio);
	return s;
}

UNIT_MAIN(virtio_scsi_suite)
