/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <string.h>

#include "vmm/core/mem.h"
#include "vmm/core/util.h"
#include "vmm/machine/dump_maps.h"

Suite *dump_maps_suite(void);

#define TEXT 0xffffffff81000000
#define TEXT_AT MIB(16)
#define TEXT_SIZE (MIB(3) + 0x1000)
#define ALL 0xffff888000000000
#define LOW (MIB(32) + 0x3000)
#define HIGH GIB(4)

static struct mem mem;
static struct dump_map map[DUMP_MAPS_MAX];
static uint64_t hole, every; /* none at @hole, and in each MiB @every counts */

/* As Linux has it on x86-64: itself, and all of memory. */
static int translate(void *arg, uint64_t addr, uint64_t *gpa)
{
	ck_assert_ptr_eq(arg, &mem);
	if (addr >= TEXT && addr < TEXT + TEXT_SIZE) {
		*gpa = addr - TEXT + TEXT_AT;
		return 0;
	}
	*gpa = addr - ALL;
	if (addr < ALL || *gpa > HIGH + MIB(1) || (hole && *gpa / MIB(2) == hole / MIB(2)) ||
	    (every && *gpa / MIB(2) % every))
		return -EFAULT;
	return 0;
}

static void set_up(void)
{
	ck_assert_int_eq(mem_add(&mem, 0, LOW), 0);
	ck_assert_int_eq(mem_add(&mem, HIGH, MIB(1)), 0);
	hole = every = 0;
	memset(map, 0xff, sizeof(map));
}

static void tear_down(void)
{
	mem_free(&mem);
}

static unsigned look(const char *info)
{
	const struct dump_look how = { .mem = &mem, .translate = translate, .arg = &mem };

	return dump_maps(&how, info, strlen(info), map);
}

static void check_map(unsigned i, uint64_t gpa, uint64_t size, uint64_t vaddr)
{
	ck_assert_uint_eq(map[i].gpa, gpa);
	ck_assert_uint_eq(map[i].size, size);
	ck_assert_uint_eq(map[i].vaddr, vaddr);
}

/* In whole steps of 2 MiB, or to the end of a region. */
START_TEST(kernel_and_all)
{
	ck_assert_uint_eq(look("OSRELEASE=6.1\nSYMBOL(_stext)=ffffffff81000040\n"
			       "SYMBOL(mem_section)=ffff888000012340\n"), 3);
	check_map(0, TEXT_AT, MIB(4), TEXT);
	check_map(1, 0, LOW, ALL);
	check_map(2, HIGH, MIB(1), ALL + HIGH);
}
END_TEST

START_TEST(hole_in_memory)
{
	hole = MIB(8);
	ck_assert_uint_eq(look("SYMBOL(mem_section)=ffff888000012340"), 3);
	check_map(0, 0, MIB(8), ALL);
	check_map(1, MIB(10), LOW - MIB(10), ALL + MIB(10));
	check_map(2, HIGH, MIB(1), ALL + HIGH);
}
END_TEST

START_TEST(too_many)
{
	ck_assert_int_eq(mem_add(&mem, GIB(8), GIB(1)), 0);
	every = 2;
	ck_assert_uint_eq(look("SYMBOL(_stext)=ffffffff81000000\n"
			       "SYMBOL(mem_section)=ffff888000000000\n"), 11);
	check_map(10, HIGH, MIB(1), ALL + HIGH);
}
END_TEST

/* One that is in the kernel itself is no second one. */
START_TEST(same_distance)
{
	ck_assert_uint_eq(look("SYMBOL(_stext)=ffffffff81000000\n"
			       "SYMBOL(mem_section)=ffffffff81201000\n"), 1);
	check_map(0, TEXT_AT, MIB(4), TEXT);
}
END_TEST

static const char *const nothing[] = {
	"", "OSRELEASE=6.1\n", "SYMBOL(_stext)", "SYMBOL(_stext)=", "SYMBOL(_stext)=\n",
	"SYMBOL(_stext)=ffffffff\n",          /* no kernel's */
	"SYMBOL(_stext)=ffffffff91000000\n",  /* nowhere */
	"SYMBOL(_stext)=xfffffff81000000\n",
	"SYMBOL(_stext)=fffffffff81000000\n", /* too long: another one */
};

START_TEST(no_symbols)
{
	ck_assert_uint_eq(look(nothing[_i]), 0);
}
END_TEST

Suite *dump_maps_suite(void)
{
	Suite *s = suite_create("dump_maps");
	TCase *tc = unit_case(s, "dump_maps");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, kernel_and_all);
	tcase_add_test(tc, hole_in_memory);
	tcase_add_test(tc, too_many);
	tcase_add_test(tc, same_distance);
	tcase_add_loop_test(tc, no_symbols, 0, sizeof(nothing) / sizeof(*nothing));
	return s;
}

UNIT_MAIN(dump_maps_suite)
