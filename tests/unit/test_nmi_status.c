/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include "tests/lib/stderr.h"
#include "tests/lib/testbed.h"

Suite *nmi_status_suite(void);

static struct testbed tb;

static void set_up(void)
{
	testbed_init(&tb);
	ck_assert_int_eq(device_create(&tb.p, &tb.devices, "nmi-status"), 0);
}

static void tear_down(void)
{
	testbed_fini(&tb);
}

/* Neither a memory error nor a card's, and a timer that has ended, whatever is written. */
START_TEST(nobody_did_it)
{
	uint8_t v;
	unsigned i;

	for (i = 0; i < 256; i++) {
		v = i;
		ck_assert(bus_write(&tb.pio, 0x61, &v, 1));
		ck_assert(bus_read(&tb.pio, 0x61, &v, 1));
		ck_assert_uint_eq(v, 0x20);
	}
	ck_assert(!bus_read(&tb.pio, 0x60, &v, 1));
	ck_assert(!bus_read(&tb.pio, 0x62, &v, 1));
}
END_TEST

START_TEST(one_only)
{
	struct stderr_text err;

	stderr_begin(&err);
	ck_assert_int_lt(device_create(&tb.p, &tb.devices, "nmi-status"), 0);
	ck_assert_ptr_nonnull(strstr(stderr_end(&err), "there is one already"));
}
END_TEST

Suite *nmi_status_suite(void)
{
	Suite *s = suite_create("nmi_status");
	TCase *tc = unit_case(s, "nmi_status");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, nobody_did_it);
	tcase_add_test(tc, one_only);
	return s;
}

UNIT_MAIN(nmi_status_suite)
