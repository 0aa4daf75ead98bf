/* SPDX-License-Identifier: MIT */
/* A memory of 256 KiB with tables in it; the rows say which entries there are. */
#include "tests/unit/unit.h"

#include <errno.h>
#include <string.h>

#include "vmm/core/mem.h"
#include "vmm/core/util.h"
#include "vmm/machine/arch/walk.h"

Suite *walk_suite(void);

static struct mem mem;

static void set_up(void)
{
	memset(&mem, 0, sizeof(mem));
	ck_assert_int_eq(mem_add(&mem, 0, KIB(256)), 0);
}

static void tear_down(void)
{
	mem_free(&mem);
}

#define NO UINT64_MAX /* it is nowhere */
#define PTE(addr, flags) ((uint64_t)(addr) >> 12 << 10 | (flags))
#define SV39(table) (8ull << 60 | (table) >> 12)
#define SV48(table) (9ull << 60 | (table) >> 12)
#define SV57(table) (10ull << 60 | (table) >> 12)

struct entry {
	uint64_t at, value;
};

static const struct {
	uint64_t satp, addr, gpa;
	struct entry entry[5];
} riscv[] = {
	{ 0, 0x1234567, 0x1234567, { { 0, 0 } } },
	{ SV39(0x1000ull), 0x40201abc, 0x7abc,
	  { { 0x1008, PTE(0x2000, 1) }, { 0x2008, PTE(0x3000, 1) },
	    { 0x3008, PTE(0x7000, 0xcf) } } },
	/* Of 2 MiB, whose lower bits are none of the page's; of 1 GiB. */
	{ SV39(0x1000ull), 0x40212345, 0x80012345,
	  { { 0x1008, PTE(0x2000, 1) }, { 0x2008, PTE(0x80001000ull, 3) } } },
	{ SV39(0x1000ull), 0x40212345, 0x80212345, { { 0x1008, PTE(0x80000000ull, 9) } } },
	/* The upper half. */
	{ SV39(0x1000ull), 0xffffffff80000123, 0x80000123,
	  { { 0x1ff0, PTE(0x80000000ull, 0xf) } } },
	{ SV48(0x1000ull), 0x123, 0x5123,
	  { { 0x1000, PTE(0x2000, 1) }, { 0x2000, PTE(0x3000, 1) }, { 0x3000, PTE(0x4000, 1) },
	    { 0x4000, PTE(0x5000, 3) } } },
	{ SV57(0x1000ull), 0x1ff, 0x61ff,
	  { { 0x1000, PTE(0x2000, 1) }, { 0x2000, PTE(0x3000, 1) }, { 0x3000, PTE(0x4000, 1) },
	    { 0x4000, PTE(0x5000, 1) }, { 0x5000, PTE(0x6000, 3) } } },
	/* Nothing there, twice; a table that is its own; one outside of memory, twice. */
	{ SV39(0x1000ull), 0x1000, NO, { { 0, 0 } } },
	{ SV39(0x1000ull), 0x1000, NO, { { 0x1000, PTE(0x2000, 0) } } },
	{ SV39(0x1000ull), 0, NO, { { 0x1000, PTE(0x1000, 1) } } },
	{ SV39(0x1000ull), 0, NO, { { 0x1000, PTE(0xfffffffff000, 1) } } },
	{ SV39(0x40000ull), 0, NO, { { 0, 0 } } },
	/* No address of three levels, as bits above are not its sign. */
	{ SV39(0x1000ull), 0x8000000000, NO, { { 0x1000, PTE(0, 0xf) } } },
};

static void put(const struct entry *entry)
{
	unsigned i;

	for (i = 0; i < 5 && entry[i].value; i++)
		ck_assert_int_eq(mem_write(&mem, entry[i].at, &entry[i].value, 8), 0);
}

static void finds(const struct walk *w, uint64_t addr, uint64_t wanted)
{
	uint64_t gpa;
	int r = walk_tables(&mem, w, addr, &gpa);

	ck_assert_int_eq(r, wanted == NO ? -EFAULT : 0);
	if (wanted != NO)
		ck_assert_uint_eq(gpa, wanted);
}

START_TEST(riscv64)
{
	struct walk w = walk_riscv64(riscv[_i].satp);

	put(riscv[_i].entry);
	finds(&w, riscv[_i].addr, riscv[_i].gpa);
}
END_TEST

#define T0(size, granule) ((uint64_t)(size) | (uint64_t)(granule) << 14)
#define T1(size, granule) ((uint64_t)(size) << 16 | (uint64_t)(granule) << 30)

static const struct {
	uint64_t sctlr, tcr, ttbr0, ttbr1, addr, gpa;
	struct entry entry[5];
} arm[] = {
	{ 0, 0, 0, 0, 0x1234567, 0x1234567, { { 0, 0 } } },
	/* 39 bits in pages of 4 KiB: three levels; blocks of 2 MiB and 1 GiB. */
	{ 1, T0(25, 0), 0x7000000001001, 0, 0x40201abc, 0x7abc,
	  { { 0x1008, 0x2003 }, { 0x2008, 0x3003 }, { 0x3008, 0x60000000007f43 } } },
	{ 1, T0(25, 0), 0x1000, 0, 0x40201abc, NO,
	  { { 0x1008, 0x2003 }, { 0x2008, 0x3003 }, { 0x3008, 0x7001 } } },
	{ 1, T0(25, 0), 0x1000, 0, 0x40212345, 0x80012345,
	  { { 0x1008, 0x2003 }, { 0x2008, 0x80000401 } } },
	{ 1, T0(25, 0), 0x1000, 0, 0x40212345, 0x80212345, { { 0x1008, 0x80000401 } } },
	{ 1, T0(25, 0), 0x1000, 0, 0x40212345, NO, { { 0x1008, 0x80000402 } } },
	/* The upper half has tables, and a granule, of its own. */
	{ 1, T1(25, 2), 0, 0x1000, 0xffffff8000000123, 0x40000123, { { 0x1000, 0x40000401 } } },
	{ 1, T1(16, 2), 0, 0x1000, 0xffff800008000123, 0x5123,
	  { { 0x1800, 0x2003 }, { 0x2000, 0x3003 }, { 0x3200, 0x4003 }, { 0x4000, 0x5003 } } },
	{ 1, T1(17, 1), 0, 0x4000, 0xffff800000000123, 0xc123,
	  { { 0x4000, 0x8003 }, { 0x8000, 0x10003 }, { 0x10000, 0xc003 } } },
	{ 1, T1(22, 3), 0, 0x10000, 0xfffffc0020000123, 0x60000123, { { 0x10008, 0x60000401 } } },
	/* A tag in the top byte is no part of it; other bits are. */
	{ 1, T0(25, 0), 0x1000, 0, 0x4200000000000123, 0x123, { { 0x1000, 0x401 } } },
	{ 1, T0(25, 0), 0x1000, 0, 0x0042000000000123, NO, { { 0x1000, 0x401 } } },
	/* What no processor has: a granule, and too many bits. */
	{ 1, T0(25, 3), 0x1000, 0, 0x123, NO, { { 0x1000, 0x401 } } },
	{ 1, T0(0, 0), 0x1000, 0, 0x123, NO, { { 0x1000, 0x401 } } },
	{ 1, T0(60, 0), 0x1000, 0, 0, NO, { { 0x1000, 0x401 } } },
	{ 1, T0(25, 0), 0xfffffffff000, 0, 0x123, NO, { { 0, 0 } } },
};

START_TEST(arm64)
{
	struct walk w = walk_arm64(arm[_i].sctlr, arm[_i].tcr, arm[_i].ttbr0, arm[_i].ttbr1,
				   arm[_i].addr);

	put(arm[_i].entry);
	finds(&w, arm[_i].addr, arm[_i].gpa);
}
END_TEST

Suite *walk_suite(void)
{
	Suite *s = suite_create("walk");
	TCase *tc = unit_case(s, "walk");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_loop_test(tc, riscv64, 0, ARRAY_SIZE(riscv));
	tcase_add_loop_test(tc, arm64, 0, ARRAY_SIZE(arm));
	return s;
}

UNIT_MAIN(walk_suite)
