#include "devices/scsi/scsi.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "devices/scsi/op.h"
#include "vmm/core/log.h"
#include "vmm/core/util.h"

static_assert(SENSE_LUNS_CHANGED < 32, "attentions are bits of 32");

/* SAM-5 4.7.10 */
static const uint8_t report_luns_wlun[8] = { 0xc1, 0x01 };

/*
 * FNV-1a, folded to the 22 bits that are free in a locally assigned company: of its first byte the
 * lowest bit is 0 and the next one 1, as in a MAC address (IEEE 802, 8.2.2).
 */
static uint32_t local_company(const char *serial)
{
	uint64_t hash = 0xcbf29ce484222325;
	uint32_t folded;

	for (; *serial; serial++)
		hash = (hash ^ (uint8_t)*serial) * 0x100000001b3;
	folded = (uint32_t)(hash ^ hash >> 22 ^ hash >> 44);
	return (folded & 0xfcffff) | 0x020000;
}

void scsi_naa_from_serial(char naa[SCSI_NAA_MAX + 1], uint32_t company, const char *serial)
{
	size_t at = snprintf(naa, SCSI_NAA_MAX + 1, "6%06x", company & 0xffffff);

	for (; *serial && at < SCSI_NAA_MAX; serial++) {
		if (isxdigit((unsigned char)*serial))
			naa[at++] = (char)tolower((unsigned char)*serial);
	}
	memset(naa + at, '0', SCSI_NAA_MAX - at);
	naa[SCSI_NAA_MAX] = 0;
}

uint32_t scsi_naa_company(const char *naa)
{
	uint32_t company = 0;

	sscanf(naa, "6%6x", &company);
	return company;
}

void scsi_lun_init(struct scsi_lun *lun, struct block *block, uint16_t number, const char *serial)
{
	BUG_ON(strlen(serial) > SCSI_ID_MAX);
	*lun = (struct scsi_lun){
		.lun = number,
		.block = block,
		.block_size = 512,
		.physical_block = block->physical_block,
		.readonly = block->readonly,
		.discard = block->can_discard,
		.vendor = "LUNETTE",
		.product = "DISK",
	};
	snprintf(lun->revision, sizeof(lun->revision), "%s", VERSION);
	snprintf(lun->serial, sizeof(lun->serial), "%s", serial);
	scsi_naa_from_serial(lun->naa, local_company(serial), serial);
	LIST_INIT(&lun->claims[false]);
	LIST_INIT(&lun->claims[true]);
	pthread_mutex_init(&lun->lock, NULL);
}

void scsi_lun_fini(struct scsi_lun *lun)
{
	pthread_mutex_destroy(&lun->lock);
}

void scsi_lun_reset(struct scsi_lun *lun)
{
	lun->write_cache = !lun->write_through;
	lun->descriptor_sense = false;
	lun->swp = false;
	lun->stopped = false;
}

bool scsi_is_protected(const struct scsi_lun *lun)
{
	return lun->readonly || lun->swp;
}

/* Index of the first LUN whose number is not below @number. */
static unsigned lun_index(const struct scsi_target *target, unsigned number)
{
	unsigned low = 0, high = target->nluns;

	while (low < high) {
		unsigned mid = (low + high) / 2;

		if (target->lun[mid]->lun < number)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

int scsi_target_add(struct scsi_target *target, struct scsi_lun *lun)
{
	unsigned at = lun_index(target, lun->lun);
	struct scsi_lun **luns;

	if (at < target->nluns && target->lun[at]->lun == lun->lun)
		return -EEXIST;
	luns = realloc(target->lun, (target->nluns + 1) * sizeof(struct scsi_lun *));
	if (!luns)
		return -ENOMEM;
	memmove(luns + at + 1, luns + at, (target->nluns - at) * sizeof(struct scsi_lun *));
	luns[at] = lun;
	target->lun = luns;
	target->nluns++;

	if (lun->physical_block < lun->block_size)
		lun->physical_block = lun->block_size;
	scsi_lun_reset(lun);
	scsi_attention(lun, SENSE_POWER_ON);
	return 0;
}

void scsi_target_reset(struct scsi_target *target)
{
	unsigned i;

	for (i = 0; i < target->nluns; i++) {
		scsi_lun_reset(target->lun[i]);
		/* It tells all that earlier attentions would. */
		atomic_store(&target->lun[i]->attentions, 1u << SENSE_POWER_ON);
	}
}

void scsi_target_fini(struct scsi_target *target)
{
	free(target->lun);
	target->lun = NULL;
	target->nluns = 0;
}

/*
 * Index of the LUN that is addressed, or -1: peripheral device addressing on bus 0, or flat space
 * addressing, one level (SAM-5 4.7.7).
 */
static int lun_lookup(const struct scsi_target *target, const uint8_t lun_field[8])
{
	static const uint8_t zero[6];
	unsigned number = be16_get(lun_field) & (SCSI_LUNS_MAX - 1), at;
	bool flat = lun_field[0] >> 6 == 1;

	if ((!flat && lun_field[0]) || memcmp(lun_field + 2, zero, sizeof(zero)))
		return -1;
	at = lun_index(target, number);
	return at < target->nluns && target->lun[at]->lun == number ? (int)at : -1;
}

struct scsi_lun *scsi_target_lun(const struct scsi_target *target, const uint8_t lun_field[8])
{
	int at = lun_lookup(target, lun_field);

	return at < 0 ? NULL : target->lun[at];
}

bool scsi_is_wlun(const uint8_t lun_field[8])
{
	return !memcmp(lun_field, report_luns_wlun, sizeof(report_luns_wlun));
}

void scsi_lun_address(uint16_t number, uint8_t lun_field[8])
{
	memset(lun_field, 0, 8);
	be16_put(lun_field, number < 256 ? number : 0x4000 | number);
}

static void index_ops(struct scsi_ctx *ctx, const struct scsi_op *ops)
{
	for (; ops->run; ops++)
		if (!ctx->op[ops->opcode])
			ctx->op[ops->opcode] = ops;
}

int scsi_ctx_init(struct scsi_ctx *ctx, struct scsi_target *target, struct loop *loop)
{
	unsigned i;
	int err;

	*ctx = (struct scsi_ctx){ .target = target, .loop = loop };
	LIST_INIT(&ctx->tasks);
	index_ops(ctx, spc_ops);
	index_ops(ctx, sbc_ops);
	ctx->chan = calloc(target->nluns + 1, sizeof(struct block_chan *));
	if (!ctx->chan)
		return -ENOMEM;
	for (i = 0; i < target->nluns; i++) {
		ctx->chan[i] = block_chan_open(target->lun[i]->block, loop);
		if (!ctx->chan[i]) {
			err = -errno;
			scsi_ctx_fini(ctx);
			return err;
		}
	}
	return 0;
}

void scsi_ctx_fini(struct scsi_ctx *ctx)
{
	unsigned i;

	scsi_ctx_drain(ctx);
	for (i = 0; i < ctx->target->nluns; i++)
		block_chan_close(ctx->chan[i]);
	free(ctx->chan);
	ctx->chan = NULL;
}

void scsi_ctx_drain(struct scsi_ctx *ctx)
{
	struct scsi_cmd *cmd;

	while ((cmd = LIST_FIRST(&ctx->tasks)))
		block_drain(cmd->chan);
}

void scsi_attention(struct scsi_lun *lun, enum scsi_sense why)
{
	BUG_ON(why < SENSE_POWER_ON || why > SENSE_LUNS_CHANGED);
	atomic_fetch_or(&lun->attentions, 1u << why);
}

enum scsi_sense scsi_attention_take(struct scsi_lun *lun)
{
	unsigned pending = lun->attentions;
	unsigned first;

	do {
		if (!pending)
			return SENSE_NONE;
		first = pending & -pending;
	} while (!atomic_compare_exchange_weak(&lun->attentions, &pending, pending & ~first));
	return (enum scsi_sense)__builtin_ctz(first);
}

bool scsi_op_offered(const struct scsi_op *op, const struct scsi_lun *unit)
{
	return !unit || unit->discard || !(op->flags & SCSI_OP_UNMAPS);
}

const struct scsi_op *scsi_op_find(const struct scsi_ctx *ctx, const struct scsi_lun *unit,
				   uint8_t opcode, uint16_t action)
{
	const struct scsi_op *op = ctx->op[opcode];

	for (; op && op->run && op->opcode == opcode; op++)
		if ((!op->has_action || op->action == action) && scsi_op_offered(op, unit))
			return op;
	return NULL;
}

static enum scsi_sense bad_field(struct scsi_cmd *cmd, bool in_cdb, unsigned byte, unsigned bit)
{
	cmd->detail.has_field = true;
	cmd->detail.in_cdb = in_cdb;
	cmd->detail.byte = (uint16_t)byte;
	cmd->detail.bit = (uint8_t)bit;
	return in_cdb ? SENSE_INVALID_FIELD_IN_CDB : SENSE_INVALID_FIELD_IN_PARAMETERS;
}

enum scsi_sense scsi_bad_cdb(struct scsi_cmd *cmd, unsigned byte, unsigned bit)
{
	return bad_field(cmd, true, byte, bit);
}

enum scsi_sense scsi_bad_parameter(struct scsi_cmd *cmd, unsigned byte, unsigned bit)
{
	return bad_field(cmd, false, byte, bit);
}

static enum scsi_sense check_usage(struct scsi_cmd *cmd)
{
	const struct scsi_op *op = cmd->op;
	unsigned i;

	for (i = 1; i < op->cdb_len; i++) {
		uint8_t bad = cmd->cdb[i] & ~op->usage[i - 1];

		if (i == 1 && op->has_action)
			bad &= ~0x1f;
		if (bad)
			return scsi_bad_cdb(cmd, i, 31 - __builtin_clz(bad));
	}
	return SENSE_NONE;
}

/* An unknown command, or one for a LUN that is not there. */
static enum scsi_sense check_op(struct scsi_cmd *cmd)
{
	const struct scsi_op *op = cmd->op;

	if (!cmd->unit && scsi_is_wlun(cmd->lun_field))
		return op && op->flags & SCSI_OP_WLUN ? SENSE_NONE : SENSE_INVALID_OPCODE;
	if (!cmd->unit)
		return op && op->flags & SCSI_OP_ANY_LUN ? SENSE_NONE : SENSE_NO_SUCH_LUN;
	if (!op && cmd->ctx->op[cmd->cdb[0]] && cmd->ctx->op[cmd->cdb[0]]->has_action)
		return scsi_bad_cdb(cmd, 1, 4);
	return op ? SENSE_NONE : SENSE_INVALID_OPCODE;
}

static enum scsi_sense check_unit(const struct scsi_cmd *cmd)
{
	if (!cmd->unit)
		return SENSE_NONE;
	if (cmd->op->flags & SCSI_OP_MEDIUM && cmd->unit->stopped)
		return SENSE_STOPPED;
	if (cmd->op->flags & SCSI_OP_WRITES && scsi_is_protected(cmd->unit))
		return SENSE_WRITE_PROTECTED;
	return SENSE_NONE;
}

static enum scsi_sense dispatch(struct scsi_cmd *cmd)
{
	enum scsi_sense why;

	cmd->op = scsi_op_find(cmd->ctx, cmd->unit, cmd->cdb[0], cmd->cdb[1] & 0x1f);
	why = check_op(cmd);
	if (!why && cmd->unit && !(cmd->op->flags & SCSI_OP_SKIPS_UA))
		why = scsi_attention_take(cmd->unit);
	if (!why)
		why = check_usage(cmd);
	if (!why)
		why = check_unit(cmd);
	return why ? why : cmd->op->run(cmd);
}

void scsi_submit(struct scsi_cmd *cmd)
{
	struct scsi_ctx *ctx = cmd->ctx;
	int at = lun_lookup(ctx->target, cmd->lun_field);
	enum scsi_sense why;

	cmd->unit = at < 0 ? NULL : ctx->target->lun[at];
	cmd->chan = at < 0 ? NULL : ctx->chan[at];
	cmd->detail = (struct scsi_detail){ 0 };
	cmd->moved = 0;
	cmd->sense_len = 0;
	cmd->aborted = SENSE_NONE;
	cmd->next = NULL;
	cmd->progress = 0;
	cmd->buffer = NULL;
	cmd->claim.held = false;
	LIST_INSERT_HEAD(&ctx->tasks, cmd, link);

	why = dispatch(cmd);
	if (why != SENSE_PENDING)
		scsi_complete(cmd, why);
}

static void claim_release(struct scsi_cmd *cmd)
{
	pthread_mutex_lock(&cmd->unit->lock);
	LIST_REMOVE(cmd, claim.link);
	pthread_mutex_unlock(&cmd->unit->lock);
}

void scsi_complete(struct scsi_cmd *cmd, enum scsi_sense why)
{
	const struct scsi_outcome *outcome = scsi_outcome(why);

	cmd->response = outcome->response;
	cmd->status = outcome->status;
	if (cmd->status == SCSI_CHECK_CONDITION)
		cmd->sense_len = scsi_sense_build(cmd->sense, why,
						  cmd->unit && cmd->unit->descriptor_sense,
						  &cmd->detail);
	if (cmd->claim.held)
		claim_release(cmd);
	free(cmd->buffer);
	LIST_REMOVE(cmd, link);
	cmd->done(cmd);
}

static bool claimed(const struct scsi_cmds *claims, uint64_t lba, uint64_t end)
{
	const struct scsi_cmd *other;

	LIST_FOREACH(other, claims, claim.link)
		if (lba < other->claim.end && other->claim.lba < end)
			return true;
	return false;
}

bool scsi_claim(struct scsi_cmd *cmd, uint64_t lba, uint64_t blocks, bool exclusive)
{
	struct scsi_lun *lun = cmd->unit;
	uint64_t end = lba + blocks;
	bool free_now;

	pthread_mutex_lock(&lun->lock);
	free_now = !claimed(&lun->claims[true], lba, end) &&
		   !(exclusive && claimed(&lun->claims[false], lba, end));
	if (free_now) {
		cmd->claim.held = true;
		cmd->claim.lba = lba;
		cmd->claim.end = end;
		LIST_INSERT_HEAD(&lun->claims[exclusive], cmd, claim.link);
	}
	pthread_mutex_unlock(&lun->lock);
	return free_now;
}

enum scsi_sense scsi_reply(struct scsi_cmd *cmd, const void *data, size_t len, size_t alloc_len)
{
	size_t want = min_u64(len, alloc_len), n = min_u64(want, cmd->in.left);

	iov_put(&cmd->in, data, n);
	cmd->moved += n;
	return n < want ? SENSE_OVERRUN : SENSE_NONE;
}

bool scsi_fetch(struct scsi_cmd *cmd, void *data, size_t len)
{
	if (!iov_pull(&cmd->out, data, len))
		return false;
	cmd->moved += len;
	return true;
}
