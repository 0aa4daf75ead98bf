/* SPDX-License-Identifier: MIT */
/*
 * The mode pages are bytes that never change, but for a few bits: the switches.
 * Everything that MODE SENSE and MODE SELECT know follows from the two tables,
 * so what is announced as changeable is what can be changed.
 *
 * MODE SELECT first checks the whole parameter list and only then changes
 * anything. It walks the list with bounds, not by recursion.
 */
#include "devices/block/block.h"
#include "devices/scsi/op.h"
#include "vmm/core/util.h"

#define MODE_ALL_PAGES 0x3f
#define MODE_ALL_SUBPAGES 0xff
#define MODE_SELECT_MAX 512 /* bytes; all pages take less than 80 */

struct mode_page {
	uint8_t code;
	uint8_t types;     /* a bit for each enum scsi_type that has it */
	uint8_t len;       /* of what follows byte 1 */
	uint8_t bytes[20]; /* ... with the switches at 0 */
};

#define DISKS (1 << SCSI_DISK)
#define CDS (1 << SCSI_CD)

/* Ascending. SBC-3 6.5.6, 6.5.5; SPC-4 7.5.8, 7.5.12; MMC-5 annex E */
static const struct mode_page pages[] = {
	{ 0x01, DISKS | CDS, 0x0a, { 0 } },
	{ 0x08, DISKS, 0x12, { 0 } },
	{ 0x0a, DISKS | CDS, 0x0a, {
		[3 - 2] = 0x10,                      /* unrestricted reordering */
		[8 - 2] = 0xff, [9 - 2] = 0xff } },  /* busy timeout: unlimited */
	{ 0x1c, DISKS, 0x0a, { [2 - 2] = 0x08 } },   /* DEXCPT: no exceptions are reported */
	{ 0x2a, CDS, 0x14, {
		[2 - 2] = 0x3b,                      /* reads CD-R, CD-RW, DVD-ROM, -R, -RAM */
		[4 - 2] = 0x40,                      /* multi-session */
		[6 - 2] = 0x29 } },                  /* lock, eject, tray */
};

struct mode_switch {
	uint8_t code, byte, mask; /* byte counts from the start of the page */
	size_t offset;            /* of the atomic_bool in struct scsi_lun */
};

enum { WCE, D_SENSE, SWP, SWITCHES };

static const struct mode_switch switches[SWITCHES] = {
	[WCE] = { 0x08, 2, 0x04, offsetof(struct scsi_lun, write_cache) },
	[D_SENSE] = { 0x0a, 2, 0x04, offsetof(struct scsi_lun, descriptor_sense) },
	[SWP] = { 0x0a, 4, 0x08, offsetof(struct scsi_lun, swp) },
};

static atomic_bool *switch_state(struct scsi_lun *unit, unsigned i)
{
	return (atomic_bool *)((char *)unit + switches[i].offset);
}

static bool switch_default(const struct scsi_lun *unit, unsigned i)
{
	return i == WCE && !unit->write_through;
}

enum page_control { CURRENT, CHANGEABLE, DEFAULT, SAVED };

static bool page_offered(const struct scsi_lun *unit, const struct mode_page *page)
{
	return page->types >> unit->type & 1;
}

static size_t put_page(struct scsi_lun *unit, const struct mode_page *page, enum page_control pc,
		       uint8_t *to)
{
	unsigned i;

	to[0] = page->code;
	to[1] = page->len;
	if (pc == CHANGEABLE)
		memset(to + 2, 0, page->len);
	else
		memcpy(to + 2, page->bytes, page->len);
	for (i = 0; i < SWITCHES; i++) {
		if (switches[i].code != page->code)
			continue;
		if (pc == CHANGEABLE || (pc == CURRENT && *switch_state(unit, i)) ||
		    (pc == DEFAULT && switch_default(unit, i)))
			to[switches[i].byte] |= switches[i].mask;
	}
	return 2 + page->len;
}

/* SBC-3 6.5.2 */
static size_t put_block_descriptor(const struct scsi_cmd *cmd, bool long_lba, uint8_t *to)
{
	const struct scsi_lun *unit = cmd->unit;
	uint64_t blocks = sbc_capacity(cmd);

	if (long_lba) {
		be64_put(to, blocks);
		be32_put(to + 12, unit->block_size);
		return 16;
	}
	be32_put(to, (uint32_t)min_u64(blocks, UINT32_MAX));
	be32_put(to + 4, unit->block_size);
	return 8;
}

struct mode_header {
	size_t len;              /* of the header: 4 or 8 bytes */
	bool long_lba;
	size_t descriptor_len;   /* of the block descriptor */
};

/* SPC-4 7.5.5; @total: header and all. */
static void put_header(const struct scsi_lun *unit, const struct mode_header *h, size_t total,
		       uint8_t *to)
{
	uint8_t specific = 0x10 | (scsi_is_protected(unit) ? 0x80 : 0); /* DPOFUA, WP */

	if (unit->type != SCSI_DISK)
		specific = 0;

	if (h->len == 4) {
		to[0] = (uint8_t)(total - 1);
		to[2] = specific;
		to[3] = (uint8_t)h->descriptor_len;
	} else {
		be16_put(to, (uint16_t)(total - 2));
		to[3] = specific;
		to[4] = h->long_lba;
		be16_put(to + 6, (uint16_t)h->descriptor_len);
	}
}

enum scsi_sense mode_sense(struct scsi_cmd *cmd)
{
	const uint8_t *cdb = cmd->cdb;
	uint8_t code = cdb[2] & 0x3f, subpage = cdb[3];
	enum page_control pc = cdb[2] >> 6;
	bool ten = cmd->op->cdb_len == 10;
	struct mode_header h = { .len = ten ? 8 : 4, .long_lba = cdb[1] & 0x10 };
	uint8_t data[128] = { 0 };
	size_t len, before, i;

	if (subpage && subpage != MODE_ALL_SUBPAGES)
		return scsi_bad_cdb(cmd, 3, 7);
	if (pc == SAVED)
		return SENSE_SAVING_NOT_SUPPORTED;
	if (!(cdb[1] & 0x08) && cmd->unit->type == SCSI_DISK)
		h.descriptor_len = put_block_descriptor(cmd, h.long_lba, data + h.len);
	before = len = h.len + h.descriptor_len;
	for (i = 0; i < ARRAY_SIZE(pages); i++)
		if (page_offered(cmd->unit, &pages[i]) &&
		    (code == MODE_ALL_PAGES || code == pages[i].code))
			len += put_page(cmd->unit, &pages[i], pc, data + len);
	if (len == before)
		return scsi_bad_cdb(cmd, 2, 5);
	put_header(cmd->unit, &h, len, data);
	return scsi_reply(cmd, data, len, ten ? be16_get(cdb + 7) : cdb[4]);
}

/* A parameter list of MODE SELECT while it is read; offsets are those of the list. */
struct mode_list {
	struct scsi_cmd *cmd;
	uint8_t bytes[MODE_SELECT_MAX];
	size_t len;
	bool value[SWITCHES];
};

static enum scsi_sense parse_header(struct mode_list *list, struct mode_header *h)
{
	const uint8_t *b = list->bytes;

	h->len = list->cmd->op->cdb_len == 10 ? 8 : 4;
	if (list->len < h->len)
		return SENSE_PARAMETER_LIST_LENGTH;
	if (b[h->len == 8 ? 2 : 1]) /* medium type */
		return scsi_bad_parameter(list->cmd, h->len == 8 ? 2 : 1, 7);
	h->long_lba = h->len == 8 && b[4] & 0x01;
	h->descriptor_len = h->len == 8 ? be16_get(b + 6) : b[3];
	if (h->descriptor_len && h->descriptor_len != (h->long_lba ? 16 : 8))
		return scsi_bad_parameter(list->cmd, h->len == 8 ? 6 : 3, 7);
	if (list->len < h->len + h->descriptor_len)
		return SENSE_PARAMETER_LIST_LENGTH;
	return SENSE_NONE;
}

/* Neither block size nor capacity can be set; the present ones, or 0 blocks, are no error. */
static enum scsi_sense parse_block_descriptor(struct mode_list *list, const struct mode_header *h)
{
	const uint8_t *b = list->bytes + h->len;
	const struct scsi_lun *unit = list->cmd->unit;
	uint64_t capacity = sbc_capacity(list->cmd), blocks, all_ones;
	uint32_t block_size;

	if (!h->descriptor_len)
		return SENSE_NONE;
	blocks = h->long_lba ? be64_get(b) : be32_get(b);
	all_ones = h->long_lba ? UINT64_MAX : UINT32_MAX;
	block_size = h->long_lba ? be32_get(b + 12) : be24_get(b + 5);
	if (blocks && blocks != capacity && blocks != all_ones)
		return scsi_bad_parameter(list->cmd, (unsigned)h->len, 7);
	if (block_size != unit->block_size)
		return scsi_bad_parameter(list->cmd, (unsigned)h->len + (h->long_lba ? 12 : 5), 7);
	return SENSE_NONE;
}

static const struct mode_page *page_find(const struct scsi_lun *unit, uint8_t code)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(pages); i++)
		if (pages[i].code == code && page_offered(unit, &pages[i]))
			return &pages[i];
	return NULL;
}

/* Refuses a change that the changeable mask does not allow; notes the switches. */
static enum scsi_sense parse_values(struct mode_list *list, const struct mode_page *page, size_t at)
{
	const uint8_t *b = list->bytes + at;
	uint8_t current[22], mask[22];
	unsigned i;

	put_page(list->cmd->unit, page, CURRENT, current);
	put_page(list->cmd->unit, page, CHANGEABLE, mask);
	for (i = 2; i < 2u + page->len; i++) {
		uint8_t bad = (b[i] ^ current[i]) & ~mask[i];

		if (bad)
			return scsi_bad_parameter(list->cmd, (unsigned)at + i,
						  31 - __builtin_clz(bad));
	}
	for (i = 0; i < SWITCHES; i++)
		if (switches[i].code == page->code)
			list->value[i] = b[switches[i].byte] & switches[i].mask;
	return SENSE_NONE;
}

static enum scsi_sense parse_pages(struct mode_list *list, size_t at)
{
	const struct mode_page *page;
	enum scsi_sense why;

	for (; at < list->len; at += 2 + page->len) {
		if (list->len - at < 2)
			return SENSE_PARAMETER_LIST_LENGTH;
		page = page_find(list->cmd->unit, list->bytes[at]);
		if (!page)
			return scsi_bad_parameter(list->cmd, (unsigned)at, 7);
		if (list->bytes[at + 1] != page->len)
			return scsi_bad_parameter(list->cmd, (unsigned)at + 1, 7);
		if (list->len - at < 2u + page->len)
			return SENSE_PARAMETER_LIST_LENGTH;
		why = parse_values(list, page, at);
		if (why)
			return why;
	}
	return SENSE_NONE;
}

/* What was written while the cache was on must be durable once it is off. */
static enum scsi_sense apply(struct mode_list *list)
{
	struct scsi_lun *unit = list->cmd->unit;
	bool turned_off = unit->write_cache && !list->value[WCE];
	bool changed = false;
	unsigned i;

	for (i = 0; i < SWITCHES; i++)
		changed |= atomic_exchange(switch_state(unit, i), list->value[i]) !=
			   list->value[i];
	if (changed)
		scsi_attention_others(list->cmd->nexus, SENSE_MODE_PARAMETERS_CHANGED);
	return turned_off ? sbc_flush_if_any(list->cmd) : SENSE_NONE;
}

enum scsi_sense mode_select(struct scsi_cmd *cmd)
{
	struct mode_list list = { .cmd = cmd };
	struct mode_header h = { 0 };
	enum scsi_sense why;
	unsigned i;

	if (!(cmd->cdb[1] & 0x10)) /* PF: without it, the format is anyone's guess */
		return scsi_bad_cdb(cmd, 1, 4);
	list.len = cmd->op->cdb_len == 10 ? be16_get(cmd->cdb + 7) : cmd->cdb[4];
	if (!list.len)
		return SENSE_NONE;
	if (list.len > sizeof(list.bytes))
		return SENSE_PARAMETER_LIST_LENGTH;
	if (!scsi_fetch(cmd, list.bytes, list.len))
		return SENSE_OVERRUN;
	for (i = 0; i < SWITCHES; i++)
		list.value[i] = *switch_state(cmd->unit, i);

	why = parse_header(&list, &h);
	if (!why)
		why = parse_block_descriptor(&list, &h);
	if (!why)
		why = parse_pages(&list, h.len + h.descriptor_len);
	return why ? why : apply(&list);
}
