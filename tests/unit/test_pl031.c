/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "tests/lib/stderr.h"
#include "tests/lib/testbed.h"
#include "vmm/core/util.h"

Suite *pl031_suite(void);

#define AT 0x9010000ull

static struct testbed tb;

static void set_up(void)
{
	testbed_init(&tb);
	tb.p.place[PLATFORM_PL031] = (struct platform_place){ &tb.mmio, AT, 0 };
	ck_assert_int_eq(device_create(&tb.p, &tb.devices, "pl031"), 0);
}

static void tear_down(void)
{
	testbed_fini(&tb);
}

static uint32_t get(uint64_t off)
{
	uint8_t v[4];

	ck_assert(bus_read(&tb.mmio, AT + off, v, 4));
	return le32_get(v);
}

START_TEST(time_of_the_host)
{
	uint32_t now = get(0);

	ck_assert_uint_ge(now, time(NULL) - 2);
	ck_assert_uint_le(now, time(NULL));
	ck_assert_uint_eq(get(0xc), 1); /* it is started */
}
END_TEST

/* As in "PrimeCell Real Time Clock (PL031)", 3.4: a driver looks for these. */
START_TEST(identity)
{
	static const uint8_t ids[] = { 0x31, 0x10, 0x04, 0x00, 0x0d, 0xf0, 0x05, 0xb1 };
	unsigned i;

	for (i = 0; i < 8; i++)
		ck_assert_uint_eq(get(0xfe0 + 4 * i), ids[i]);
}
END_TEST

START_TEST(writes_do_nothing)
{
	uint32_t zero = 0, off;

	for (off = 0; off < 0x20; off += 4)
		ck_assert(bus_write(&tb.mmio, AT + off, &zero, 4));
	ck_assert_uint_ge(get(0), time(NULL) - 2);
	ck_assert_uint_eq(get(0x10), 0); /* no interrupt is enabled */
}
END_TEST

/* Any width, anywhere: bytes of a register, and zeroes where it ends. */
START_TEST(odd_reads)
{
	uint8_t v[8];

	ck_assert(bus_read(&tb.mmio, AT + 0xfe4, v, 1));
	ck_assert_uint_eq(v[0], 0x10);
	ck_assert(bus_read(&tb.mmio, AT + 0xfe5, v, 2));
	ck_assert_uint_eq(v[0] | v[1], 0);
	memset(v, 0xff, sizeof(v));
	ck_assert(bus_read(&tb.mmio, AT + 0xfe0, v, 8));
	ck_assert_uint_eq(le64_get(v), 0);
	ck_assert(bus_read(&tb.mmio, AT + 0xfff, v, 1));
	ck_assert_uint_eq(v[0], 0);
	ck_assert(!bus_read(&tb.mmio, AT + 0xffe, v, 4));
}
END_TEST

START_TEST(on_a_pc)
{
	struct stderr_text said;

	device_destroy_all(&tb.devices);
	memset(&tb.p.place[PLATFORM_PL031], 0, sizeof(tb.p.place[0]));
	stderr_begin(&said);
	ck_assert_int_eq(device_create(&tb.p, &tb.devices, "pl031,id=c"), -ENODEV);
	ck_assert_str_eq(stderr_end(&said),
			 "lunette: error: c: machines of this architecture have none\n");
}
END_TEST

Suite *pl031_suite(void)
{
	Suite *s = suite_create("pl031");
	TCase *tc = unit_case(s, "pl031");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, time_of_the_host);
	tcase_add_test(tc, identity);
	tcase_add_test(tc, writes_do_nothing);
	tcase_add_test(tc, odd_reads);
	tcase_add_test(tc, on_a_pc);
	return s;
}

UNIT_MAIN(pl031_suite)
