/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <linux/virtio_balloon.h>
#include <string.h>

#include "tests/lib/stderr.h"
#include "tests/lib/vdriver.h"
#include "vmm/core/fail.h"
#include "vmm/core/util.h"

Suite *virtio_balloon_suite(void);

enum { INFLATE, DEFLATE, STATS, REPORTS, HIGH_REPORTS, QUEUES };

#define PAGE 4096
#define BIT(n) (1ull << (n))
#define MEMORY (2 * TESTBED_LOW_SIZE + TESTBED_HIGH_SIZE)
#define NO_FACT UINT64_MAX

static struct testbed tb;
static struct vdriver v;
static struct stderr_text said;

static void set_up_memory(bool shared, const char *text)
{
	if (shared)
		testbed_init_shared(&tb);
	else
		testbed_init(&tb);
	testbed_device(&tb, text);
	testbed_start(&tb);
	ck_assert(vdriver_probe(&v, &tb, 0));
	ck_assert_uint_eq(v.device_id, VIRTIO_ID_BALLOON);
}

static void set_up_pci(void)
{
	set_up_memory(false, "virtio-balloon");
}

static void set_up_mmio(void)
{
	set_up_memory(false, "virtio-balloon,transport=mmio");
}

static void set_up_shared(void)
{
	set_up_memory(true, "virtio-balloon");
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

static struct device *balloon(void)
{
	struct device *dev = device_find(&tb.devices, "virtio-balloon", NULL);

	ck_assert_ptr_nonnull(dev);
	return dev;
}

/* What it says of itself. */

static struct {
	struct device_facts facts;
	const char *key;
	uint64_t value;
} asked;

static void number(struct device_facts *to, const char *key, uint64_t value)
{
	(void)to;
	if (!strcmp(key, asked.key))
		asked.value = value;
}

static uint64_t fact(const char *key)
{
	asked.facts.number = number;
	asked.key = key;
	asked.value = NO_FACT;
	balloon()->class->facts(balloon(), &asked.facts);
	return asked.value;
}

static uint64_t counter(const char *key)
{
	asked.facts.number = number;
	asked.key = key;
	asked.value = NO_FACT;
	ck_assert_int_eq(balloon()->class->counters(balloon(), &asked.facts), 0);
	return asked.value;
}

static void start(uint64_t features)
{
	ck_assert(vdriver_start(&v, features | BIT(VIRTIO_BALLOON_F_MUST_TELL_HOST), QUEUES, 32));
}

static uint32_t config(unsigned off)
{
	uint8_t raw[4];

	vdriver_config_read(&v, off, raw, sizeof(raw));
	return le32_get(raw);
}

/* Pages with something in them. */
static uint64_t used_pages(unsigned n)
{
	uint64_t gpa = testbed_alloc(&tb, n * PAGE, PAGE);
	uint8_t page[PAGE];
	unsigned i;

	memset(page, 'x', sizeof(page));
	for (i = 0; i < n; i++)
		mem_write(&tb.mem, gpa + i * PAGE, page, sizeof(page));
	return gpa;
}

static unsigned zero_pages(uint64_t gpa, unsigned n)
{
	static const uint8_t zero[PAGE];
	uint8_t page[PAGE];
	unsigned zeroes = 0;

	for (; n--; gpa += PAGE) {
		mem_read(&tb.mem, gpa, page, sizeof(page));
		zeroes += !memcmp(page, zero, PAGE);
	}
	return zeroes;
}

static int64_t send_pfns(unsigned q, const uint32_t *pfn, unsigned n)
{
	uint8_t raw[4 * 2048];
	struct iovec out = { raw, 4 * n };
	unsigned i;

	for (i = 0; i < n; i++)
		le32_put(raw + 4 * i, pfn[i]);
	return vdriver_request(&v, q, &out, 1, NULL, 0, 5000);
}

START_TEST(offers)
{
	uint64_t bits = BIT(VIRTIO_BALLOON_F_MUST_TELL_HOST) | BIT(VIRTIO_BALLOON_F_STATS_VQ) |
			BIT(VIRTIO_BALLOON_F_DEFLATE_ON_OOM) | BIT(VIRTIO_BALLOON_F_PAGE_POISON) |
			BIT(VIRTIO_BALLOON_F_REPORTING);

	ck_assert_uint_eq(v.offered & 0xffffff, bits);
	start(~0ull);
	ck_assert_uint_eq(config(0), 0);
	ck_assert_uint_eq(config(4), 0);
	ck_assert_uint_eq(vdriver_queue_max(&v, QUEUES), 0);
}
END_TEST

START_TEST(inflate_and_deflate)
{
	uint64_t gpa;
	uint32_t pfn[3];

	start(~0ull);
	gpa = used_pages(5);
	pfn[0] = gpa / PAGE + 1;
	pfn[1] = gpa / PAGE + 3;
	pfn[2] = gpa / PAGE + 2;
	ck_assert_int_eq(send_pfns(INFLATE, pfn, 3), 0);
	ck_assert_uint_eq(zero_pages(gpa, 1), 0);
	ck_assert_uint_eq(zero_pages(gpa + PAGE, 3), 3);
	ck_assert_uint_eq(zero_pages(gpa + 4 * PAGE, 1), 0);
	ck_assert_int_eq(send_pfns(DEFLATE, pfn, 3), 0);
	mem_write(&tb.mem, gpa + PAGE, "back", 4);
	ck_assert_uint_eq(zero_pages(gpa + PAGE, 3), 2);
}
END_TEST

/* Cut wherever the driver likes. */
START_TEST(any_cut)
{
	uint32_t pfn[40];
	uint64_t gpa;
	unsigned i, k;

	start(~0ull);
	v.shatter = 4711;
	for (i = 0; i < 20; i++) {
		gpa = used_pages(40);
		for (k = 0; k < 40; k++)
			pfn[k] = gpa / PAGE + k;
		ck_assert_int_eq(send_pfns(INFLATE, pfn, 40), 0);
		ck_assert_uint_eq(zero_pages(gpa, 40), 40);
	}
}
END_TEST

START_TEST(what_is_counted)
{
	uint64_t gpa;
	uint32_t pfn[4];

	start(~0ull);
	gpa = used_pages(2);
	pfn[0] = pfn[1] = gpa / PAGE;
	pfn[2] = TESTBED_LOW_END / PAGE; /* a hole */
	pfn[3] = UINT32_MAX;
	ck_assert_int_eq(send_pfns(INFLATE, pfn, 4), 0);
	ck_assert_int_eq(send_pfns(DEFLATE, pfn + 1, 2), 0);
	ck_assert_uint_eq(counter("inflated_pages"), 2);
	ck_assert_uint_eq(counter("deflated_pages"), 1);
	ck_assert_uint_eq(counter("no_memory_pages"), 3);
	ck_assert_uint_eq(counter("inflated_bytes_freed"), 2 * PAGE);
	ck_assert_uint_eq(counter("reported_bytes_freed"), 0);
}
END_TEST

/* No buffer makes more work than a known driver's; a rest of a number is none. */
START_TEST(bounded)
{
	static uint32_t pfn[2048];
	struct iovec out = { "\1\0\0", 3 };
	uint64_t gpa;
	unsigned i;

	start(~0ull);
	gpa = used_pages(2048);
	for (i = 0; i < 2048; i++)
		pfn[i] = gpa / PAGE + i;
	ck_assert_int_eq(send_pfns(INFLATE, pfn, 2048), 0);
	ck_assert_uint_eq(zero_pages(gpa, 1024), 1024);
	ck_assert_uint_eq(zero_pages(gpa + 1024 * PAGE, 1024), 0);
	ck_assert_int_eq(vdriver_request(&v, INFLATE, &out, 1, NULL, 0, 5000), 0);
	ck_assert_uint_eq(counter("inflated_pages"), 1024);
}
END_TEST

/* In place, as the buffers are what is free. Returns as vdriver_wait_used(). */
static int report(unsigned q, uint64_t gpa, unsigned npages)
{
	struct driver_buf buf[] = { { gpa, PAGE, true },
				    { gpa + PAGE, (npages - 1) * PAGE, true } };
	uint16_t head;
	uint32_t len;

	ck_assert_int_ge(driver_add(&v.queue[q].ring, buf, 2, 0), 0);
	vdriver_kick(&v, q);
	return vdriver_wait_used(&v, q, &head, &len, 5000);
}

/* By the clause queue 4, by Linux 3, as there is none for hints. */
START_TEST(reports)
{
	unsigned q;
	uint64_t gpa;

	start(~0ull);
	for (q = REPORTS; q <= HIGH_REPORTS; q++) {
		gpa = used_pages(10);
		ck_assert_int_eq(report(q, gpa, 9), 0);
		ck_assert_uint_eq(zero_pages(gpa, 9), 9);
		ck_assert_uint_eq(zero_pages(gpa + 9 * PAGE, 1), 0);
	}
}
END_TEST

/* Whoever wants no statistics may have the queue for them. */
START_TEST(reports_without_statistics)
{
	uint64_t gpa;

	start(~BIT(VIRTIO_BALLOON_F_STATS_VQ));
	gpa = used_pages(4);
	ck_assert_int_eq(report(STATS, gpa, 4), 0);
	ck_assert_uint_eq(zero_pages(gpa, 4), 4);
}
END_TEST

START_TEST(reports_not_negotiated)
{
	uint64_t gpa;

	start(~BIT(VIRTIO_BALLOON_F_REPORTING));
	gpa = used_pages(4);
	ck_assert_int_eq(report(REPORTS, gpa, 4), 0);
	ck_assert_uint_eq(zero_pages(gpa, 4), 0);
}
END_TEST

/* What a guest wants to find in free memory must be there. */
START_TEST(poisoned)
{
	uint64_t gpa;

	start(~0ull);
	gpa = used_pages(4);
	vdriver_config_write(&v, 12, 0xaaaaaaaa, 4);
	ck_assert_int_eq(report(REPORTS, gpa, 4), 0);
	ck_assert_uint_eq(zero_pages(gpa, 4), 0);
	vdriver_config_write(&v, 12, 0, 4);
	ck_assert_int_eq(report(REPORTS, gpa, 4), 0);
	ck_assert_uint_eq(zero_pages(gpa, 4), 4);
}
END_TEST

/* The ring itself, and a whole memory: the guest's loss. */
START_TEST(reports_what_is_in_use)
{
	struct driver *ring;

	start(~0ull);
	ring = &v.queue[REPORTS].ring;
	report(REPORTS, ring->driver & ~(uint64_t)(PAGE - 1), 2);
	report(HIGH_REPORTS, 0, TESTBED_LOW_END / PAGE);
	vdriver_reset(&v);
	vdriver_fini(&v);
	ck_assert(vdriver_probe(&v, &tb, 0));
	start(~0ull);
	ck_assert_int_eq(send_pfns(INFLATE, (uint32_t[]){ 1 }, 1), 0);
}
END_TEST

/* The target. */

START_TEST(resized)
{
	const struct device_balloon *ops = balloon()->class->balloon;

	start(~0ull);
	vdriver_wait(&v, 0);
	ck_assert_uint_eq(fact("target"), MEMORY);
	ck_assert_int_eq(ops->resize(balloon(), MEMORY - MIB(3)), 0);
	ck_assert_uint_ne(vdriver_wait(&v, 5000) & VDRIVER_INT_CONFIG, 0);
	ck_assert_uint_eq(config(0), MIB(3) / PAGE);
	ck_assert_uint_eq(fact("target"), MEMORY - MIB(3));
	ck_assert_uint_eq(fact("memory"), MEMORY);
	vdriver_config_write(&v, 4, MIB(2) / PAGE, 4);
	ck_assert_uint_eq(config(4), MIB(2) / PAGE);
	ck_assert_uint_eq(fact("memory"), MEMORY - MIB(2));
	vdriver_config_write(&v, 4, UINT32_MAX, 4); /* it may say what it likes */
	ck_assert_uint_eq(fact("memory"), 0);
	vdriver_config_write(&v, 0, 77, 4); /* but not that */
	ck_assert_uint_eq(config(0), MIB(3) / PAGE);
	ck_assert_int_eq(ops->resize(balloon(), MEMORY), 0);
	ck_assert_uint_eq(config(0), 0);
}
END_TEST

/* The next driver finds what is wished for, and has given nothing yet. */
START_TEST(reset_keeps_the_target)
{
	start(~0ull);
	ck_assert_int_eq(balloon()->class->balloon->resize(balloon(), MEMORY - MIB(1)), 0);
	vdriver_config_write(&v, 4, 256, 4);
	vdriver_reset(&v);
	ck_assert_uint_eq(config(0), 256);
	ck_assert_uint_eq(config(4), 0);
	ck_assert_uint_eq(fact("memory"), MEMORY);
}
END_TEST

START_TEST(resize_refused)
{
	const struct device_balloon *ops;

	set_up_pci();
	ops = balloon()->class->balloon;
	stderr_begin(&said);
	ck_assert_int_eq(ops->resize(balloon(), MIB(1)), -ENODEV);
	ck_assert_int_eq(ops->ask(balloon()), -ENODEV);
	ck_assert_str_eq(stderr_end(&said),
			 "lunette: error: balloon0: the guest has no driver for it, or not yet; "
			 "Linux's is virtio_balloon\n"
			 "lunette: error: balloon0: the guest has no driver for it, or not yet; "
			 "Linux's is virtio_balloon\n");
	start(~0ull);
	stderr_begin(&said);
	ck_assert_int_eq(ops->resize(balloon(), MEMORY + 1), -EUSAGE);
	ck_assert_str_eq(stderr_end(&said), "lunette: error: balloon0: the guest has 80M of "
			 "memory, and cannot have more\n");
	tear_down();
}
END_TEST

/* Statistics. */

static void put_stat(uint8_t *raw, uint16_t tag, uint64_t value)
{
	le16_put(raw, tag);
	le64_put(raw + 2, value);
}

/* The driver's one buffer, with free memory of @value; other tags are there, too. */
static void give_stats(uint64_t value)
{
	uint8_t raw[30];
	struct driver_buf buf = { v.queue[STATS].arena, sizeof(raw), false };

	put_stat(raw, VIRTIO_BALLOON_S_MEMFREE, value);
	put_stat(raw + 10, 0x7777, 1);
	put_stat(raw + 20, VIRTIO_BALLOON_S_SWAP_IN, UINT64_MAX);
	mem_write(&tb.mem, buf.gpa, raw, sizeof(raw));
	ck_assert_int_ge(driver_add(&v.queue[STATS].ring, &buf, 1, 0), 0);
	vdriver_kick(&v, STATS);
	testbed_settle(&tb);
}

START_TEST(statistics)
{
	uint16_t head;
	uint32_t len;

	start(~0ull);
	ck_assert_uint_eq(fact("age_ms"), NO_FACT);
	ck_assert_uint_eq(fact("free"), NO_FACT);
	give_stats(12345);
	ck_assert_uint_eq(fact("free"), 12345);
	ck_assert_uint_eq(fact("swap_in"), INT64_MAX);
	ck_assert_uint_eq(fact("total"), NO_FACT);
	ck_assert_uint_lt(fact("age_ms"), 60000);
	/* The buffer is the device's, until newer ones are wanted. */
	ck_assert_int_eq(vdriver_wait_used(&v, STATS, &head, &len, 20), -ETIMEDOUT);
	ck_assert_int_eq(balloon()->class->balloon->ask(balloon()), 0);
	ck_assert_int_eq(vdriver_wait_used(&v, STATS, &head, &len, 5000), 0);
	ck_assert_uint_eq(len, 0);
	ck_assert_uint_eq(fact("free"), 12345);
	give_stats(54321);
	ck_assert_uint_eq(fact("free"), 54321);
}
END_TEST

/* Kicks without need do not make old ones new. */
START_TEST(looked_at_once)
{
	uint8_t raw[10];

	start(~0ull);
	give_stats(1);
	put_stat(raw, VIRTIO_BALLOON_S_MEMFREE, 2);
	mem_write(&tb.mem, v.queue[STATS].arena, raw, sizeof(raw));
	vdriver_notify(&v, STATS);
	testbed_settle(&tb);
	ck_assert_uint_eq(fact("free"), 1);
}
END_TEST

/* More than one buffer: the last one counts, and the others come back. */
START_TEST(many_buffers)
{
	uint16_t head;
	uint32_t len;
	unsigned i;

	start(~0ull);
	for (i = 1; i <= 5; i++)
		give_stats(i);
	for (i = 1; i <= 4; i++)
		ck_assert_int_eq(vdriver_wait_used(&v, STATS, &head, &len, 5000), 0);
	ck_assert_int_eq(vdriver_wait_used(&v, STATS, &head, &len, 20), -ETIMEDOUT);
	ck_assert_uint_eq(fact("free"), 5);
}
END_TEST

START_TEST(statistics_end_with_the_driver)
{
	start(~0ull);
	give_stats(1);
	vdriver_reset(&v);
	ck_assert_uint_eq(fact("free"), NO_FACT);
	ck_assert_uint_eq(fact("age_ms"), NO_FACT);
}
END_TEST

static void add_tests(TCase *tc, SFun set_up_on)
{
	tcase_add_checked_fixture(tc, set_up_on, tear_down);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, offers);
	tcase_add_test(tc, inflate_and_deflate);
	tcase_add_test(tc, any_cut);
	tcase_add_test(tc, reports);
	tcase_add_test(tc, reports_not_negotiated);
	tcase_add_test(tc, poisoned);
	tcase_add_test(tc, reset_keeps_the_target);
}

static void add_more(TCase *tc, SFun set_up_on)
{
	add_tests(tc, set_up_on);
	tcase_add_test(tc, what_is_counted);
	tcase_add_test(tc, bounded);
	tcase_add_test(tc, reports_without_statistics);
	tcase_add_test(tc, reports_what_is_in_use);
	tcase_add_test(tc, resized);
	tcase_add_test(tc, statistics);
	tcase_add_test(tc, looked_at_once);
	tcase_add_test(tc, many_buffers);
	tcase_add_test(tc, statistics_end_with_the_driver);
}

Suite *virtio_balloon_suite(void)
{
	Suite *s = suite_create("virtio_balloon");
	TCase *tc;

	add_more(unit_case(s, "pci"), set_up_pci);
	add_more(unit_case(s, "mmio"), set_up_mmio);
	add_more(unit_case(s, "shared"), set_up_shared);
	add_tests(unit_case(s, "pci reborn"), set_up_reborn); /* at every step */
	tc = unit_case(s, "refused");
	tcase_add_test(tc, resize_refused);
	return s;
}

UNIT_MAIN(virtio_balloon_suite)
