/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <string.h>

#include "devices/balloon_pages.h"
#include "vmm/core/mem.h"
#include "vmm/core/util.h"

Suite *balloon_pages_suite(void);

#define PFN(gpa) ((uint32_t)((gpa) / BALLOON_PAGE))

static struct mem mem;
static struct balloon_pages pages;

/* Two regions, full of what is not zero. */
static void set_up_with(bool shared, uint64_t host_page)
{
	unsigned i;

	mem = (struct mem){ .shared = shared };
	ck_assert_int_eq(mem_add(&mem, 0, MIB(1)), 0);
	ck_assert_int_eq(mem_add(&mem, GIB(4), MIB(1)), 0);
	for (i = 0; i < mem.nregions; i++)
		memset(mem.region[i].hva, 'x', mem.region[i].size);
	ck_assert_int_eq(balloon_pages_init(&pages, &mem, host_page), 0);
}

static void set_up(void)
{
	set_up_with(false, BALLOON_PAGE);
}

static void set_up_shared(void)
{
	set_up_with(true, BALLOON_PAGE);
}

static void set_up_large(void)
{
	set_up_with(false, KIB(16));
}

static void tear_down(void)
{
	balloon_pages_fini(&pages);
	mem_free(&mem);
}

static bool is_zero(uint64_t gpa)
{
	uint8_t page[BALLOON_PAGE], all = 0;
	unsigned i;

	ck_assert_int_eq(mem_read(&mem, gpa, page, sizeof(page)), 0);
	for (i = 0; i < sizeof(page); i++) {
		ck_assert(page[i] == 0 || page[i] == 'x');
		all |= page[i];
	}
	return !all;
}

static void put(uint64_t gpa)
{
	ck_assert(balloon_pages_put(&pages, PFN(gpa)));
}

START_TEST(given_back)
{
	put(GIB(4) + KIB(8));
	put(KIB(4));
	balloon_pages_flush(&pages);
	ck_assert_uint_eq(pages.dropped, KIB(8));
	ck_assert(!is_zero(0));
	ck_assert(is_zero(KIB(4)));
	ck_assert(!is_zero(KIB(8)));
	ck_assert(!is_zero(GIB(4) + KIB(4)));
	ck_assert(is_zero(GIB(4) + KIB(8)));
	ck_assert(!is_zero(GIB(4) + KIB(12)));
	ck_assert_uint_eq(balloon_pages_memory(&pages), 0);
}
END_TEST

/* Upwards, downwards, and with a page twice. */
START_TEST(neighbours)
{
	unsigned i;

	for (i = 1; i < 5; i++)
		put(KIB(4) * i);
	ck_assert_uint_eq(pages.dropped, 0); /* in one call, when they are known */
	for (i = 20; i > 10; i--)
		put(KIB(4) * i);
	put(KIB(4) * 15);
	balloon_pages_flush(&pages);
	balloon_pages_flush(&pages);
	ck_assert_uint_eq(pages.dropped, KIB(4) * 15);
	for (i = 0; i < 30; i++)
		ck_assert_int_eq(is_zero(KIB(4) * i), (i >= 1 && i < 5) || (i > 10 && i <= 20));
}
END_TEST

START_TEST(no_memory)
{
	static const uint32_t bad[] = { PFN(MIB(1)), PFN(GIB(4)) - 1, PFN(GIB(4) + MIB(1)),
					UINT32_MAX };
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		ck_assert(!balloon_pages_put(&pages, bad[i]));
		ck_assert(!balloon_pages_take(&pages, bad[i]));
	}
	balloon_pages_flush(&pages);
	ck_assert_uint_eq(pages.dropped, 0);
}
END_TEST

/* The last page of one region and the first of another are not side by side here. */
START_TEST(across_regions)
{
	put(MIB(1) - KIB(4));
	put(GIB(4));
	balloon_pages_flush(&pages);
	ck_assert_uint_eq(pages.dropped, KIB(8));
	ck_assert(is_zero(MIB(1) - KIB(4)));
	ck_assert(is_zero(GIB(4)));
}
END_TEST

START_TEST(kept_by_the_kernel)
{
	atomic_store(&mem.pinned, true);
	put(KIB(16));
	put(KIB(20));
	put(KIB(24));
	put(KIB(28));
	balloon_pages_flush(&pages);
	ck_assert_uint_eq(pages.dropped, 0);
	ck_assert(!is_zero(KIB(16)));
}
END_TEST

/* A page of the host's is given back with its last part, whatever the order. */
START_TEST(parts)
{
	put(KIB(20));
	put(KIB(28));
	put(KIB(16));
	put(KIB(16));
	balloon_pages_flush(&pages);
	ck_assert_uint_eq(pages.dropped, 0);
	ck_assert(!is_zero(KIB(20)));
	put(KIB(24));
	ck_assert_uint_eq(pages.dropped, KIB(16));
	ck_assert(!is_zero(KIB(12)));
	ck_assert(is_zero(KIB(16)));
	ck_assert(is_zero(KIB(28)));
	ck_assert(!is_zero(KIB(32)));
	ck_assert_uint_eq(balloon_pages_memory(&pages), (GIB(4) + MIB(1)) / 4096 / 8);
}
END_TEST

/* One that has come out is in use, and so is all that it is a part of. */
START_TEST(part_comes_out)
{
	put(KIB(16));
	put(KIB(20));
	put(KIB(24));
	ck_assert(balloon_pages_take(&pages, PFN(KIB(20))));
	put(KIB(28));
	ck_assert_uint_eq(pages.dropped, 0);
	ck_assert(!is_zero(KIB(16)));
	put(KIB(20));
	ck_assert_uint_eq(pages.dropped, KIB(16));
	balloon_pages_reset(&pages);
	put(KIB(20));
	ck_assert_uint_eq(pages.dropped, KIB(16));
}
END_TEST

START_TEST(parts_at_the_end)
{
	unsigned i;

	for (i = 4; i; i--)
		put(GIB(4) + MIB(1) - KIB(4) * i);
	ck_assert_uint_eq(pages.dropped, KIB(16));
	ck_assert(is_zero(GIB(4) + MIB(1) - KIB(4)));
}
END_TEST

static void add_tests(TCase *tc, SFun set_up_fn)
{
	tcase_add_checked_fixture(tc, set_up_fn, tear_down);
	tcase_add_test(tc, given_back);
	tcase_add_test(tc, neighbours);
	tcase_add_test(tc, no_memory);
	tcase_add_test(tc, across_regions);
	tcase_add_test(tc, kept_by_the_kernel);
}

Suite *balloon_pages_suite(void)
{
	Suite *s = suite_create("balloon_pages");
	TCase *tc = unit_case(s, "large pages");

	add_tests(unit_case(s, "private"), set_up);
	add_tests(unit_case(s, "shared"), set_up_shared);
	tcase_add_checked_fixture(tc, set_up_large, tear_down);
	tcase_add_test(tc, parts);
	tcase_add_test(tc, part_comes_out);
	tcase_add_test(tc, parts_at_the_end);
	tcase_add_test(tc, no_memory);
	tcase_add_test(tc, kept_by_the_kernel);
	return s;
}

UNIT_MAIN(balloon_pages_suite)
