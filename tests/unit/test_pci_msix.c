/* SPDX-License-Identifier: MIT */
/* Vectors: the capability, the table, what is masked and what is pending. */
#include "tests/unit/pci_fixture.h"

Suite *pci_msix_suite(void);

static void enable(uint16_t more)
{
	decode(0, true);
	put(0, FLAGS, PCI_MSIX_FLAGS_ENABLE | more, 2);
}

static uint64_t fired(unsigned n)
{
	return testbed_irqs(&tb, toys[0].f.vector[n].irq.gsi);
}

static bool bound(unsigned n)
{
	return testbed_irq_fd(&tb, toys[0].f.vector[n].irq.gsi) >= 0;
}

static void raise_vector(unsigned n)
{
	irq_raise(&toys[0].f.vector[n].irq);
}

static bool pending(unsigned n)
{
	return peek(bar(0) + PBA + n / 8, 1) >> n % 8 & 1;
}

START_TEST(msix_capability)
{
	ck_assert_uint_eq(get(0, toys[0].f.msix, 1), PCI_CAP_ID_MSIX);
	ck_assert_uint_eq(get(0, FLAGS, 2), VECTORS - 1);
	ck_assert_uint_eq(get(0, toys[0].f.msix + PCI_MSIX_TABLE, 4), TABLE);
	ck_assert_uint_eq(get(0, toys[0].f.msix + PCI_MSIX_PBA, 4), PBA);
	put(0, FLAGS, 0xffff, 2);
	ck_assert_uint_eq(get(0, FLAGS, 2),
			  PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL | (VECTORS - 1));
	ck_assert(pci_msix_enabled(&toys[0].f));
	put(0, FLAGS + 1, 0, 1);
	ck_assert(!pci_msix_enabled(&toys[0].f));
}
END_TEST

START_TEST(table)
{
	unsigned i;

	decode(0, true);
	for (i = 0; i < VECTORS; i++) {
		ck_assert_uint_eq(peek(entry(i), 8), 0);
		ck_assert_uint_eq(peek(entry(i) + 8, 8), 1ull << 32); /* masked */
	}
	poke(entry(69), 0x1122334455667788, 8);
	poke(entry(69) + 8, 0xffffffff99aabbcc, 8);
	ck_assert_uint_eq(peek(entry(69), 4), 0x55667788);
	ck_assert_uint_eq(peek(entry(69) + 4, 4), 0x11223344);
	ck_assert_uint_eq(peek(entry(69) + 8, 8), 0x199aabbcc); /* one bit of the control */
	/* Other widths are not defined: nothing happens. */
	poke(entry(69), 0, 2);
	poke(entry(69) + 1, 0, 4);
	poke(entry(69) + 4, 0, 8);
	poke(entry(69), 0, 6);
	ck_assert_uint_eq(peek(entry(69), 8), 0x1122334455667788);
	ck_assert_uint_eq(peek(entry(69), 2), 0);
	ck_assert_uint_eq(peek(entry(69), 5), 0);
	/* The table is not the function's business, what is around it is. */
	ck_assert_uint_eq(toys[0].reads + toys[0].writes, 0);
	peek(entry(70), 4);
	peek(entry(0) - 4, 4);
	poke(bar(0) + PBA, ~0ull, 8);
	ck_assert_uint_eq(toys[0].reads, 2);
	ck_assert(!pending(0));
}
END_TEST

START_TEST(vector_fires)
{
	enable(0);
	program(3, 0x4242);
	ck_assert(!bound(3));
	mask(3, false);
	ck_assert(bound(3));
	ck_assert_int_eq(testbed_msi(&tb, MSI, 0x4242), toys[0].f.vector[3].irq.gsi);
	ck_assert_uint_eq(tb.irq[toys[0].f.vector[3].irq.gsi].devid, 8); /* bus 0, slot 1 */
	raise_vector(3);
	ck_assert_uint_eq(fired(3), 1);
	ck_assert(!pending(3));
	ck_assert(!bound(2) && !bound(4));
}
END_TEST

static void mask_vector(bool masked)
{
	mask(65, masked);
}

static void mask_function(bool masked)
{
	put(0, FLAGS, PCI_MSIX_FLAGS_ENABLE | (masked ? PCI_MSIX_FLAGS_MASKALL : 0), 2);
}

static void disable_msix(bool disabled)
{
	put(0, FLAGS, disabled ? 0 : PCI_MSIX_FLAGS_ENABLE, 2);
}

static void end_mastership(bool end)
{
	put(0, PCI_COMMAND, PCI_COMMAND_MEMORY | (end ? 0 : PCI_COMMAND_MASTER), 2);
}

static void (*const silence[])(bool) = { mask_vector, mask_function, disable_msix,
					 end_mastership };

/* What is masked waits, is seen to wait, and comes when it may; once. */
START_TEST(pending_bits)
{
	enable(0);
	program(65, 7);
	mask(65, false);
	silence[_i](true);
	ck_assert(!bound(65));
	ck_assert(!pending(65));
	raise_vector(65);
	raise_vector(65);
	ck_assert(pending(65));
	ck_assert_uint_eq(peek(bar(0) + PBA + 8, 8), 2);
	ck_assert_uint_eq(peek(bar(0) + PBA, 8), 0);
	ck_assert_uint_eq(peek(bar(0) + PBA + 8, 4), 2);
	ck_assert_uint_eq(peek(bar(0) + PBA + 12, 4), 0);
	ck_assert_uint_eq(fired(65), 0);
	silence[_i](false);
	ck_assert_uint_gt(fired(65), 0);
	ck_assert(!pending(65));
	silence[_i](true);
	silence[_i](false);
	ck_assert_uint_eq(fired(65), 0);
}
END_TEST

/* Another message for a vector in use: from then on that one, and none is lost. */
START_TEST(message_changes)
{
	uint32_t gsi = toys[0].f.vector[1].irq.gsi;

	enable(0);
	program(1, 1);
	mask(1, false);
	raise_vector(1);
	poke(entry(1) + PCI_MSIX_ENTRY_DATA, 2, 4);
	ck_assert_int_eq(testbed_msi(&tb, MSI, 1), -1);
	ck_assert_int_eq(testbed_msi(&tb, MSI, 2), gsi);
	raise_vector(1);
	ck_assert_uint_eq(fired(1), 2);
	poke(entry(1) + 4, 0xdeadbeef, 4); /* nonsense is the chip's business */
	ck_assert_int_eq(testbed_msi(&tb, MSI | 0xdeadbeefull << 32, 2), gsi);
}
END_TEST

/* A message is routed only when its vector begins to be heard: it costs the host a lot. */
START_TEST(few_routes)
{
	unsigned i;

	enable(PCI_MSIX_FLAGS_MASKALL);
	for (i = 0; i < VECTORS; i++) {
		program(i, i);
		mask(i, false);
	}
	ck_assert_uint_eq(tb.routes, 0);
	enable(0);
	ck_assert_uint_eq(tb.routes, VECTORS);
	put(0, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
	ck_assert_uint_eq(tb.routes, VECTORS);
	for (i = 0; i < VECTORS; i++)
		ck_assert(bound(i));
	put(0, FLAGS, 0, 2);
	for (i = 0; i < VECTORS; i++)
		ck_assert(!bound(i));
}
END_TEST

START_TEST(chip_refuses)
{
	enable(0);
	program(0, 1);
	tb.chip_error = -EBUSY;
	stderr_begin(&said);
	mask(0, false);
	ck_assert_str_eq(stderr_end(&said), "lunette: warning: toy: vector 0 stays silent: "
					    "Device or resource busy\n");
	tb.chip_error = 0;
	raise_vector(0);
	ck_assert(pending(0));
	mask(0, true);
	mask(0, false);
	ck_assert_uint_eq(fired(0), 1);
}
END_TEST

Suite *pci_msix_suite(void)
{
	Suite *s = suite_create("pci_msix");
	TCase *tc = unit_case(s, "msix");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, msix_capability);
	tcase_add_test(tc, table);
	tcase_add_test(tc, vector_fires);
	tcase_add_loop_test(tc, pending_bits, 0, ARRAY_SIZE(silence));
	tcase_add_test(tc, message_changes);
	tcase_add_test(tc, few_routes);
	tcase_add_test(tc, chip_refuses);
	return s;
}

UNIT_MAIN(pci_msix_suite)
