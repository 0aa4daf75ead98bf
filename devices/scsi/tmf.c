#include <assert.h>

#include "devices/scsi/op.h"
#include "vmm/core/loop.h"
#include "vmm/core/util.h"

/* What each function does (SAM-5 7). CLEAR ACA has no row: NACA is refused, so there is no ACA. */
static const struct tmf_kind {
	bool known;
	bool all_luns;             /* the LUN is not looked at */
	bool by_tag;               /* one command, not all */
	enum scsi_sense end;       /* how commands end; NONE: a mere question */
	enum scsi_sense attention; /* pending afterwards; NONE: nothing is reset */
} kinds[] = {
	[SCSI_ABORT_TASK] = { .known = true, .by_tag = true, .end = SENSE_ABORTED },
	[SCSI_ABORT_TASK_SET] = { .known = true, .end = SENSE_ABORTED },
	[SCSI_CLEAR_TASK_SET] = { .known = true, .end = SENSE_ABORTED },
	[SCSI_I_T_NEXUS_RESET] = { .known = true, .all_luns = true, .end = SENSE_RESET,
				   .attention = SENSE_NEXUS_LOSS },
	[SCSI_LOGICAL_UNIT_RESET] = { .known = true, .end = SENSE_RESET,
				      .attention = SENSE_BUS_DEVICE_RESET },
	[SCSI_QUERY_TASK] = { .known = true, .by_tag = true },
	[SCSI_QUERY_TASK_SET] = { .known = true },
};

static_assert(ARRAY_SIZE(kinds) == SCSI_TMF_COUNT, "a function has no row");

struct tmf {
	const struct tmf_kind *kind;
	const struct scsi_lun *unit;
	uint64_t tag;
	struct scsi_ctx *ctx; /* asked now */
	bool found;
};

static bool concerns(const struct tmf *tmf, const struct scsi_cmd *cmd)
{
	return (tmf->kind->all_luns || cmd->unit == tmf->unit) &&
	       (!tmf->kind->by_tag || cmd->tag == tmf->tag);
}

static struct scsi_cmd *next_aborted(const struct scsi_ctx *ctx)
{
	struct scsi_cmd *cmd;

	LIST_FOREACH(cmd, &ctx->tasks, link)
		if (cmd->aborted)
			return cmd;
	return NULL;
}

/*
 * A command in flight is always in the store's hands, and what the store has begun cannot be taken
 * back. So it is marked, and its I/O is waited for.
 */
static int tmf_on_thread(void *arg)
{
	struct tmf *tmf = arg;
	struct scsi_cmd *cmd;

	LIST_FOREACH(cmd, &tmf->ctx->tasks, link) {
		if (concerns(tmf, cmd)) {
			tmf->found = true;
			cmd->aborted = tmf->kind->end;
		}
	}
	while ((cmd = next_aborted(tmf->ctx)))
		block_drain(cmd->chan);
	return 0;
}

/* Before commands are aborted: one that comes in meanwhile on another thread must see it. */
static void reset_luns(const struct tmf *tmf, const struct scsi_target *target)
{
	unsigned i;

	for (i = 0; i < target->nluns; i++) {
		struct scsi_lun *lun = target->lun[i];

		if (!tmf->kind->all_luns && lun != tmf->unit)
			continue;
		if (tmf->kind->attention == SENSE_BUS_DEVICE_RESET)
			scsi_lun_reset(lun);
		scsi_attention(lun, tmf->kind->attention);
	}
}

enum scsi_tmf_response scsi_tmf(struct scsi_ctx *const *ctx, unsigned nctx, enum scsi_tmf what,
				const uint8_t lun_field[8], uint64_t tag)
{
	struct tmf tmf = { .tag = tag };
	unsigned i;

	if (what >= SCSI_TMF_COUNT || !kinds[what].known)
		return SCSI_TMF_REJECTED;
	tmf.kind = &kinds[what];
	tmf.unit = scsi_target_lun(ctx[0]->target, lun_field);
	if (!tmf.unit && !tmf.kind->all_luns)
		return SCSI_TMF_INCORRECT_LUN;
	if (tmf.kind->attention)
		reset_luns(&tmf, ctx[0]->target);
	for (i = 0; i < nctx; i++) {
		tmf.ctx = ctx[i];
		loop_call(ctx[i]->loop, tmf_on_thread, &tmf);
	}
	return !tmf.kind->end && tmf.found ? SCSI_TMF_SUCCEEDED : SCSI_TMF_COMPLETE;
}
