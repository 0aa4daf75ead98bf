/* SPDX-License-Identifier: MIT */
/* What is offered, and who serves: one back end, two, or none for a while. */
#include "tests/unit/device_fixture.h"

Suite *device_offer_suite(void);

static void run_held(void)
{
	features(V1);
	ck_assert_uint_eq(status(ACK | DRV | FOK | DOK), ACK | DRV | FOK | DOK);
	ck_assert(!vdev.started);
}

START_TEST(backend_limits_the_offer)
{
	struct virtio_device v = { .class = &class };

	backend_features = VIRTIO_BIT(1) | VIRTIO_BIT(VIRTIO_RING_F_EVENT_IDX) | VIRTIO_BIT(50);
	ck_assert_int_eq(virtio_device_init(&v, &mem, &backend, NULL, 1, 8), 0);
	ck_assert_uint_eq(v.offered, VIRTIO_BIT(1) | VIRTIO_BIT(VIRTIO_RING_F_EVENT_IDX) | V1);
	virtio_device_fini(&v);
	destroyed = 0;
	ck_assert_int_eq(virtio_device_init(&v, &mem, NULL, NULL, 1, 8), -ENOMEM);
}
END_TEST

/* The first says what is offered; both go with the device, or if there is none. */
START_TEST(backends_are_taken_over)
{
	struct virtio_device v = { .class = &class };
	struct virtio_backend other = { &backend_ops };

	backend_features = VIRTIO_BIT(VIRTIO_RING_F_EVENT_IDX);
	ck_assert_int_eq(virtio_device_init(&v, &mem, &backend, &other, 1, 8), 0);
	ck_assert_ptr_eq(v.backend, &backend);
	ck_assert_ptr_eq(v.rest, &other);
	ck_assert_uint_eq(v.offered, VIRTIO_BIT(VIRTIO_RING_F_EVENT_IDX) | V1);
	ck_assert_uint_eq(destroyed, 0);
	virtio_device_fini(&v);
	ck_assert_uint_eq(destroyed, 2);
	ck_assert_int_eq(virtio_device_init(&v, &mem, NULL, &other, 1, 8), -ENOMEM);
	ck_assert_uint_eq(destroyed, 3);
	destroyed = 0;
}
END_TEST

START_TEST(config_of_the_backend)
{
	struct virtio_backend_ops ops = backend_ops;
	char data[9] = { 0 };

	ops.config_get = served_get;
	backend.ops = &ops;
	virtio_config_read(&vdev, 0, data, 8);
	ck_assert_mem_eq(data, "SERVED\0\0", 8);
	virtio_config_read(&vdev, 4, data, 4);
	ck_assert_mem_eq(data, "ED\0\0", 4);
	virtio_config_read(&vdev, 6, data, 4);
	ck_assert_mem_eq(data, "\0\0\0\0", 4);
	virtio_config_read(&vdev, UINT64_MAX, data, 4);
	ck_assert_mem_eq(data, "\0\0\0\0", 4);
	virtio_config_write(&vdev, 0, "own", 3); /* nobody's to write */
	ck_assert_mem_eq(config, "config", 6);

	ops.config_set = served_set;
	virtio_config_write(&vdev, 1, "xy", 2);
	virtio_config_write(&vdev, 5, "xy", 2);
	virtio_config_write(&vdev, UINT64_MAX, "xy", 2);
	ck_assert_str_eq(served_config, "SxyVED");
	ck_assert_mem_eq(config, "config", 6);

	config_error = -EIO;
	virtio_config_read(&vdev, 0, data, 8);
	ck_assert_mem_eq(data, "\0\0\0\0\0\0\0\0", 8);
	backend.ops = &backend_ops;
}
END_TEST

/* Two servers limit the offer, but for what is the class's own. */
START_TEST(own_features_are_offered)
{
	struct virtio_class own = class;
	struct virtio_device v = { .class = &own };
	struct virtio_backend first = { &backend_ops }, rest = { &backend_ops };

	own.own_features = VIRTIO_BIT(5) | VIRTIO_BIT(35);
	backend_features = VIRTIO_BIT(1);
	ck_assert_int_eq(virtio_device_init(&v, &mem, &backend, NULL, 1, 8), 0);
	ck_assert_uint_eq(v.offered, VIRTIO_BIT(1) | own.own_features | V1);
	virtio_device_fini(&v);
	backend_features = 0;
	ck_assert_int_eq(virtio_device_init(&v, &mem, &first, &rest, 1, 8), 0);
	ck_assert_uint_eq(v.offered, own.own_features | V1);
	virtio_device_fini(&v);
	destroyed = 0;
}
END_TEST

static uint64_t few_features(struct virtio_backend *be)
{
	(void)be;
	return VIRTIO_BIT(0) | VIRTIO_BIT(50);
}

START_TEST(rest_limits_the_offer)
{
	struct virtio_device v = { .class = &class };
	struct virtio_backend_ops few = backend_ops;
	struct virtio_backend first = { &backend_ops }, rest = { &few };

	few.features = few_features;
	ck_assert_int_eq(virtio_device_init(&v, &mem, &first, &rest, 1, 8), 0);
	ck_assert_uint_eq(v.offered, VIRTIO_BIT(0) | V1);
	virtio_device_fini(&v);
	destroyed = 0;
}
END_TEST

static const struct virtio_backend_ops half_ops = {
	.name = "half",
	.features = fake_features,
	.start = half_start,
	.serves = half_serves,
	.stop = half_stop,
	.destroy = fake_destroy,
};
static const struct virtio_backend_ops rest_ops = {
	.name = "rest",
	.features = fake_features,
	.start = rest_start,
	.stop = rest_stop,
	.destroy = fake_destroy,
};

static const struct {
	bool half_fails, rest_fails;
	const char *calls[5];
} halves[] = {
	{ false, false, { "half starts", "rest starts", "rest stops", "half stops" } },
	{ false, true, { "half starts", "rest starts", "half stops" } },
	{ true, false, { "half starts" } },
};

START_TEST(backends_share)
{
	struct virtio_backend half = { &half_ops }, rest = { &rest_ops };
	unsigned i;

	vdev.backend = &half;
	vdev.rest = &rest;
	vdev.vq[0].s.ready = vdev.vq[1].s.ready = true;
	ncalls = 0;
	half_fails = halves[_i].half_fails;
	rest_fails = halves[_i].rest_fails;
	features(V1);
	status(ACK | DRV | FOK | DOK);
	ck_assert(virtio_is_broken(&vdev) == (half_fails || rest_fails));
	status(0);
	for (i = 0; halves[_i].calls[i]; i++)
		ck_assert_str_eq(calls[i], halves[_i].calls[i]);
	ck_assert_uint_eq(ncalls, i);
	vdev.backend = &backend;
	vdev.rest = NULL;
}
END_TEST

/* Nobody serves while it is held, whatever the driver does; and once it is let go, who should. */
START_TEST(held)
{
	virtio_device_hold(&vdev, VIRTIO_HOLD_BUS, true);
	run_held();
	ck_assert_uint_eq(starts, 0);
	virtio_device_hold(&vdev, VIRTIO_HOLD_BUS, false);
	virtio_device_hold(&vdev, VIRTIO_HOLD_BUS, false);
	ck_assert_uint_eq(starts, 1);
	virtio_device_hold(&vdev, VIRTIO_HOLD_BUS, true);
	ck_assert_uint_eq(stops, 1);
	status(0);
	virtio_device_hold(&vdev, VIRTIO_HOLD_BUS, false);
	ck_assert_uint_eq(starts, 1);
	run();
	virtio_needs_reset(&vdev);
	virtio_device_hold(&vdev, VIRTIO_HOLD_BUS, true);
	virtio_device_hold(&vdev, VIRTIO_HOLD_BUS, false);
	ck_assert_uint_eq(starts, 2);
}
END_TEST

/* Nobody serves before both reasons have gone; after a pause all queues are looked at. */
START_TEST(paused)
{
	run();
	virtio_device_pause(&vdev, true);
	ck_assert_uint_eq(stops, 1);
	virtio_device_hold(&vdev, VIRTIO_HOLD_BUS, true);
	virtio_device_pause(&vdev, false);
	ck_assert_uint_eq(starts, 1);
	virtio_device_pause(&vdev, true);
	virtio_device_hold(&vdev, VIRTIO_HOLD_BUS, false);
	ck_assert_uint_eq(starts, 1);
	virtio_device_pause(&vdev, false);
	ck_assert_uint_eq(starts, 2);
	ck_assert_uint_eq(stops, 1);
}
END_TEST

START_TEST(status_that_can_be)
{
	ck_assert(virtio_status_ok(0));
	ck_assert(virtio_status_ok(ACK | DRV | FOK | DOK | VIRTIO_CONFIG_S_NEEDS_RESET));
	ck_assert(virtio_status_ok(ACK | DRV | VIRTIO_CONFIG_S_FAILED));
	ck_assert(!virtio_status_ok(DRV));
	ck_assert(!virtio_status_ok(ACK | DRV | DOK));
	ck_assert(!virtio_status_ok(0x10));
}
END_TEST

Suite *device_offer_suite(void)
{
	Suite *s = suite_create("device_offer");
	TCase *tc = unit_case(s, "offer");

	tcase_add_checked_fixture(tc, set_up, NULL);
	tcase_add_test(tc, backend_limits_the_offer);
	tcase_add_test(tc, backends_are_taken_over);
	tcase_add_test(tc, config_of_the_backend);
	tcase_add_test(tc, own_features_are_offered);
	tcase_add_test(tc, rest_limits_the_offer);
	tcase_add_loop_test(tc, backends_share, 0, ARRAY_SIZE(halves));
	tcase_add_test(tc, held);
	tcase_add_test(tc, paused);
	tcase_add_test(tc, status_that_can_be);
	return s;
}

UNIT_MAIN(device_offer_suite)
