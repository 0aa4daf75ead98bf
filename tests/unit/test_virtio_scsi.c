#include "tests/unit/unit.h"

#include <errno.h>
#include <linux/virtio_ids.h>
#include <stddef.h>
#include <string.h>

#include "devices/virtio_scsi.h"
#include "tests/lib/scsi_driver.h"
#include "tests/lib/stderr.h"
#include "vmm/core/util.h"

Suite *virtio_scsi_suite(void);

static struct stderr_text said;
static struct testbed tb;
static struct vdriver v;

static void set_up(void)
{
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
	ck_assert_int_eq(device_create(&tb.p, &tb.devices, text), 0);
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
	vdriver_write32(&v, VIRTIO_MMIO_CONFIG + off, value);
}

START_TEST(what_a_driver_finds)
{
	uint8_t raw[2];

	make("virtio-scsi,queues=5,queue-size=64");
	ck_assert_uint_eq(v.device_id, VIRTIO_ID_SCSI);
	/* No feature of the device type: nothing here is to be promised. */
	ck_assert_uint_eq(v.offered & 0xff, 0);
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
	for (q = 0; q < 8; q++) {
		vdriver_write32(&v, VIRTIO_MMIO_QUEUE_SEL, q);
		ck_assert_uint_eq(vdriver_read32(&v, VIRTIO_MMIO_QUEUE_NUM_MAX), q < 7 ? 64 : 0);
	}
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
	bus_write(&tb.mmio, v.base + VIRTIO_MMIO_CONFIG + AT(cdb_size), &(uint8_t){ 16 }, 1);
	ck_assert_uint_eq(config32(AT(cdb_size)), 16);
	bus_write(&tb.mmio, v.base + VIRTIO_MMIO_CONFIG + AT(sense_size), (uint8_t[]){ 20, 0 }, 2);
	ck_assert_uint_eq(config32(AT(sense_size)), 20);
	/* Across the border of two fields, one of them read-only. */
	bus_write(&tb.mmio, v.base + VIRTIO_MMIO_CONFIG + AT(cdb_size) + 2,
		  (uint8_t[]){ 0, 0, 9, 9 }, 4);
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
};

START_TEST(bad_options)
{
	stderr_begin(&said);
	ck_assert_int_eq(device_create(&tb.p, &tb.devices, refused[_i].text), -EINVAL);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), refused[_i].line));
	ck_assert_uint_eq(tb.p.nslots, 0);
}
END_TEST

START_TEST(no_slot_left)
{
	struct mmio_slot slot;

	while (platform_slot_alloc(&tb.p, 4096, &slot) == 0)
		;
	stderr_begin(&said);
	ck_assert_int_eq(device_create(&tb.p, &tb.devices, "virtio-scsi"), -ENOSPC);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "no room for another device"));
	ck_assert_ptr_null(tb.devices.last);
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
	ck_assert_uint_eq(data[0], 0x7f);
}
END_TEST

Suite *virtio_scsi_suite(void)
{
	Suite *s = suite_create("virtio_scsi");
	TCase *tc = unit_case(s, "virtio_scsi");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, what_a_driver_finds);
	tcase_add_test(tc, queues);
	tcase_add_test(tc, segments_are_bounded);
	tcase_add_loop_test(tc, writable_fields, 0, ARRAY_SIZE(writes));
	tcase_add_test(tc, byte_by_byte);
	tcase_add_test(tc, sizes_hold_while_in_service);
	tcase_add_loop_test(tc, bad_options, 0, ARRAY_SIZE(refused));
	tcase_add_test(tc, no_slot_left);
	tcase_add_test(tc, threads_are_made);
	tcase_add_test(tc, empty_bus);
	return s;
}

UNIT_MAIN(virtio_scsi_suite)
