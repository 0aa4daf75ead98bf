/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "devices/scsi/op.h"
#include "vmm/core/util.h"

static enum scsi_sense spc_test_unit_ready(struct scsi_cmd *cmd)
{
	(void)cmd;
	return SENSE_NONE;
}

/* The attention, or state, that a command would be refused for. SPC-4 6.39 */
static enum scsi_sense pollable(const struct scsi_cmd *cmd)
{
	enum scsi_sense why;

	if (!cmd->unit)
		return scsi_is_wlun(cmd->lun_field) ? SENSE_NONE : SENSE_NO_SUCH_LUN;
	why = scsi_attention_take(cmd->nexus);
	if (!why)
		why = alua_state(cmd->nexus);
	return why ? why : scsi_not_ready(cmd);
}

static enum scsi_sense spc_request_sense(struct scsi_cmd *cmd)
{
	uint8_t sense[SCSI_SENSE_MAX];
	bool descriptor = cmd->cdb[1] & 1;
	uint8_t len = scsi_sense_build(sense, pollable(cmd), descriptor, NULL);

	return scsi_reply(cmd, sense, len, cmd->cdb[4]);
}

static void put_padded(uint8_t *to, const char *text, size_t len)
{
	memset(to, ' ', len);
	memcpy(to, text, strnlen(text, len));
}

uint8_t scsi_device_type(const struct scsi_cmd *cmd)
{
	static const uint8_t types[SCSI_TYPES] = { [SCSI_DISK] = 0x00, [SCSI_CD] = 0x05 };

	if (cmd->unit)
		return types[cmd->unit->type];
	return scsi_is_wlun(cmd->lun_field) ? 0x1e : 0x7f;
}

/* SPC-4 6.6.2, to the end of what it defines, whatever the allocation length. */
static enum scsi_sense inquiry_standard(struct scsi_cmd *cmd)
{
	static const uint16_t command_sets[SCSI_TYPES] = {
		[SCSI_DISK] = 0x04c0, /* SBC-3 */
		[SCSI_CD] = 0x0480,   /* MMC-6 */
	};
	const struct scsi_lun *unit = cmd->unit;
	uint8_t data[96] = {
		[0] = scsi_device_type(cmd),
		[1] = unit && unit->removable ? 0x80 : 0x00,
		[2] = 0x06,                /* SPC-4 */
		[3] = 0x10 | 0x02,         /* HISUP, response data format */
		[4] = sizeof(data) - 5,
		[5] = unit && unit->alua ? 0x10 : 0x00, /* TPGS: implicit */
		[7] = 0x02,                /* CMDQUE */
		[58] = 0x00, [59] = 0xa0,  /* SAM-5 */
		[60] = 0x04, [61] = 0x60,  /* SPC-4 */
	};

	be16_put(data + 62, command_sets[unit ? unit->type : SCSI_DISK]);
	put_padded(data + 8, unit ? unit->vendor : "LUNETTE", 8);
	put_padded(data + 16, unit ? unit->product : "", 16);
	put_padded(data + 32, unit ? unit->revision : "", 4);
	return scsi_reply(cmd, data, sizeof(data), be16_get(cmd->cdb + 3));
}

static enum scsi_sense spc_inquiry(struct scsi_cmd *cmd)
{
	if (cmd->cdb[1] & 1)
		return vpd_inquiry(cmd);
	if (cmd->cdb[2])
		return scsi_bad_cdb(cmd, 2, 7);
	return inquiry_standard(cmd);
}

/*
 * The list clears the attention that tells of its change, on every LUN of the target that it is
 * a list of (SPC-4 6.33).
 */
static size_t put_luns(struct scsi_cmd *cmd, uint8_t *to)
{
	const struct scsi_ctx *ctx = cmd->ctx;
	size_t len = 0;
	unsigned i;

	for (i = 0; i < ctx->npaths; i++) {
		struct scsi_nexus *nexus = ctx->path[i]->nexus;

		if (nexus->lun->target != cmd->target)
			continue;
		scsi_lun_address(nexus->lun->lun, to + len);
		len += 8;
		atomic_fetch_and(&nexus->attentions, ~(1u << SENSE_LUNS_CHANGED));
	}
	return len;
}

/* SPC-4 6.33: 0 the LUNs, 1 the well-known ones, 2 both. */
static enum scsi_sense spc_report_luns(struct scsi_cmd *cmd)
{
	uint8_t select = cmd->cdb[2];
	size_t len = 8;

	if (select > 2)
		return scsi_bad_cdb(cmd, 2, 7);
	cmd->buffer = calloc(cmd->ctx->npaths + 2, 8);
	if (!cmd->buffer)
		return SENSE_FAILURE;
	if (select != 0) {
		cmd->buffer[len] = 0xc1;
		cmd->buffer[len + 1] = 0x01;
		len += 8;
	}
	if (select != 1)
		len += put_luns(cmd, cmd->buffer + len);
	be32_put(cmd->buffer, (uint32_t)(len - 8));
	return scsi_reply(cmd, cmd->buffer, len, be32_get(cmd->cdb + 6));
}

/* The default self-test: the store would have told before. SPC-4 6.42 */
static enum scsi_sense spc_send_diagnostic(struct scsi_cmd *cmd)
{
	(void)cmd;
	return SENSE_NONE;
}

/* SBC-3 5.10; each initiator prevents for itself. Allowing is free to all. */
static enum scsi_sense spc_prevent_allow(struct scsi_cmd *cmd)
{
	bool prevents = cmd->cdb[4] & 1;

	if (prevents && cmd->nexus->refused)
		return SENSE_CONFLICT;
	pthread_mutex_lock(&cmd->unit->lock);
	cmd->nexus->prevents = prevents;
	pthread_mutex_unlock(&cmd->unit->lock);
	return SENSE_NONE;
}

#define TIMEOUTS_LEN 12

/* Command timeouts descriptor: no figures. SPC-4 6.35.4 */
static size_t put_timeouts(uint8_t *to)
{
	memset(to, 0, TIMEOUTS_LEN);
	be16_put(to, TIMEOUTS_LEN - 2);
	return TIMEOUTS_LEN;
}

static size_t put_all(uint8_t *to, const struct scsi_op *ops, const struct scsi_lun *unit,
		      bool timeouts)
{
	size_t len = 0;

	for (; ops->run; ops++) {
		if (!scsi_op_offered(ops, unit))
			continue;
		memset(to + len, 0, 8);
		to[len] = ops->opcode;
		be16_put(to + len + 2, ops->action);
		to[len + 5] = (timeouts ? 0x02 : 0) | (ops->has_action ? 0x01 : 0);
		be16_put(to + len + 6, ops->cdb_len);
		len += 8;
		if (timeouts)
			len += put_timeouts(to + len);
	}
	return len;
}

/* SPC-4 6.35.2; room for more rows than the tables have. */
static enum scsi_sense report_all_ops(struct scsi_cmd *cmd, bool timeouts)
{
	uint8_t data[4 + 128 * (8 + TIMEOUTS_LEN)];
	size_t len = 4;

	len += put_all(data + len, spc_ops, cmd->unit, timeouts);
	len += put_all(data + len, scsi_type_ops(cmd->unit->type), cmd->unit, timeouts);
	be32_put(data, (uint32_t)(len - 4));
	return scsi_reply(cmd, data, len, be32_get(cmd->cdb + 6));
}

/* SPC-4 6.35.3; @op NULL: not supported. */
static enum scsi_sense report_one_op(struct scsi_cmd *cmd, const struct scsi_op *op, bool timeouts)
{
	uint8_t data[4 + 16 + TIMEOUTS_LEN] = { [1] = op ? 0x03 : 0x01 };
	size_t len = 4;

	if (op) {
		be16_put(data + 2, op->cdb_len);
		data[4] = op->opcode;
		memcpy(data + 5, op->usage, op->cdb_len - 1);
		data[5] |= op->action;
		len += op->cdb_len;
	}
	if (op && timeouts) {
		data[1] |= 0x80;
		len += put_timeouts(data + len);
	}
	return scsi_reply(cmd, data, len, be32_get(cmd->cdb + 6));
}

enum reporting_options { REPORT_ALL, REPORT_OPCODE, REPORT_ACTION, REPORT_EITHER };

static enum scsi_sense spc_report_opcodes(struct scsi_cmd *cmd)
{
	uint8_t opcode = cmd->cdb[3], options = cmd->cdb[2] & 7;
	uint16_t action = be16_get(cmd->cdb + 4);
	const struct scsi_op *first = cmd->ctx->op[cmd->unit->type][opcode], *op;
	bool timeouts = cmd->cdb[2] & 0x80;

	if (options == REPORT_ALL)
		return report_all_ops(cmd, timeouts);
	if (options > REPORT_EITHER || (options == REPORT_OPCODE && first && first->has_action) ||
	    (options == REPORT_ACTION && first && !first->has_action))
		return scsi_bad_cdb(cmd, 2, 2);
	op = scsi_op_find(cmd->ctx, cmd->unit, opcode, action);
	if (options == REPORT_EITHER && op && !op->has_action && action)
		op = NULL;
	return report_one_op(cmd, op, timeouts);
}

/* The functions of tmf.c. SPC-4 6.36 */
static enum scsi_sense spc_report_tmfs(struct scsi_cmd *cmd)
{
	uint8_t data[16] = {
		0x80 | 0x40 | 0x10 | 0x08 | 0x04, /* ATS, ATSS, CTSS, LURS, QTS */
		0x02 | 0x01,                      /* QTSS, ITNRS */
	};
	bool timeouts = cmd->cdb[2] & 0x80;
	uint32_t alloc_len = be32_get(cmd->cdb + 6);

	if (alloc_len < 4)
		return scsi_bad_cdb(cmd, 6, 7);
	data[3] = timeouts ? 12 : 0;
	return scsi_reply(cmd, data, 4 + data[3], alloc_len);
}

#define FF2 0xff, 0xff
#define FF4 FF2, FF2
#define ACTION(n) .has_action = true, .action = n
#define PR_IN .usage = { 0, 0, 0, 0, 0, 0, FF2, 0 }
/* Scope and type have no meaning for some actions, and are ignored then. */
#define PR_OUT .usage = { 0, 0xff, 0, 0, FF4, 0 }
#define STANDBY SCSI_OP_STANDBY
#define UNAVAILABLE (SCSI_OP_STANDBY | SCSI_OP_UNAVAILABLE)
#define ANYWHERE (SCSI_OP_ANY_LUN | SCSI_OP_WLUN | SCSI_OP_SKIPS_UA | UNAVAILABLE)

const struct scsi_op spc_ops[] = {
	{ 0x00, 6, SCSI_OP_MEDIUM | SCSI_OP_WLUN, ACCESS_OPEN, .usage = { 0 },
	  .run = spc_test_unit_ready, .name = "TEST UNIT READY" },
	{ 0x03, 6, ANYWHERE, ACCESS_FREE, .usage = { 0x01, 0, 0, 0xff, 0 },
	  .run = spc_request_sense, .name = "REQUEST SENSE" },
	/* Byte 1 has SCSI-2's LUN above: Linux puts it there for the first LUN of a target. */
	{ 0x12, 6, ANYWHERE, ACCESS_FREE, .usage = { 0xe1, 0xff, FF2, 0 },
	  .run = spc_inquiry, .name = "INQUIRY" },
	{ 0x15, 6, STANDBY, ACCESS_WRITE, .usage = { 0x10, 0, 0, 0xff, 0 },
	  .run = mode_select, .name = "MODE SELECT(6)" },
	{ 0x16, 6, 0, ACCESS_FREE, .usage = { 0x1e, 0xff, FF2, 0 },
	  .run = reserve_unit, .name = "RESERVE(6)" },
	{ 0x17, 6, 0, ACCESS_FREE, .usage = { 0x1e, 0xff, 0, 0, 0 },
	  .run = reserve_release_unit, .name = "RELEASE(6)" },
	{ 0x1a, 6, STANDBY, ACCESS_READ, .usage = { 0x08, 0xff, 0xff, 0xff, 0 },
	  .run = mode_sense, .name = "MODE SENSE(6)" },
	{ 0x1d, 6, STANDBY, ACCESS_WRITE, .usage = { 0x07, 0, 0, 0, 0 },
	  .run = spc_send_diagnostic, .name = "SEND DIAGNOSTIC" },
	{ 0x1e, 6, 0, ACCESS_FREE, .usage = { 0, 0, 0, 0x01, 0 },
	  .run = spc_prevent_allow, .name = "PREVENT ALLOW MEDIUM REMOVAL" },
	{ 0x4d, 10, STANDBY, ACCESS_OPEN, .usage = { 0, 0xff, 0xff, 0, 0, 0, FF2, 0 },
	  .run = log_sense, .name = "LOG SENSE" },
	{ 0x55, 10, STANDBY, ACCESS_WRITE, .usage = { 0x10, 0, 0, 0, 0, 0, FF2, 0 },
	  .run = mode_select, .name = "MODE SELECT(10)" },
	{ 0x56, 10, 0, ACCESS_FREE, .usage = { 0x10, 0, 0, 0, 0, 0, FF2, 0 },
	  .run = reserve_unit, .name = "RESERVE(10)" },
	{ 0x57, 10, 0, ACCESS_FREE, .usage = { 0x10, 0, 0, 0, 0, 0, FF2, 0 },
	  .run = reserve_release_unit, .name = "RELEASE(10)" },
	{ 0x5a, 10, STANDBY, ACCESS_READ, .usage = { 0x18, 0xff, 0xff, 0, 0, 0, FF2, 0 },
	  .run = mode_sense, .name = "MODE SENSE(10)" },
	{ 0x5e, 10, STANDBY, ACCESS_OPEN, PR_IN, ACTION(0x00),
	  .run = reserve_read_keys, .name = "PERSISTENT RESERVE IN, READ KEYS" },
	{ 0x5e, 10, STANDBY, ACCESS_OPEN, PR_IN, ACTION(0x01),
	  .run = reserve_read_reservation,
	  .name = "PERSISTENT RESERVE IN, READ RESERVATION" },
	{ 0x5e, 10, STANDBY, ACCESS_OPEN, PR_IN, ACTION(0x02),
	  .run = reserve_report_capabilities,
	  .name = "PERSISTENT RESERVE IN, REPORT CAPABILITIES" },
	{ 0x5e, 10, STANDBY, ACCESS_OPEN, PR_IN, ACTION(0x03),
	  .run = reserve_read_full_status,
	  .name = "PERSISTENT RESERVE IN, READ FULL STATUS" },
	{ 0x5f, 10, STANDBY, ACCESS_OPEN, PR_OUT, ACTION(0x00),
	  .run = reserve_out, .name = "PERSISTENT RESERVE OUT, REGISTER" },
	{ 0x5f, 10, STANDBY, ACCESS_OPEN, PR_OUT, ACTION(0x01),
	  .run = reserve_out, .name = "PERSISTENT RESERVE OUT, RESERVE" },
	{ 0x5f, 10, STANDBY, ACCESS_OPEN, PR_OUT, ACTION(0x02),
	  .run = reserve_out, .name = "PERSISTENT RESERVE OUT, RELEASE" },
	{ 0x5f, 10, STANDBY, ACCESS_OPEN, PR_OUT, ACTION(0x03),
	  .run = reserve_out, .name = "PERSISTENT RESERVE OUT, CLEAR" },
	{ 0x5f, 10, STANDBY, ACCESS_OPEN, PR_OUT, ACTION(0x04),
	  .run = reserve_out, .name = "PERSISTENT RESERVE OUT, PREEMPT" },
	{ 0x5f, 10, STANDBY, ACCESS_OPEN, PR_OUT, ACTION(0x05),
	  .run = reserve_out, .name = "PERSISTENT RESERVE OUT, PREEMPT AND ABORT" },
	{ 0x5f, 10, STANDBY, ACCESS_OPEN, PR_OUT, ACTION(0x06),
	  .run = reserve_out,
	  .name = "PERSISTENT RESERVE OUT, REGISTER AND IGNORE EXISTING KEY" },
	{ 0x5f, 10, STANDBY, ACCESS_OPEN, PR_OUT, ACTION(0x07),
	  .run = reserve_out, .name = "PERSISTENT RESERVE OUT, REGISTER AND MOVE" },
	{ 0xa0, 12, ANYWHERE, ACCESS_FREE, .usage = { 0, 0xff, 0, 0, 0, FF4, 0, 0 },
	  .run = spc_report_luns, .name = "REPORT LUNS" },
	{ 0xa3, 12, SCSI_OP_ALUA | UNAVAILABLE, ACCESS_OPEN,
	  .usage = { 0xe0, 0, 0, 0, 0, FF4, 0, 0 }, ACTION(0x0a),
	  .run = alua_report, .name = "REPORT TARGET PORT GROUPS" },
	{ 0xa3, 12, 0, ACCESS_READ, .usage = { 0, 0x87, 0xff, FF2, FF4, 0, 0 }, ACTION(0x0c),
	  .run = spc_report_opcodes, .name = "REPORT SUPPORTED OPERATION CODES" },
	{ 0xa3, 12, 0, ACCESS_READ, .usage = { 0, 0x80, 0, 0, 0, FF4, 0, 0 }, ACTION(0x0d),
	  .run = spc_report_tmfs, .name = "REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS" },
	{ 0 }
};
