/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "tests/lib/testbed.h"
#include "vmm/core/state.h"

Suite *rtc_suite(void);

static struct testbed tb;

static void set_up(void)
{
	testbed_init(&tb);
	ck_assert_int_eq(device_create(&tb.p, &tb.devices, "rtc"), 0);
}

static void tear_down(void)
{
	testbed_fini(&tb);
}

static void select_cell(uint8_t n)
{
	ck_assert(bus_write(&tb.pio, 0x70, &n, 1));
}

static uint8_t cell(uint8_t n)
{
	uint8_t v;

	select_cell(n);
	ck_assert(bus_read(&tb.pio, 0x71, &v, 1));
	return v;
}

static int number(uint8_t n)
{
	uint8_t v = cell(n);

	ck_assert_int_lt(v & 0xf, 10);
	ck_assert_int_lt(v >> 4, 10);
	return (v >> 4) * 10 + (v & 0xf);
}

static time_t read_clock(void)
{
	struct tm tm = {
		.tm_sec = number(0), .tm_min = number(2), .tm_hour = number(4),
		.tm_mday = number(7), .tm_mon = number(8) - 1,
		.tm_year = number(0x32) * 100 + number(9) - 1900,
	};

	return timegm(&tm);
}

START_TEST(tells_the_time)
{
	time_t before, got, after;
	int tries = 3;

	/* A second that ends between two cells may give nonsense, as on real ones: read again. */
	do {
		before = time(NULL);
		got = read_clock();
		after = time(NULL);
	} while (before != after && --tries);
	ck_assert_int_ge(got, before);
	ck_assert_int_le(got, after);
}
END_TEST

START_TEST(is_a_working_24_hour_bcd_clock)
{
	ck_assert_uint_eq(cell(10) & 0x80, 0); /* no update in progress */
	ck_assert_uint_eq(cell(11), 0x02);
	ck_assert_uint_eq(cell(12), 0);
	ck_assert_uint_eq(cell(13), 0x80);
}
END_TEST

START_TEST(other_cells_are_memory)
{
	uint8_t v = 0xa5;

	select_cell(0x80 | 0x40); /* with the NMI mask bit: the same cell */
	ck_assert(bus_write(&tb.pio, 0x71, &v, 1));
	ck_assert_uint_eq(cell(0x40), 0xa5);
	ck_assert_uint_eq(cell(0x41), 0);
	ck_assert_uint_eq(cell(0x7f), 0);
}
END_TEST

START_TEST(saved)
{
	uint8_t v = 0x77;

	select_cell(0x7f);
	ck_assert(bus_write(&tb.pio, 0x71, &v, 1));
	testbed_reborn(&tb, tear_down, set_up);
	v = 0;
	ck_assert(bus_read(&tb.pio, 0x71, &v, 1));
	ck_assert_uint_eq(v, 0x77);
	ck_assert_uint_eq(cell(0x7e), 0);
}
END_TEST

START_TEST(bad_state)
{
	uint8_t *data;
	size_t len;

	ck_assert_int_eq(state_save(device_state_all, &tb.devices, &data, &len), 0);
	data[16] = 0x80; /* behind the name: the index */
	ck_assert_int_eq(state_restore(device_state_all, &tb.devices, data, len), -EINVAL);
	free(data);
}
END_TEST

Suite *rtc_suite(void)
{
	Suite *s = suite_create("rtc");
	TCase *tc = unit_case(s, "rtc");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, tells_the_time);
	tcase_add_test(tc, is_a_working_24_hour_bcd_clock);
	tcase_add_test(tc, other_cells_are_memory);
	tcase_add_test(tc, saved);
	tcase_add_test(tc, bad_state);
	return s;
}

UNIT_MAIN(rtc_suite)
