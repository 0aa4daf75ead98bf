#include "tests/unit/unit.h"

#include "tests/lib/testbed.h"

Suite *pvpanic_suite(void);

#define PORT 0x505

static struct testbed tb;

static void set_up(void)
{
	testbed_init(&tb);
	ck_assert_int_eq(device_create(&tb.p, &tb.devices, "pvpanic"), 0);
}

static void tear_down(void)
{
	testbed_fini(&tb);
}

START_TEST(reports_a_panic)
{
	uint8_t v = 0;

	ck_assert(bus_read(&tb.pio, PORT, &v, 1));
	ck_assert_uint_eq(v, 1); /* that is what can be said */
	ck_assert(bus_write(&tb.pio, PORT, &v, 1));
	ck_assert_int_eq(atomic_load(&tb.last_event), GUEST_PANIC);
}
END_TEST

START_TEST(a_loaded_crash_kernel_is_no_panic)
{
	uint8_t v = 2;

	ck_assert(bus_write(&tb.pio, PORT, &v, 1));
	ck_assert_int_eq(atomic_load(&tb.last_event), -1);
}
END_TEST

Suite *pvpanic_suite(void)
{
	Suite *s = suite_create("pvpanic");
	TCase *tc = unit_case(s, "pvpanic");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, reports_a_panic);
	tcase_add_test(tc, a_loaded_crash_kernel_is_no_panic);
	return s;
}

UNIT_MAIN(pvpanic_suite)
