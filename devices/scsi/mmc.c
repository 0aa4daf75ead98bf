/* SPDX-License-Identifier: MIT */
/*
 * A CD-ROM drive with one track of data on one session: what MMC-6 asks for
 * beyond SPC and the reading commands of sbc.c. A disc that is too large for a
 * CD is a DVD.
 */
#include "devices/block/block.h"
#include "devices/scsi/op.h"
#include "vmm/core/util.h"

#define CD_BLOCKS_MAX (80u * 60 * 75)
#define LEAD_OUT 0xaa
#define DATA_TRACK 0x14 /* ADR 1: a position; CONTROL 4: data, that is not to be copied */

/* An address as LBA, or as minute, second, frame, which begins at two seconds. */
static void put_address(uint8_t *to, uint32_t lba, bool msf)
{
	uint32_t frame = lba + 150;

	if (!msf) {
		be32_put(to, lba);
		return;
	}
	to[0] = 0;
	to[1] = (uint8_t)min_u64(frame / (60 * 75), 255);
	to[2] = (uint8_t)(frame / 75 % 60);
	to[3] = (uint8_t)(frame % 75);
}

static uint32_t disc_blocks(const struct scsi_cmd *cmd)
{
	return (uint32_t)min_u64(sbc_capacity(cmd), UINT32_MAX);
}

static size_t put_track(uint8_t *to, uint8_t track, uint32_t lba, bool msf)
{
	to[1] = DATA_TRACK;
	to[2] = track;
	put_address(to + 4, lba, msf);
	return 8;
}

/* The tracks from @first on. */
static size_t put_toc(const struct scsi_cmd *cmd, uint8_t *to)
{
	bool msf = cmd->cdb[1] & 0x02;
	size_t len = 0;

	if (cmd->cdb[6] <= 1)
		len += put_track(to, 1, 0, msf);
	return len + put_track(to + len, LEAD_OUT, disc_blocks(cmd), msf);
}

static size_t put_sessions(const struct scsi_cmd *cmd, uint8_t *to)
{
	return put_track(to, 1, 0, cmd->cdb[1] & 0x02);
}

/* First track, last track, lead-out, and the track itself, by time. */
static size_t put_raw_toc(const struct scsi_cmd *cmd, uint8_t *to)
{
	static const uint8_t points[] = { 0xa0, 0xa1, 0xa2, 1 };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(points); i++, to += 11) {
		to[0] = 1;
		to[1] = DATA_TRACK;
		to[3] = points[i];
		if (points[i] == 0xa0 || points[i] == 0xa1)
			to[8] = 1; /* the number of that track */
		else
			put_address(to + 7, points[i] == 1 ? 0 : disc_blocks(cmd), true);
	}
	return 11 * ARRAY_SIZE(points);
}

static const struct {
	size_t (*put)(const struct scsi_cmd *cmd, uint8_t *to);
} toc_formats[] = { { put_toc }, { put_sessions }, { put_raw_toc } };

/* MMC-6 6.25 */
static enum scsi_sense mmc_read_toc(struct scsi_cmd *cmd)
{
	uint8_t format = cmd->cdb[2] & 0x0f, data[64] = { 0 };
	size_t len;

	if (format >= ARRAY_SIZE(toc_formats))
		return scsi_bad_cdb(cmd, 2, 3);
	if (format != 1 && cmd->cdb[6] > 1 && cmd->cdb[6] != LEAD_OUT)
		return scsi_bad_cdb(cmd, 6, 7);
	len = toc_formats[format].put(cmd, data + 4);
	be16_put(data, (uint16_t)(2 + len));
	data[2] = data[3] = 1; /* first and last: track, session */
	return scsi_reply(cmd, data, 4 + len, be16_get(cmd->cdb + 7));
}

/* MMC-6 6.21: complete, one session, one track. */
static enum scsi_sense mmc_read_disc_information(struct scsi_cmd *cmd)
{
	uint8_t data[34] = {
		[1] = sizeof(data) - 2,
		[2] = 0x0e, [3] = 1, [4] = 1, [5] = 1, [6] = 1,
		[7] = 0x20, /* URU: not restricted */
	};

	if (cmd->cdb[1] & 0x07)
		return scsi_bad_cdb(cmd, 1, 2);
	memset(data + 16, 0xff, 8); /* no lead-in, lead-out: nothing can be written */
	return scsi_reply(cmd, data, sizeof(data), be16_get(cmd->cdb + 7));
}

enum { BY_LBA, BY_TRACK, BY_SESSION };

static bool names_the_track(const struct scsi_cmd *cmd)
{
	uint32_t number = be32_get(cmd->cdb + 2);

	switch (cmd->cdb[1] & 3) {
	case BY_LBA:
		return number < sbc_capacity(cmd);
	case BY_TRACK:
	case BY_SESSION:
		return number == 1;
	default:
		return false;
	}
}

/* MMC-6 6.26 */
static enum scsi_sense mmc_read_track_information(struct scsi_cmd *cmd)
{
	uint8_t data[36] = {
		[1] = sizeof(data) - 2,
		[2] = 1, [3] = 1,
		[5] = 0x04, /* a data track, */
		[6] = 0x01, /* of mode 1 */
		[7] = 0x02, /* LRA_V */
	};

	if (!names_the_track(cmd))
		return scsi_bad_cdb(cmd, 2, 7);
	be32_put(data + 24, disc_blocks(cmd));
	be32_put(data + 28, disc_blocks(cmd) - 1);
	return scsi_reply(cmd, data, sizeof(data), be16_get(cmd->cdb + 7));
}

/* Features, MMC-6 5.3; GET CONFIGURATION, 6.5. */

enum profile { NO_PROFILE = 0x0000, CD_ROM = 0x0008, DVD_ROM = 0x0010 };

static enum profile profile_of(const struct scsi_cmd *cmd)
{
	if (!cmd->chan || cmd->unit->ejected)
		return NO_PROFILE;
	return sbc_capacity(cmd) > CD_BLOCKS_MAX ? DVD_ROM : CD_ROM;
}

#define VERSION_OF(n) ((n) << 2)
#define PERSISTENT 0x02
#define CURRENT 0x01

static const struct feature {
	uint16_t code;
	uint8_t flags;
	enum profile profile; /* current with this one; NO_PROFILE: as flags say */
	bool with_medium;     /* current when there is a medium */
	uint8_t len, data[12];
} features[] = {
	/* The profiles: their current bits are set when it is known. */
	{ 0x0000, PERSISTENT | CURRENT, NO_PROFILE, false, 8, { 0, DVD_ROM, 0, 0, 0, CD_ROM } },
	/* Core: the physical interface is SCSI; INQ2, DBE. */
	{ 0x0001, VERSION_OF(2) | PERSISTENT | CURRENT, NO_PROFILE, false, 8,
	  { 0, 0, 0, 1, 0x01 } },
	/* Morphing: events of operational changes, polled. */
	{ 0x0002, VERSION_OF(1) | PERSISTENT | CURRENT, NO_PROFILE, false, 4, { 0 } },
	/* Removable medium: a tray, that ejects, loads, and can be locked. */
	{ 0x0003, VERSION_OF(2) | PERSISTENT | CURRENT, NO_PROFILE, false, 4, { 0x39 } },
	/* Random readable: blocks of 2048 bytes, one at a time. */
	{ 0x0010, 0, NO_PROFILE, true, 8, { 0, 0, 0x08, 0, 0, 1, 0 } },
	/* Multi-read. */
	{ 0x001d, 0, CD_ROM, false, 0, { 0 } },
	{ 0x001e, VERSION_OF(2), CD_ROM, false, 4, { 0 } },  /* CD read */
	{ 0x001f, VERSION_OF(1), DVD_ROM, false, 4, { 0 } }, /* DVD read */
	/* Power management, timeouts. */
	{ 0x0100, PERSISTENT | CURRENT, NO_PROFILE, false, 0, { 0 } },
	{ 0x0105, VERSION_OF(1) | PERSISTENT | CURRENT, NO_PROFILE, false, 4, { 0 } },
};

static bool is_current(const struct feature *f, enum profile profile)
{
	return f->flags & CURRENT || (f->with_medium && profile != NO_PROFILE) ||
	       (f->profile != NO_PROFILE && f->profile == profile);
}

static size_t put_feature(const struct feature *f, enum profile profile, uint8_t *to)
{
	be16_put(to, f->code);
	to[2] = f->flags | (is_current(f, profile) ? CURRENT : 0);
	to[3] = f->len;
	memcpy(to + 4, f->data, f->len);
	if (f->code == 0x0000) {
		to[4 + 2] = profile == DVD_ROM;
		to[4 + 6] = profile == CD_ROM;
	}
	return 4 + f->len;
}

enum requested { ALL_FEATURES, CURRENT_FEATURES, ONE_FEATURE };

static enum scsi_sense mmc_get_configuration(struct scsi_cmd *cmd)
{
	uint8_t data[8 + 10 * 16] = { 0 }, requested = cmd->cdb[1] & 3;
	uint16_t first = be16_get(cmd->cdb + 2);
	enum profile profile = profile_of(cmd);
	size_t i, len = 8;

	if (requested > ONE_FEATURE)
		return scsi_bad_cdb(cmd, 1, 1);
	for (i = 0; i < ARRAY_SIZE(features); i++) {
		const struct feature *f = &features[i];

		if (requested == ONE_FEATURE ? f->code != first : f->code < first)
			continue;
		if (requested != CURRENT_FEATURES || is_current(f, profile))
			len += put_feature(f, profile, data + len);
	}
	be32_put(data, (uint32_t)(len - 4));
	be16_put(data + 6, profile);
	return scsi_reply(cmd, data, len, be16_get(cmd->cdb + 7));
}

#define MEDIA_CLASS 4

/* MMC-6 6.6: polled only; of the media class, and each event once. */
static enum scsi_sense mmc_get_event_status(struct scsi_cmd *cmd)
{
	const struct scsi_lun *unit = cmd->unit;
	uint16_t alloc_len = be16_get(cmd->cdb + 7);
	uint8_t data[8] = { [3] = 1 << MEDIA_CLASS };
	size_t len = 4;

	if (!(cmd->cdb[1] & 1))
		return scsi_bad_cdb(cmd, 1, 0);
	if (cmd->cdb[4] & 1 << MEDIA_CLASS) {
		data[2] = MEDIA_CLASS;
		if (alloc_len > 4)
			data[4] = (uint8_t)atomic_exchange(&cmd->unit->media_event,
							   SCSI_MEDIA_NO_EVENT);
		data[5] = unit->ejected ? 0x01 : cmd->chan ? 0x02 : 0x00;
		len = 8;
	} else {
		data[2] = 0x80; /* NEA: none of these classes */
	}
	be16_put(data, (uint16_t)(len - 2));
	return scsi_reply(cmd, data, len, alloc_len);
}

/* MMC-6 6.11: no changer; is the door open? */
static enum scsi_sense mmc_mechanism_status(struct scsi_cmd *cmd)
{
	uint8_t data[8] = { [1] = cmd->unit->ejected ? 0x10 : 0 };

	return scsi_reply(cmd, data, sizeof(data), be16_get(cmd->cdb + 8));
}

#define FF2 0xff, 0xff
#define FF4 FF2, FF2
#define READS SCSI_OP_MEDIUM

const struct scsi_op mmc_ops[] = {
	{ 0x08, 6, READS, ACCESS_READ, .usage = { 0x1f, FF2, 0xff, 0 },
	  .run = sbc_read, .name = "READ(6)" },
	{ 0x1b, 6, 0, ACCESS_FREE, .usage = { 0x01, 0, 0, 0x07, 0 },
	  .run = sbc_start_stop_unit, .name = "START STOP UNIT" },
	{ 0x25, 10, READS, ACCESS_FREE, .usage = { 0 },
	  .run = sbc_read_capacity_10, .name = "READ CAPACITY(10)" },
	{ 0x28, 10, READS, ACCESS_READ, .usage = { 0x18, FF4, 0, FF2, 0 },
	  .run = sbc_read, .name = "READ(10)" },
	{ 0x35, 10, READS, ACCESS_READ, .usage = { 0x02, FF4, 0, FF2, 0 },
	  .run = sbc_synchronize_cache, .name = "SYNCHRONIZE CACHE(10)" },
	{ 0x43, 10, READS, ACCESS_READ, .usage = { 0x02, 0x0f, 0, 0, 0, 0xff, FF2, 0 },
	  .run = mmc_read_toc, .name = "READ TOC/PMA/ATIP" },
	{ 0x46, 10, SCSI_OP_SKIPS_UA, ACCESS_FREE, .usage = { 0x03, FF2, 0, 0, 0, FF2, 0 },
	  .run = mmc_get_configuration, .name = "GET CONFIGURATION" },
	{ 0x4a, 10, SCSI_OP_SKIPS_UA, ACCESS_FREE, .usage = { 0x01, 0, 0, 0xff, 0, 0, FF2, 0 },
	  .run = mmc_get_event_status, .name = "GET EVENT STATUS NOTIFICATION" },
	{ 0x51, 10, READS, ACCESS_READ, .usage = { 0x07, 0, 0, 0, 0, 0, FF2, 0 },
	  .run = mmc_read_disc_information, .name = "READ DISC INFORMATION" },
	{ 0x52, 10, READS, ACCESS_READ, .usage = { 0x03, FF4, 0, FF2, 0 },
	  .run = mmc_read_track_information, .name = "READ TRACK INFORMATION" },
	{ 0xa8, 12, READS, ACCESS_READ, .usage = { 0x18, FF4, FF4, 0, 0 },
	  .run = sbc_read, .name = "READ(12)" },
	{ 0xbd, 12, 0, ACCESS_FREE, .usage = { 0, 0, 0, 0, 0, 0, 0, FF2, 0, 0 },
	  .run = mmc_mechanism_status, .name = "MECHANISM STATUS" },
	{ 0 }
};
