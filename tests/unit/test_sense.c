/* SPDX-License-Identifier: MIT */
#include "devices/scsi/op.h"

#include <string.h>

#include "tests/unit/unit.h"
#include "vmm/core/util.h"

Suite *sense_suite(void);

/* Written by hand from SPC-4 annex D; key, ASC, ASCQ. */
static const struct {
	enum scsi_sense why;
	uint8_t key, asc, ascq;
} codes[] = {
	{ SENSE_POWER_ON, 0x6, 0x29, 0x00 },
	{ SENSE_BUS_DEVICE_RESET, 0x6, 0x29, 0x03 },
	{ SENSE_NEXUS_LOSS, 0x6, 0x29, 0x07 },
	{ SENSE_CLEARED_BY_OTHER, 0x6, 0x2f, 0x00 },
	{ SENSE_MEDIUM_CHANGED, 0x6, 0x28, 0x00 },
	{ SENSE_MODE_PARAMETERS_CHANGED, 0x6, 0x2a, 0x01 },
	{ SENSE_RESERVATIONS_PREEMPTED, 0x6, 0x2a, 0x03 },
	{ SENSE_RESERVATIONS_RELEASED, 0x6, 0x2a, 0x04 },
	{ SENSE_REGISTRATIONS_PREEMPTED, 0x6, 0x2a, 0x05 },
	{ SENSE_ACCESS_STATE_CHANGED, 0x6, 0x2a, 0x06 },
	{ SENSE_CAPACITY_CHANGED, 0x6, 0x2a, 0x09 },
	{ SENSE_LUNS_CHANGED, 0x6, 0x3f, 0x0e },
	{ SENSE_INVALID_OPCODE, 0x5, 0x20, 0x00 },
	{ SENSE_INVALID_FIELD_IN_CDB, 0x5, 0x24, 0x00 },
	{ SENSE_INVALID_FIELD_IN_PARAMETERS, 0x5, 0x26, 0x00 },
	{ SENSE_INVALID_RELEASE, 0x5, 0x26, 0x04 },
	{ SENSE_PARAMETER_LIST_LENGTH, 0x5, 0x1a, 0x00 },
	{ SENSE_LBA_OUT_OF_RANGE, 0x5, 0x21, 0x00 },
	{ SENSE_NO_SUCH_LUN, 0x5, 0x25, 0x00 },
	{ SENSE_SAVING_NOT_SUPPORTED, 0x5, 0x39, 0x00 },
	{ SENSE_STANDBY, 0x2, 0x04, 0x0b },
	{ SENSE_UNAVAILABLE, 0x2, 0x04, 0x0c },
	{ SENSE_STOPPED, 0x2, 0x04, 0x02 },
	{ SENSE_NO_MEDIUM, 0x2, 0x3a, 0x00 },
	{ SENSE_REMOVAL_PREVENTED, 0x5, 0x53, 0x02 },
	{ SENSE_WRITE_PROTECTED, 0x7, 0x27, 0x00 },
	{ SENSE_SPACE_ALLOCATION_FAILED, 0x7, 0x27, 0x07 },
	{ SENSE_MISCOMPARE, 0xe, 0x1d, 0x00 },
	{ SENSE_READ_ERROR, 0x3, 0x11, 0x00 },
	{ SENSE_WRITE_ERROR, 0x3, 0x0c, 0x00 },
	{ SENSE_INTERNAL_FAILURE, 0x4, 0x44, 0x00 },
};

START_TEST(every_reason_in_both_formats)
{
	uint8_t sense[SCSI_SENSE_MAX];
	size_t i;

	/* All but NONE, PENDING, TOLD and the eight without sense data. */
	ck_assert_uint_eq(ARRAY_SIZE(codes), SENSE_COUNT - 11);
	for (i = 0; i < ARRAY_SIZE(codes); i++) {
		uint8_t fixed[18] = { 0x70, 0, codes[i].key, 0, 0, 0, 0, 10,
				      0, 0, 0, 0, codes[i].asc, codes[i].ascq };
		uint8_t descriptor[8] = { 0x72, codes[i].key, codes[i].asc, codes[i].ascq };

		ck_assert_uint_eq(scsi_outcome(codes[i].why)->response, SCSI_RESPONSE_OK);
		ck_assert_uint_eq(scsi_outcome(codes[i].why)->status, SCSI_CHECK_CONDITION);
		ck_assert_uint_eq(scsi_sense_build(sense, codes[i].why, false, NULL), 18);
		ck_assert_mem_eq(sense, fixed, 18);
		ck_assert_uint_eq(scsi_sense_build(sense, codes[i].why, true, NULL), 8);
		ck_assert_mem_eq(sense, descriptor, 8);
	}
}
END_TEST

START_TEST(ends_without_sense)
{
	ck_assert_uint_eq(scsi_outcome(SENSE_NONE)->status, SCSI_GOOD);
	ck_assert_uint_eq(scsi_outcome(SENSE_BUSY)->status, SCSI_BUSY);
	ck_assert_uint_eq(scsi_outcome(SENSE_BUSY)->response, SCSI_RESPONSE_OK);
	ck_assert_uint_eq(scsi_outcome(SENSE_OVERRUN)->response, SCSI_RESPONSE_OVERRUN);
	ck_assert_uint_eq(scsi_outcome(SENSE_FAILURE)->response, SCSI_RESPONSE_FAILURE);
	ck_assert_uint_eq(scsi_outcome(SENSE_ABORTED)->response, SCSI_RESPONSE_ABORTED);
	ck_assert_uint_eq(scsi_outcome(SENSE_RESET)->response, SCSI_RESPONSE_RESET);
}
END_TEST

START_TEST(information)
{
	struct scsi_detail detail = { .has_info = true, .info = 0x12345678 };
	uint8_t s[SCSI_SENSE_MAX];

	scsi_sense_build(s, SENSE_READ_ERROR, false, &detail);
	ck_assert_uint_eq(s[0], 0xf0);
	ck_assert_uint_eq(be32_get(s + 3), 0x12345678);

	/* Fixed format has four bytes for it; a cut number would be a lie. */
	detail.info = 1ull << 32;
	scsi_sense_build(s, SENSE_READ_ERROR, false, &detail);
	ck_assert_uint_eq(s[0], 0x70);
	ck_assert_uint_eq(be32_get(s + 3), 0);

	ck_assert_uint_eq(scsi_sense_build(s, SENSE_READ_ERROR, true, &detail), 20);
	ck_assert_uint_eq(s[7], 12);
	ck_assert_mem_eq(s + 8, "\x00\x0a\x80\x00\x00\x00\x00\x01\x00\x00\x00\x00", 12);
}
END_TEST

START_TEST(field_pointer)
{
	struct scsi_detail detail = { .has_field = true, .in_cdb = true, .byte = 0x102, .bit = 5 };
	uint8_t s[SCSI_SENSE_MAX];

	scsi_sense_build(s, SENSE_INVALID_FIELD_IN_CDB, false, &detail);
	ck_assert_mem_eq(s + 15, "\xcd\x01\x02", 3);
	detail.in_cdb = false;
	scsi_sense_build(s, SENSE_INVALID_FIELD_IN_PARAMETERS, false, &detail);
	ck_assert_mem_eq(s + 15, "\x8d\x01\x02", 3);

	detail.has_info = true;
	ck_assert_uint_eq(scsi_sense_build(s, SENSE_INVALID_FIELD_IN_PARAMETERS, true, &detail),
			  SCSI_SENSE_LONGEST);
	ck_assert_mem_eq(s + 20, "\x02\x06\x00\x00\x8d\x01\x02\x00", 8);
}
END_TEST

Suite *sense_suite(void)
{
	Suite *suite = suite_create("sense");
	TCase *tc = unit_case(suite, "sense");

	tcase_add_test(tc, every_reason_in_both_formats);
	tcase_add_test(tc, ends_without_sense);
	tcase_add_test(tc, information);
	tcase_add_test(tc, field_pointer);
	return suite;
}

UNIT_MAIN(sense_suite)
