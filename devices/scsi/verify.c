/* SPDX-License-Identifier: MIT */
/*
 * Commands that bring the medium and the initiator's data together: they compare, or they OR.
 *
 * They work through a bounce buffer of two halves, in steps of at most SBC_CHUNK
 * bytes: the store's data is read into the first half, the initiator's data is
 * copied once into the second one, so that what is compared cannot change while
 * it is compared.
 *
 * COMPARE AND WRITE is one step. Its blocks, and those of ORWRITE, are claimed
 * against every other command that changes blocks. The write then takes its data
 * straight from the initiator.
 */
#include "devices/block/block.h"
#include "devices/scsi/op.h"
#include "vmm/core/util.h"

enum bytchk { BYTCHK_MEDIUM = 0, BYTCHK_DATA = 1, BYTCHK_ONE_BLOCK = 3 };

static enum bytchk bytchk(const struct scsi_cmd *cmd)
{
	return cmd->cdb[1] >> 1 & 3;
}

/*
 * Takes the next @len bytes of the initiator's data into the second half. WRITE AND VERIFY takes
 * them a second time, which does not count.
 */
static void take_theirs(struct scsi_cmd *cmd, size_t len)
{
	iov_pull(&cmd->data, cmd->buffer + SBC_CHUNK, len);
	if (cmd->moved < cmd->progress + len)
		cmd->moved = cmd->progress + len;
}

/* INFORMATION is the offset of the first difference in the initiator's data (SBC-3 5.2). */
static enum scsi_sense compare(struct scsi_cmd *cmd, size_t len)
{
	const uint8_t *disk = cmd->buffer, *theirs = cmd->buffer + SBC_CHUNK;
	size_t i = 0;

	if (!memcmp(disk, theirs, len))
		return SENSE_NONE;
	while (disk[i] == theirs[i])
		i++;
	cmd->detail.has_info = true;
	cmd->detail.info = cmd->progress + i;
	return SENSE_MISCOMPARE;
}

/* The next chunk of the medium, if there is one more; @then is called with it in the buffer. */
static enum scsi_sense read_chunk(struct scsi_cmd *cmd,
				  enum scsi_sense (*then)(struct scsi_cmd *cmd))
{
	uint64_t n = min_u64(cmd->blocks, SBC_CHUNK / cmd->unit->block_size);

	if (!n)
		return SENSE_NONE;
	cmd->next = then;
	return sbc_submit_buffer(cmd, BLOCK_READ, 0, cmd->lba, n);
}

static enum scsi_sense verify_chunk(struct scsi_cmd *cmd);

static enum scsi_sense verify_step(struct scsi_cmd *cmd)
{
	return read_chunk(cmd, verify_chunk);
}

/* A chunk of the medium has been read. */
static enum scsi_sense verify_chunk(struct scsi_cmd *cmd)
{
	size_t len = cmd->req.len, bs = cmd->unit->block_size;
	enum scsi_sense why = SENSE_NONE;

	if (bytchk(cmd) == BYTCHK_DATA) {
		take_theirs(cmd, len);
		why = compare(cmd, len);
	} else if (bytchk(cmd) == BYTCHK_ONE_BLOCK) {
		why = compare(cmd, len);
		cmd->detail.info %= bs;
	}
	if (why)
		return why;
	cmd->progress += len;
	cmd->lba += len / bs;
	cmd->blocks -= len / bs;
	return verify_step(cmd);
}

static enum scsi_sense verify_first(struct scsi_cmd *cmd)
{
	if (bytchk(cmd) == BYTCHK_ONE_BLOCK) {
		take_theirs(cmd, cmd->unit->block_size);
		sbc_repeat_block(cmd, 1);
	}
	return verify_step(cmd);
}

enum scsi_sense verify_run(struct scsi_cmd *cmd)
{
	enum scsi_sense why = sbc_transfer(cmd);
	bool one = bytchk(cmd) == BYTCHK_ONE_BLOCK;

	if (!why && bytchk(cmd) == 2)
		why = scsi_bad_cdb(cmd, 1, 2);
	if (why || !cmd->blocks)
		return why;
	if (bytchk(cmd) != BYTCHK_MEDIUM && !sbc_take(cmd, &cmd->out, one ? 1 : cmd->blocks))
		return SENSE_OVERRUN;
	return scsi_bounce(cmd, verify_first);
}

static enum scsi_sense verify_written(struct scsi_cmd *cmd)
{
	sbc_moved(cmd);
	return verify_step(cmd);
}

static enum scsi_sense write_first(struct scsi_cmd *cmd)
{
	cmd->next = verify_written;
	return sbc_submit_data(cmd, BLOCK_WRITE, BLOCK_FUA, cmd->lba, cmd->blocks);
}

/* What is read back must have come from the medium, so it is written through. */
enum scsi_sense verify_write_and(struct scsi_cmd *cmd)
{
	enum scsi_sense why = sbc_transfer(cmd);

	if (!why && bytchk(cmd) > BYTCHK_DATA)
		why = scsi_bad_cdb(cmd, 1, 2);
	if (why || !cmd->blocks)
		return why;
	if (!sbc_take(cmd, &cmd->out, cmd->blocks))
		return SENSE_OVERRUN;
	if (!scsi_claim(cmd, cmd->lba, cmd->blocks, false))
		return SENSE_BUSY;
	return scsi_bounce(cmd, write_first);
}

/* The blocks have been read: compare, and write the second half of the initiator's data. */
static enum scsi_sense compare_then_write(struct scsi_cmd *cmd)
{
	size_t len = cmd->req.len;
	enum scsi_sense why;

	take_theirs(cmd, len);
	why = compare(cmd, len);
	if (why)
		return why;
	cmd->next = sbc_moved;
	return sbc_submit_data(cmd, BLOCK_WRITE, sbc_write_flags(cmd, cmd->cdb[1] & 0x08),
			       cmd->lba, cmd->blocks);
}

static enum scsi_sense read_first(struct scsi_cmd *cmd)
{
	cmd->next = compare_then_write;
	return sbc_submit_buffer(cmd, BLOCK_READ, 0, cmd->lba, cmd->blocks);
}

enum scsi_sense verify_compare_and_write(struct scsi_cmd *cmd)
{
	enum scsi_sense why = sbc_extent(cmd);

	if (!why && cmd->blocks > sbc_max_compare_and_write(cmd->unit))
		why = scsi_bad_cdb(cmd, 13, 7);
	if (why || !cmd->blocks)
		return why;
	if (!sbc_take(cmd, &cmd->out, 2 * cmd->blocks))
		return SENSE_OVERRUN;
	if (!scsi_claim(cmd, cmd->lba, cmd->blocks, true))
		return SENSE_BUSY;
	return scsi_bounce(cmd, read_first);
}

static enum scsi_sense or_step(struct scsi_cmd *cmd);

/* A chunk of the medium has been read. */
static enum scsi_sense or_chunk(struct scsi_cmd *cmd)
{
	uint8_t *disk = cmd->buffer, *theirs = cmd->buffer + SBC_CHUNK;
	uint64_t lba = cmd->lba, n = cmd->req.len / cmd->unit->block_size;
	size_t i;

	take_theirs(cmd, cmd->req.len);
	for (i = 0; i < cmd->req.len; i++)
		disk[i] |= theirs[i];
	cmd->progress += cmd->req.len;
	cmd->lba += n;
	cmd->blocks -= n;
	cmd->next = or_step;
	return sbc_submit_buffer(cmd, BLOCK_WRITE, sbc_write_flags(cmd, cmd->cdb[1] & 0x08), lba,
				 n);
}

static enum scsi_sense or_step(struct scsi_cmd *cmd)
{
	return read_chunk(cmd, or_chunk);
}

enum scsi_sense verify_orwrite(struct scsi_cmd *cmd)
{
	enum scsi_sense why = sbc_transfer(cmd);

	if (why || !cmd->blocks)
		return why;
	if (!sbc_take(cmd, &cmd->out, cmd->blocks))
		return SENSE_OVERRUN;
	if (!scsi_claim(cmd, cmd->lba, cmd->blocks, true))
		return SENSE_BUSY;
	return scsi_bounce(cmd, or_step);
}
