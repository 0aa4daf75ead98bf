/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "devices/scsi/op.h"
#include "vmm/core/util.h"

#define VPD_MAX 256 /* bytes; page 83h is the longest */

struct vpd_page {
	uint8_t code;
	bool wlun; /* has the REPORT LUNS well-known LUN it, too? */
	bool disk; /* not for other types */
	bool thin; /* only if the LUN offers UNMAP */
	/* Writes the page from its byte 4 on, over zeroes. Returns how much. */
	size_t (*put)(const struct scsi_cmd *cmd, uint8_t *to);
};

static size_t put_serial(const struct scsi_cmd *cmd, uint8_t *to)
{
	size_t len = strlen(cmd->unit->serial);

	memcpy(to, cmd->unit->serial, len);
	return len;
}

enum code_set { BINARY = 1, ASCII = 2, UTF8 = 3 };
enum association { UNIT = 0x00, PORT = 0x10 };
enum designator { T10_VENDOR = 1, NAA = 3, RELATIVE_PORT = 4, PORT_GROUP = 5, SCSI_NAME = 8 };

/* The header of a designation descriptor, SPC-4 7.8.6.1. Returns where its @len bytes go. */
static uint8_t *designator(uint8_t *to, enum code_set set, unsigned kind, size_t len)
{
	to[0] = set;
	to[1] = (uint8_t)kind;
	to[3] = (uint8_t)len;
	return to + 4;
}

/* Of the form that the kernel's target has: udev makes names for the disk of it, too. */
static size_t put_t10_name(const struct scsi_lun *unit, uint8_t *to)
{
	char name[8 + 16 + 1 + SCSI_ID_MAX + 1];
	size_t len = snprintf(name, sizeof(name), "%-8s%s:%s", unit->vendor, unit->product,
			      unit->serial);

	memcpy(designator(to, ASCII, UNIT | T10_VENDOR, len), name, len);
	return 4 + len;
}

static size_t put_naa(const struct scsi_lun *unit, uint8_t *to)
{
	size_t i, len = strlen(unit->naa) / 2;
	uint8_t *name = designator(to, BINARY, UNIT | NAA, len);

	for (i = 0; i < len; i++)
		sscanf(unit->naa + 2 * i, "%2hhx", &name[i]);
	return 4 + len;
}

/*
 * SPC-4 7.8.6: "naa." and the name, with zeroes up to a multiple of four. In small letters: Linux
 * shows this one as the disk's wwid, which is to be the one that it makes of the kernel's target.
 */
static size_t put_scsi_name(const struct scsi_lun *unit, uint8_t *to)
{
	size_t len = strlen(unit->naa);
	uint8_t *name = designator(to, UTF8, UNIT | SCSI_NAME, 4 + len + 4);

	memcpy(name, "naa.", 4);
	memcpy(name + 4, unit->naa, len);
	return 4 + 4 + len + 4;
}

/* NAA first: tools take the first one as the name of the disk. */
static size_t put_identification(const struct scsi_cmd *cmd, uint8_t *to)
{
	uint8_t *at = to;

	if (cmd->unit) {
		at += put_naa(cmd->unit, at);
		at += put_t10_name(cmd->unit, at);
		at += put_scsi_name(cmd->unit, at);
	}
	be32_put(designator(at, BINARY, PORT | RELATIVE_PORT, 4), cmd->ctx->port->id);
	at += 8;
	if (cmd->unit && cmd->unit->alua) { /* a group of one, of the same number: see alua.c */
		be32_put(designator(at, BINARY, PORT | PORT_GROUP, 4), cmd->ctx->port->id);
		at += 8;
	}
	return at - to;
}

/* Extended INQUIRY data, SPC-4 7.8.7. Offsets are those of the page, less 4. */
static size_t put_extended(const struct scsi_cmd *cmd, uint8_t *to)
{
	(void)cmd;
	to[5 - 4] = 0x01; /* SIMPSUP: every command is taken as a SIMPLE one */
	to[6 - 4] = 0x01; /* V_SUP: a volatile cache */
	to[13 - 4] = SCSI_SENSE_LONGEST;
	return 64 - 4;
}

/* Bytes as blocks, of which there is at least one. */
static void put_blocks(uint8_t *to, uint32_t bytes, uint32_t block_size)
{
	be32_put(to, bytes > block_size ? bytes / block_size : 1);
}

/* SBC-4 6.6.4; no boundaries. */
static void put_atomic_limits(const struct scsi_cmd *cmd, uint8_t *to)
{
	const struct block *block = cmd->chan ? cmd->chan->block : NULL;
	uint32_t bs = cmd->unit->block_size;

	if (!cmd->unit->atomic || !block || !block->atomic_max)
		return;
	put_blocks(to + 44 - 4, block->atomic_max, bs);
	put_blocks(to + 48 - 4, block->atomic_align, bs);
	put_blocks(to + 52 - 4, block->atomic_granularity, bs);
}

static size_t put_block_limits(const struct scsi_cmd *cmd, uint8_t *to)
{
	const struct scsi_lun *unit = cmd->unit;
	uint32_t bs = unit->block_size;
	uint32_t granularity = cmd->chan ? cmd->chan->block->discard_granularity : 0;

	to[5 - 4] = sbc_max_compare_and_write(unit);
	be16_put(to + 6 - 4, (uint16_t)min_u64(unit->physical_block / bs, UINT16_MAX));
	be32_put(to + 8 - 4, SBC_MAX_TRANSFER / bs);
	be32_put(to + 12 - 4, SBC_BEST_TRANSFER / bs);
	if (unit->discard) {
		be32_put(to + 20 - 4, UINT32_MAX); /* no limit */
		be32_put(to + 24 - 4, SBC_MAX_UNMAP_DESCRIPTORS);
		put_blocks(to + 28 - 4, granularity, bs);
		be32_put(to + 32 - 4, 1u << 31); /* UGAVALID: aligned to LBA 0 */
	}
	be64_put(to + 36 - 4, SBC_MAX_WRITE_SAME / bs);
	put_atomic_limits(cmd, to);
	return 64 - 4;
}

static size_t put_characteristics(const struct scsi_cmd *cmd, uint8_t *to)
{
	/* Rotation rate: not reported, or 1 for "does not rotate". */
	be16_put(to + 4 - 4, cmd->chan && cmd->chan->block->rotational ? 0 : 1);
	return 64 - 4;
}

static size_t put_provisioning(const struct scsi_cmd *cmd, uint8_t *to)
{
	bool zeroes = cmd->chan && cmd->chan->block->discard_zeroes;

	to[5 - 4] = 0x80 | 0x40 | 0x20 | (zeroes ? 0x04 : 0); /* LBPU, LBPWS, LBPWS10, LBPRZ */
	to[6 - 4] = 0x02;                                     /* thin provisioned */
	return 8 - 4;
}

static size_t put_supported(const struct scsi_cmd *cmd, uint8_t *to);

static const struct vpd_page pages[] = {
	{ 0x00, .wlun = true, .put = put_supported },
	{ 0x80, .put = put_serial },
	{ 0x83, .wlun = true, .put = put_identification },
	{ 0x86, .put = put_extended },
	{ 0xb0, .disk = true, .put = put_block_limits },
	{ 0xb1, .disk = true, .put = put_characteristics },
	{ 0xb2, .thin = true, .put = put_provisioning },
};

static bool page_offered(const struct scsi_cmd *cmd, const struct vpd_page *page)
{
	if (!cmd->unit)
		return page->wlun && scsi_is_wlun(cmd->lun_field);
	if (page->disk && cmd->unit->type != SCSI_DISK)
		return false;
	return cmd->unit->discard || !page->thin;
}

static size_t put_supported(const struct scsi_cmd *cmd, uint8_t *to)
{
	size_t i, len = 0;

	for (i = 0; i < ARRAY_SIZE(pages); i++)
		if (page_offered(cmd, &pages[i]))
			to[len++] = pages[i].code;
	return len;
}

enum scsi_sense vpd_inquiry(struct scsi_cmd *cmd)
{
	uint8_t data[VPD_MAX] = { scsi_device_type(cmd), cmd->cdb[2] };
	size_t i, len;

	for (i = 0; i < ARRAY_SIZE(pages); i++) {
		if (pages[i].code != cmd->cdb[2] || !page_offered(cmd, &pages[i]))
			continue;
		len = pages[i].put(cmd, data + 4);
		be16_put(data + 2, (uint16_t)len);
		return scsi_reply(cmd, data, 4 + len, be16_get(cmd->cdb + 3));
	}
	return scsi_bad_cdb(cmd, 2, 7);
}
