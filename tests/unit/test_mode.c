/* SPDX-License-Identifier: MIT */
#include "tests/lib/scsi_run.h"

#include "tests/unit/unit.h"
#include "vmm/core/util.h"

Suite *mode_suite(void);

static struct scsi_rig rig;
static uint8_t data[256];

static void setup(void)
{
	memset(data, 0xee, sizeof(data));
	rig_init(&rig);
}

static const uint8_t block[512]; /* to be written */

static void teardown(void)
{
	rig_fini(&rig);
}

static void step(void)
{
	rig_rebirth(&rig, teardown, setup);
}

static void setup_reborn(void)
{
	setup();
	rig.step = step;
}

static const uint8_t descriptor[8] = { 0, 0, 0x10, 0x00, 0, 0, 2, 0 };
static const uint8_t page_01[12] = { 0x01, 0x0a };
static const uint8_t page_08[20] = { 0x08, 0x12, 0x04 };
static const uint8_t page_0a[12] = { 0x0a, 0x0a, 0, 0x10, 0, 0, 0, 0, 0xff, 0xff };
static const uint8_t page_1c[12] = { 0x1c, 0x0a, 0x08 };

static uint32_t sense6(uint8_t byte1, uint8_t byte2, uint8_t subpage)
{
	return scsi_run(&rig, CDB(0x1a, byte1, byte2, subpage, 255), NULL, 0, data, 255);
}

START_TEST(all_pages)
{
	static const uint8_t subpages[] = { 0x00, 0xff };
	size_t i;

	for (i = 0; i < 2; i++) {
		ck_assert_uint_eq(sense6(0, 0x3f, subpages[i]), 0);
		ck_assert_uint_eq(rig.cmd.moved, 4 + 8 + 12 + 20 + 12 + 12);
		ck_assert_mem_eq(data, "\x43\x00\x10\x08", 4);
		ck_assert_mem_eq(data + 4, descriptor, 8);
		ck_assert_mem_eq(data + 12, page_01, 12);
		ck_assert_mem_eq(data + 24, page_08, 20);
		ck_assert_mem_eq(data + 44, page_0a, 12);
		ck_assert_mem_eq(data + 56, page_1c, 12);
	}
}
END_TEST

START_TEST(one_page)
{
	ck_assert_uint_eq(sense6(0x08, 0x08, 0), 0);
	ck_assert_uint_eq(rig.cmd.moved, 24);
	ck_assert_mem_eq(data, "\x17\x00\x10\x00", 4);
	ck_assert_mem_eq(data + 4, page_08, 20);
	ck_assert_uint_eq(sense6(0x08, 0x08, 0xff), 0);
	ck_assert_mem_eq(data + 4, page_08, 20);

	ck_assert_uint_eq(sense6(0, 0x08, 0x01), 0x052400);
	ck_assert_uint_eq(sense6(0, 0x02, 0), 0x052400);
	ck_assert_uint_eq(sense6(0, 0x00, 0), 0x052400);
	ck_assert_uint_eq(sense6(0, 0xc8, 0), 0x053900);
}
END_TEST

START_TEST(ten_bytes)
{
	ck_assert_uint_eq(scsi_run(&rig, CDB(0x5a, 0, 0x0a, [8] = 255), NULL, 0, data, 255), 0);
	ck_assert_uint_eq(rig.cmd.moved, 28);
	ck_assert_mem_eq(data, "\x00\x1a\x00\x10\x00\x00\x00\x08", 8);
	ck_assert_mem_eq(data + 8, descriptor, 8);
	ck_assert_mem_eq(data + 16, page_0a, 12);

	/* LLBAA */
	ck_assert_uint_eq(scsi_run(&rig, CDB(0x5a, 0x10, 0x0a, [8] = 255), NULL, 0, data, 255), 0);
	ck_assert_uint_eq(rig.cmd.moved, 36);
	ck_assert_mem_eq(data, "\x00\x22\x00\x10\x01\x00\x00\x10", 8);
	ck_assert_mem_eq(data + 8, "\0\0\0\0\0\0\x10\x00\0\0\0\0\0\0\x02\x00", 16);
	ck_assert_mem_eq(data + 24, page_0a, 12);

	/* DBD, and a short allocation length */
	ck_assert_uint_eq(scsi_run(&rig, CDB(0x5a, 0x08, 0x3f, [8] = 9), NULL, 0, data, 255), 0);
	ck_assert_uint_eq(rig.cmd.moved, 9);
	ck_assert_mem_eq(data, "\x00\x3e\x00\x10\x00\x00\x00\x00\x01", 9);
}
END_TEST

START_TEST(page_control)
{
	static const uint8_t changeable_08[20] = { 0x08, 0x12, 0x04 };
	static const uint8_t changeable_0a[12] = { 0x0a, 0x0a, 0x04, 0, 0x08 };

	ck_assert_uint_eq(sense6(0x08, 0x7f, 0), 0); /* changeable */
	ck_assert_uint_eq(rig.cmd.moved, 60);
	ck_assert_mem_eq(data + 4, page_01, 12);
	ck_assert_mem_eq(data + 16, changeable_08, 20);
	ck_assert_mem_eq(data + 36, changeable_0a, 12);
	ck_assert_mem_eq(data + 48, "\x1c\x0a\0\0\0\0\0\0\0\0\0\0", 12);

	rig.lun.write_cache = false;
	rig.lun.swp = rig.lun.descriptor_sense = true;
	ck_assert_uint_eq(sense6(0x08, 0x3f, 0), 0); /* current */
	ck_assert_uint_eq(data[16 + 2], 0);
	ck_assert_uint_eq(data[36 + 2], 0x04);
	ck_assert_uint_eq(data[36 + 4], 0x08);
	ck_assert_uint_eq(sense6(0x08, 0xbf, 0), 0); /* default */
	ck_assert_mem_eq(data + 16, page_08, 20);
	ck_assert_mem_eq(data + 36, page_0a, 12);
}
END_TEST

START_TEST(write_through_by_default)
{
	rig.lun.write_through = true;
	rig_restart(&rig);
	ck_assert(!rig.lun.write_cache);
	ck_assert_uint_eq(sense6(0x08, 0x88, 0), 0);
	ck_assert_uint_eq(data[6], 0);
}
END_TEST

START_TEST(write_protect_bit)
{
	ck_assert_uint_eq(sense6(0, 0x3f, 0), 0);
	ck_assert_uint_eq(data[2], 0x10);
	rig.lun.swp = true;
	ck_assert_uint_eq(sense6(0, 0x3f, 0), 0);
	ck_assert_uint_eq(data[2], 0x90);
	rig.lun.swp = false;
	rig.lun.readonly = true;
	ck_assert_uint_eq(scsi_run(&rig, CDB(0x5a, 0, 0x3f, [8] = 255), NULL, 0, data, 255), 0);
	ck_assert_uint_eq(data[3], 0x90);
}
END_TEST

/* A parameter list for MODE SELECT, put together by hand. */
struct list {
	uint8_t bytes[600];
	size_t len;
};

static void add(struct list *list, const void *bytes, size_t len)
{
	memcpy(list->bytes + list->len, bytes, len);
	list->len += len;
}

static uint32_t select6(const struct list *list)
{
	return scsi_run(&rig, CDB(0x15, 0x10, 0, 0, (uint8_t)list->len), list->bytes, list->len,
			NULL, 0);
}

static uint32_t select10(const struct list *list)
{
	return scsi_run(&rig, CDB(0x55, 0x10, [7] = list->len >> 8, [8] = (uint8_t)list->len),
			list->bytes, list->len, NULL, 0);
}

/* A list with a short header, no descriptor, and one page with a byte changed. */
static struct list page_list(const uint8_t *page, size_t len, unsigned byte, uint8_t value)
{
	struct list list = { .len = 4 };

	add(&list, page, len);
	list.bytes[4 + byte] = value;
	return list;
}

START_TEST(select_write_cache)
{
	struct list off = page_list(page_08, 20, 2, 0), on = page_list(page_08, 20, 2, 4);

	ck_assert_uint_eq(select6(&off), 0);
	ck_assert_uint_eq(rig.cmd.moved, 24);
	ck_assert(!rig.lun.write_cache);
	/* What was in the cache is made durable, and writes are from now on. */
	ck_assert_uint_eq(rig.ram->nlog, 1);
	ck_assert_uint_eq(rig.ram->log[0].io, BLOCK_FLUSH);
	ck_assert_uint_eq(scsi_run(&rig, CDB(0x2a, [8] = 1), data, 0, NULL, 0),
			  RIG_RESPONSE(SCSI_RESPONSE_OVERRUN));
	ck_assert_uint_eq(scsi_run(&rig, CDB(0x0a, [4] = 1), block, 512, NULL, 0), 0);
	ck_assert_uint_eq(rig.ram->log[1].flags, BLOCK_FUA);

	ck_assert_uint_eq(select6(&on), 0);
	ck_assert(rig.lun.write_cache);
	ck_assert_uint_eq(rig.ram->nlog, 2);
	/* The issuer gets no unit attention for it. */
	ck_assert_uint_eq(scsi_run(&rig, CDB(0), NULL, 0, NULL, 0), 0);
}
END_TEST

START_TEST(select_control_page)
{
	struct list d_sense = page_list(page_0a, 12, 2, 0x04);
	struct list swp = page_list(page_0a, 12, 4, 0x08);
	struct list plain = page_list(page_0a, 12, 4, 0);

	ck_assert_uint_eq(select6(&d_sense), 0);
	ck_assert(rig.lun.descriptor_sense);
	ck_assert_uint_eq(select6(&swp), 0);
	ck_assert(!rig.lun.descriptor_sense && rig.lun.swp);
	ck_assert_uint_eq(scsi_run(&rig, CDB(0x2a, [8] = 1), block, 512, NULL, 0), 0x072700);
	ck_assert_uint_eq(select6(&plain), 0);
	ck_assert_uint_eq(scsi_run(&rig, CDB(0x2a, [8] = 1), block, 512, NULL, 0), 0);
}
END_TEST

START_TEST(select_what_was_sensed)
{
	struct list list = { 0 };

	/* The whole of MODE SENSE(10), both kinds of descriptor, sent back in one-byte pieces. */
	rig.cut = 1;
	ck_assert_uint_eq(scsi_run(&rig, CDB(0x5a, 0, 0x3f, [8] = 255), NULL, 0, data, 255), 0);
	add(&list, data, rig.cmd.moved);
	ck_assert_uint_eq(select10(&list), 0);
	ck_assert_uint_eq(rig.cmd.moved, list.len);
	list.len = 0;
	ck_assert_uint_eq(scsi_run(&rig, CDB(0x5a, 0x10, 0x3f, [8] = 255), NULL, 0, data, 255), 0);
	add(&list, data, rig.cmd.moved);
	ck_assert_uint_eq(select10(&list), 0);
	list.len = 0;
	ck_assert_uint_eq(sense6(0, 0x3f, 0), 0);
	add(&list, data, rig.cmd.moved);
	ck_assert_uint_eq(select6(&list), 0);
	ck_assert_uint_eq(rig.ram->nlog, 0);
}
END_TEST

/* Every bit of every page that is not changeable. */
START_TEST(select_unchangeable)
{
	static const struct {
		const uint8_t *page;
		size_t len;
	} pages[] = { { page_01, 12 }, { page_08, 20 }, { page_0a, 12 }, { page_1c, 12 } };
	size_t i, byte, bit;

	for (i = 0; i < ARRAY_SIZE(pages); i++) {
		uint8_t mask[24];

		ck_assert_uint_eq(sense6(0x08, 0x40 | pages[i].page[0], 0), 0);
		memcpy(mask, data + 4, pages[i].len);
		for (byte = 2; byte < pages[i].len; byte++) {
			for (bit = 0; bit < 8; bit++) {
				struct list list = page_list(pages[i].page, pages[i].len, byte,
							     pages[i].page[byte] ^ 1 << bit);

				if (mask[byte] & 1 << bit)
					continue;
				ck_assert_uint_eq(select6(&list), 0x052600);
				ck_assert_uint_eq(rig.cmd.sense[15], 0x88 | bit);
				ck_assert_uint_eq(be16_get(rig.cmd.sense + 16), 4 + byte);
			}
		}
	}
	ck_assert(rig.lun.write_cache && !rig.lun.descriptor_sense && !rig.lun.swp);
}
END_TEST

/* A list that is wrong at its end changes nothing. */
START_TEST(select_all_or_nothing)
{
	struct list list = page_list(page_0a, 12, 2, 0x04);

	add(&list, page_1c, 12);
	list.bytes[list.len - 1] = 1;
	ck_assert_uint_eq(select6(&list), 0x052600);
	ck_assert(!rig.lun.descriptor_sense);
	list.len--;
	ck_assert_uint_eq(select6(&list), 0x051a00);
	ck_assert(!rig.lun.descriptor_sense);
}
END_TEST

START_TEST(select_bad_lists)
{
	static const struct {
		uint32_t result;
		uint8_t len, bytes[24];
	} cases[] = {
		{ 0x051a00, 3, { 0 } },                       /* header cut */
		{ 0, 4, { 0 } },                              /* nothing but a header */
		{ 0x052600, 4, { 0, 1 } },                    /* medium type */
		{ 0x052600, 4, { 0, 0, 0, 7 } },              /* descriptor length */
		{ 0x052600, 20, { 0, 0, 0, 16 } },
		{ 0x051a00, 11, { 0, 0, 0, 8 } },             /* descriptor cut */
		{ 0, 12, { 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 2, 0 } },
		{ 0, 12, { 0, 0, 0, 8, 0xff, 0xff, 0xff, 0xff, 0, 0, 2, 0 } },
		{ 0, 12, { 0, 0, 0, 8, 0, 0, 0x10, 0, 0, 0, 2, 0 } },
		{ 0x052600, 12, { 0, 0, 0, 8, 0, 0, 0x10, 1, 0, 0, 2, 0 } },  /* capacity */
		{ 0x052600, 12, { 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 1, 0 } },     /* block size */
		{ 0x052600, 12, { 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0 } },
		{ 0x051a00, 5, { 0, 0, 0, 0, 0x08 } },        /* page header cut */
		{ 0x052600, 6, { 0, 0, 0, 0, 0x02, 0x0e } },  /* no such page */
		{ 0x052600, 6, { 0, 0, 0, 0, 0x3f, 0x00 } },  /* all pages are for SENSE */
		{ 0x052600, 6, { 0, 0, 0, 0, 0x4a, 0x01 } },  /* a subpage */
		{ 0x052600, 6, { 0, 0, 0, 0, 0x08, 0x11 } },  /* page length */
		{ 0x051a00, 23, { 0, 0, 0, 0, 0x08, 0x12, 0x04 } },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		struct list list = { 0 };

		add(&list, cases[i].bytes, cases[i].len);
		ck_assert_uint_eq(select6(&list), cases[i].result);
	}
}
END_TEST

START_TEST(select_bad_cdbs)
{
	struct list list = { .len = 513 };

	ck_assert_uint_eq(scsi_run(&rig, CDB(0x15, 0x00, [4] = 4), data, 4, NULL, 0), 0x052400);
	ck_assert_uint_eq(scsi_run(&rig, CDB(0x15, 0x11, [4] = 4), data, 4, NULL, 0), 0x052400);
	ck_assert_uint_eq(scsi_run(&rig, CDB(0x15, 0x10), data, 4, NULL, 0), 0);
	ck_assert_uint_eq(rig.cmd.moved, 0);
	ck_assert_uint_eq(scsi_run(&rig, CDB(0x15, 0x10, [4] = 24), data, 23, NULL, 0),
			  RIG_RESPONSE(SCSI_RESPONSE_OVERRUN));
	ck_assert_uint_eq(select10(&list), 0x051a00);
	list.len = 512;
	ck_assert_uint_eq(select10(&list), 0x052600);
}
END_TEST

START_TEST(select_flush_fails)
{
	struct list off = page_list(page_08, 20, 2, 0);

	rig.ram->fail_at = 1;
	rig.ram->fail_with = -5;
	ck_assert_uint_eq(select6(&off), 0x030c00);
}
END_TEST

Suite *mode_suite(void)
{
	Suite *suite = suite_create("mode");
	TCase *tc = unit_case(suite, "sense");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, all_pages);
	tcase_add_test(tc, one_page);
	tcase_add_test(tc, ten_bytes);
	tcase_add_test(tc, page_control);
	tcase_add_test(tc, write_through_by_default);
	tcase_add_test(tc, write_protect_bit);

	tc = unit_case(suite, "select");
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, select_write_cache);
	tcase_add_test(tc, select_control_page);
	tcase_add_test(tc, select_what_was_sensed);
	tcase_add_test(tc, select_unchangeable);
	tcase_add_test(tc, select_all_or_nothing);
	tcase_add_test(tc, select_bad_lists);
	tcase_add_test(tc, select_bad_cdbs);
	tcase_add_test(tc, select_flush_fails);

	tc = unit_case(suite, "reborn"); /* saved, destroyed and restored before each command */
	tcase_add_checked_fixture(tc, setup_reborn, teardown);
	tcase_add_test(tc, select_control_page);
	tcase_add_test(tc, select_what_was_sensed);
	tcase_add_test(tc, select_all_or_nothing);
	return suite;
}

UNIT_MAIN(mode_suite)
