/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <string.h>

#include "devices/virtio_plain.h"
#include "tests/lib/vdriver.h"
#include "vmm/core/util.h"

Suite *virtio_plain_suite(void);

static struct testbed tb;
static struct vdriver v;

static void kick(struct virtio_device *vdev, unsigned q)
{
	(void)vdev;
	(void)q;
}

static const struct virtio_class class = { .name = "plain", .id = 33, .kick = kick };

static struct device *create(int transport, struct virtio_spec spec)
{
	const struct virtio_plain_cfg cfg = { transport };
	struct device *dev = NULL;

	spec.class = &class;
	ck_assert_int_eq(virtio_plain_create(&tb.p, "p0", &cfg, &spec, &dev), 0);
	strcpy(dev->id, "p0");
	return dev;
}

static void set_up(void)
{
	testbed_init(&tb);
}

static void tear_down(void)
{
	testbed_fini(&tb);
}

/* Nothing is seen of it, and nobody serves, before it is ready. */
START_TEST(is_made_when_ready)
{
	struct virtio_spec spec = { .nvq = 2, .queue_size = 8, .config_len = 12 };
	struct device *dev = create(_i, spec);
	struct virtio_plain *plain = container_of(dev, struct virtio_plain, dev);

	ck_assert_ptr_null(plain->vdev.transport);
	ck_assert_uint_eq(tb.niothreads, 0);
	plain->config[11] = 7;
	ck_assert_int_eq(virtio_plain_ready(dev), 0);
	ck_assert_uint_eq(tb.niothreads, 1);
	testbed_start(&tb);
	ck_assert(vdriver_probe(&v, &tb, 0));
	ck_assert_uint_eq(v.device_id, 33);
	ck_assert_str_eq(plain->vdev.name, "p0");
	ck_assert_str_eq(plain->vdev.transport->name, virtio_transport_words[_i]);
	ck_assert_uint_eq(plain->vdev.nvq, 2);
	ck_assert_uint_eq(plain->vdev.config_len, 12);
	ck_assert_uint_eq(plain->vdev.config[11], 7);
	vdriver_fini(&v);
	virtio_plain_destroy(dev);
}
END_TEST

START_TEST(destroyed_before_it_is_ready)
{
	virtio_plain_destroy(create(_i, (struct virtio_spec){ .nvq = 1, .queue_size = 8 }));
	ck_assert_uint_eq(tb.niothreads, 0);
}
END_TEST

START_TEST(cannot_be_made_ready)
{
	struct device *dev = create(_i, (struct virtio_spec){ .nvq = 1, .queue_size = 8 });

	tb.p.pci = NULL;
	tb.p.mmio_end = tb.p.mmio_next;
	log_set_level(LOG_ERR);
	ck_assert_int_lt(virtio_plain_ready(dev), 0);
	virtio_plain_destroy(dev);
}
END_TEST

Suite *virtio_plain_suite(void)
{
	Suite *s = suite_create("virtio_plain");
	TCase *tc = unit_case(s, "virtio_plain");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_loop_test(tc, is_made_when_ready, 0, VIRTIO_TRANSPORTS);
	tcase_add_loop_test(tc, destroyed_before_it_is_ready, 0, VIRTIO_TRANSPORTS);
	tcase_add_loop_test(tc, cannot_be_made_ready, 0, VIRTIO_TRANSPORTS);
	return s;
}

UNIT_MAIN(virtio_plain_suite)
