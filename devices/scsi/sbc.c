/* SPDX-License-Identifier: MIT */
#include <assert.h>
#include <errno.h>

#include "devices/block/block.h"
#include "devices/scsi/op.h"
#include "vmm/core/util.h"

static_assert(SCSI_BOUNCE_SIZE == 2 * SBC_CHUNK, "a bounce buffer has two halves");

uint64_t sbc_capacity(const struct scsi_cmd *cmd)
{
	return cmd->chan ? cmd->chan->block->size / cmd->unit->block_size : 0;
}

uint8_t sbc_max_compare_and_write(const struct scsi_lun *lun)
{
	return (uint8_t)min_u64(SBC_CHUNK / lun->block_size, UINT8_MAX);
}

static void parse_extent(struct scsi_cmd *cmd)
{
	const uint8_t *cdb = cmd->cdb;

	switch (cmd->op->cdb_len) {
	case 6:
		cmd->lba = be24_get(cdb + 1) & 0x1fffff;
		cmd->blocks = cdb[4] ? cdb[4] : 256;
		break;
	case 10:
		cmd->lba = be32_get(cdb + 2);
		cmd->blocks = be16_get(cdb + 7);
		break;
	case 12:
		cmd->lba = be32_get(cdb + 2);
		cmd->blocks = be32_get(cdb + 6);
		break;
	case 16:
		cmd->lba = be64_get(cdb + 2);
		cmd->blocks = be32_get(cdb + 10);
		break;
	}
}

enum scsi_sense sbc_extent(struct scsi_cmd *cmd)
{
	parse_extent(cmd);
	if (!range_ok(cmd->lba, cmd->blocks, sbc_capacity(cmd)))
		return SENSE_LBA_OUT_OF_RANGE;
	return SENSE_NONE;
}

enum scsi_sense sbc_too_long(struct scsi_cmd *cmd)
{
	switch (cmd->op->cdb_len) {
	case 10:
		return scsi_bad_cdb(cmd, 7, 7);
	case 12:
		return scsi_bad_cdb(cmd, 6, 7);
	default:
		return scsi_bad_cdb(cmd, 10, 7);
	}
}

enum scsi_sense sbc_transfer(struct scsi_cmd *cmd)
{
	enum scsi_sense why = sbc_extent(cmd);

	if (!why && cmd->blocks > SBC_MAX_TRANSFER / cmd->unit->block_size)
		why = sbc_too_long(cmd);
	return why;
}

bool sbc_take(struct scsi_cmd *cmd, struct iovcur *from, uint64_t blocks)
{
	uint64_t len = blocks * cmd->unit->block_size;

	if (from->left < len)
		return false;
	cmd->data = iov_split(from, len);
	return true;
}

void sbc_repeat_block(struct scsi_cmd *cmd, unsigned half)
{
	uint8_t *first = cmd->buffer + half * SBC_CHUNK;
	size_t size = cmd->unit->block_size, at;

	for (at = size; at < SBC_CHUNK; at += size)
		memcpy(first + at, first, size);
}

unsigned sbc_write_flags(const struct scsi_cmd *cmd, bool fua)
{
	return fua || !cmd->unit->write_cache ? BLOCK_FUA : 0;
}

/* INFORMATION, where it is known which block it was. */
static void set_lba(struct scsi_cmd *cmd)
{
	if (cmd->req.io == BLOCK_FLUSH || cmd->req.len != cmd->unit->block_size)
		return;
	cmd->detail.has_info = true;
	cmd->detail.info = cmd->req.off / cmd->unit->block_size;
}

static void set_told(struct scsi_cmd *cmd, int err)
{
	cmd->detail.key = -err >> 16 & 0xf;
	cmd->detail.asc = -err >> 8 & 0xff;
	cmd->detail.ascq = -err & 0xff;
	set_lba(cmd);
}

/* NONE: what the store was told to say does not keep the command from going on. */
static enum scsi_sense io_error(struct scsi_cmd *cmd, int err)
{
	bool reading = cmd->req.io == BLOCK_READ;

	if (-err & BLOCK_ERR_TOLD) {
		set_told(cmd, err);
		return cmd->detail.key == 1 ? SENSE_NONE : SENSE_TOLD;
	}
	switch (-err) {
	case ENOSPC:
	case EDQUOT:
		/* It was to be held until there is room, and cannot while the machine is paused. */
		if (cmd->chan->block->full == FULL_STOP && cmd->req.io != BLOCK_FLUSH)
			return SENSE_BUSY;
		/* fall through */
	case EFBIG: /* beyond the limit of this process, or of the file system */
		return SENSE_SPACE_ALLOCATION_FAILED;
	case EROFS:
	case EACCES:
		return SENSE_WRITE_PROTECTED;
	case EIO:
	case ENODATA: /* what Linux makes of a medium error of a disk of its own */
		set_lba(cmd);
		return reading ? SENSE_READ_ERROR : SENSE_WRITE_ERROR;
	default:
		return SENSE_INTERNAL_FAILURE;
	}
}

void sbc_go_on(struct scsi_cmd *cmd, enum scsi_sense why)
{
	if (cmd->aborted)
		why = cmd->aborted;
	else if (cmd->epoch != cmd->nexus->epoch)
		why = SENSE_RESET;
	else if (!why && cmd->next)
		why = cmd->next(cmd);
	if (why != SENSE_PENDING)
		scsi_complete(cmd, why);
}

static void io_done(struct block_req *req, int err)
{
	struct scsi_cmd *cmd = container_of(req, struct scsi_cmd, req);
	enum scsi_sense why = err ? io_error(cmd, err) : SENSE_NONE;

	if (!why)
		block_count_io(&cmd->path->counters, &cmd->req);
	sbc_go_on(cmd, why);
}

/* All that reaches a store passes here: a command whose row does not ask for a medium, too. */
static enum scsi_sense submit(struct scsi_cmd *cmd, enum block_io io, unsigned flags, uint64_t lba,
			      uint64_t blocks, unsigned niov)
{
	if (!cmd->chan)
		return SENSE_NO_MEDIUM;
	cmd->req = (struct block_req){
		.io = io,
		.flags = flags,
		.off = lba * cmd->unit->block_size,
		.len = blocks * cmd->unit->block_size,
		.iov = cmd->iov,
		.niov = niov,
		.done = io_done,
	};
	block_submit(cmd->chan, &cmd->req);
	return SENSE_PENDING;
}

enum scsi_sense sbc_submit(struct scsi_cmd *cmd, enum block_io io, unsigned flags, uint64_t lba,
			   uint64_t blocks)
{
	return submit(cmd, io, flags, lba, blocks, 0);
}

enum scsi_sense sbc_flush_if_any(struct scsi_cmd *cmd)
{
	if (cmd->chan)
		return sbc_submit(cmd, BLOCK_FLUSH, 0, 0, 0);
	return cmd->next ? cmd->next(cmd) : SENSE_NONE;
}

enum scsi_sense sbc_submit_buffer(struct scsi_cmd *cmd, enum block_io io, unsigned flags,
				  uint64_t lba, uint64_t blocks)
{
	cmd->iov[0] = (struct iovec){
		.iov_base = cmd->buffer,
		.iov_len = blocks * cmd->unit->block_size,
	};
	return submit(cmd, io, flags, lba, blocks, 1);
}

enum scsi_sense sbc_submit_data(struct scsi_cmd *cmd, enum block_io io, unsigned flags,
				uint64_t lba, uint64_t blocks)
{
	struct iovcur rest = cmd->data;
	struct iovcur part = iov_split(&rest, blocks * cmd->unit->block_size);
	unsigned niov = iov_export(&part, cmd->iov, cmd->iov_max);

	if (niov > cmd->iov_max)
		return SENSE_FAILURE;
	return submit(cmd, io, flags, lba, blocks, niov);
}

enum scsi_sense sbc_moved(struct scsi_cmd *cmd)
{
	cmd->moved += cmd->req.len;
	return SENSE_NONE;
}

/* In the 6-byte commands the bit is one of the address. */
static bool has_fua(const struct scsi_cmd *cmd)
{
	return cmd->op->cdb_len > 6 && cmd->cdb[1] & 0x08;
}

static enum scsi_sense read_data(struct scsi_cmd *cmd)
{
	cmd->next = sbc_moved;
	return sbc_submit_data(cmd, BLOCK_READ, 0, cmd->lba, cmd->blocks);
}

/* FUA asks for what the medium holds, so what the cache holds has to get there first. */
enum scsi_sense sbc_read(struct scsi_cmd *cmd)
{
	enum scsi_sense why = sbc_transfer(cmd);

	if (why || !cmd->blocks)
		return why;
	if (!sbc_take(cmd, &cmd->in, cmd->blocks))
		return SENSE_OVERRUN;
	if (!has_fua(cmd))
		return read_data(cmd);
	cmd->next = read_data;
	return sbc_submit(cmd, BLOCK_FLUSH, 0, 0, 0);
}

/* @flags: BLOCK_ATOMIC, or 0. No other change comes in between of what is atomic. */
static enum scsi_sense write_data(struct scsi_cmd *cmd, unsigned flags)
{
	if (!sbc_take(cmd, &cmd->out, cmd->blocks))
		return SENSE_OVERRUN;
	if (!scsi_claim(cmd, cmd->lba, cmd->blocks, flags & BLOCK_ATOMIC))
		return SENSE_BUSY;
	cmd->next = sbc_moved;
	return sbc_submit_data(cmd, BLOCK_WRITE, flags | sbc_write_flags(cmd, has_fua(cmd)),
			       cmd->lba, cmd->blocks);
}

static enum scsi_sense sbc_write(struct scsi_cmd *cmd)
{
	enum scsi_sense why = sbc_transfer(cmd);

	return why || !cmd->blocks ? why : write_data(cmd, 0);
}

/*
 * SBC-4 5.48. The store's limits are those of page B0h, which cannot tell of natural alignment; an
 * ATOMIC BOUNDARY is none of them.
 */
static enum scsi_sense check_atomic(struct scsi_cmd *cmd)
{
	const struct block *block = cmd->chan->block;
	uint32_t bs = cmd->unit->block_size;
	uint64_t len, off;
	enum scsi_sense why;

	if (!block->atomic_max) /* of this medium, perhaps not of the one before it */
		return SENSE_INVALID_OPCODE;
	why = sbc_extent(cmd);
	if (why)
		return why;
	len = cmd->blocks * bs;
	off = cmd->lba * bs;
	if (len > block->atomic_max || len % max_u64(block->atomic_granularity, bs) ||
	    (block->atomic_natural && len && !is_power_of_2(len)))
		return scsi_bad_cdb(cmd, 12, 7);
	if (off % max_u64(block->atomic_align, bs) || (block->atomic_natural && len && off % len))
		return scsi_bad_cdb(cmd, 2, 7);
	return SENSE_NONE;
}

static enum scsi_sense sbc_write_atomic(struct scsi_cmd *cmd)
{
	enum scsi_sense why = check_atomic(cmd);

	return why || !cmd->blocks ? why : write_data(cmd, BLOCK_ATOMIC);
}

/*
 * The whole cache is flushed, whatever the range; IMMED would end the command before that. SYNC_NV
 * asks for less: the non-volatile cache would do (SBC-3 5.26).
 */
enum scsi_sense sbc_synchronize_cache(struct scsi_cmd *cmd)
{
	enum scsi_sense why = sbc_extent(cmd);

	return why ? why : sbc_submit(cmd, BLOCK_FLUSH, 0, 0, 0);
}

/*
 * There is no cache of ours that blocks could be fetched into, and the host's reads ahead by
 * itself. GOOD says that not all of them fit, where CONDITION MET would say that they do (SBC-3
 * 5.8).
 */
static enum scsi_sense sbc_pre_fetch(struct scsi_cmd *cmd)
{
	return sbc_extent(cmd);
}

enum start_stop { START = 0x01, LOAD_EJECT = 0x02, NO_FLUSH = 0x04 };

static enum scsi_sense stop(struct scsi_cmd *cmd)
{
	if (cmd->cdb[4] & LOAD_EJECT)
		scsi_lun_eject(cmd->unit);
	else
		cmd->unit->stopped = true;
	return SENSE_NONE;
}

static enum scsi_sense start(struct scsi_cmd *cmd)
{
	if (cmd->cdb[4] & LOAD_EJECT)
		scsi_lun_load(cmd->unit);
	cmd->unit->stopped = false;
	return SENSE_NONE;
}

/* SBC-3 5.25. What stops or ejects is a write to who has reserved the unit. */
enum scsi_sense sbc_start_stop_unit(struct scsi_cmd *cmd)
{
	uint8_t how = cmd->cdb[4];

	if (how & LOAD_EJECT && !cmd->unit->removable)
		return scsi_bad_cdb(cmd, 4, 1);
	if (!(how & START) && cmd->nexus->refused & ACCESS_WRITE)
		return SENSE_CONFLICT;
	if (cmd->nexus->refused & ACCESS_OPEN)
		return SENSE_CONFLICT;
	if (how & START)
		return start(cmd);
	if (how & LOAD_EJECT && scsi_lun_is_locked(cmd->unit))
		return SENSE_REMOVAL_PREVENTED;
	if (how & NO_FLUSH)
		return stop(cmd);
	cmd->next = stop;
	return sbc_flush_if_any(cmd);
}

enum scsi_sense sbc_read_capacity_10(struct scsi_cmd *cmd)
{
	uint8_t data[8];

	be32_put(data, (uint32_t)min_u64(sbc_capacity(cmd) - 1, UINT32_MAX));
	be32_put(data + 4, cmd->unit->block_size);
	return scsi_reply(cmd, data, sizeof(data), sizeof(data));
}

enum scsi_sense sbc_read_capacity_16(struct scsi_cmd *cmd)
{
	const struct scsi_lun *unit = cmd->unit;
	uint8_t data[32] = { 0 };

	be64_put(data, sbc_capacity(cmd) - 1);
	be32_put(data + 8, unit->block_size);
	data[13] = (uint8_t)__builtin_ctz(unit->physical_block / unit->block_size);
	if (unit->discard)
		data[14] = 0x80 | (cmd->chan->block->discard_zeroes ? 0x40 : 0); /* LBPME, LBPRZ */
	return scsi_reply(cmd, data, sizeof(data), be32_get(cmd->cdb + 10));
}

/* SBC-3 5.17, 5.18: no list has an entry, whatever the format of its entries. */
static enum scsi_sense sbc_read_defect_data(struct scsi_cmd *cmd)
{
	const uint8_t *cdb = cmd->cdb;
	bool ten = cmd->op->cdb_len == 10;
	uint8_t lists = ten ? cdb[2] : cdb[1], data[8] = { [1] = lists };

	if ((lists & 7) > 5)
		return scsi_bad_cdb(cmd, ten ? 2 : 1, 2);
	return scsi_reply(cmd, data, ten ? 4 : 8, ten ? be16_get(cdb + 7) : be32_get(cdb + 6));
}

#define FF2 0xff, 0xff
#define FF4 FF2, FF2
#define FF8 FF4, FF4
#define ACTION(n) .has_action = true, .action = n
#define READS SCSI_OP_MEDIUM
#define WRITES (SCSI_OP_MEDIUM | SCSI_OP_WRITES)

/* SBC-4 4.22: which commands belong together, for statistics that nobody asks of us. */
#define GROUP 0x3f

/* Byte 1: DPO is 10h, FUA 08h, BYTCHK 06h, IMMED 02h, SYNC_NV 04h, as said at the command. */
const struct scsi_op sbc_ops[] = {
	{ 0x08, 6, READS, ACCESS_READ, .usage = { 0x1f, FF2, 0xff, 0 },
	  .run = sbc_read, .name = "READ(6)" },
	{ 0x0a, 6, WRITES, ACCESS_WRITE, .usage = { 0x1f, FF2, 0xff, 0 },
	  .run = sbc_write, .name = "WRITE(6)" },
	{ 0x1b, 6, 0, ACCESS_FREE, .usage = { 0x01, 0, 0, START | LOAD_EJECT | NO_FLUSH, 0 },
	  .run = sbc_start_stop_unit, .name = "START STOP UNIT" },
	{ 0x25, 10, READS, ACCESS_FREE, .usage = { 0 },
	  .run = sbc_read_capacity_10, .name = "READ CAPACITY(10)" },
	{ 0x28, 10, READS, ACCESS_READ, .usage = { 0x18, FF4, GROUP, FF2, 0 },
	  .run = sbc_read, .name = "READ(10)" },
	{ 0x2a, 10, WRITES, ACCESS_WRITE, .usage = { 0x18, FF4, GROUP, FF2, 0 },
	  .run = sbc_write, .name = "WRITE(10)" },
	{ 0x2e, 10, WRITES, ACCESS_WRITE, .usage = { 0x16, FF4, GROUP, FF2, 0 },
	  .run = verify_write_and, .name = "WRITE AND VERIFY(10)" },
	{ 0x2f, 10, READS, ACCESS_READ, .usage = { 0x16, FF4, GROUP, FF2, 0 },
	  .run = verify_run, .name = "VERIFY(10)" },
	{ 0x34, 10, READS, ACCESS_READ, .usage = { 0x02, FF4, GROUP, FF2, 0 },
	  .run = sbc_pre_fetch, .name = "PRE-FETCH(10)" },
	{ 0x35, 10, READS, ACCESS_WRITE, .usage = { 0x06, FF4, GROUP, FF2, 0 },
	  .run = sbc_synchronize_cache, .name = "SYNCHRONIZE CACHE(10)" },
	{ 0x37, 10, READS, ACCESS_READ, .usage = { 0, 0x1f, 0, 0, 0, 0, FF2, 0 },
	  .run = sbc_read_defect_data, .name = "READ DEFECT DATA(10)" },
	{ 0x41, 10, WRITES, ACCESS_WRITE, .usage = { 0x08, FF4, GROUP, FF2, 0 },
	  .run = provision_write_same, .name = "WRITE SAME(10)" },
	{ 0x42, 10, WRITES | SCSI_OP_UNMAPS, ACCESS_WRITE,
	  .usage = { 0, 0, 0, 0, 0, GROUP, FF2, 0 },
	  .run = provision_unmap, .name = "UNMAP" },
	{ 0x88, 16, READS, ACCESS_READ, .usage = { 0x18, FF8, FF4, GROUP, 0 },
	  .run = sbc_read, .name = "READ(16)" },
	{ 0x89, 16, WRITES, ACCESS_WRITE, .usage = { 0x18, FF8, 0, 0, 0, 0xff, GROUP, 0 },
	  .run = verify_compare_and_write, .name = "COMPARE AND WRITE" },
	{ 0x8a, 16, WRITES, ACCESS_WRITE, .usage = { 0x18, FF8, FF4, GROUP, 0 },
	  .run = sbc_write, .name = "WRITE(16)" },
	{ 0x8b, 16, WRITES, ACCESS_WRITE, .usage = { 0x18, FF8, FF4, GROUP, 0 },
	  .run = verify_orwrite, .name = "ORWRITE(16)" },
	{ 0x8e, 16, WRITES, ACCESS_WRITE, .usage = { 0x16, FF8, FF4, GROUP, 0 },
	  .run = verify_write_and, .name = "WRITE AND VERIFY(16)" },
	{ 0x8f, 16, READS, ACCESS_READ, .usage = { 0x16, FF8, FF4, GROUP, 0 },
	  .run = verify_run, .name = "VERIFY(16)" },
	{ 0x90, 16, READS, ACCESS_READ, .usage = { 0x02, FF8, FF4, GROUP, 0 },
	  .run = sbc_pre_fetch, .name = "PRE-FETCH(16)" },
	{ 0x91, 16, READS, ACCESS_WRITE, .usage = { 0x06, FF8, FF4, GROUP, 0 },
	  .run = sbc_synchronize_cache, .name = "SYNCHRONIZE CACHE(16)" },
	{ 0x93, 16, WRITES, ACCESS_WRITE, .usage = { 0x09, FF8, FF4, GROUP, 0 },
	  .run = provision_write_same, .name = "WRITE SAME(16)" },
	{ 0x9c, 16, WRITES | SCSI_OP_ATOMIC, ACCESS_WRITE,
	  .usage = { 0x18, FF8, 0, 0, FF2, GROUP, 0 },
	  .run = sbc_write_atomic, .name = "WRITE ATOMIC(16)" },
	{ 0x9e, 16, READS, ACCESS_FREE, .usage = { 0, 0, 0, 0, 0, 0, 0, 0, 0, FF4, 0, 0 },
	  ACTION(0x10),
	  .run = sbc_read_capacity_16, .name = "READ CAPACITY(16)" },
	{ 0x9e, 16, READS, ACCESS_READ, .usage = { 0, FF8, FF4, 0, 0 }, ACTION(0x12),
	  .run = provision_lba_status, .name = "GET LBA STATUS" },
	{ 0xa8, 12, READS, ACCESS_READ, .usage = { 0x18, FF4, FF4, GROUP, 0 },
	  .run = sbc_read, .name = "READ(12)" },
	{ 0xaa, 12, WRITES, ACCESS_WRITE, .usage = { 0x18, FF4, FF4, GROUP, 0 },
	  .run = sbc_write, .name = "WRITE(12)" },
	{ 0xae, 12, WRITES, ACCESS_WRITE, .usage = { 0x16, FF4, FF4, GROUP, 0 },
	  .run = verify_write_and, .name = "WRITE AND VERIFY(12)" },
	{ 0xaf, 12, READS, ACCESS_READ, .usage = { 0x16, FF4, FF4, GROUP, 0 },
	  .run = verify_run, .name = "VERIFY(12)" },
	{ 0xb7, 12, READS, ACCESS_READ, .usage = { 0x1f, FF4, FF4, 0, 0 },
	  .run = sbc_read_defect_data, .name = "READ DEFECT DATA(12)" },
	{ 0 }
};
