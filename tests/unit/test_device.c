/* SPDX-License-Identifier: MIT */
#include "tests/unit/device_fixture.h"

Suite *device_suite(void);

START_TEST(fresh)
{
	unsigned q;

	ck_assert_uint_eq(virtio_get_status(&vdev), 0);
	ck_assert_uint_eq(vdev.offered, CLASS_BITS | VIRTIO_QUEUE_FEATURES);
	for (q = 0; q < 3; q++) {
		ck_assert_uint_eq(vdev.vq[q].s.max_size, 128);
		ck_assert_uint_eq(vdev.vq[q].s.size, 128);
		ck_assert(!vdev.vq[q].s.ready);
	}
}
END_TEST

/* What the driver writes, one after the other, and what it reads back. */
static const struct walk {
	uint64_t features;
	struct {
		uint8_t write, read;
	} step[6]; /* what follows the last one is a reset */
} walks[] = {
	{ V1, { { ACK, ACK }, { ACK | DRV, ACK | DRV }, { ACK | DRV | FOK, ACK | DRV | FOK },
		{ ACK | DRV | FOK | DOK, ACK | DRV | FOK | DOK }, { 0, 0 } } },
	{ V1, { { ACK | DRV, ACK | DRV }, { ACK | DRV | FOK | DOK, ACK | DRV | FOK | DOK } } },
	{ V1, { { DRV, 0 }, { FOK, 0 }, { DOK, 0 } } },
	{ V1, { { ACK, ACK }, { ACK | FOK, ACK }, { ACK | DOK, ACK },
		{ ACK | DRV | DOK, ACK | DRV } } },
	/* Bits are not cleared one by one. */
	{ V1, { { ACK | DRV, ACK | DRV }, { ACK, ACK | DRV }, { DRV | FOK, ACK | DRV } } },
	/* Bits that nobody knows. */
	{ V1, { { ACK | 0x10, ACK }, { ACK | DRV | 0x20, ACK | DRV } } },
	/* The driver may not say that we need a reset. */
	{ V1, { { ACK, ACK }, { ACK | BAD, ACK } } },
	/* FEATURES_OK does not stick. */
	{ 0, { { ACK | DRV, ACK | DRV }, { ACK | DRV | FOK, ACK | DRV } } },
	{ V1 | VIRTIO_BIT(2), { { ACK | DRV, ACK | DRV }, { ACK | DRV | FOK | DOK, ACK | DRV } } },
	{ V1 | VIRTIO_BIT(63), { { ACK | DRV, ACK | DRV }, { ACK | DRV | FOK, ACK | DRV } } },
	{ V1 | CLASS_BITS, { { ACK | DRV, ACK | DRV }, { ACK | DRV | FOK, ACK | DRV | FOK } } },
	/* The driver gives up. */
	{ V1, { { ACK, ACK }, { ACK | FAIL, ACK | FAIL }, { 0, 0 } } },
};

START_TEST(status_walks)
{
	const struct walk *w = &walks[_i];
	unsigned i;

	features(w->features);
	for (i = 0; i < ARRAY_SIZE(w->step); i++)
		ck_assert_msg(status(w->step[i].write) == w->step[i].read,
			      "step %u: 0x%x gave 0x%x", i, w->step[i].write,
			      virtio_get_status(&vdev));
}
END_TEST

START_TEST(refusals_are_logged)
{
	struct stderr_text err;

	log_set_level(LOG_WARN);
	stderr_begin(&err);
	status(ACK | DRV);
	status(ACK);
	status(ACK | DRV | FOK);
	stderr_end(&err);
	ck_assert_str_eq(err.text, "lunette: warning: u0: status 0x1 clears bits of 0x3\n"
				   "lunette: warning: u0: status 0xb after 0x3 is refused\n");
}
END_TEST

START_TEST(features_are_fixed_from_features_ok_on)
{
	status(ACK | DRV);
	virtio_set_features(&vdev, 0, 1);
	virtio_set_features(&vdev, 0, 2); /* a half is replaced, not added to */
	virtio_set_features(&vdev, 1, V1 >> 32);
	virtio_set_features(&vdev, 2, 0xffffffff);
	ck_assert_uint_eq(vdev.accepted, V1 | 2);
	status(ACK | DRV | FOK);
	virtio_set_features(&vdev, 0, 1);
	ck_assert_uint_eq(vdev.accepted, V1 | 2);
	status(0);
	ck_assert_uint_eq(vdev.accepted, 0);
}
END_TEST

START_TEST(queues_learn_the_features)
{
	features(V1 | VIRTIO_BIT(VIRTIO_RING_F_EVENT_IDX));
	status(ACK | DRV | FOK);
	ck_assert(vdev.vq[2].s.event_idx && !vdev.vq[2].s.indirect);
	status(0);
	ck_assert(!vdev.vq[2].s.event_idx);
	features(V1 | VIRTIO_BIT(VIRTIO_RING_F_INDIRECT_DESC));
	status(ACK | DRV | FOK);
	ck_assert(!vdev.vq[0].s.event_idx && vdev.vq[0].s.indirect);
}
END_TEST

START_TEST(queue_registers_have_their_time)
{
	struct virtqueue *vq = &vdev.vq[1];

	ck_assert(!virtio_queue_writable(&vdev, vq));
	status(ACK | DRV);
	ck_assert(!virtio_queue_writable(&vdev, vq));
	features(V1);
	status(ACK | DRV | FOK);
	ck_assert(virtio_queue_writable(&vdev, vq));
	vq->s.ready = true;
	ck_assert(!virtio_queue_writable(&vdev, vq));
	ck_assert(virtio_queue_writable(&vdev, &vdev.vq[0]));
	status(ACK | DRV | FOK | DOK);
	ck_assert(!virtio_queue_writable(&vdev, &vdev.vq[0]));
}
END_TEST

START_TEST(reset_forgets_everything)
{
	run();
	vdev.vq[0].s = (struct vq_state){ .max_size = 128, .size = 4, .ready = true, .desc = 1,
					  .driver = 2, .device = 3, .next_avail = 4,
					  .next_used = 5 };
	ck_assert_uint_eq(status(0), 0);
	ck_assert_uint_eq(stops, 1);
	ck_assert_uint_eq(resets, 1);
	ck_assert(!vdev.started);
	ck_assert_uint_eq(vdev.vq[0].s.size, 128);
	ck_assert(!vdev.vq[0].s.ready);
	ck_assert_uint_eq(vdev.vq[0].s.desc + vdev.vq[0].s.driver + vdev.vq[0].s.device, 0);
	ck_assert_uint_eq(vdev.vq[0].s.next_avail + vdev.vq[0].s.next_used, 0);
	ck_assert_uint_eq(status(0), 0);
	ck_assert_uint_eq(stops, 1); /* it was stopped already */
	run();
	ck_assert_uint_eq(starts, 2);
}
END_TEST

START_TEST(failed_start)
{
	start_result = -EINVAL;
	features(V1);
	ck_assert_uint_eq(status(ACK | DRV | FOK | DOK), ACK | DRV | FOK | DOK | BAD);
	ck_assert(!vdev.started);
	ck_assert(virtio_is_broken(&vdev));
	ck_assert_uint_eq(config_notified, 1);
	status(0);
	ck_assert_uint_eq(stops, 0);
	start_result = 0;
	run();
}
END_TEST

START_TEST(needs_reset_is_told_once)
{
	virtio_needs_reset(&vdev); /* no driver that could be told */
	ck_assert_uint_eq(config_notified, 0);
	status(0);
	run();
	virtio_needs_reset(&vdev);
	virtio_needs_reset(&vdev);
	ck_assert_uint_eq(config_notified, 1);
	ck_assert_uint_eq(virtio_get_status(&vdev), ACK | DRV | FOK | DOK | BAD);
	/* A driver that has not seen it yet does not clear it. */
	ck_assert_uint_eq(status(ACK | DRV | FOK | DOK), ACK | DRV | FOK | DOK | BAD);
	ck_assert_uint_eq(status(ACK | DRV | FOK | DOK | FAIL), ACK | DRV | FOK | DOK | FAIL | BAD);
	ck_assert_uint_eq(status(0), 0);
	ck_assert(!virtio_is_broken(&vdev));
}
END_TEST

START_TEST(queue_fault_says_which_rule)
{
	struct stderr_text err;

	run();
	log_set_level(LOG_WARN);
	vdev.vq[2].broken = "chain too long";
	stderr_begin(&err);
	virtio_queue_fault(&vdev, 2);
	ck_assert_str_eq(stderr_end(&err),
			 "lunette: warning: u0: queue 2: bad ring: chain too long\n");
	ck_assert(virtio_is_broken(&vdev));
}
END_TEST

START_TEST(disabled_queue)
{
	run();
	virtio_queue_disable(&vdev, 1); /* it was not enabled */
	ck_assert_uint_eq(stops, 0);
	vdev.vq[1].s.ready = true;
	virtio_queue_disable(&vdev, 1);
	ck_assert(!vdev.vq[1].s.ready);
	ck_assert_uint_eq(stops, 1);
	ck_assert_uint_eq(starts, 2);
	ck_assert(vdev.started);
}
END_TEST

START_TEST(config_space)
{
	char buf[8];

	virtio_config_read(&vdev, 0, buf, 4);
	ck_assert_mem_eq(buf, "conf", 4);
	virtio_config_read(&vdev, 4, buf, 8);
	ck_assert_mem_eq(buf, "ig\0\0\0\0\0\0", 8);
	memset(buf, 'x', 8);
	virtio_config_read(&vdev, UINT64_MAX, buf, 8);
	ck_assert_mem_eq(buf, "\0\0\0\0\0\0\0\0", 8);
	virtio_config_write(&vdev, 1, "AB", 2);
	virtio_config_write(&vdev, 2, "zz", 2); /* not writable, says the class */
	virtio_config_write(&vdev, 5, "yy", 2); /* over the end */
	virtio_config_write(&vdev, UINT64_MAX, "yy", 2);
	ck_assert_mem_eq(config, "cABfig", 6);
}
END_TEST

START_TEST(config_change)
{
	unsigned before = vdev.generation;

	virtio_config_changed(&vdev);
	ck_assert_uint_eq(config_notified, 0);
	run();
	virtio_config_changed(&vdev);
	ck_assert_uint_eq(config_notified, 1);
	ck_assert_uint_eq(vdev.generation, before + 2);
}
END_TEST

START_TEST(complete_notifies_if_wanted)
{
	struct driver_buf b = { 0x8000, 4, true };
	struct virtqueue *vq = &vdev.vq[0];
	struct vq_chain c;
	struct iovec iov;
	struct driver drv;
	eventfd_t n;

	driver_init(&drv, &mem, 0x1000, 8, false, 0);
	vq->s = (struct vq_state){ .max_size = 128, .size = 8, .desc = drv.desc,
				   .driver = drv.driver, .device = drv.device };
	ck_assert_int_eq(vq_start(vq, &mem), 0);
	virtio_complete(&vdev, 0);
	ck_assert_uint_eq(notified, 0);
	driver_add(&drv, &b, 1, 0);
	driver_add(&drv, &b, 1, 0);
	driver_publish(&drv);
	ck_assert_int_eq(vq_pop(vq, &c, &iov, 1), 1);
	vq_push(vq, c.head, 0);
	virtio_complete(&vdev, 0);
	ck_assert_uint_eq(notified, 1);
	driver_disarm(&drv);
	ck_assert_int_eq(vq_pop(vq, &c, &iov, 1), 1);
	vq_push(vq, c.head, 0);
	virtio_complete(&vdev, 0);
	ck_assert_uint_eq(notified, 1);
	vq_stop(vq);
	driver_fini(&drv);
	virtio_queue_again(&vdev, 0);
	ck_assert_int_eq(eventfd_read(kick_fd, &n), 0);
	ck_assert_uint_eq(n, 1);
}
END_TEST

Suite *device_suite(void)
{
	Suite *s = suite_create("device");
	TCase *tc = unit_case(s, "device");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, fresh);
	tcase_add_loop_test(tc, status_walks, 0, ARRAY_SIZE(walks));
	tcase_add_test(tc, refusals_are_logged);
	tcase_add_test(tc, features_are_fixed_from_features_ok_on);
	tcase_add_test(tc, queues_learn_the_features);
	tcase_add_test(tc, queue_registers_have_their_time);
	tcase_add_test(tc, reset_forgets_everything);
	tcase_add_test(tc, failed_start);
	tcase_add_test(tc, needs_reset_is_told_once);
	tcase_add_test(tc, queue_fault_says_which_rule);
	tcase_add_test(tc, disabled_queue);
	tcase_add_test(tc, config_space);
	tcase_add_test(tc, config_change);
	tcase_add_test(tc, complete_notifies_if_wanted);
	return s;
}

UNIT_MAIN(device_suite)
