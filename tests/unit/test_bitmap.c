/* SPDX-License-Identifier: MIT */
#include "devices/block/bitmap.h"

#include <sys/mman.h>

#include "tests/unit/unit.h"
#include "vmm/core/util.h"

Suite *bitmap_suite(void);

#define BYTES (300 * BITMAP_UNIT)

static bitmap_word *map;

static void setup(void)
{
	map = bitmap_create(bitmap_size(BYTES));
	ck_assert_ptr_nonnull(map);
}

static void teardown(void)
{
	munmap(map, bitmap_size(BYTES));
}

static bool bit(unsigned i)
{
	return map[i / 64] >> i % 64 & 1;
}

/* Inside a word, at its edges, over several. */
static const struct {
	unsigned from, to;
} ranges[] = { { 0, 1 }, { 5, 9 }, { 0, 64 }, { 63, 65 }, { 1, 200 }, { 64, 192 }, { 299, 300 } };

START_TEST(changes)
{
	uint64_t off = ranges[_i].from * BITMAP_UNIT, len = ranges[_i].to * BITMAP_UNIT - off;
	unsigned i;

	bitmap_mark(map, off, len);
	for (i = 0; i < 300; i++)
		ck_assert_int_eq(bit(i), i >= ranges[_i].from && i < ranges[_i].to);
	bitmap_flip(map, 0, BYTES);
	for (i = 0; i < 300; i++)
		ck_assert_int_eq(bit(i), i < ranges[_i].from || i >= ranges[_i].to);
	bitmap_flip(map, off, len);
	bitmap_clear(map, off, len);
	for (i = 0; i < 300; i++)
		ck_assert_int_eq(bit(i), i < ranges[_i].from || i >= ranges[_i].to);
}
END_TEST

START_TEST(runs)
{
	uint64_t off = ranges[_i].from * BITMAP_UNIT, len = ranges[_i].to * BITMAP_UNIT - off;
	bool set;

	ck_assert_uint_eq(bitmap_run(map, 100, BYTES - 100, &set), BYTES - 100);
	ck_assert(!set);
	bitmap_mark(map, off, len);
	ck_assert_uint_eq(bitmap_run(map, off, BYTES - off, &set), len);
	ck_assert(set);
	ck_assert_uint_eq(bitmap_run(map, off + 3, 7, &set), 7);
	ck_assert_uint_eq(bitmap_run(map, 0, BYTES, &set), off ? off : len);
	ck_assert_int_eq(set, !off);
}
END_TEST

Suite *bitmap_suite(void)
{
	Suite *suite = suite_create("bitmap");
	TCase *tc = unit_case(suite, "bitmap");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, changes, 0, ARRAY_SIZE(ranges));
	tcase_add_loop_test(tc, runs, 0, ARRAY_SIZE(ranges));
	return suite;
}

UNIT_MAIN(bitmap_suite)
