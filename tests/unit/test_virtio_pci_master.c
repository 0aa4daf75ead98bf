/* SPDX-License-Identifier: MIT */
/*
 * Memory decoding and bus mastering; the rest is in test_virtio_pci.c.
 */
#include "tests/unit/echo_rig.h"

#include <linux/pci_regs.h>
#include <linux/virtio_pci.h>
#include <string.h>

Suite *virtio_pci_master_suite(void);

static void start(void)
{
	ck_assert(vdriver_start(&v, UINT64_MAX, ECHO_QUEUES, 16));
	testbed_settle(&tb);
	vdriver_irqs(&v);
}

/* Which of our vectors have fired, as bits. */
static unsigned fired(void)
{
	unsigned i, bits = 0;

	for (i = 0; i < v.ngsis; i++) {
		uint64_t n = testbed_irqs(&tb, v.gsi[i]);

		ck_assert_uint_le(n, 1);
		bits |= n << i;
	}
	return bits;
}

static void command(uint16_t bits)
{
	vdriver_pci_write(&v, PCI_COMMAND, bits, 2);
}

#define DECODED PCI_COMMAND_MEMORY
#define MASTER PCI_COMMAND_MASTER

/* Offers a request of queue @q that wants an interrupt, and kicks. */
static void offer_one(unsigned q)
{
	struct driver_buf b = { v.queue[q].arena, 4, true };

	driver_rearm(&v.queue[q].ring);
	driver_add(&v.queue[q].ring, &b, 1, 0);
	vdriver_kick(&v, q);
	vdriver_notify(&v, q);
	testbed_settle(&tb);
}

static bool is_done(unsigned q)
{
	uint16_t head;
	uint32_t len;

	return driver_used(&v.queue[q].ring, &head, &len);
}

/* What is kicked for meanwhile waits, on every queue, and is served once when it may. */
START_TEST(no_kick_is_served_by_no_master)
{
	unsigned q;

	start();
	command(DECODED);
	for (q = 0; q < ECHO_QUEUES; q++) {
		offer_one(q);
		ck_assert(!is_done(q));
	}
	ck_assert_uint_eq(fired(), 0);
	atomic_store(&echo.kicks, 0);
	command(DECODED | MASTER);
	testbed_settle(&tb);
	ck_assert_uint_ge(echo.kicks, ECHO_QUEUES);
	for (q = 0; q < ECHO_QUEUES; q++) {
		ck_assert(is_done(q));
		ck_assert(!is_done(q));
	}
	ck_assert_uint_eq(fired() & ~1u, 0x1e);
	check_echo(1);
}
END_TEST

/* What is in flight has ended when the write to the register has; its interrupt waits. */
START_TEST(mastership_ends_in_mid_io)
{
	start();
	echo.hold = 1;
	offer_one(1);
	ck_assert(!is_done(1));
	command(DECODED);
	ck_assert(is_done(1));
	ck_assert_uint_eq(fired(), 0);
	virtio_config_changed(&echo.vdev);
	ck_assert_uint_eq(fired(), 0);
	command(DECODED | MASTER);
	ck_assert_uint_eq(fired() & 5, 5); /* queue 1 and the configuration */
	echo.hold = 0;
	check_echo(1);
}
END_TEST

/* By which register it may come, and in what order with DRIVER_OK. */
START_TEST(mastership_comes_late)
{
	command(DECODED);
	ck_assert(vdriver_start(&v, UINT64_MAX, ECHO_QUEUES, 16));
	ck_assert(!echo.vdev.started);
	offer_one(2);
	ck_assert(!is_done(2));
	vdriver_poke(&v, v.common + VIRTIO_PCI_COMMON_Q_SELECT, 2, 2);
	vdriver_poke(&v, v.common + VIRTIO_PCI_COMMON_Q_MSIX, 4, 2); /* nothing that starts it */
	ck_assert(!echo.vdev.started);
	vdriver_pci_write(&v, PCI_COMMAND, DECODED | MASTER, 1);
	testbed_settle(&tb);
	ck_assert(is_done(2));
	ck_assert_uint_eq(vdriver_status(&v), VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |
			  VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK);
}
END_TEST

/* A ring that nobody has kicked for is not looked at: it may be another kernel's memory by now. */
START_TEST(no_look_without_a_kick)
{
	struct driver_buf b = { 0, 4, true };

	start();
	b.gpa = v.queue[1].arena;
	check_echo(1);
	command(DECODED);
	driver_rearm(&v.queue[1].ring);
	driver_add(&v.queue[1].ring, &b, 1, 0);
	driver_publish(&v.queue[1].ring);
	atomic_store(&echo.kicks, 0);
	command(DECODED | MASTER);
	testbed_settle(&tb);
	ck_assert_uint_eq(echo.kicks, 0);
	vdriver_notify(&v, 1);
	testbed_settle(&tb);
	ck_assert(is_done(1));
}
END_TEST

/* As a kernel leaves the device to the next one: no master any more, and then reset. */
START_TEST(reset_without_mastership)
{
	start();
	echo.hold = 1;
	offer_one(3);
	command(DECODED);
	vdriver_reset(&v);
	ck_assert_uint_eq(vdriver_status(&v), 0);
	command(DECODED | MASTER);
	ck_assert(!echo.vdev.started);
	echo.hold = 0;
	vdriver_fini(&v);
	testbed_release(&tb);
	ck_assert(vdriver_probe(&v, &tb, 0));
	start();
	check_echo(3);
}
END_TEST

/* What a broken device needs is a reset. */
START_TEST(mastership_mends_nothing)
{
	start();
	virtio_needs_reset(&echo.vdev);
	command(DECODED);
	command(DECODED | MASTER);
	ck_assert(!echo.vdev.started);
	ck_assert(virtio_is_broken(&echo.vdev));
}
END_TEST

/* Nobody hears a doorbell that is not decoded; the driver may ring anew. */
START_TEST(decoding_ends_in_mid_io)
{
	start();
	echo.hold = 1;
	offer_one(1);
	command(MASTER);
	atomic_store(&echo.kicks, 0);
	offer_one(1);
	ck_assert_uint_eq(echo.kicks, 0);
	ck_assert(!is_done(1));
	command(DECODED | MASTER);
	testbed_settle(&tb);
	ck_assert_uint_eq(echo.kicks, 0);
	vdriver_notify(&v, 1);
	testbed_settle(&tb);
	ck_assert(is_done(1));
	echo.hold = 0;
	check_echo(2); /* queue 1 has one back */
}
END_TEST

/* While requests run; and with the BAR nowhere, the device goes on with what it has. */
START_TEST(bar_moves_in_service)
{
	uint64_t to = TESTBED_BARS_END - 0x10000;
	unsigned q;

	start();
	check_echo(1);
	v.common += to - v.base;
	v.notify += to - v.base;
	v.config += to - v.base;
	v.isr += to - v.base;
	v.base = to;
	vdriver_pci_write(&v, PCI_BASE_ADDRESS_0, to, 4);
	for (q = 0; q < ECHO_QUEUES; q++)
		check_echo(q);
	command(MASTER);
	ck_assert_uint_eq(vdriver_peek(&v, v.common, 4), 0xffffffff);
	virtio_config_changed(&echo.vdev);
	ck_assert_uint_eq(fired() & 1, 1);
	command(MASTER | DECODED);
	check_echo(2);
}
END_TEST

Suite *virtio_pci_master_suite(void)
{
	Suite *s = suite_create("virtio_pci_master");
	TCase *tc = unit_case(s, "master");

	tcase_add_checked_fixture(tc, echo_set_up_pci, echo_tear_down);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, no_kick_is_served_by_no_master);
	tcase_add_test(tc, mastership_ends_in_mid_io);
	tcase_add_test(tc, mastership_comes_late);
	tcase_add_test(tc, no_look_without_a_kick);
	tcase_add_test(tc, reset_without_mastership);
	tcase_add_test(tc, mastership_mends_nothing);
	tcase_add_test(tc, decoding_ends_in_mid_io);
	tcase_add_test(tc, bar_moves_in_service);
	return s;
}

UNIT_MAIN(virtio_pci_master_suite)
