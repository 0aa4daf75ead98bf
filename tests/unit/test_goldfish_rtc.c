/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/lib/stderr.h"
#include "tests/lib/testbed.h"
#include "vmm/core/state.h"
#include "vmm/core/util.h"

Suite *goldfish_rtc_suite(void);

#define AT 0x10010000ull
#define LOW 0
#define HIGH 4

static struct testbed tb;

static void set_up(void)
{
	testbed_init(&tb);
	tb.p.place[PLATFORM_GOLDFISH] = (struct platform_place){ &tb.mmio, AT, 0 };
	ck_assert_int_eq(device_create(&tb.p, &tb.devices, "goldfish-rtc"), 0);
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

static uint64_t get_time(void)
{
	uint64_t low = get(LOW);

	return (uint64_t)get(HIGH) << 32 | low;
}

/* By the clock that the device reads: time() may lag behind it by a tick. */
static uint64_t host_time(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

START_TEST(time_of_the_host)
{
	uint64_t from = host_time(), at = get_time();

	ck_assert_uint_ge(at, from);
	ck_assert_uint_le(at, host_time());
	ck_assert_uint_ge(get_time(), at);
}
END_TEST

/* The high half is of the same moment as the low one, however late it is read. */
START_TEST(halves_belong_together)
{
	uint32_t high;

	ck_assert_uint_eq(get(HIGH), 0); /* nobody has read a time yet */
	get(LOW);
	high = get(HIGH);
	ck_assert_uint_ne(high, 0);
	ck_assert_uint_eq(get(HIGH), high);
}
END_TEST

START_TEST(writes_do_nothing)
{
	uint32_t zero = 0, off;

	for (off = 0; off < 0x20; off += 4)
		ck_assert(bus_write(&tb.mmio, AT + off, &zero, 4));
	ck_assert_uint_ge(get_time(), (time(NULL) - 2) * 1000000000ull);
	ck_assert_uint_eq(get(0x10), 0); /* no interrupt is enabled */
	ck_assert_uint_eq(get(0x18), 0); /* no alarm is set */
}
END_TEST

/* Any width, anywhere: bytes of a register, and zeroes where it ends. */
START_TEST(odd_reads)
{
	uint8_t v[8];
	uint32_t high;

	get(LOW);
	high = get(HIGH);
	ck_assert(bus_read(&tb.mmio, AT + HIGH + 1, v, 2));
	ck_assert_uint_eq(le16_get(v), high >> 8 & 0xffff);
	memset(v, 0xff, sizeof(v));
	ck_assert(bus_read(&tb.mmio, AT + HIGH, v, 8));
	ck_assert_uint_eq(le64_get(v), 0);
	ck_assert(!bus_read(&tb.mmio, AT + 0xffe, v, 4));
}
END_TEST

/* A guest that has read one half finds the other one of that moment. */
START_TEST(state)
{
	uint32_t high;
	uint8_t *data;
	size_t len;

	get(LOW);
	high = get(HIGH);
	ck_assert_int_eq(state_save(device_state_all, &tb.devices, &data, &len), 0);
	tear_down();
	set_up();
	ck_assert_int_eq(state_restore(device_state_all, &tb.devices, data, len), 0);
	ck_assert_uint_eq(get(HIGH), high);
	free(data);
}
END_TEST

START_TEST(on_a_pc)
{
	struct stderr_text said;

	device_destroy_all(&tb.devices);
	memset(&tb.p.place[PLATFORM_GOLDFISH], 0, sizeof(tb.p.place[0]));
	stderr_begin(&said);
	ck_assert_int_eq(device_create(&tb.p, &tb.devices, "goldfish-rtc,id=c"), -ENODEV);
	ck_assert_str_eq(stderr_end(&said),
			 "lunette: error: c: machines of this architecture have none\n");
}
END_TEST

Suite *goldfish_rtc_suite(void)
{
	Suite *s = suite_create("goldfish_rtc");
	TCase *tc = unit_case(s, "goldfish_rtc");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, time_of_the_host);
	tcase_add_test(tc, halves_belong_together);
	tcase_add_test(tc, writes_do_nothing);
	tcase_add_test(tc, odd_reads);
	tcase_add_test(tc, state);
	tcase_add_test(tc, on_a_pc);
	return s;
}

UNIT_MAIN(goldfish_rtc_suite)
