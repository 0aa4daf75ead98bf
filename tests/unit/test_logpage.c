/* SPDX-License-Identifier: MIT */
#include "tests/lib/scsi_run.h"

#include "tests/unit/unit.h"
#include "vmm/core/util.h"

Suite *logpage_suite(void);

static struct scsi_rig rig;
static uint8_t data[1024];

static void setup(void)
{
	rig_init(&rig);
}

static void teardown(void)
{
	rig_fini(&rig);
}

static uint32_t log_of(uint8_t code, uint8_t subpage, uint16_t alloc_len)
{
	memset(data, 0xee, sizeof(data));
	return scsi_run(&rig, CDB(0x4d, 0, code, subpage, [7] = alloc_len >> 8, alloc_len & 255),
			NULL, 0, data, 512);
}

/* PC, the kind of values, is in the two highest bits: cumulative ones here. */
START_TEST(supported)
{
	ck_assert_uint_eq(log_of(0x40, 0, 512), 0);
	ck_assert_uint_eq(rig.cmd.moved, 6);
	ck_assert_mem_eq(data, "\x00\x00\x00\x02\x00\x2f", 6);
	ck_assert_uint_eq(log_of(0x40, 0xff, 512), 0);
	ck_assert_uint_eq(rig.cmd.moved, 10);
	ck_assert_mem_eq(data, "\x40\xff\x00\x06\x00\x00\x00\xff\x2f\x00", 10);
}
END_TEST

START_TEST(no_exceptions)
{
	ck_assert_uint_eq(log_of(0x6f, 0, 512), 0);
	ck_assert_uint_eq(rig.cmd.moved, 12);
	ck_assert_mem_eq(data, "\x2f\x00\x00\x08\x00\x00\x03\x04\x00\x00\x00\x00", 12);
	ck_assert_uint_eq(log_of(0x6f, 0, 4), 0);
	ck_assert_uint_eq(rig.cmd.moved, 4);
	ck_assert_uint_eq(data[3], 8);
}
END_TEST

START_TEST(refused)
{
	ck_assert_uint_eq(log_of(0x4d, 0, 512), 0x052400);
	ck_assert_mem_eq(rig.cmd.sense + 15, "\xcd\x00\x02", 3);
	ck_assert_uint_eq(log_of(0x6f, 1, 512), 0x052400);
	ck_assert_mem_eq(rig.cmd.sense + 15, "\xcf\x00\x03", 3);
}
END_TEST

Suite *logpage_suite(void)
{
	Suite *suite = suite_create("logpage");
	TCase *tc = unit_case(suite, "logpage");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, supported);
	tcase_add_test(tc, no_exceptions);
	tcase_add_test(tc, refused);
	return suite;
}

UNIT_MAIN(logpage_suite)
