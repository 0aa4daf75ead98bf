#include "tests/unit/unit.h"

#include <errno.h>

#include "vmm/core/platform.h"

Suite *platform_suite(void);

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

Suite *platform_suite(void)
{
	Suite *s = suite_create("platform");
	TCase *tc = unit_case(s, "platform");

	tcase_add_test(tc, slots_are_aligned_and_apart);
	tcase_add_test(tc, window_ends);
	tcase_add_test(tc, interrupts_end);
	return s;
}

UNIT_MAIN(platform_suite)
