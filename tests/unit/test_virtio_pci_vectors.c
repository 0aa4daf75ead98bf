/* SPDX-License-Identifier: MIT */
/* Vectors and the ISR status: who is told, and how. */
#include "tests/unit/virtio_pci_fixture.h"

Suite *virtio_pci_vectors_suite(void);

/* Vectors. */

START_TEST(vector_registers)
{
	static const uint16_t wrong[] = { ECHO_QUEUES + 1, 0x7ff, 0xfffe, 0xffff };
	unsigned i;

	select_queue(1);
	ck_assert_uint_eq(load(VIRTIO_PCI_COMMON_MSIX, 2), NO_VECTOR);
	ck_assert_uint_eq(load(VIRTIO_PCI_COMMON_Q_MSIX, 2), NO_VECTOR);
	for (i = 0; i < ARRAY_SIZE(wrong); i++) {
		store(VIRTIO_PCI_COMMON_MSIX, ECHO_QUEUES, 2);
		store(VIRTIO_PCI_COMMON_Q_MSIX, 0, 2);
		ck_assert_uint_eq(load(VIRTIO_PCI_COMMON_MSIX, 2), ECHO_QUEUES);
		ck_assert_uint_eq(load(VIRTIO_PCI_COMMON_Q_MSIX, 2), 0);
		store(VIRTIO_PCI_COMMON_MSIX, wrong[i], 2);
		store(VIRTIO_PCI_COMMON_Q_MSIX, wrong[i], 2);
		ck_assert_uint_eq(load(VIRTIO_PCI_COMMON_MSIX, 2), NO_VECTOR);
		ck_assert_uint_eq(load(VIRTIO_PCI_COMMON_Q_MSIX, 2), NO_VECTOR);
	}
	store(VIRTIO_PCI_COMMON_MSIX, 1, 2);
	store(VIRTIO_PCI_COMMON_Q_MSIX, 1, 2);
	vdriver_reset(&v);
	ck_assert_uint_eq(load(VIRTIO_PCI_COMMON_MSIX, 2), NO_VECTOR);
	ck_assert_uint_eq(load(VIRTIO_PCI_COMMON_Q_MSIX, 2), NO_VECTOR);
	/* A status that is refused is no reset, though it leaves 0. */
	store(VIRTIO_PCI_COMMON_MSIX, 1, 2);
	vdriver_set_status(&v, VIRTIO_CONFIG_S_DRIVER);
	ck_assert_uint_eq(vdriver_status(&v), 0);
	ck_assert_uint_eq(load(VIRTIO_PCI_COMMON_MSIX, 2), 1);
	vdriver_reset(&v);
	ck_assert_uint_eq(load(VIRTIO_PCI_COMMON_MSIX, 2), NO_VECTOR);
	ck_assert_uint_eq(load(VIRTIO_PCI_COMMON_Q_MSIX, 2), NO_VECTOR);
}
END_TEST

/* One request on queue @q that wants an interrupt; it has been served. */
static void serve_one(unsigned q)
{
	struct driver_buf b = { v.queue[q].arena, 4, true };
	uint16_t head;
	uint32_t len;

	driver_rearm(&v.queue[q].ring);
	driver_add(&v.queue[q].ring, &b, 1, 0);
	vdriver_kick(&v, q);
	testbed_settle(&tb);
	ck_assert(driver_used(&v.queue[q].ring, &head, &len));
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

START_TEST(vector_for_each)
{
	unsigned q;

	start();
	for (q = 0; q < ECHO_QUEUES; q++) {
		serve_one(q);
		ck_assert_uint_eq(fired(), 2u << q);
	}
	virtio_config_changed(&echo.vdev);
	ck_assert_uint_eq(fired(), 1);
}
END_TEST

/* After DRIVER_OK too: to another one, to one that others have, to none, and back. */
START_TEST(vector_changes)
{
	unsigned starts;

	start();
	starts = echo.starts;
	select_queue(1);
	store(VIRTIO_PCI_COMMON_Q_MSIX, 4, 2);
	ck_assert_uint_eq(echo.starts, starts + ECHO_QUEUES); /* the back end has been told */
	serve_one(1);
	ck_assert_uint_eq(fired() & ~1u, 1 << 4);
	serve_one(3);
	ck_assert_uint_eq(fired(), 1 << 4);
	store(VIRTIO_PCI_COMMON_Q_MSIX, NO_VECTOR, 2);
	fired();
	serve_one(1);
	ck_assert_uint_eq(fired(), 0);
	store(VIRTIO_PCI_COMMON_Q_MSIX, 2, 2);
	fired();
	serve_one(1);
	ck_assert_uint_eq(fired(), 1 << 2);
	store(VIRTIO_PCI_COMMON_MSIX, 2, 2);
	virtio_config_changed(&echo.vdev);
	ck_assert_uint_eq(fired(), 1 << 2);
	starts = echo.starts;
	store(VIRTIO_PCI_COMMON_Q_MSIX, 2, 2); /* the same again */
	ck_assert_uint_eq(echo.starts, starts);
	ck_assert_uint_eq(vdriver_status(&v), OK | VIRTIO_CONFIG_S_DRIVER_OK);
}
END_TEST

START_TEST(call_fd_is_the_vector)
{
	struct virtio_device *vdev = &echo.vdev;
	int deaf;

	start();
	ck_assert_int_eq(virtio_pci.call_fd(vdev, 2), testbed_irq_fd(&tb, v.gsi[3]));
	select_queue(2);
	store(VIRTIO_PCI_COMMON_Q_MSIX, 1, 2);
	ck_assert_int_eq(virtio_pci.call_fd(vdev, 2), testbed_irq_fd(&tb, v.gsi[1]));
	store(VIRTIO_PCI_COMMON_Q_MSIX, NO_VECTOR, 2);
	deaf = virtio_pci.call_fd(vdev, 2);
	fired();
	ck_assert_int_eq(eventfd_write(deaf, 1), 0);
	ck_assert_uint_eq(fired(), 0);
}
END_TEST

START_TEST(masked_vector_waits)
{
	uint64_t control, pba;

	start();
	control = vdriver_pci_vector(&v, 2) + PCI_MSIX_ENTRY_VECTOR_CTRL;
	pba = v.base + vdriver_pci_read(&v, v.msix + PCI_MSIX_PBA, 4);
	vdriver_poke(&v, control, 1, 4);
	serve_one(1);
	ck_assert_uint_eq(fired(), 0);
	ck_assert_uint_eq(vdriver_peek(&v, pba, 8), 1 << 2);
	vdriver_poke(&v, control, 0, 4);
	ck_assert_uint_eq(fired(), 1 << 2);
	ck_assert_uint_eq(vdriver_peek(&v, pba, 8), 0);
}
END_TEST

static uint8_t isr(void)
{
	return vdriver_peek(&v, v.isr, 1);
}

static uint8_t interrupt_status(void)
{
	return vdriver_pci_read(&v, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT;
}

/* §4.1.4.5.1: with MSI-X, only configuration changes are there; reading takes them away. */
START_TEST(isr_with_msix)
{
	start();
	serve_one(0);
	ck_assert_uint_eq(isr(), 0);
	virtio_config_changed(&echo.vdev);
	ck_assert_uint_eq(interrupt_status(), 0);
	ck_assert_uint_eq(isr(), VIRTIO_PCI_ISR_CONFIG);
	ck_assert_uint_eq(isr(), 0);
}
END_TEST

START_TEST(isr_without_msix)
{
	start();
	vdriver_pci_write(&v, v.msix + PCI_MSIX_FLAGS, 0, 2);
	serve_one(0);
	ck_assert_uint_eq(interrupt_status(), PCI_STATUS_INTERRUPT);
	ck_assert_uint_eq(vdriver_pci_read(&v, PCI_STATUS, 1),
			  PCI_STATUS_CAP_LIST | PCI_STATUS_INTERRUPT);
	virtio_config_changed(&echo.vdev);
	ck_assert_uint_eq(isr(), 1 | VIRTIO_PCI_ISR_CONFIG);
	ck_assert_uint_eq(interrupt_status(), 0);
	serve_one(0);
	vdriver_reset(&v);
	ck_assert_uint_eq(isr(), 0);
	/* No interrupt was kept for later. */
	vdriver_pci_write(&v, v.msix + PCI_MSIX_FLAGS, PCI_MSIX_FLAGS_ENABLE, 2);
	ck_assert_uint_eq(vdriver_irqs(&v), 0);
}
END_TEST

Suite *virtio_pci_vectors_suite(void)
{
	Suite *s = suite_create("virtio_pci_vectors");
	TCase *tc = unit_case(s, "pci");

	tcase_add_checked_fixture(tc, echo_set_up_pci, echo_tear_down);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, vector_registers);
	tcase_add_test(tc, vector_for_each);
	tcase_add_test(tc, vector_changes);
	tcase_add_test(tc, call_fd_is_the_vector);
	tcase_add_test(tc, masked_vector_waits);
	tcase_add_test(tc, isr_with_msix);
	tcase_add_test(tc, isr_without_msix);
	return s;
}

UNIT_MAIN(virtio_pci_vectors_suite)
