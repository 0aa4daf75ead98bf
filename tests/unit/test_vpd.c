/* SPDX-License-Identifier: MIT */
#include "tests/lib/scsi_run.h"

#include "tests/unit/unit.h"
#include "vmm/core/util.h"

Suite *vpd_suite(void);

static struct scsi_rig rig;
static uint8_t page[512];

static void setup(void)
{
	rig_init(&rig);
}

static void teardown(void)
{
	rig_fini(&rig);
}

/* Reads a page; its length, header and all, after a look at what all pages have. */
static size_t get(uint8_t code)
{
	memset(page, 0xee, sizeof(page));
	ck_assert_uint_eq(scsi_run(&rig, CDB(0x12, 1, code, 1, 0), NULL, 0, page, 256), 0);
	ck_assert_uint_eq(page[0], 0);
	ck_assert_uint_eq(page[1], code);
	ck_assert_uint_eq(be16_get(page + 2) + 4u, rig.cmd.moved);
	return rig.cmd.moved;
}

START_TEST(supported)
{
	unsigned code, i;

	ck_assert_uint_eq(get(0x00), 11);
	ck_assert_mem_eq(page + 4, "\x00\x80\x83\x86\xb0\xb1\xb2", 7);
	rig.lun.discard = false;
	ck_assert_uint_eq(get(0x00), 10);
	ck_assert_mem_eq(page + 4, "\x00\x80\x83\x86\xb0\xb1", 6);

	/* The others are refused. */
	for (code = 0, i = 0; code < 256; code++) {
		uint8_t none[4] = { 0 };
		uint32_t result = scsi_run(&rig, CDB(0x12, 1, code, 0, 4), NULL, 0, none, 4);

		if (i < 6 && page[4 + i] == code) {
			i++;
			ck_assert_uint_eq(result, 0);
		} else {
			ck_assert_uint_eq(result, 0x052400);
		}
	}
	ck_assert_uint_eq(i, 6);
}
END_TEST

START_TEST(serial)
{
	ck_assert_uint_eq(get(0x80), 4 + 8);
	ck_assert_mem_eq(page + 4, "serial-0", 8);
	memset(rig.lun.serial, 'x', SCSI_ID_MAX);
	ck_assert_uint_eq(get(0x80), 4 + SCSI_ID_MAX);
}
END_TEST

START_TEST(identification)
{
	static const uint8_t expected[] = {
		0x01, 0x03, 0, 8, 0x31, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef,
		0x02, 0x01, 0, 21, 'L', 'U', 'N', 'E', 'T', 'T', 'E', ' ',
		'D', 'I', 'S', 'K', ':', 's', 'e', 'r', 'i', 'a', 'l', '-', '0',
		0x03, 0x08, 0, 24, 'n', 'a', 'a', '.', '3', '1', '2', '3', '4', '5', '6', '7',
		'8', '9', 'a', 'b', 'c', 'd', 'e', 'f', 0, 0, 0, 0,
		0x01, 0x14, 0, 4, 0, 0, 0, 1,
	};

	strcpy(rig.lun.naa, "3123456789abcdef");
	ck_assert_uint_eq(get(0x83), 4 + sizeof(expected));
	ck_assert_mem_eq(page + 4, expected, sizeof(expected));

	memset(rig.lun.serial, 'x', SCSI_ID_MAX);
	ck_assert_uint_eq(get(0x83), 4 + sizeof(expected) - 8 + SCSI_ID_MAX);
}
END_TEST

START_TEST(identification_extended)
{
	static const uint8_t expected[] = {
		0x01, 0x03, 0, 16, 0x60, 0x01, 0x40, 0x5a, 0xbc, 0xde, 0xf0, 0x12,
		0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0, 0x12,
	};

	strcpy(rig.lun.naa, "6001405abcdef0123456789abcdef012");
	get(0x83);
	ck_assert_mem_eq(page + 4, expected, sizeof(expected));
}
END_TEST

/* The same names on another port, which has another number. */
START_TEST(identification_by_two_ports)
{
	static uint8_t first[512];
	struct scsi_rig_port other;
	size_t len;

	rig_other_init(&rig, &other, 0x0102);
	len = get(0x83);
	memcpy(first, page, len);
	rig.other = &other;
	ck_assert_uint_eq(get(0x83), len);
	ck_assert_mem_eq(page, first, len - 4);
	ck_assert_uint_eq(be32_get(first + len - 4), 1);
	ck_assert_uint_eq(be32_get(page + len - 4), 0x0102);
	rig_other_fini(&other);
}
END_TEST

START_TEST(extended)
{
	static const uint8_t expected[64] = { 0, 0x86, 0, 60, 0, 0x01, 0x01, [13] = 28 };

	ck_assert_uint_eq(get(0x86), 64);
	ck_assert_mem_eq(page, expected, 64);
}
END_TEST

START_TEST(block_limits)
{
	uint8_t expected[64] = {
		0, 0xb0, 0, 60, 0, 128, 0, 8,             /* no WSNZ; CAW, physical block */
		0, 1, 0, 0, 0, 0, 0x08, 0, 0, 0, 0, 0,    /* 32 MiB, 1 MiB, no prefetch */
		0xff, 0xff, 0xff, 0xff, 0, 0, 1, 0,       /* no limit, 256 descriptors */
		0, 0, 0, 8, 0x80, 0, 0, 0,                /* granularity, alignment */
		0, 0, 0, 0, 0, 2, 0, 0,                   /* 64 MiB */
		0, 0, 0, 128, 0, 0, 0, 2, 0, 0, 0, 2,     /* atomic: most, alignment, granularity */
	};

	ck_assert_uint_eq(get(0xb0), 64);
	ck_assert_mem_eq(page, expected, 64);

	rig.lun.discard = false;
	memset(expected + 20, 0, 16);
	rig.lun.atomic = false;
	memset(expected + 44, 0, 12);
	get(0xb0);
	ck_assert_mem_eq(page, expected, 64);
}
END_TEST

START_TEST(block_limits_of_4k)
{
	rig.lun.block_size = 4096;
	rig.ram->block.discard_granularity = 0;
	rig_restart(&rig);
	get(0xb0);
	ck_assert_uint_eq(page[5], 16);
	ck_assert_uint_eq(be16_get(page + 6), 1);
	ck_assert_uint_eq(be32_get(page + 8), 8192);
	ck_assert_uint_eq(be32_get(page + 20), UINT32_MAX);
	ck_assert_uint_eq(be32_get(page + 28), 1);
	ck_assert_uint_eq(be64_get(page + 36), 16384);
	ck_assert_mem_eq(page + 44, "\0\0\0\x10\0\0\0\1\0\0\0\1\0\0\0\0\0\0\0", 20);
}
END_TEST

START_TEST(characteristics)
{
	ck_assert_uint_eq(get(0xb1), 64);
	ck_assert_uint_eq(be16_get(page + 4), 1);
	rig.ram->block.rotational = true;
	get(0xb1);
	ck_assert_uint_eq(be16_get(page + 4), 0);
}
END_TEST

START_TEST(provisioning)
{
	ck_assert_uint_eq(get(0xb2), 8);
	ck_assert_mem_eq(page, "\x00\xb2\x00\x04\x00\xe4\x02\x00", 8);
	rig.ram->block.discard_zeroes = false;
	get(0xb2);
	ck_assert_uint_eq(page[5], 0xe0);
}
END_TEST

Suite *vpd_suite(void)
{
	Suite *suite = suite_create("vpd");
	TCase *tc = unit_case(suite, "vpd");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, supported);
	tcase_add_test(tc, serial);
	tcase_add_test(tc, identification);
	tcase_add_test(tc, identification_extended);
	tcase_add_test(tc, identification_by_two_ports);
	tcase_add_test(tc, extended);
	tcase_add_test(tc, block_limits);
	tcase_add_test(tc, block_limits_of_4k);
	tcase_add_test(tc, characteristics);
	tcase_add_test(tc, provisioning);
	return suite;
}

UNIT_MAIN(vpd_suite)
