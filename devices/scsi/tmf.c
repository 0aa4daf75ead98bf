/* SPDX-License-Identifier: MIT */
#include <assert.h>
#include <time.h>

#include "devices/block/count.h"
#include "devices/scsi/op.h"
#include "vmm/core/loop.h"
#include "vmm/core/util.h"

/* What each function does (SAM-5 7). CLEAR ACA has no row: NACA is refused, so there is no ACA. */
static const struct tmf_kind {
	bool known;
	bool all_luns;             /* of the target; the LUN is not looked at */
	bool by_tag;               /* one command, not all */
	enum scsi_sense end;       /* how commands end; NONE: a mere question */
	enum scsi_sense attention; /* pending afterwards for who asked; NONE: none */
	enum scsi_sense others;    /* for other initiators, whose commands end, too; NONE: not */
} kinds[] = {
	[SCSI_ABORT_TASK] = { .known = true, .by_tag = true, .end = SENSE_ABORTED },
	[SCSI_ABORT_TASK_SET] = { .known = true, .end = SENSE_ABORTED },
	[SCSI_CLEAR_TASK_SET] = { .known = true, .end = SENSE_ABORTED,
				  .others = SENSE_CLEARED_BY_OTHER },
	[SCSI_I_T_NEXUS_RESET] = { .known = true, .all_luns = true, .end = SENSE_RESET,
				   .attention = SENSE_NEXUS_LOSS },
	[SCSI_LOGICAL_UNIT_RESET] = { .known = true, .end = SENSE_RESET,
				      .attention = SENSE_BUS_DEVICE_RESET,
				      .others = SENSE_BUS_DEVICE_RESET },
	[SCSI_QUERY_TASK] = { .known = true, .by_tag = true },
	[SCSI_QUERY_TASK_SET] = { .known = true },
};

static_assert(ARRAY_SIZE(kinds) == SCSI_TMF_COUNT, "a function has no row");

#define LOOK_NS 1000000 /* between looks whether others' commands have ended */

struct tmf {
	const struct tmf_kind *kind;
	const struct scsi_tmf_request *request;
	struct scsi_ctx *ctx;         /* asked now */
	const struct scsi_path *path; /* the LUN there */
	bool found;
	bool hangs;                   /* some do not come back in time */
};

static bool concerns(const struct tmf *tmf, const struct scsi_cmd *cmd)
{
	bool here = tmf->kind->all_luns ? cmd->target == tmf->request->target :
					  cmd->path == tmf->path;

	return here && (!tmf->kind->by_tag || cmd->tag == tmf->request->tag);
}

static struct scsi_cmd *next_aborted(const struct tmf *tmf)
{
	struct scsi_cmd *cmd;

	LIST_FOREACH(cmd, &tmf->ctx->tasks, link)
		if (cmd->aborted && concerns(tmf, cmd))
			return cmd;
	return NULL;
}

/*
 * What the store has begun cannot be taken back. So a command is marked, and its I/O is waited for;
 * one that waits for a buffer ends at once. A disk that hangs is not waited for again until it has
 * moved: the thread has other disks.
 */
static int tmf_on_thread(void *arg)
{
	struct tmf *tmf = arg;
	struct scsi_cmd *cmd;
	bool hangs = false;

	tmf->path = scsi_ctx_find(tmf->ctx, tmf->request->target, tmf->request->lun_field);
	LIST_FOREACH(cmd, &tmf->ctx->tasks, link) {
		if (concerns(tmf, cmd)) {
			tmf->found = true;
			cmd->aborted = tmf->kind->end;
		}
	}
	scsi_bounce_end(tmf->ctx);
	while (!hangs && (cmd = next_aborted(tmf)))
		hangs = !block_try_drain(cmd->chan, cmd->chan->late ? 0 : BLOCK_PATIENCE_TMF);
	tmf->hangs |= hangs;
	return 0;
}

static void reset_nexus(const struct tmf_kind *kind, struct scsi_path *path)
{
	struct scsi_nexus *nexus = path->nexus;

	if (kind->attention == SENSE_BUS_DEVICE_RESET)
		scsi_lun_reset(nexus->lun);
	if (kind->attention == SENSE_NEXUS_LOSS)
		reserve_release(nexus->lun, nexus);
	if (kind->others) {
		scsi_end_others(nexus);
		scsi_attention_others(nexus, kind->others);
	}
	if (kind->attention) {
		scsi_nexus_attention(nexus, kind->attention);
		path->counters.resets++;
	}
}

/* Before commands are aborted: one that comes in meanwhile on another thread must see it. */
static void reset_luns(const struct tmf *tmf)
{
	unsigned i;

	for (i = 0; i < tmf->ctx->npaths; i++) {
		struct scsi_path *path = tmf->ctx->path[i];

		if (tmf->kind->all_luns ? path->nexus->lun->target == tmf->request->target :
					  path == tmf->path)
			reset_nexus(tmf->kind, path);
	}
}

/*
 * Those of other initiators that change blocks, on threads of their own. Such a thread may be here,
 * too, and wait for what ours has of another LUN: so this has an end. False: they have not ended.
 */
static bool others_end(const struct scsi_nexus *nexus)
{
	uint64_t until = block_count_now() + BLOCK_PATIENCE_TMF * 1000000ull;

	while (scsi_others_linger(nexus)) {
		if (block_count_now() >= until)
			return false;
		nanosleep(&(struct timespec){ .tv_nsec = LOOK_NS }, NULL);
	}
	return true;
}

/* COMPLETE: it can be done. */
static enum scsi_tmf_response check(const struct scsi_tmf_request *request, bool has_target,
				    bool has_lun)
{
	if (!has_target)
		return SCSI_TMF_BAD_TARGET;
	if (request->what >= SCSI_TMF_COUNT || !kinds[request->what].known)
		return SCSI_TMF_REJECTED;
	return has_lun || kinds[request->what].all_luns ? SCSI_TMF_COMPLETE :
							  SCSI_TMF_INCORRECT_LUN;
}

enum scsi_tmf_response scsi_tmf_idle(struct scsi_port *port, const struct scsi_tmf_request *request)
{
	return check(request, !port || scsi_port_has(port, request->target, NULL),
		     !port || scsi_port_has(port, request->target, request->lun_field));
}

enum scsi_tmf_response scsi_tmf(struct scsi_ctx *const *ctx, unsigned nctx,
				const struct scsi_tmf_request *request)
{
	struct tmf tmf = { .request = request, .ctx = ctx[0] };
	const struct scsi_nexus *nexus;
	enum scsi_tmf_response answer;
	unsigned i;

	tmf.path = scsi_ctx_find(ctx[0], request->target, request->lun_field);
	answer = check(request, scsi_ctx_has_target(ctx[0], request->target), tmf.path);
	if (answer != SCSI_TMF_COMPLETE)
		return answer;
	tmf.kind = &kinds[request->what];
	nexus = tmf.path ? tmf.path->nexus : NULL; /* functions for all LUNs leave others alone */
	reset_luns(&tmf);
	for (i = 0; i < nctx; i++) {
		tmf.ctx = ctx[i];
		loop_call(ctx[i]->loop, tmf_on_thread, &tmf);
	}
	if (tmf.hangs || (tmf.kind->others && !others_end(nexus)))
		return SCSI_TMF_FAILURE;
	return !tmf.kind->end && tmf.found ? SCSI_TMF_SUCCEEDED : SCSI_TMF_COMPLETE;
}
