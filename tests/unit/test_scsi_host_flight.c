/* SPDX-License-Identifier: MIT */
/* Requests that are in flight: full queues, aborts, resets. */
#include "tests/unit/scsi_host_fixture.h"

Suite *scsi_host_flight_suite(void);

/* On both threads; what is aborted is to be seen before the function's own answer. */
START_TEST(lun_reset_in_flight)
{
	struct flight f[4];
	uint8_t response;
	unsigned i;

	start();
	ram->hold = true;
	for (i = 0; i < 4; i++)
		f[i] = launch(SCSI_HOST_REQUEST + i, 100 + i, true, i);
	testbed_settle(&tb);
	for (i = 0; i < 4; i++)
		ck_assert(!landed(&f[i], &response));
	ck_assert_int_eq(scsi_driver_tmf(&v, VIRTIO_SCSI_T_TMF_QUERY_TASK, 3, 102),
			 VIRTIO_SCSI_S_FUNCTION_SUCCEEDED);
	ck_assert_int_eq(scsi_driver_tmf(&v, VIRTIO_SCSI_T_TMF_LOGICAL_UNIT_RESET, 3, 0),
			 VIRTIO_SCSI_S_OK);
	for (i = 0; i < 4; i++) {
		ck_assert(landed(&f[i], &response));
		ck_assert_uint_eq(response, VIRTIO_SCSI_S_RESET);
	}
	ram->hold = false;
	check_sense(scsi_driver_run(&v, 2, 3, SCSI_DRIVER_CDB(0x00), NULL, 0, NULL, 0), 6, 0x29,
		    0x03);
	use_disk(3);
}
END_TEST

/* What completes together is shown together, also to a driver that wants every interrupt. */
START_TEST(one_interrupt_for_a_batch)
{
	struct flight f[16];
	uint8_t response;
	unsigned i;

	start_with(VIRTIO_BIT(VIRTIO_RING_F_INDIRECT_DESC));
	scsi_driver_clear_attention(&v, 3);
	testbed_settle(&tb);
	vdriver_irqs(&v);
	for (i = 0; i < 16; i++)
		f[i] = prepare(2, i, i & 1, i);
	vdriver_kick(&v, 2);
	for (i = 0; i < 3; i++) /* the kick, the store, and what is shown after it */
		testbed_settle(&tb);
	for (i = 0; i < 16; i++) {
		ck_assert(landed(&f[i], &response));
		ck_assert_uint_eq(response, VIRTIO_SCSI_S_OK);
	}
	ck_assert_uint_eq(vdriver_irqs(&v), 1);
}
END_TEST

START_TEST(abort_one_of_two)
{
	struct flight a, b;
	uint8_t response;

	start();
	ram->hold = true;
	a = launch(2, 1000, true, 0);
	b = launch(3, 1001, true, 1);
	testbed_settle(&tb);
	ck_assert_int_eq(scsi_driver_tmf(&v, VIRTIO_SCSI_T_TMF_ABORT_TASK, 3, 1001),
			 VIRTIO_SCSI_S_OK);
	ck_assert(landed(&b, &response));
	ck_assert_uint_eq(response, VIRTIO_SCSI_S_ABORTED);
	ck_assert(!landed(&a, &response));
	ck_assert_int_eq(scsi_driver_tmf(&v, VIRTIO_SCSI_T_TMF_ABORT_TASK_SET, 3, 0),
			 VIRTIO_SCSI_S_OK);
	ck_assert(landed(&a, &response));
	ck_assert_uint_eq(response, VIRTIO_SCSI_S_ABORTED);
}
END_TEST

/* When the status reads 0, all is over: the rings are the driver's, and nobody writes there. */
START_TEST(device_reset_in_flight)
{
	static uint8_t before[QUEUES][2048], after[2048];
	unsigned q, i;

	start();
	ram->hold = true;
	for (i = 0; i < 16; i++)
		launch(SCSI_HOST_REQUEST + i % 4, i, i & 1, i);
	testbed_settle(&tb);
	vdriver_set_status(&v, 0);
	ck_assert_uint_eq(vdriver_status(&v), 0);
	vdriver_irqs(&v);
	for (q = 0; q < QUEUES; q++)
		mem_read(&tb.mem, v.queue[q].ring.device, before[q], driver_bytes(64) - 64 * 18);
	ram->hold = false;
	for (q = 0; q < QUEUES; q++)
		vdriver_notify(&v, q);
	testbed_settle(&tb);
	for (q = 0; q < QUEUES; q++) {
		size_t len = driver_bytes(64) - 64 * 18;

		mem_read(&tb.mem, v.queue[q].ring.device, after, len);
		ck_assert_mem_eq(after, before[q], len);
	}
	ck_assert_uint_eq(vdriver_irqs(&v), 0);
	start();
	use_disk(4);
}
END_TEST

/* What one driver has done to the disk is not there for the next one. */
START_TEST(device_reset_resets_disks)
{
	start();
	check_good(scsi_driver_run(&v, 2, 3, SCSI_DRIVER_CDB(0x1b), NULL, 0, NULL, 0), 0, 0);
	check_sense(scsi_driver_run(&v, 2, 3, SCSI_DRIVER_CDB(0x00), NULL, 0, NULL, 0), 2, 0x04,
		    0x02);
	start_with(~0ull);
	check_sense(scsi_driver_run(&v, 2, 3, SCSI_DRIVER_CDB(0x00), NULL, 0, NULL, 0), 6, 0x29,
		    0x00);
	check_good(scsi_driver_run(&v, 2, 3, SCSI_DRIVER_CDB(0x00), NULL, 0, NULL, 0), 0, 0);
}
END_TEST

/* A full ring in every queue, all of them at once, some rounds. */
START_TEST(all_queues_full)
{
	unsigned round, q, i;

	start();
	for (round = 0; round < 5; round++) {
		vdriver_reset(&v);
		testbed_release(&tb);
		start();
		for (i = 0; i < 80; i++)
			use_disk(SCSI_HOST_REQUEST + i % 4);
		for (q = 0; q < 4; q++) {
			for (i = 0; i < 64; i++)
				launch(SCSI_HOST_REQUEST + q, i, i & 1, q * 64 + i);
		}
		for (q = 0; q < 4; q++) {
			uint64_t seen = 0;

			for (i = 0; i < 64; i++) {
				uint16_t head;
				uint32_t len;

				ck_assert_int_eq(vdriver_wait_used(&v, SCSI_HOST_REQUEST + q, &head,
								   &len, 5000), 0);
				ck_assert_uint_lt(head, 64);
				seen |= 1ull << head;
			}
			ck_assert_uint_eq(seen, ~0ull);
		}
	}
}
END_TEST

static void add_tests(TCase *tc, SFun set_up_on)
{
	tcase_add_checked_fixture(tc, set_up_on, tear_down);
	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, lun_reset_in_flight);
	tcase_add_test(tc, one_interrupt_for_a_batch);
	tcase_add_test(tc, abort_one_of_two);
	tcase_add_test(tc, device_reset_in_flight);
	tcase_add_test(tc, device_reset_resets_disks);
	tcase_add_test(tc, all_queues_full);
}

Suite *scsi_host_flight_suite(void)
{
	Suite *s = suite_create("scsi_host_flight");

	add_tests(unit_case(s, "pci"), set_up_pci);
	add_tests(unit_case(s, "mmio"), set_up_mmio);
	return s;
}

UNIT_MAIN(scsi_host_flight_suite)
