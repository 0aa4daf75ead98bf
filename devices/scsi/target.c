/* SPDX-License-Identifier: MIT */
#include "devices/scsi/scsi.h"

#include <errno.h>
#include <stdlib.h>

#include "devices/scsi/op.h"
#include "devices/scsi/trace.h"
#include "vmm/core/log.h"
#include "vmm/core/util.h"

/* Paths. */

static unsigned path_place(const struct scsi_ctx *ctx, uint8_t target, uint16_t number)
{
	unsigned low = 0, high = ctx->npaths;

	while (low < high) {
		unsigned mid = (low + high) / 2;

		if (scsi_lun_compare(ctx->path[mid]->nexus->lun, target, number) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

struct scsi_path *scsi_ctx_find(const struct scsi_ctx *ctx, uint8_t target,
				const uint8_t lun_field[8])
{
	int number = scsi_lun_number(lun_field);
	struct scsi_path *path;
	unsigned at;

	if (number < 0)
		return NULL;
	at = path_place(ctx, target, (uint16_t)number);
	if (at == ctx->npaths)
		return NULL;
	path = ctx->path[at];
	return scsi_lun_compare(path->nexus->lun, target, (uint16_t)number) ? NULL : path;
}

bool scsi_ctx_has_target(const struct scsi_ctx *ctx, uint8_t target)
{
	unsigned at = path_place(ctx, target, 0);

	return at < ctx->npaths && ctx->path[at]->nexus->lun->target == target;
}

static void index_ops(const struct scsi_op *index[256], const struct scsi_op *ops)
{
	for (; ops->run; ops++)
		if (!index[ops->opcode])
			index[ops->opcode] = ops;
}

int scsi_ctx_init(struct scsi_ctx *ctx, struct scsi_port *port, struct loop *loop)
{
	enum scsi_type type;
	int r;

	*ctx = (struct scsi_ctx){ .port = port, .loop = loop };
	LIST_INIT(&ctx->tasks);
	scsi_bounce_init(&ctx->bounce);
	for (type = 0; type < SCSI_TYPES; type++) {
		index_ops(ctx->op[type], spc_ops);
		index_ops(ctx->op[type], scsi_type_ops(type));
	}
	if (port->trace) {
		ctx->trace = scsi_trace_open(port->trace, loop);
		if (!ctx->trace)
			return -ENOMEM;
	}
	r = scsi_ctx_sync(ctx);
	if (r < 0)
		scsi_ctx_fini(ctx);
	return r;
}

/* Its commands end, whatever they are at. */
static void path_quiesce(struct scsi_ctx *ctx, struct scsi_path *path)
{
	struct scsi_cmd *cmd;

	LIST_FOREACH(cmd, &ctx->tasks, link)
		if (cmd->path == path)
			cmd->aborted = SENSE_RESET;
	scsi_bounce_end(ctx);
	if (path->chan)
		block_chan_close(path->chan);
	path->chan = NULL;
}

static int path_open(struct scsi_ctx *ctx, struct scsi_path *path)
{
	struct block *block = path->nexus->lun->block;

	if (path->chan && path->chan->block != block)
		path_quiesce(ctx, path);
	if (path->chan || !block)
		return 0;
	path->chan = block_chan_open(block, ctx->loop);
	return path->chan ? 0 : -errno;
}

/* The path of @nexus, which may be here already. NULL: no memory. */
static struct scsi_path *path_keep(struct scsi_ctx *ctx, struct scsi_nexus *nexus)
{
	unsigned at = path_place(ctx, nexus->lun->target, nexus->lun->lun);
	struct scsi_path *path;

	if (at < ctx->npaths && ctx->path[at]->nexus == nexus)
		return ctx->path[at];
	path = calloc(1, sizeof(*path));
	if (path)
		path->nexus = nexus;
	return path;
}

/* The paths of the port's nexuses, in *@list, to be freed; their number. */
static unsigned list_paths(struct scsi_ctx *ctx, struct scsi_path ***list, int *err)
{
	struct scsi_port *port = ctx->port;
	unsigned i, n = 0;

	pthread_mutex_lock(&port->lock);
	*list = calloc(port->count + 1, sizeof(struct scsi_path *));
	for (i = 0; *list && i < port->count; i++) {
		(*list)[n] = path_keep(ctx, port->nexus[i]);
		if ((*list)[n])
			n++;
	}
	*err = n < port->count ? -ENOMEM : 0;
	pthread_mutex_unlock(&port->lock);
	return n;
}

/* A driver resets its device when it goes, and what was done before is to be known after that. */
static void path_close(struct scsi_ctx *ctx, struct scsi_path *path)
{
	struct scsi_lun *lun = path->nexus->lun;

	path_quiesce(ctx, path);
	pthread_mutex_lock(&lun->lock);
	block_count_add(&lun->past, &path->counters);
	pthread_mutex_unlock(&lun->lock);
	free(path);
}

/* Frees the paths that are not in @list. */
static void drop_paths(struct scsi_ctx *ctx, struct scsi_path *const *list, unsigned n)
{
	unsigned i, k = 0;

	for (i = 0; i < ctx->npaths; i++) {
		const struct scsi_lun *lun = ctx->path[i]->nexus->lun;

		while (k < n && scsi_lun_compare(list[k]->nexus->lun, lun->target, lun->lun) < 0)
			k++;
		if (k < n && list[k] == ctx->path[i])
			continue;
		path_close(ctx, ctx->path[i]);
	}
	free(ctx->path);
}

int scsi_ctx_sync(struct scsi_ctx *ctx)
{
	struct scsi_path **list;
	unsigned i, n;
	int err, r;

	n = list_paths(ctx, &list, &err);
	if (!list)
		return -ENOMEM;
	drop_paths(ctx, list, n);
	ctx->path = list;
	ctx->npaths = n;
	for (i = 0; i < n; i++) {
		r = path_open(ctx, list[i]);
		if (r < 0)
			err = r;
	}
	return err;
}

void scsi_ctx_fini(struct scsi_ctx *ctx)
{
	scsi_ctx_drain(ctx);
	drop_paths(ctx, NULL, 0);
	ctx->path = NULL;
	ctx->npaths = 0;
	scsi_bounce_fini(&ctx->bounce);
	scsi_trace_close(ctx->trace);
	ctx->trace = NULL;
}

void scsi_ctx_drain(struct scsi_ctx *ctx)
{
	struct scsi_cmd *cmd;

	while ((cmd = scsi_bounce_runner(ctx, NULL)))
		block_drain(cmd->chan);
}

static struct scsi_path *path_of(const struct scsi_ctx *ctx, const struct scsi_lun *lun)
{
	unsigned at = path_place(ctx, lun->target, lun->lun);

	return at < ctx->npaths && ctx->path[at]->nexus->lun == lun ? ctx->path[at] : NULL;
}

static bool waits(const struct scsi_ctx *ctx, const struct scsi_path *path)
{
	const struct scsi_cmd *cmd;

	TAILQ_FOREACH(cmd, &ctx->bounce.waiting, wait)
		if (cmd->path == path)
			return true;
	return false;
}

void scsi_ctx_settle(struct scsi_ctx *ctx, const struct scsi_lun *lun)
{
	const struct scsi_path *path = path_of(ctx, lun);
	struct scsi_cmd *cmd;

	if (!path)
		return;
	while ((cmd = scsi_bounce_runner(ctx, path)) || waits(ctx, path)) {
		cmd = cmd ? cmd : scsi_bounce_runner(ctx, NULL);
		block_drain(cmd->chan);
	}
}

/* The new channel comes first, as commands that end while the old one drains may bring others. */
int scsi_ctx_swap(struct scsi_ctx *ctx, const struct scsi_lun *lun)
{
	struct scsi_path *path = path_of(ctx, lun);
	struct block_chan *old = path ? path->chan : NULL;
	struct block_chan *chan;

	if (!old || old->block == lun->block)
		return 0;
	chan = block_chan_open(lun->block, ctx->loop);
	if (!chan)
		return -errno;
	path->chan = chan;
	block_chan_close(old);
	return 0;
}

/* Counters. */

void scsi_ctx_count(const struct scsi_ctx *ctx, const struct scsi_lun *lun,
		    struct block_counters *sum)
{
	const struct scsi_path *path = path_of(ctx, lun);

	if (path)
		block_count_add(sum, &path->counters);
}

void scsi_lun_count(struct scsi_lun *lun, struct block_counters *sum)
{
	pthread_mutex_lock(&lun->lock);
	block_count_add(sum, &lun->past);
	pthread_mutex_unlock(&lun->lock);
}

/* Of a command that ends; what its I/O has moved was counted as it went. */
static void count(struct scsi_cmd *cmd, uint64_t now)
{
	block_count_end(&cmd->path->counters, cmd->began, now,
			cmd->response != SCSI_RESPONSE_OK || cmd->status != SCSI_GOOD);
}

/* Dispatch. */

static const struct scsi_op *const type_ops[SCSI_TYPES] = {
	[SCSI_DISK] = sbc_ops,
	[SCSI_CD] = mmc_ops,
};

const struct scsi_op *scsi_type_ops(enum scsi_type type)
{
	return type_ops[type];
}

bool scsi_op_offered(const struct scsi_op *op, const struct scsi_lun *unit)
{
	if (!unit)
		return true;
	return (unit->discard || !(op->flags & SCSI_OP_UNMAPS)) &&
	       (unit->alua || !(op->flags & SCSI_OP_ALUA)) &&
	       (unit->atomic || !(op->flags & SCSI_OP_ATOMIC));
}

const struct scsi_op *scsi_op_find(const struct scsi_ctx *ctx, const struct scsi_lun *unit,
				   uint8_t opcode, uint16_t action)
{
	const struct scsi_op *op = ctx->op[unit ? unit->type : SCSI_DISK][opcode];

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

/* Are there actions of this opcode, but not this one? */
static bool has_actions(const struct scsi_cmd *cmd)
{
	const struct scsi_op *first = cmd->ctx->op[cmd->unit->type][cmd->cdb[0]];

	return first && first->has_action;
}

/* An unknown command, or one for a LUN that is not there. */
static enum scsi_sense check_op(struct scsi_cmd *cmd)
{
	const struct scsi_op *op = cmd->op;

	if (!cmd->unit && scsi_is_wlun(cmd->lun_field))
		return op && op->flags & SCSI_OP_WLUN ? SENSE_NONE : SENSE_INVALID_OPCODE;
	if (!cmd->unit && !scsi_ctx_has_target(cmd->ctx, cmd->target))
		return SENSE_BAD_TARGET;
	if (!cmd->unit)
		return op && op->flags & SCSI_OP_ANY_LUN ? SENSE_NONE : SENSE_NO_SUCH_LUN;
	if (!op && has_actions(cmd))
		return scsi_bad_cdb(cmd, 1, 4);
	return op ? SENSE_NONE : SENSE_INVALID_OPCODE;
}

enum scsi_sense scsi_not_ready(const struct scsi_cmd *cmd)
{
	if (!cmd->chan || cmd->unit->ejected)
		return SENSE_NO_MEDIUM;
	return cmd->unit->stopped ? SENSE_STOPPED : SENSE_NONE;
}

static enum scsi_sense check_unit(const struct scsi_cmd *cmd)
{
	enum scsi_sense why = SENSE_NONE;

	if (!cmd->unit)
		return SENSE_NONE;
	if (cmd->op->flags & SCSI_OP_MEDIUM)
		why = scsi_not_ready(cmd);
	if (why)
		return why;
	if (cmd->op->flags & SCSI_OP_WRITES && scsi_is_protected(cmd->unit))
		return SENSE_WRITE_PROTECTED;
	return SENSE_NONE;
}

static enum scsi_sense dispatch(struct scsi_cmd *cmd)
{
	enum scsi_sense why;

	cmd->op = scsi_op_find(cmd->ctx, cmd->unit, cmd->cdb[0], cmd->cdb[1] & 0x1f);
	if (cmd->nexus && cmd->nexus->access == SCSI_ACCESS_FAILS)
		return SENSE_PATH_FAILS;
	why = check_op(cmd);
	if (!why && cmd->unit && !(cmd->op->flags & SCSI_OP_SKIPS_UA))
		why = scsi_attention_take(cmd->nexus);
	if (!why && cmd->unit)
		why = alua_check(cmd);
	if (!why && cmd->unit && cmd->op->access & cmd->nexus->refused)
		why = SENSE_CONFLICT;
	if (!why)
		why = check_usage(cmd);
	if (!why)
		why = check_unit(cmd);
	return why ? why : cmd->op->run(cmd);
}

static void find_unit(struct scsi_cmd *cmd)
{
	cmd->path = scsi_ctx_find(cmd->ctx, cmd->target, cmd->lun_field);
	cmd->nexus = cmd->path ? cmd->path->nexus : NULL;
	cmd->unit = cmd->nexus ? cmd->nexus->lun : NULL;
	cmd->chan = cmd->path ? cmd->path->chan : NULL;
	cmd->epoch = cmd->nexus ? cmd->nexus->epoch : 0;
	cmd->began = block_count_now();
}

void scsi_submit(struct scsi_cmd *cmd)
{
	enum scsi_sense why;

	find_unit(cmd);
	cmd->detail = (struct scsi_detail){ 0 };
	cmd->moved = 0;
	cmd->sense_len = 0;
	cmd->aborted = SENSE_NONE;
	cmd->next = NULL;
	cmd->progress = 0;
	cmd->buffer = NULL;
	cmd->waits = cmd->pooled = false;
	cmd->claim.held = false;
	LIST_INSERT_HEAD(&cmd->ctx->tasks, cmd, link);

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
	struct scsi_ctx *ctx = cmd->ctx;
	const struct scsi_outcome *outcome;
	uint64_t now = block_count_now();

	if (!why && __builtin_expect(cmd->detail.key, 0)) /* a recovered error, on the way here */
		why = SENSE_TOLD;
	outcome = scsi_outcome(why);
	cmd->response = outcome->response;
	cmd->status = outcome->status;
	if (cmd->status == SCSI_CHECK_CONDITION)
		cmd->sense_len = scsi_sense_build(cmd->sense, why,
						  cmd->unit && cmd->unit->descriptor_sense,
						  &cmd->detail);
	if (cmd->claim.held)
		claim_release(cmd);
	if (cmd->path)
		count(cmd, now);
	if (__builtin_expect(!!cmd->ctx->trace, 0))
		scsi_trace_put(cmd->ctx->trace, cmd, now);
	scsi_bounce_give(cmd);
	LIST_REMOVE(cmd, link);
	cmd->done(cmd);
	if (__builtin_expect(!TAILQ_EMPTY(&ctx->bounce.waiting), 0))
		scsi_bounce_serve(ctx);
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
	free_now = cmd->epoch == cmd->nexus->epoch && !(cmd->op->access & cmd->nexus->refused) &&
		   !claimed(&lun->claims[true], lba, end) &&
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

bool scsi_others_linger(const struct scsi_nexus *nexus)
{
	struct scsi_lun *lun = nexus->lun;
	const struct scsi_cmd *cmd;
	bool found = false;
	unsigned i;

	pthread_mutex_lock(&lun->lock);
	for (i = 0; i < ARRAY_SIZE(lun->claims); i++)
		LIST_FOREACH(cmd, &lun->claims[i], claim.link)
			found |= cmd->nexus != nexus && cmd->epoch != cmd->nexus->epoch;
	pthread_mutex_unlock(&lun->lock);
	return found;
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
