/* SPDX-License-Identifier: MIT */
#include <assert.h>

#include "devices/scsi/op.h"
#include "vmm/core/log.h"
#include "vmm/core/util.h"

/* SPC-4 4.5.6 */
enum sense_key {
	NO_SENSE = 0x0,
	NOT_READY = 0x2,
	MEDIUM_ERROR = 0x3,
	HARDWARE_ERROR = 0x4,
	ILLEGAL_REQUEST = 0x5,
	UNIT_ATTENTION = 0x6,
	DATA_PROTECT = 0x7,
	MISCOMPARE = 0xe,
};

#define CHECK(key, asc, ascq) { SCSI_RESPONSE_OK, SCSI_CHECK_CONDITION, key, asc, ascq }
#define STATUS(status) { SCSI_RESPONSE_OK, status, NO_SENSE, 0, 0 }
#define RESPONSE(response) { response, SCSI_GOOD, NO_SENSE, 0, 0 }

static const struct scsi_outcome outcomes[] = {
	[SENSE_NONE] = STATUS(SCSI_GOOD),

	[SENSE_POWER_ON] = CHECK(UNIT_ATTENTION, 0x29, 0x00),
	[SENSE_BUS_DEVICE_RESET] = CHECK(UNIT_ATTENTION, 0x29, 0x03),
	[SENSE_NEXUS_LOSS] = CHECK(UNIT_ATTENTION, 0x29, 0x07),
	[SENSE_CLEARED_BY_OTHER] = CHECK(UNIT_ATTENTION, 0x2f, 0x00),
	[SENSE_MEDIUM_CHANGED] = CHECK(UNIT_ATTENTION, 0x28, 0x00),
	[SENSE_MODE_PARAMETERS_CHANGED] = CHECK(UNIT_ATTENTION, 0x2a, 0x01),
	[SENSE_RESERVATIONS_PREEMPTED] = CHECK(UNIT_ATTENTION, 0x2a, 0x03),
	[SENSE_RESERVATIONS_RELEASED] = CHECK(UNIT_ATTENTION, 0x2a, 0x04),
	[SENSE_REGISTRATIONS_PREEMPTED] = CHECK(UNIT_ATTENTION, 0x2a, 0x05),
	[SENSE_ACCESS_STATE_CHANGED] = CHECK(UNIT_ATTENTION, 0x2a, 0x06),
	[SENSE_CAPACITY_CHANGED] = CHECK(UNIT_ATTENTION, 0x2a, 0x09),
	[SENSE_LUNS_CHANGED] = CHECK(UNIT_ATTENTION, 0x3f, 0x0e),

	[SENSE_INVALID_OPCODE] = CHECK(ILLEGAL_REQUEST, 0x20, 0x00),
	[SENSE_INVALID_FIELD_IN_CDB] = CHECK(ILLEGAL_REQUEST, 0x24, 0x00),
	[SENSE_INVALID_FIELD_IN_PARAMETERS] = CHECK(ILLEGAL_REQUEST, 0x26, 0x00),
	[SENSE_INVALID_RELEASE] = CHECK(ILLEGAL_REQUEST, 0x26, 0x04),
	[SENSE_PARAMETER_LIST_LENGTH] = CHECK(ILLEGAL_REQUEST, 0x1a, 0x00),
	[SENSE_LBA_OUT_OF_RANGE] = CHECK(ILLEGAL_REQUEST, 0x21, 0x00),
	[SENSE_NO_SUCH_LUN] = CHECK(ILLEGAL_REQUEST, 0x25, 0x00),
	[SENSE_SAVING_NOT_SUPPORTED] = CHECK(ILLEGAL_REQUEST, 0x39, 0x00),
	[SENSE_STANDBY] = CHECK(NOT_READY, 0x04, 0x0b),
	[SENSE_UNAVAILABLE] = CHECK(NOT_READY, 0x04, 0x0c),
	[SENSE_STOPPED] = CHECK(NOT_READY, 0x04, 0x02),
	[SENSE_NO_MEDIUM] = CHECK(NOT_READY, 0x3a, 0x00),
	[SENSE_REMOVAL_PREVENTED] = CHECK(ILLEGAL_REQUEST, 0x53, 0x02),
	[SENSE_WRITE_PROTECTED] = CHECK(DATA_PROTECT, 0x27, 0x00),
	[SENSE_SPACE_ALLOCATION_FAILED] = CHECK(DATA_PROTECT, 0x27, 0x07),
	[SENSE_MISCOMPARE] = CHECK(MISCOMPARE, 0x1d, 0x00),
	[SENSE_READ_ERROR] = CHECK(MEDIUM_ERROR, 0x11, 0x00),
	[SENSE_WRITE_ERROR] = CHECK(MEDIUM_ERROR, 0x0c, 0x00),
	[SENSE_INTERNAL_FAILURE] = CHECK(HARDWARE_ERROR, 0x44, 0x00),
	[SENSE_TOLD] = CHECK(NO_SENSE, 0x00, 0x00), /* see scsi_sense_build() */

	[SENSE_BUSY] = STATUS(SCSI_BUSY),
	[SENSE_CONFLICT] = STATUS(SCSI_RESERVATION_CONFLICT),
	[SENSE_BAD_TARGET] = RESPONSE(SCSI_RESPONSE_BAD_TARGET),
	[SENSE_PATH_FAILS] = RESPONSE(SCSI_RESPONSE_PATH),
	[SENSE_OVERRUN] = RESPONSE(SCSI_RESPONSE_OVERRUN),
	[SENSE_FAILURE] = RESPONSE(SCSI_RESPONSE_FAILURE),
	[SENSE_ABORTED] = RESPONSE(SCSI_RESPONSE_ABORTED),
	[SENSE_RESET] = RESPONSE(SCSI_RESPONSE_RESET),
};

static_assert(ARRAY_SIZE(outcomes) == SENSE_COUNT, "a reason has no outcome");

const struct scsi_outcome *scsi_outcome(enum scsi_sense why)
{
	BUG_ON(why >= SENSE_COUNT || why == SENSE_PENDING);
	return &outcomes[why];
}

/* Field pointer, SPC-4 4.5.2.4.2. */
static void put_field(uint8_t *sks, const struct scsi_detail *detail)
{
	sks[0] = 0x80 | (detail->in_cdb ? 0x40 : 0) | 0x08 | detail->bit;
	be16_put(sks + 1, detail->byte);
}

/* SPC-4 4.5.3. The four bytes of INFORMATION are valid only if it fits. */
static uint8_t build_fixed(uint8_t *s, const struct scsi_outcome *o,
			   const struct scsi_detail *detail)
{
	s[0] = 0x70;
	s[2] = o->key;
	s[7] = 18 - 8;
	s[12] = o->asc;
	s[13] = o->ascq;
	if (detail->has_info && detail->info <= UINT32_MAX) {
		s[0] |= 0x80;
		be32_put(s + 3, (uint32_t)detail->info);
	}
	if (detail->has_field)
		put_field(s + 15, detail);
	return 18;
}

/* SPC-4 4.5.2 */
static uint8_t build_descriptors(uint8_t *s, const struct scsi_outcome *o,
				 const struct scsi_detail *detail)
{
	uint8_t len = 8;

	s[0] = 0x72;
	s[1] = o->key;
	s[2] = o->asc;
	s[3] = o->ascq;
	if (detail->has_info) {
		s[len] = 0x00;
		s[len + 1] = 0x0a;
		s[len + 2] = 0x80;
		be64_put(s + len + 4, detail->info);
		len += 12;
	}
	if (detail->has_field) {
		s[len] = 0x02;
		s[len + 1] = 0x06;
		put_field(s + len + 4, detail);
		len += 8;
	}
	s[7] = len - 8;
	return len;
}

uint8_t scsi_sense_build(uint8_t sense[SCSI_SENSE_MAX], enum scsi_sense why, bool descriptor,
			 const struct scsi_detail *detail)
{
	static const struct scsi_detail none;
	struct scsi_outcome o = *scsi_outcome(why);

	memset(sense, 0, SCSI_SENSE_MAX);
	if (!detail)
		detail = &none;
	if (why == SENSE_TOLD) {
		o.key = detail->key;
		o.asc = detail->asc;
		o.ascq = detail->ascq;
	}
	return descriptor ? build_descriptors(sense, &o, detail) : build_fixed(sense, &o, detail);
}
