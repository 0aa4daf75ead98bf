/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>

#include "tests/lib/stderr.h"
#include "vmm/core/bus.h"
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

START_TEST(outputs_have_an_end)
{
	struct platform p = { .deadline = 0 };
	atomic_size_t late = 0;

	ck_assert_uint_eq(platform_allows(&p, &late, SIZE_MAX), SIZE_MAX);
	platform_wrote(&p, &late, 1000);
	ck_assert_uint_eq(late, 0);
	p.deadline = 1;
	ck_assert_uint_eq(platform_allows(&p, &late, 1000), 1000);
	platform_wrote(&p, &late, 1000);
	ck_assert_uint_eq(platform_allows(&p, &late, SIZE_MAX), PLATFORM_LATE_MAX - 1000);
	platform_wrote(&p, &late, PLATFORM_LATE_MAX - 1000);
	ck_assert_uint_eq(platform_allows(&p, &late, 1), 0);
}
END_TEST

START_TEST(slots_are_aligned_and_apart)
{
	struct platform p = { .gsi_next = 7, .gsi_end = 9, .mmio_next = 0x1001,
			      .mmio_end = 0x10000 };
	struct mmio_slot a, b;

	ck_assert_int_eq(platform_slot_alloc(&p, 0x200, &a), 0);
	ck_assert_int_eq(platform_slot_alloc(&p, 0x1000, &b), 0);
	ck_assert_uint_eq(a.base, 0x1200);
	ck_assert_uint_eq(a.gsi, 7);
	ck_assert_uint_eq(b.base, 0x2000);
	ck_assert_uint_eq(b.size, 0x1000);
	ck_assert_uint_eq(b.gsi, 8);
	ck_assert_uint_eq(p.nslots, 2);
	ck_assert_uint_eq(p.slot[1].base, b.base);
}
END_TEST

START_TEST(window_ends)
{
	struct platform p = { .gsi_end = 9, .mmio_next = 0x1000, .mmio_end = 0x3000 };
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
	struct platform p = { .gsi_next = 5, .gsi_end = 24, .mmio_end = 0x1000000 };
	struct mmio_slot s;
	unsigned i;

	for (i = 5; i < 24; i++)
		ck_assert_int_eq(platform_slot_alloc(&p, 0x1000, &s), 0);
	ck_assert_uint_eq(s.gsi, 23);
	ck_assert_int_eq(platform_slot_alloc(&p, 0x1000, &s), -ENOSPC);
}
END_TEST

START_TEST(slots_end)
{
	struct platform p = { .gsi_end = 1000, .mmio_end = 0x1000000 };
	struct mmio_slot s;
	unsigned i;

	for (i = 0; i < PLATFORM_SLOTS; i++)
		ck_assert_int_eq(platform_slot_alloc(&p, 0x1000, &s), 0);
	ck_assert_int_eq(platform_slot_alloc(&p, 0x1000, &s), -ENOSPC);
	ck_assert_uint_eq(p.nslots, PLATFORM_SLOTS);
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
	struct platform p = { .msi_next = 24, .msi_end = 34 };
	uint32_t first;

	ck_assert_int_eq(platform_msi_alloc(&p, 3, &first), 0);
	ck_assert_uint_eq(first, 24);
	ck_assert_int_eq(platform_msi_alloc(&p, 1, &first), 0);
	ck_assert_uint_eq(first, 27);
	ck_assert_int_eq(platform_msi_alloc(&p, 7, &first), -ENOSPC);
	ck_assert_int_eq(platform_msi_alloc(&p, 6, &first), 0);
	ck_assert_int_eq(platform_msi_alloc(&p, 1, &first), -ENOSPC);
	ck_assert_uint_eq(p.nslots, 0);
}
END_TEST

static void place_read(void *dev, uint64_t off, void *data, unsigned len)
{
	(void)len;
	*(uint8_t *)data = *(uint8_t *)dev + off;
}

static const struct bus_ops place_ops = { .read = place_read };

/* A device stands where the machine has it, whatever bus that is, once; or not at all. */
START_TEST(places)
{
	static struct bus mmio = BUS_EMPTY;
	struct platform p = { .place = { [PLATFORM_RTC] = { &mmio, 0x9010000, 0 } } };
	uint8_t dev = 40, v = 0;
	struct stderr_text said;

	ck_assert_int_eq(platform_map(&p, "clock", PLATFORM_RTC, 2, &place_ops, &dev), 0);
	ck_assert(bus_read(&mmio, 0x9010001, &v, 1));
	ck_assert_uint_eq(v, 41);
	stderr_begin(&said);
	ck_assert_int_eq(platform_map(&p, "two", PLATFORM_RTC, 2, &place_ops, &dev), -EEXIST);
	ck_assert_int_eq(platform_map(&p, "com", PLATFORM_SERIAL1, 8, &place_ops, &dev), -ENODEV);
	ck_assert_int_eq(platform_map(&p, "huge", PLATFORM_RTC, UINT64_MAX, &place_ops, &dev),
			 -EINVAL);
	ck_assert_str_eq(stderr_end(&said),
			 "lunette: error: two: there is one already\n"
			 "lunette: error: com: machines of this architecture have none\n"
			 "lunette: error: huge: cannot attach to the bus: Invalid argument\n");
	platform_unmap(&p, PLATFORM_SERIAL1);
	platform_unmap(&p, PLATFORM_RTC);
	ck_assert(!bus_read(&mmio, 0x9010001, &v, 1));
}
END_TEST

Suite *platform_suite(void)
{
	Suite *s = suite_create("platform");
	TCase *tc = unit_case(s, "platform");

	tcase_add_test(tc, hurry);
	tcase_add_test(tc, outputs_have_an_end);
	tcase_add_test(tc, slots_are_aligned_and_apart);
	tcase_add_test(tc, window_ends);
	tcase_add_test(tc, interrupts_end);
	tcase_add_test(tc, slots_end);
	tcase_add_test(tc, places);
	tcase_add_test(tc, bars);
	tcase_add_test(tc, messages);
	return s;
}

UNIT_MAIN(platform_suite)
