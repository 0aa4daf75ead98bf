/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include "tests/lib/testbed.h"

Suite *acpi_pm_suite(void);

static struct testbed tb;

static void set_up(void)
{
	testbed_init(&tb);
	ck_assert_int_eq(device_create(&tb.p, &tb.devices, "acpi-pm"), 0);
}

static void tear_down(void)
{
	testbed_fini(&tb);
}

static void out(unsigned reg, uint8_t v)
{
	ck_assert(bus_write(&tb.pio, tb.p.place[PLATFORM_ACPI_PM].base + reg, &v, 1));
}

START_TEST(powers_off)
{
	out(ACPI_PM_SLEEP_CONTROL, ACPI_PM_S5 << 2 | 0x20);
	ck_assert_int_eq(atomic_load(&tb.last_event), GUEST_POWEROFF);
}
END_TEST

START_TEST(resets)
{
	out(ACPI_PM_RESET, ACPI_PM_RESET_VALUE);
	ck_assert_int_eq(atomic_load(&tb.last_event), GUEST_RESET);
}
END_TEST

START_TEST(other_values_do_nothing)
{
	unsigned v;
	uint64_t at = tb.p.place[PLATFORM_ACPI_PM].base;
	uint8_t status = 0xff;

	for (v = 0; v < 256; v++) {
		if ((v & 0x3c) != (ACPI_PM_S5 << 2 | 0x20))
			out(ACPI_PM_SLEEP_CONTROL, v);
		if (v != ACPI_PM_RESET_VALUE)
			out(ACPI_PM_RESET, v);
		out(ACPI_PM_SLEEP_STATUS, v);
	}
	ck_assert_int_eq(atomic_load(&tb.last_event), -1);
	ck_assert(bus_read(&tb.pio, at + ACPI_PM_SLEEP_STATUS, &status, 1));
	ck_assert_uint_eq(status, 0);
}
END_TEST

Suite *acpi_pm_suite(void)
{
	Suite *s = suite_create("acpi_pm");
	TCase *tc = unit_case(s, "acpi_pm");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, powers_off);
	tcase_add_test(tc, resets);
	tcase_add_test(tc, other_values_do_nothing);
	return s;
}

UNIT_MAIN(acpi_pm_suite)
