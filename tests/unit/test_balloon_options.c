/* SPDX-License-Identifier: MIT */
/* What virtio_balloon.c is told, and what it does not go together with. */
#include "tests/unit/unit.h"

#include <linux/virtio_balloon.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/stderr.h"
#include "tests/lib/vdriver.h"
#include "vmm/core/fail.h"
#include "vmm/core/util.h"

Suite *balloon_options_suite(void);

enum { REPORTS = 3, QUEUES = 5 };

#define BIT(n) (1ull << (n))

static struct testbed tb;
static struct vdriver v;
static struct stderr_text said;

static void set_up_bare(void)
{
	testbed_init(&tb);
	stderr_begin(&said);
}

static void tear_down_bare(void)
{
	testbed_fini(&tb);
	stderr_end(&said);
}

static const struct {
	const char *text;
	uint64_t without;
	unsigned queues;
} choices[] = {
	{ "virtio-balloon,deflate-on-oom=off", BIT(VIRTIO_BALLOON_F_DEFLATE_ON_OOM), QUEUES },
	{ "virtio-balloon,reporting=off",
	  BIT(VIRTIO_BALLOON_F_REPORTING) | BIT(VIRTIO_BALLOON_F_PAGE_POISON), REPORTS },
};

START_TEST(chosen)
{
	testbed_device(&tb, choices[_i].text);
	testbed_start(&tb);
	ck_assert(vdriver_probe(&v, &tb, 0));
	ck_assert_uint_eq(v.offered & choices[_i].without, 0);
	ck_assert(vdriver_start(&v, ~0ull, choices[_i].queues, 32));
	ck_assert_uint_eq(vdriver_queue_max(&v, choices[_i].queues), 0);
	vdriver_fini(&v);
}
END_TEST

START_TEST(one_of_them)
{
	ck_assert_int_eq(device_create(&tb.p, &tb.devices, "virtio-balloon"), 0);
	ck_assert_int_eq(device_create(&tb.p, &tb.devices, "virtio-balloon"), -EUSAGE);
	ck_assert_str_eq(stderr_end(&said), "lunette: error: balloon1: there is a balloon already, "
			 "and a guest has one\n");
	testbed_start(&tb);
}
END_TEST

/* Neither order of the two is good; disks that pin nothing are. */
static const struct {
	const char *first, *second;
	int made, ready;
} pairs[] = {
	{ "virtio-balloon", "virtio-blk,file=/dev/null,direct=on", -EUSAGE, 0 },
	{ "virtio-balloon", "virtio-blk,store=null,size=1M", 0, 0 },
};

START_TEST(beside_a_disk)
{
	ck_assert_int_eq(device_create(&tb.p, &tb.devices, pairs[_i].first), 0);
	ck_assert_int_eq(device_create(&tb.p, &tb.devices, pairs[_i].second), pairs[_i].made);
	if (pairs[_i].made < 0)
		ck_assert_ptr_nonnull(strstr(stderr_end(&said), "has a balloon"));
	ck_assert_int_eq(device_ready_all(&tb.devices), pairs[_i].ready);
}
END_TEST

START_TEST(after_a_disk)
{
	tb.p.pins = "a disk with direct=on";
	ck_assert_int_eq(device_create(&tb.p, &tb.devices, "virtio-balloon"), 0);
	ck_assert_int_eq(device_ready_all(&tb.devices), -EUSAGE);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "balloon0: a disk with direct=on"));
	device_destroy_all(&tb.devices);
	ck_assert(!tb.p.balloon);
}
END_TEST

START_TEST(explained)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	ck_assert_int_eq(device_create(&tb.p, &tb.devices, "virtio-balloon,reporting=off"), 0);
	testbed_start(&tb);
	device_explain_all(&tb.devices, f);
	fclose(f);
	ck_assert_ptr_nonnull(strstr(text, "balloon0: gives the host"));
	ck_assert_ptr_nonnull(strstr(text, "frees: stays"));
	ck_assert_uint_eq(device_memory_all(&tb.devices), 0);
	free(text);
}
END_TEST

Suite *balloon_options_suite(void)
{
	Suite *s = suite_create("balloon_options");
	TCase *tc = unit_case(s, "balloon_options");

	tcase_add_checked_fixture(tc, set_up_bare, tear_down_bare);
	tcase_add_loop_test(tc, chosen, 0, ARRAY_SIZE(choices));
	tcase_add_test(tc, one_of_them);
	tcase_add_loop_test(tc, beside_a_disk, 0, ARRAY_SIZE(pairs));
	tcase_add_test(tc, after_a_disk);
	tcase_add_test(tc, explained);
	return s;
}

UNIT_MAIN(balloon_options_suite)
