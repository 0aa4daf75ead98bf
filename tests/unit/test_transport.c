/* SPDX-License-Identifier: MIT */
/*
 * test_transport.c - what no driver and no device can tell apart: the same on every transport.
 */
#include "tests/unit/echo_rig.h"

#include <linux/virtio_ring.h>
#include <string.h>
#include <sys/eventfd.h>

#include "tests/lib/stderr.h"
#include "vmm/core/util.h"

Suite *transport_suite(void);

#define ALL_FEATURES UINT64_MAX

START_TEST(offer)
{
	ck_assert_uint_eq(v.device_id, ECHO_ID);
	ck_assert_uint_eq(v.offered, ECHO_FEATURE | VIRTIO_QUEUE_FEATURES);
	ck_assert_uint_eq(vdriver_queue_max(&v, ECHO_QUEUES - 1), ECHO_SIZE);
	ck_assert_uint_eq(vdriver_queue_max(&v, ECHO_QUEUES), 0);
}
END_TEST

START_TEST(request)
{
	uint64_t features = _i & 1 ? ALL_FEATURES : 0;
	unsigned q;

	v.direct = _i & 2;
	ck_assert(vdriver_start(&v, features, ECHO_QUEUES, 16));
	for (q = 0; q < ECHO_QUEUES; q++)
		check_echo(q);
	check_echo(0);
}
END_TEST

/* With the event index, one interrupt for each request whose event we ask for, and no other. */
START_TEST(interrupts_are_counted)
{
	struct driver *ring = &v.queue[0].ring;
	struct driver_buf b;
	uint16_t head;
	uint32_t len;
	unsigned i;

	ck_assert(vdriver_start(&v, ALL_FEATURES, 1, 16));
	b = (struct driver_buf){ v.queue[0].arena, 4, true };
	for (i = 0; i < 100; i++) {
		bool ask = i % 3;

		if (ask)
			driver_rearm(ring);
		else
			driver_disarm(ring);
		driver_add(ring, &b, 1, 0);
		vdriver_kick(&v, 0);
		testbed_settle(&tb);
		ck_assert(driver_used(ring, &head, &len));
		ck_assert_uint_eq(vdriver_irqs(&v), ask);
	}
}
END_TEST

START_TEST(kick_of_an_idle_queue)
{
	ck_assert(vdriver_start(&v, ALL_FEATURES, 2, 16));
	testbed_settle(&tb);
	atomic_store(&echo.kicks, 0);
	vdriver_notify(&v, 3); /* it exists, but is not in service */
	testbed_settle(&tb);
	ck_assert_uint_eq(echo.kicks, 0);
	vdriver_notify(&v, 1);
	testbed_settle(&tb);
	ck_assert_uint_eq(echo.kicks, 1);
}
END_TEST

START_TEST(config_change)
{
	ck_assert(vdriver_start(&v, ALL_FEATURES, 2, 16));
	virtio_config_changed(&echo.vdev);
	ck_assert_uint_eq(vdriver_wait(&v, 1000), VDRIVER_INT_CONFIG);
	ck_assert_uint_eq(vdriver_wait(&v, 0), 0);
}
END_TEST

/* What a back end outside of the process would write to. */
START_TEST(foreign_call)
{
	unsigned q;

	ck_assert(vdriver_start(&v, ALL_FEATURES, ECHO_QUEUES, 16));
	testbed_settle(&tb);
	vdriver_irqs(&v);
	for (q = 0; q < ECHO_QUEUES; q++) {
		int call = echo.vdev.transport->call_fd(&echo.vdev, q);

		ck_assert_int_ge(call, 0);
		ck_assert_int_eq(eventfd_write(call, 1), 0);
		ck_assert_uint_eq(vdriver_wait(&v, 5000), VDRIVER_INT_VRING);
		ck_assert_uint_eq(vdriver_wait(&v, 0), 0);
	}
}
END_TEST

/* Whatever the device has come to: after a reset it works. */
static void check_revival(void)
{
	vdriver_fini(&v);
	testbed_release(&tb);
	ck_assert(vdriver_probe(&v, &tb, 0));
	ck_assert(vdriver_start(&v, ALL_FEATURES, ECHO_QUEUES, 16));
	check_echo(1);
	check_echo(3);
}

START_TEST(bad_ring)
{
	uint8_t raw[2];
	struct stderr_text err;

	ck_assert(vdriver_start(&v, ALL_FEATURES, ECHO_QUEUES, 16));
	testbed_settle(&tb);
	log_set_level(LOG_WARN);
	stderr_begin(&err);
	le16_put(raw, 17);
	mem_write(&tb.mem, v.queue[3].ring.driver + 2, raw, 2);
	vdriver_notify(&v, 3);
	testbed_settle(&tb);
	ck_assert_str_eq(stderr_end(&err), "lunette: warning: e0: queue 3: bad ring: "
					   "more chains than the ring holds\n");
	log_set_level(LOG_ERR);
	ck_assert_uint_ne(vdriver_status(&v) & VIRTIO_CONFIG_S_NEEDS_RESET, 0);
	ck_assert_uint_eq(vdriver_wait(&v, 1000), VDRIVER_INT_CONFIG);
	/* The other queues rest. */
	atomic_store(&echo.kicks, 0);
	vdriver_notify(&v, 1);
	testbed_settle(&tb);
	ck_assert_uint_eq(echo.kicks, 0);
	check_revival();
}
END_TEST

/* Random bytes in rings that were right a moment ago. */
START_TEST(hostile_rings)
{
	uint32_t seed = 815 + _i;
	unsigned round, i, q, broken = 0, fine = 0;

	ck_assert(vdriver_start(&v, ALL_FEATURES, ECHO_QUEUES, 16));
	for (round = 0; round < 300; round++) {
		testbed_settle(&tb);
		for (q = 0; q < ECHO_QUEUES; q++) {
			struct driver *ring = &v.queue[q].ring;
			struct driver_buf b[2] = { { v.queue[q].arena, 100, false },
						   { v.queue[q].arena + 4096, 100, true } };

			for (i = 0; i < 8; i++)
				driver_add(ring, b, 2, i % 2 ? v.queue[q].table : 0);
			for (i = driver_random(&seed) % 4; i; i--) {
				uint32_t at = driver_random(&seed) % driver_bytes(16);

				ring->d[at] = driver_random(&seed);
			}
			driver_publish(ring);
			vdriver_notify(&v, q);
			/* One after the other: a bad address may be in another queue's memory. */
			testbed_settle(&tb);
		}
		if (vdriver_status(&v) & VIRTIO_CONFIG_S_NEEDS_RESET)
			broken++;
		else
			fine++;
		check_revival();
	}
	ck_assert_uint_gt(broken, 10);
	ck_assert_uint_gt(fine, 10);
}
END_TEST

static void add_tests(TCase *tc, SFun set_up_on)
{
	tcase_add_checked_fixture(tc, set_up_on, echo_tear_down);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, offer);
	tcase_add_loop_test(tc, request, 0, 4);
	tcase_add_test(tc, interrupts_are_counted);
	tcase_add_test(tc, config_change);
	tcase_add_test(tc, foreign_call);
	tcase_add_test(tc, bad_ring);
}

/* Those with many steps, or in which a queue that is looked at after a pause would count. */
static void add_more(TCase *tc)
{
	tcase_add_test(tc, kick_of_an_idle_queue);
	tcase_add_loop_test(tc, hostile_rings, 0, unit_rows(2));
}

Suite *transport_suite(void)
{
	Suite *s = suite_create("transport");

	TCase *pci = unit_case(s, "pci"), *mmio = unit_case(s, "mmio");

	add_tests(pci, echo_set_up_pci);
	add_tests(mmio, echo_set_up_mmio);
	add_more(pci);
	add_more(mmio);
	/* Saved, destroyed and restored at every step. */
	add_tests(unit_case(s, "pci reborn"), echo_set_up_pci_reborn);
	add_tests(unit_case(s, "mmio reborn"), echo_set_up_mmio_reborn);
	return s;
}

UNIT_MAIN(transport_suite)
