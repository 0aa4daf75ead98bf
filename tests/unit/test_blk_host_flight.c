/* SPDX-License-Identifier: MIT */
/* Requests that are in flight: full queues, resets, pauses, another size, another store. */
#include "tests/unit/blk_host_fixture.h"

Suite *blk_host_flight_suite(void);

/* What completes together is shown together, also to a driver that wants every interrupt. */
START_TEST(one_interrupt_for_a_batch)
{
	struct flight f[16];
	unsigned i;

	start_with(VIRTIO_BIT(VIRTIO_RING_F_INDIRECT_DESC));
	testbed_settle(&tb);
	vdriver_irqs(&v);
	for (i = 0; i < 16; i++)
		f[i] = prepare(2, i & 1, i);
	vdriver_kick(&v, 2);
	for (i = 0; i < 3; i++) /* the kick, the store, and what is shown after it */
		testbed_settle(&tb);
	for (i = 0; i < 16; i++)
		ck_assert_uint_eq(landed(&f[i]), OK);
	ck_assert_uint_eq(vdriver_irqs(&v), 1);
}
END_TEST

/* When the status reads 0, all is over: the rings are the driver's, and nobody writes there. */
START_TEST(device_reset_in_flight)
{
	const size_t len = driver_bytes(64) - 64 * 18;
	static uint8_t before[QUEUES][2048], after[2048];
	unsigned q, i;

	start();
	ram->hold = true;
	for (i = 0; i < 16; i++)
		launch(i % QUEUES, i & 1, i);
	testbed_settle(&tb);
	vdriver_set_status(&v, 0);
	ck_assert_uint_eq(vdriver_status(&v), 0);
	vdriver_irqs(&v);
	for (q = 0; q < QUEUES; q++)
		mem_read(&tb.mem, v.queue[q].ring.device, before[q], len);
	ram->hold = false;
	for (q = 0; q < QUEUES; q++)
		vdriver_notify(&v, q);
	testbed_settle(&tb);
	for (q = 0; q < QUEUES; q++) {
		mem_read(&tb.mem, v.queue[q].ring.device, after, len);
		ck_assert_mem_eq(after, before[q], len);
	}
	ck_assert_uint_eq(vdriver_irqs(&v), 0);
	start();
	use_disk(3);
}
END_TEST

/* A pause waits for all of it, and afterwards nothing is lost. */
START_TEST(paused_in_flight)
{
	struct flight f[8];
	unsigned i;

	start();
	ram->hold = true;
	for (i = 0; i < 8; i++)
		f[i] = launch(i % QUEUES, i & 1, i);
	testbed_settle(&tb);
	virtio_device_pause(&vdev, true);
	for (i = 0; i < 8; i++)
		ck_assert_uint_eq(landed(&f[i]), OK);
	ram->hold = false;
	f[0] = launch(1, true, 9);
	testbed_settle(&tb);
	ck_assert_uint_eq(landed(&f[0]), BLK_DRIVER_UNTOUCHED);
	virtio_device_pause(&vdev, false);
	for (i = 0; i < 3; i++)
		testbed_settle(&tb);
	ck_assert_uint_eq(landed(&f[0]), OK);
	use_disk(0);
}
END_TEST

/* Also of a request whose next part begins as the one before it ends. */
START_TEST(settled)
{
	struct flight f[4];
	uint8_t raw[2][16];
	unsigned i;

	start();
	ram->hold = true;
	for (i = 0; i < 4; i++)
		f[i] = launch(i, i & 1, i);
	testbed_settle(&tb);
	ck_assert_uint_eq(ram->nlog, 0);
	blk_host_settle(&host);
	ck_assert_uint_eq(ram->nlog, 4);
	for (i = 0; i < 2; i++)
		testbed_settle(&tb);
	for (i = 0; i < 4; i++)
		ck_assert_uint_eq(landed(&f[i]), OK);
	ram->hold = false;
	blk_driver_segment(raw[0], 0, 8, 0);
	blk_driver_segment(raw[1], 8, 8, 0);
	check(blk_driver_run(&v, 0, VIRTIO_BLK_T_DISCARD, 0, raw, sizeof(raw), NULL, 0), OK, 1);
}
END_TEST

/* Requests in flight end by the old store, those after it by the new one. */
START_TEST(swapped_in_flight)
{
	struct ramstore *other = ramstore_open(SECTORS * 512), *old = ram;
	struct flight f[4];
	unsigned i;

	start();
	ram->hold = true;
	for (i = 0; i < 4; i++)
		f[i] = launch(i, true, i);
	testbed_settle(&tb);
	ck_assert_int_eq(blk_host_swap(&host, &other->block), 0);
	ck_assert_uint_eq(ram->nlog, 4);
	for (i = 0; i < 2; i++)
		testbed_settle(&tb);
	for (i = 0; i < 4; i++)
		ck_assert_uint_eq(landed(&f[i]), OK);
	ck_assert_int_eq(blk_host_swap(&host, &other->block), 0);
	ram = other;
	for (i = 0; i < QUEUES; i++)
		use_disk(i);
	ck_assert_uint_eq(old->nlog, 4);
	vdriver_reset(&v);
	start(); /* and after a reset it is the new one, too */
	use_disk(1);
	ck_assert_uint_eq(old->nlog, 4);
	ramstore_close(old);
}
END_TEST

/* A full ring in every queue, all of them at once, some rounds. */
START_TEST(all_queues_full)
{
	unsigned round, q, i;

	for (round = 0; round < 5; round++) {
		vdriver_fini(&v);
		testbed_release(&tb);
		start();
		for (i = 0; i < 80; i++)
			use_disk(i % QUEUES);
		for (q = 0; q < QUEUES; q++) {
			for (i = 0; i < 64; i++)
				launch(q, i & 1, q * 64 + i);
		}
		for (q = 0; q < QUEUES; q++) {
			uint64_t seen = 0;

			for (i = 0; i < 64; i++) {
				uint16_t head;
				uint32_t len;

				ck_assert_int_eq(vdriver_wait_used(&v, q, &head, &len, 5000), 0);
				ck_assert_uint_lt(head, 64);
				seen |= 1ull << head;
			}
			ck_assert_uint_eq(seen, ~0ull);
		}
		vdriver_reset(&v);
	}
}
END_TEST

/* A driver that makes one head available twice, or breaks its ring, hurts itself alone. */
START_TEST(head_twice)
{
	struct flight f;
	uint16_t idx;

	start();
	ram->hold = true;
	f = launch(1, true, 3);
	testbed_settle(&tb);
	mem_read(&tb.mem, v.queue[1].ring.driver + 2, &idx, 2);
	mem_write(&tb.mem, v.queue[1].ring.driver + 4 + 2ull * (idx % 64), &f.head, 2);
	idx++;
	mem_write(&tb.mem, v.queue[1].ring.driver + 2, &idx, 2);
	vdriver_notify(&v, 1);
	testbed_settle(&tb);
	ram->hold = false;
	blk_host_settle(&host);
	vdriver_reset(&v);
	ck_assert_uint_eq(ram->nlog, 2);
	start();
	use_disk(1);
}
END_TEST

START_TEST(memory_is_told)
{
	ck_assert_uint_eq(blk_host_memory(0, 256), 0);
	ck_assert_uint_gt(blk_host_memory(1, 64), 65 * 2 * BLK_HOST_CHAIN_MAX * 16);
	ck_assert_uint_eq(blk_host_memory(4, 64), 4 * blk_host_memory(1, 64));
}
END_TEST

static void add_tests(TCase *tc, SFun set_up_on)
{
	tcase_add_checked_fixture(tc, set_up_on, tear_down);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, one_interrupt_for_a_batch);
	tcase_add_test(tc, device_reset_in_flight);
	tcase_add_test(tc, paused_in_flight);
	tcase_add_test(tc, settled);
	tcase_add_test(tc, swapped_in_flight);
	tcase_add_test(tc, all_queues_full);
	tcase_add_test(tc, head_twice);
}

Suite *blk_host_flight_suite(void)
{
	Suite *s = suite_create("blk_host_flight");
	TCase *tc = unit_case(s, "memory");

	tcase_add_test(tc, memory_is_told);
	add_tests(unit_case(s, "pci"), set_up_pci);
	add_tests(unit_case(s, "mmio"), set_up_mmio);
	return s;
}

UNIT_MAIN(blk_host_flight_suite)
