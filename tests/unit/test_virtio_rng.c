/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <linux/virtio_ids.h>
#include <string.h>

#include "tests/lib/vdriver.h"

Suite *virtio_rng_suite(void);

static struct testbed tb;
static struct vdriver v;

static void set_up(const char *text)
{
	testbed_init(&tb);
	testbed_device(&tb, text);
	testbed_start(&tb);
	ck_assert(vdriver_probe(&v, &tb, 0));
}

static void set_up_pci(void)
{
	set_up("virtio-rng,id=r0");
}

static void set_up_mmio(void)
{
	set_up("virtio-rng,id=r0,transport=mmio");
}

static void set_up_reborn(void)
{
	set_up_pci();
	tb.step = testbed_rebirth;
	tb.step_arg = &tb;
}

static void tear_down(void)
{
	vdriver_fini(&v);
	testbed_fini(&tb);
}

static int64_t ask(void *buf, size_t len)
{
	struct iovec in = { buf, len };

	return vdriver_request(&v, 0, NULL, 0, &in, 1, 2000);
}

START_TEST(fills_buffers)
{
	uint8_t a[64] = { 0 }, b[64] = { 0 };

	ck_assert_uint_eq(v.device_id, VIRTIO_ID_RNG);
	ck_assert(vdriver_start(&v, ~0ull, 1, 64));
	ck_assert_int_eq(ask(a, sizeof(a)), sizeof(a));
	ck_assert_int_eq(ask(b, sizeof(b)), sizeof(b));
	ck_assert(memcmp(a, b, sizeof(a)));
}
END_TEST

START_TEST(large_buffer_is_filled_in_part)
{
	static uint8_t big[100000];

	ck_assert(vdriver_start(&v, ~0ull, 1, 64));
	ck_assert_int_eq(ask(big, sizeof(big)), 4096);
	ck_assert_mem_eq(big + 4096, big + 8192, 4096); /* zeroes still */
}
END_TEST

START_TEST(any_cut_is_filled)
{
	static const uint8_t zero[16];
	uint8_t buf[512];
	unsigned i;

	ck_assert(vdriver_start(&v, ~0ull, 1, 64));
	v.shatter = 4711;
	for (i = 0; i < 200; i++) {
		int64_t n;

		memset(buf, 0, sizeof(buf));
		n = ask(buf, sizeof(buf));
		ck_assert_int_eq(n, sizeof(buf));
		ck_assert(memcmp(buf + sizeof(buf) - 16, zero, 16));
	}
}
END_TEST

START_TEST(buffer_without_room)
{
	struct iovec out = { (char[]){ "abc" }, 3 };

	ck_assert(vdriver_start(&v, ~0ull, 1, 64));
	ck_assert_int_eq(vdriver_request(&v, 0, &out, 1, NULL, 0, 2000), 0);
}
END_TEST

static void add_tests(TCase *tc, SFun set_up_on)
{
	tcase_add_checked_fixture(tc, set_up_on, tear_down);
	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, fills_buffers);
	tcase_add_test(tc, large_buffer_is_filled_in_part);
	tcase_add_test(tc, any_cut_is_filled);
	tcase_add_test(tc, buffer_without_room);
}

Suite *virtio_rng_suite(void)
{
	Suite *s = suite_create("virtio_rng");

	add_tests(unit_case(s, "pci"), set_up_pci);
	add_tests(unit_case(s, "mmio"), set_up_mmio);
	add_tests(unit_case(s, "pci reborn"), set_up_reborn); /* at every step */
	return s;
}

UNIT_MAIN(virtio_rng_suite)
