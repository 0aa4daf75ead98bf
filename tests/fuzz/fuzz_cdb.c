/* SPDX-License-Identifier: MIT */
/*
 * Random commands with random data for a LUN in memory, a disk or a CD-ROM drive: from two
 * initiators, alone, several at once, and aborted. Each one ends once, moves no more than its
 * buffers hold, and leaves nothing behind.
 */
#include "tests/fuzz/fuzz.h"

#include "tests/lib/scsi_run.h"
#include "vmm/core/log.h"

#define DATA_MAX 9000
#define FLIGHTS 4

enum action { RUN, START, TMF, ACTIONS };

struct request {
	uint8_t cdb[SCSI_CDB_MAX], out[DATA_MAX], in[DATA_MAX];
	uint16_t out_len, in_len;
};

static void take(struct request *r, struct fuzz_input *in)
{
	fuzz_bytes(in, r->cdb, 16);
	fuzz_bytes(in, &r->out_len, 2);
	fuzz_bytes(in, &r->in_len, 2);
	r->out_len %= DATA_MAX;
	r->in_len %= DATA_MAX;
	fuzz_bytes(in, r->out, r->out_len < 64 ? r->out_len : 64);
}

static void check(const struct scsi_cmd *cmd, const struct request *r)
{
	BUG_ON(cmd->moved > r->out_len && cmd->moved > r->in_len);
	BUG_ON((cmd->status == SCSI_CHECK_CONDITION) != (cmd->sense_len != 0));
	BUG_ON(cmd->sense_len > SCSI_SENSE_LONGEST);
}

static void act(struct scsi_rig *rig, struct scsi_rig_port *other, struct fuzz_input *in)
{
	static struct request requests[FLIGHTS], alone;
	static struct scsi_flight flights[FLIGHTS];
	uint8_t action = fuzz_u8(in), choice = fuzz_u8(in), slot = choice % FLIGHTS;
	struct scsi_ctx *const ctx[] = { choice & 0x80 ? &other->ctx : &rig->ctx };
	struct request *r = &requests[slot];

	rig->other = choice & 0x80 ? other : NULL;

	if (action % ACTIONS == TMF) {
		struct scsi_tmf_request tmf = { .what = action / ACTIONS, .tag = slot };

		memcpy(tmf.lun_field, rig->lun_field, 8);
		scsi_tmf(ctx, 1, &tmf);
	} else if (action % ACTIONS == START) {
		if (flights[slot].cmd.done && !flights[slot].done)
			scsi_ctx_drain(flights[slot].cmd.ctx); /* the slot is taken */
		take(r, in);
		flights[slot].cmd.tag = slot;
		flight_start(&flights[slot], rig, r->cdb, r->out, r->out_len, r->in, r->in_len);
	} else {
		take(&alone, in);
		rig->cut = 1 + DATA_MAX / RIG_IOVS + action;
		scsi_run(rig, alone.cdb, alone.out, alone.out_len, alone.in, alone.in_len);
		check(&rig->cmd, &alone);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct scsi_rig rig;
	struct scsi_rig_port other;
	struct fuzz_input in = { data, len };
	uint8_t facts;

	if (!rig.loop)
		rig_init(&rig);
	facts = fuzz_u8(&in);
	rig.lun.readonly = rig.ram->block.readonly = facts & 1;
	rig.lun.discard = facts & 2;
	rig.lun.block_size = facts & 4 ? 4096 : 512;
	rig.lun.removable = facts & 0x10;
	rig.lun.type = SCSI_DISK;
	if (facts & 0x08)
		scsi_lun_become_cd(&rig.lun);
	rig.lun.ejected = false;
	rig.lun.alua = facts & 0x40;
	rig.lun.block = facts & 0x20 ? NULL : &rig.ram->block;
	rig.lun_field[1] = facts & 0x80 ? 1 : 0;
	rig_restart(&rig);
	rig_other_init(&rig, &other, 2);
	if (rig.lun.alua)
		scsi_access_set(&rig.lun, &other.port, fuzz_u8(&in) % SCSI_ACCESS_STATES);
	while (in.left)
		act(&rig, &other, &in);
	scsi_ctx_drain(&rig.ctx);
	rig_other_fini(&other);
	BUG_ON(!LIST_EMPTY(&rig.lun.claims[0]) || !LIST_EMPTY(&rig.lun.claims[1]));
	return 0;
}
