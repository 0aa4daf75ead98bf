/* SPDX-License-Identifier: MIT */
#include "devices/block/block.h"
#include "devices/scsi/op.h"
#include "vmm/core/util.h"

enum { WS_UNMAP = 0x08, WS_NDOB = 0x01 };

static bool is_zero(const uint8_t *data, size_t len)
{
	return !data[0] && !memcmp(data, data + 1, len - 1);
}

static enum scsi_sense write_same_step(struct scsi_cmd *cmd)
{
	uint64_t n = min_u64(cmd->blocks, SBC_CHUNK / cmd->unit->block_size), lba = cmd->lba;

	if (!n)
		return SENSE_NONE;
	cmd->lba += n;
	cmd->blocks -= n;
	cmd->next = write_same_step;
	return sbc_submit_buffer(cmd, BLOCK_WRITE, sbc_write_flags(cmd, false), lba, n);
}

static enum scsi_sense write_zeroes(struct scsi_cmd *cmd)
{
	unsigned flags = sbc_write_flags(cmd, false);

	if (cmd->cdb[1] & WS_UNMAP)
		flags |= BLOCK_MAY_UNMAP;
	return sbc_submit(cmd, BLOCK_ZERO, flags, cmd->lba, cmd->blocks);
}

/* 0 blocks are those up to the end (WSNZ is 0); the limit holds for them, too. */
static enum scsi_sense check_write_same(struct scsi_cmd *cmd)
{
	enum scsi_sense why = sbc_extent(cmd);

	if (why)
		return why;
	if (cmd->cdb[1] & WS_UNMAP && !cmd->unit->discard)
		return scsi_bad_cdb(cmd, 1, 3);
	if (!cmd->blocks)
		cmd->blocks = sbc_capacity(cmd) - cmd->lba;
	if (!cmd->blocks)
		return SENSE_LBA_OUT_OF_RANGE;
	if (cmd->blocks > SBC_MAX_WRITE_SAME / cmd->unit->block_size)
		return sbc_too_long(cmd);
	return SENSE_NONE;
}

static enum scsi_sense write_same_first(struct scsi_cmd *cmd)
{
	uint32_t bs = cmd->unit->block_size;

	scsi_fetch(cmd, cmd->buffer, bs);
	if (is_zero(cmd->buffer, bs))
		return write_zeroes(cmd);
	sbc_repeat_block(cmd, 0);
	return write_same_step(cmd);
}

/* Blocks that are all zeroes are the common case, and the store can do better than write them. */
enum scsi_sense provision_write_same(struct scsi_cmd *cmd)
{
	bool no_data = cmd->op->cdb_len == 16 && cmd->cdb[1] & WS_NDOB;
	enum scsi_sense why = check_write_same(cmd);

	if (why)
		return why;
	if (!no_data && cmd->out.left < cmd->unit->block_size)
		return SENSE_OVERRUN;
	if (!scsi_claim(cmd, cmd->lba, cmd->blocks, false))
		return SENSE_BUSY;
	if (no_data)
		return write_zeroes(cmd);
	return scsi_bounce(cmd, write_same_first);
}

#define UNMAP_HEADER 8
#define UNMAP_DESCRIPTOR 16

/*
 * The block descriptors are in the buffer, cmd->progress is the first that is not done, cmd->blocks
 * are left. What a step has done of one is taken off it.
 */
static enum scsi_sense unmap_step(struct scsi_cmd *cmd)
{
	for (; cmd->blocks; cmd->blocks--, cmd->progress += UNMAP_DESCRIPTOR) {
		uint8_t *d = cmd->buffer + cmd->progress;
		uint64_t lba = be64_get(d);
		uint32_t left = be32_get(d + 8);
		uint32_t n = (uint32_t)min_u64(left, SBC_UNMAP_STEP / cmd->unit->block_size);

		if (!n)
			continue;
		be64_put(d, lba + n);
		be32_put(d + 8, left - n);
		cmd->next = unmap_step;
		return sbc_submit(cmd, BLOCK_DISCARD, sbc_write_flags(cmd, false), lba, n);
	}
	return SENSE_NONE;
}

/* Checks all descriptors before the first one is done; claims the range that holds them all. */
static enum scsi_sense check_descriptors(struct scsi_cmd *cmd, size_t count)
{
	uint64_t first = UINT64_MAX, end = 0;
	size_t i;

	for (i = 0; i < count; i++) {
		const uint8_t *d = cmd->buffer + i * UNMAP_DESCRIPTOR;
		uint64_t lba = be64_get(d);
		uint32_t blocks = be32_get(d + 8);

		if (!range_ok(lba, blocks, sbc_capacity(cmd)))
			return SENSE_LBA_OUT_OF_RANGE;
		first = min_u64(first, lba);
		if (end < lba + blocks)
			end = lba + blocks;
	}
	if (count && !scsi_claim(cmd, first, end - first, false))
		return SENSE_BUSY;
	return SENSE_NONE;
}

/* There are cmd->blocks descriptors. */
static enum scsi_sense unmap_first(struct scsi_cmd *cmd)
{
	enum scsi_sense why;

	scsi_fetch(cmd, cmd->buffer, cmd->blocks * UNMAP_DESCRIPTOR);
	why = check_descriptors(cmd, cmd->blocks);
	return why ? why : unmap_step(cmd);
}

/* SBC-3 5.28. A descriptor that is there only in part is ignored. */
enum scsi_sense provision_unmap(struct scsi_cmd *cmd)
{
	size_t list_len = be16_get(cmd->cdb + 7), data_len, count;
	uint8_t header[UNMAP_HEADER];

	if (!list_len)
		return SENSE_NONE;
	if (list_len < UNMAP_HEADER)
		return SENSE_PARAMETER_LIST_LENGTH;
	if (cmd->out.left < list_len)
		return SENSE_OVERRUN;
	scsi_fetch(cmd, header, sizeof(header));
	data_len = be16_get(header + 2);
	count = data_len / UNMAP_DESCRIPTOR;
	if (data_len > list_len - UNMAP_HEADER)
		return SENSE_PARAMETER_LIST_LENGTH;
	if (be16_get(header) + 2u < UNMAP_HEADER + data_len)
		return scsi_bad_parameter(cmd, 0, 7);
	if (count > SBC_MAX_UNMAP_DESCRIPTORS)
		return scsi_bad_parameter(cmd, 2, 7);

	cmd->blocks = count;
	return scsi_bounce(cmd, unmap_first);
}

enum { STATUS_HEADER = 8, STATUS_DESCRIPTOR = 16, STATUS_DEALLOCATED = 1 };

/* Questions to the store, and so descriptors, of one command. */
#define STATUS_MAX 32

struct status_list {
	uint8_t data[STATUS_HEADER + STATUS_MAX * STATUS_DESCRIPTOR];
	unsigned n;
};

/*
 * How many blocks, at least, have the status of @lba. A block that is a hole only in part is
 * mapped; where UNMAP is not offered, all are.
 */
static uint64_t status_run(const struct scsi_cmd *cmd, uint64_t lba, uint64_t capacity,
			   bool *mapped)
{
	uint32_t bs = cmd->unit->block_size;
	uint64_t end;

	*mapped = true;
	if (!cmd->unit->discard)
		return capacity - lba;
	*mapped = block_is_mapped(cmd->chan->block, lba * bs, &end);
	end = (end + (*mapped ? bs - 1 : 0)) / bs;
	if (end <= lba) {
		*mapped = true;
		end = lba + 1;
	}
	return min_u64(end, capacity) - lba;
}

/* What adjoins the last descriptor and has its status becomes a part of it. */
static void put_status(struct status_list *list, uint64_t lba, uint32_t blocks, bool mapped)
{
	uint8_t *d = list->data + STATUS_HEADER + list->n * STATUS_DESCRIPTOR;
	uint8_t *last = d - STATUS_DESCRIPTOR, status = mapped ? 0 : STATUS_DEALLOCATED;

	if (list->n && last[12] == status && be32_get(last + 8) <= UINT32_MAX - blocks) {
		be32_put(last + 8, be32_get(last + 8) + blocks);
		return;
	}
	be64_put(d, lba);
	be32_put(d + 8, blocks);
	d[12] = status;
	list->n++;
}

/* SBC-3 5.4. It may tell of fewer blocks than there are, and of one descriptor at least. */
enum scsi_sense provision_lba_status(struct scsi_cmd *cmd)
{
	uint64_t lba = be64_get(cmd->cdb + 2), capacity = sbc_capacity(cmd);
	uint32_t alloc_len = be32_get(cmd->cdb + 10), blocks, asked, room = 1;
	struct status_list list = { .n = 0 };
	bool mapped;

	if (lba >= capacity)
		return SENSE_LBA_OUT_OF_RANGE;
	if (alloc_len > STATUS_HEADER + STATUS_DESCRIPTOR)
		room = (alloc_len - STATUS_HEADER) / STATUS_DESCRIPTOR;
	for (asked = 0; asked < STATUS_MAX && list.n <= room && lba < capacity; asked++) {
		blocks = (uint32_t)min_u64(status_run(cmd, lba, capacity, &mapped), UINT32_MAX);
		put_status(&list, lba, blocks, mapped);
		lba += blocks;
	}
	if (list.n > room) /* it has shown where the one before it ends */
		list.n = room;
	be32_put(list.data, STATUS_HEADER - 4 + list.n * STATUS_DESCRIPTOR);
	return scsi_reply(cmd, list.data, STATUS_HEADER + list.n * STATUS_DESCRIPTOR, alloc_len);
}
