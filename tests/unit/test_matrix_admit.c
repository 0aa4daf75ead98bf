/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <string.h>

#include "vmm/core/util.h"
#include "vmm/run/matrix/matrix_admit.h"

Suite *matrix_admit_suite(void);

static const struct matrix_need small = { MIB(100), 1 }, wide = { MIB(100), 3 },
				large = { MIB(700), 1 }, huge = { MIB(1001), 1 };

START_TEST(memory)
{
	struct matrix_host h = { .memory = MIB(1000), .cpus = 64 };

	ck_assert(!matrix_never_fits(&h, &large));
	ck_assert(matrix_never_fits(&h, &huge));
	ck_assert(!matrix_fits(&h, &huge));
	matrix_take(&h, &large);
	ck_assert(!matrix_fits(&h, &large));
	ck_assert(!matrix_never_fits(&h, &large));
	matrix_take(&h, &small);
	matrix_take(&h, &small);
	ck_assert(matrix_fits(&h, &small));
	matrix_take(&h, &small); /* the last byte */
	ck_assert(!matrix_fits(&h, &small));
	matrix_give_back(&h, &large);
	ck_assert(matrix_fits(&h, &large));
	ck_assert_uint_eq(h.used.memory, MIB(300));
}
END_TEST

START_TEST(cpus)
{
	struct matrix_host h = { .memory = MIB(1000), .cpus = 4 };

	matrix_take(&h, &wide);
	ck_assert(!matrix_fits(&h, &wide));
	ck_assert(matrix_fits(&h, &small));
	matrix_take(&h, &small);
	ck_assert(!matrix_fits(&h, &small));
	matrix_give_back(&h, &wide);
	ck_assert(matrix_fits(&h, &wide));
}
END_TEST

START_TEST(one_runs_whatever_it_has)
{
	struct matrix_host h = { .memory = MIB(1000), .cpus = 2 };

	ck_assert(matrix_fits(&h, &wide));
	matrix_take(&h, &wide);
	ck_assert(!matrix_fits(&h, &small));
	matrix_give_back(&h, &wide);
	ck_assert(matrix_fits(&h, &small));
}
END_TEST

START_TEST(slots)
{
	struct matrix_host h = { .memory = MIB(1000), .cpus = 1, .slots = 2 };

	matrix_take(&h, &wide);
	ck_assert(matrix_fits(&h, &wide));
	matrix_take(&h, &wide);
	ck_assert(!matrix_fits(&h, &small));
}
END_TEST

START_TEST(this_host)
{
	struct matrix_host h;

	matrix_host_find(&h, 7);
	ck_assert_uint_ge(h.cpus, 1);
	ck_assert_uint_gt(h.memory, 0);
	ck_assert_uint_lt(h.memory, 1ull << 62);
	ck_assert_uint_eq(h.slots, 7);
	ck_assert_uint_gt(strlen(h.where), 0);
	ck_assert_uint_eq(h.running, 0);
}
END_TEST

Suite *matrix_admit_suite(void)
{
	Suite *s = suite_create("matrix_admit");
	TCase *tc = unit_case(s, "matrix_admit");

	tcase_add_test(tc, memory);
	tcase_add_test(tc, cpus);
	tcase_add_test(tc, one_runs_whatever_it_has);
	tcase_add_test(tc, slots);
	tcase_add_test(tc, this_host);
	return s;
}

UNIT_MAIN(matrix_admit_suite)
