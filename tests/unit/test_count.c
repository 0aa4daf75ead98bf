/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include "devices/block/count.h"
#include "vmm/core/util.h"

Suite *count_suite(void);

static struct block_counters c;

static void set_up(void)
{
	c = (struct block_counters){ 0 };
}

static void io(enum block_io what, uint64_t len)
{
	struct block_req req = { .io = what, .len = len };

	block_count_io(&c, &req);
}

START_TEST(moved)
{
	io(BLOCK_READ, 512);
	io(BLOCK_READ, 1024);
	io(BLOCK_WRITE, 4096);
	io(BLOCK_ZERO, 8192);
	io(BLOCK_DISCARD, 100);
	io(BLOCK_FLUSH, 0);
	ck_assert_uint_eq(c.reads, 2);
	ck_assert_uint_eq(c.read, 1536);
	ck_assert_uint_eq(c.writes, 2);
	ck_assert_uint_eq(c.written, 4096 + 8192);
	ck_assert_uint_eq(c.unmapped, 100);
	ck_assert_uint_eq(c.flushes, 1);
	ck_assert_uint_eq(c.commands, 0);
}
END_TEST

static const struct {
	uint64_t ns;
	unsigned slot;
} latencies[] = {
	{ 0, 0 }, { 999, 0 }, { 1000, 1 }, { 1999, 1 }, { 2000, 2 }, { 3999, 2 }, { 4000, 3 },
	{ 1000000, 10 }, { 1ull << 60, BLOCK_LATENCIES - 1 }, { UINT64_MAX, BLOCK_LATENCIES - 1 },
};

START_TEST(ended)
{
	unsigned i;

	block_count_end(&c, 0, latencies[_i].ns, _i & 1);
	ck_assert_uint_eq(c.commands, 1);
	ck_assert_uint_eq(c.errors, (unsigned)_i & 1);
	for (i = 0; i < BLOCK_LATENCIES; i++)
		ck_assert_uint_eq(c.latency[i], i == latencies[_i].slot);
}
END_TEST

START_TEST(added)
{
	struct block_counters sum = { .commands = 1, .errors = 2, .reads = 3, .writes = 4,
				      .read = 5, .written = 6, .unmapped = 7, .flushes = 8,
				      .resets = 9, .latency = { [0] = 10, [23] = 11 } };
	const uint64_t *word = (const uint64_t *)&sum, *one = (const uint64_t *)&c;
	unsigned i;

	c = sum;
	block_count_add(&sum, &c);
	for (i = 0; i < sizeof(sum) / sizeof(*word); i++)
		ck_assert_uint_eq(word[i], 2 * one[i]);
	ck_assert_uint_eq(sum.latency[23], 22);
}
END_TEST

START_TEST(time_goes_on)
{
	uint64_t before = block_count_now();

	ck_assert_uint_gt(before, 0);
	ck_assert_uint_ge(block_count_now(), before);
}
END_TEST

Suite *count_suite(void)
{
	Suite *s = suite_create("count");
	TCase *tc = unit_case(s, "count");

	tcase_add_checked_fixture(tc, set_up, NULL);
	tcase_add_test(tc, moved);
	tcase_add_loop_test(tc, ended, 0, ARRAY_SIZE(latencies));
	tcase_add_test(tc, added);
	tcase_add_test(tc, time_goes_on);
	return s;
}

UNIT_MAIN(count_suite)
