/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include "tests/lib/stderr.h"
#include "tests/lib/testbed.h"

Suite *i8042_suite(void);

#define COMMAND 0x64

static struct testbed tb;
static struct stderr_text said;

static void set_up(void)
{
	testbed_init(&tb);
	ck_assert_int_eq(device_create(&tb.p, &tb.devices, "i8042"), 0);
}

static void tear_down(void)
{
	testbed_fini(&tb);
}

/* The commands that pulse line 0, whatever they do to the other three. */
START_TEST(resets)
{
	unsigned v;

	for (v = 0; v < 256; v++) {
		uint8_t command = v;

		tb.last_event = -1;
		ck_assert(bus_write(&tb.pio, COMMAND, &command, 1));
		ck_assert_int_eq(tb.last_event, v >= 0xf0 && v % 2 == 0 ? GUEST_RESET : -1);
	}
}
END_TEST

/* A kernel waits until bit 1 is 0; a driver takes an output that never ends for no controller. */
START_TEST(never_makes_wait)
{
	uint8_t status = 0;

	ck_assert(bus_read(&tb.pio, COMMAND, &status, 1));
	ck_assert_uint_eq(status, 0xfd);
	ck_assert(!bus_read(&tb.pio, 0x60, &status, 1));
}
END_TEST

START_TEST(only_one)
{
	stderr_begin(&said);
	ck_assert_int_lt(device_create(&tb.p, &tb.devices, "i8042,id=again"), 0);
	ck_assert_str_eq(stderr_end(&said), "lunette: error: again: there is one already\n");
}
END_TEST

Suite *i8042_suite(void)
{
	Suite *s = suite_create("i8042");
	TCase *tc = unit_case(s, "i8042");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, resets);
	tcase_add_test(tc, never_makes_wait);
	tcase_add_test(tc, only_one);
	return s;
}

UNIT_MAIN(i8042_suite)
