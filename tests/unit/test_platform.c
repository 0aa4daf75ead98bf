#include "tests/unit/unit.h"

#include <errno.h>

#include "vmm/core/platform.h"

Suite *platform_suite(void);

/* From the deadline on, and then for good. */
START_TEST(hurry)
{
	struct platform p = { .deadline = 0 };

	ck_assert(!platform_hurries(&p));
	p.deadline = UINT64_MAX;
	ck_assert(!platform_hurries(&p));
	p.deadline = 1;
	ck_assert(platform_hurries(&p));
	p.deadline = 0;
	ck_assert(platform_hurries(&p));
}
END_TEST

START_TEST(slots_are_aligned_and_apart)
{
	struct platform p = { .mmio_next = 0x1001, .mmio_end = 0x10000 };
	struct mmio_slot a, b;

	ck_assert_int_eq(platform_slot_alloc(&p, 0x200, &a), 0);
	ck_assert_int_eq(platform_slot_alloc(&p, 0x1000, &b), 0);
	ck_assert_uint_eq(a.base, 0x1200);
	ck_assert_uint_eq(a.gsi, PLATFORM_FIRST_GSI);
	ck_assert_uint_eq(b.base, 0x2000);
	ck_assert_uint_eq(b.size, 0x1000);
	ck_assert_uint_eq(b.gsi, PLATFORM_FIRST_GSI + 1);
	ck_assert_uint_eq(p.nslots, 2);
	ck_assert_uint_eq(p.slot[1].base, b.base);
}
END_TEST

START_TEST(window_ends)
{
	struct platform p = { .mmio_next = 0x1000, .mmio_end = 0x3000 };
	struct mmio_slot s;

	ck_assert_int_eq(platform_slot_alloc(&p, 0x4000, &s), -ENOSPC);
	ck_assert_int_eq(platform_slot_alloc(&p, 0x1000, &s), 0);
	ck_assert_int_eq(platform_slot_alloc(&p, 0x1000, &s), 0);
	ck_assert_int_eq(platform_slot_alloc(&p, 0x1000, &s), -ENOSPC);
	ck_assert_uint_eq(p.nslots, 2);
}
END_TEST

START_TEST(interrupts_end)
{
	struct platform p = { .mmio_next = 0, .mmio_end = 0x1000000 };
	struct mmio_slot s;
	unsigned i;

	for (i = 0; i < PLATFORM_SLOTS; i++)
		ck_assert_int_eq(platform_slot_alloc(&p, 0x1000, &s), 0);
	ck_assert_uint_eq(s.gsi, PLATFORM_LAST_GSI);
	ck_assert_int_eq(platform_slot_alloc(&p, 0x1000, &s), -ENOSPC);
}
END_TEST

START_TEST(bars)
{
	struct platform p = { .pci_next = 0xd0001000, .pci_end = 0xd0010000 };
	uint32_t a, b, c;

	ck_assert_int_eq(platform_bar_alloc(&p, 0x4000, &a), 0);
	ck_assert_uint_eq(a, 0xd0004000);
	ck_assert_int_eq(platform_bar_alloc(&p, 0x1000, &b), 0);
	ck_assert_uint_eq(b, 0xd0008000);
	ck_assert_int_eq(platform_bar_alloc(&p, 0x8000, &c), -ENOSPC);
	ck_assert_int_eq(platform_bar_alloc(&p, 0x4000, &c), 0);
	ck_assert_int_eq(platform_bar_alloc(&p, 0x1000, &c), -ENOSPC);
}
END_TEST

START_TEST(messages)
{
	struct platform p = { 0 };
	uint32_t first;

	ck_assert_int_eq(platform_msi_alloc(&p, 3, &first), 0);
	ck_assert_uint_eq(first, PLATFORM_FIRST_MSI_GSI);
	ck_assert_int_eq(platform_msi_alloc(&p, 1, &first), 0);
	ck_assert_uint_eq(first, PLATFORM_FIRST_MSI_GSI + 3);
	ck_assert_int_eq(platform_msi_alloc(&p, PLATFORM_MSI_GSIS - 3, &first), -ENOSPC);
	ck_assert_int_eq(platform_msi_alloc(&p, PLATFORM_MSI_GSIS - 4, &first), 0);
	ck_assert_int_eq(platform_msi_alloc(&p, 1, &first), -ENOSPC);
	ck_assert_uint_eq(p.nslots, 0);
}
END_TEST

Suite *platform_suite(void)
{
	Suite *s = suite_create("platform");
	TCase *tc = unit_case(s, "platform");

	tcase_add_test(tc, hurry);
	tcase_add_test(tc, slots_are_aligned_and_apart);
	tcase_add_test(tc, window_ends);
	tcase_add_test(tc, interrupts_end);
	tcase_add_test(tc, bars);
	tcase_add_test(tc, messages);
	return s;
}

UNIT_MAIN(platform_suite)
