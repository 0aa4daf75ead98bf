/* SPDX-License-Identifier: MIT */
#include "tests/unit/vdpa_fixture.h"

#include "tests/lib/vdriver.h"
#include "vmm/core/bell.h"
#include "vmm/core/fail.h"
#include "vmm/core/log.h"
#include "vmm/core/util.h"

Suite *vhost_vdpa_suite(void);

static struct testbed tb;
static struct vdriver v;
static char text[128], said[1024];

static void set_up(void)
{
	fake_set_up();
	testbed_init_shared(&tb);
	snprintf(text, sizeof(text), "vhost-vdpa,path=/proc/self/fd/%d", fake.fd);
}

static void tear_down(void)
{
	device_destroy_all(&tb.devices);
	testbed_fini(&tb);
	close(fake.fd);
}

static void with_driver(void)
{
	ck_assert_int_eq(device_create(&tb.p, &tb.devices, text), 0);
	ck_assert_str_eq(tb.devices.last->id, "vdpa0");
	testbed_start(&tb);
	ck_assert(vdriver_probe(&v, &tb, 0));
}

static uint64_t capacity(void)
{
	uint8_t raw[8] = { 0 };

	vdriver_config_read(&v, 0, raw, 8);
	return le64_get(raw);
}

START_TEST(what_a_driver_finds)
{
	le64_put(fake.config, 12345);
	with_driver();
	ck_assert_uint_eq(v.device_id, VIRTIO_ID_BLOCK);
	ck_assert_uint_eq(capacity(), 12345);
	ck_assert(v.offered & VIRTIO_BIT(9));
	ck_assert(!(v.offered & VIRTIO_BIT(VIRTIO_F_ACCESS_PLATFORM)));
	ck_assert_uint_eq(vdriver_queue_max(&v, 1), 64);
	ck_assert_uint_eq(vdriver_queue_max(&v, 2), 0);
	ck_assert(tb.mem.pinned);
	vdriver_fini(&v);
}
END_TEST

/* It gets the rings where the guest has them, and is told of all memory before that. */
START_TEST(starts_and_stops)
{
	with_driver();
	fake_look();
	fake_memory();
	ck_assert(vdriver_start(&v, ~0ull, 2, 16));
	ck_assert_ptr_nonnull(strstr(fake_look(), "enable1=1 status=f "));
	ck_assert_str_ne(fake_memory(), "");
	vdriver_reset(&v);
	ck_assert_ptr_nonnull(strstr(fake_look(), "suspend base0? base1? "));
	vdriver_fini(&v);
}
END_TEST

START_TEST(changes)
{
	with_driver();
	ck_assert(vdriver_start(&v, ~0ull, 2, 16));
	vdriver_config_write(&v, 32, 1, 1);
	ck_assert_uint_eq(fake.config[32], 1);
	le64_put(fake.config, 54321);
	bell_ring(fake.changed);
	ck_assert_uint_eq(vdriver_wait(&v, 5000), VDRIVER_INT_CONFIG);
	ck_assert_uint_eq(capacity(), 54321);
	vdriver_fini(&v);
}
END_TEST

START_TEST(gives_up)
{
	with_driver();
	ck_assert(vdriver_start(&v, ~0ull, 2, 16));
	fake.status |= VIRTIO_CONFIG_S_NEEDS_RESET;
	bell_ring(fake.changed);
	ck_assert_uint_eq(vdriver_wait(&v, 5000), VDRIVER_INT_CONFIG);
	ck_assert(vdriver_status(&v) & VIRTIO_CONFIG_S_NEEDS_RESET);
	vdriver_fini(&v);
}
END_TEST

static void refused(const char *what, int r, const char *line)
{
	*said = '\0';
	log_hear(said, sizeof(said));
	ck_assert_int_eq(device_create(&tb.p, &tb.devices, what), r);
	log_hear(NULL, 0);
	ck_assert_msg(strstr(said, line), "%s", said);
}

START_TEST(no_such_device)
{
	refused("vhost-vdpa", -EUSAGE, "vdpa0: path=FILE is wanted");
	refused("vhost-vdpa,path=/nowhere", -ENOENT, "\"vdpa dev show\" lists what there is");
	fake.failing = VHOST_VDPA_GET_DEVICE_ID;
	fake.error = ENOTTY;
	refused("vhost-vdpa,path=/dev/null", -ENOTTY, "a vhost-vdpa device is wanted");
}
END_TEST

/* Whichever of the two comes first. */
START_TEST(beside_a_balloon)
{
	ck_assert_int_eq(device_create(&tb.p, &tb.devices, _i ? text : "virtio-balloon"), 0);
	ck_assert_int_eq(device_create(&tb.p, &tb.devices, _i ? "virtio-balloon" : text), 0);
	log_hear(said, sizeof(said));
	ck_assert_int_eq(device_ready_all(&tb.devices), -EUSAGE);
	log_hear(NULL, 0);
	ck_assert_msg(strstr(said, "balloon0: a vhost-vdpa device has the kernel keep all of"),
		      "%s", said);
}
END_TEST

/* Nothing that it says of itself is believed. */
START_TEST(odd_devices)
{
	fake.id = 42;
	refused(text, -EOPNOTSUPP, "it is a virtio device with ID 42");
	fake.id = VIRTIO_ID_NET;
	fake.features = 0;
	refused(text, -EOPNOTSUPP, "older than virtio 1.0");
	fake.features = ~0ull;
	fake.queues = 65;
	refused(text, -EOPNOTSUPP, "65 queues of 64 and 60 bytes");
	fake.queues = 0;
	refused(text, -EOPNOTSUPP, "0 queues of 64");
	fake.queues = 2;
	fake.queue_size = 0;
	refused(text, -EOPNOTSUPP, "2 queues of 0");
	fake.queue_size = 48;
	refused(text, -EOPNOTSUPP, "2 queues of 48");
	fake.queue_size = 64;
	fake.config_len = 257;
	refused(text, -EOPNOTSUPP, "257 bytes of config space");
}
END_TEST

Suite *vhost_vdpa_suite(void)
{
	Suite *s = suite_create("vhost_vdpa");
	TCase *tc = unit_case(s, "vhost_vdpa");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, what_a_driver_finds);
	tcase_add_test(tc, starts_and_stops);
	tcase_add_test(tc, changes);
	tcase_add_test(tc, gives_up);
	tcase_add_test(tc, no_such_device);
	tcase_add_loop_test(tc, beside_a_balloon, 0, 2);
	tcase_add_test(tc, odd_devices);
	return s;
}

UNIT_MAIN(vhost_vdpa_suite)
