/* SPDX-License-Identifier: MIT */
#include "devices/scsi/bounce.h"

#include <stdlib.h>

#include "devices/scsi/op.h"

void scsi_bounce_init(struct scsi_bounce *b)
{
	*b = (struct scsi_bounce){ 0 };
	TAILQ_INIT(&b->waiting);
}

void scsi_bounce_fini(struct scsi_bounce *b)
{
	while (b->nfree)
		free(b->free[--b->nfree]);
	b->made = 0;
}

static uint8_t *take(struct scsi_bounce *b)
{
	uint8_t *buffer;

	if (b->nfree)
		return b->free[--b->nfree];
	if (b->made == SCSI_BOUNCE_MAX)
		return NULL;
	buffer = malloc(SCSI_BOUNCE_SIZE);
	b->made += !!buffer;
	return buffer;
}

/* Who comes later does not overtake. */
enum scsi_sense scsi_bounce(struct scsi_cmd *cmd, enum scsi_sense (*then)(struct scsi_cmd *cmd))
{
	struct scsi_bounce *b = &cmd->ctx->bounce;

	cmd->buffer = TAILQ_EMPTY(&b->waiting) ? take(b) : NULL;
	cmd->pooled = cmd->buffer;
	if (cmd->buffer)
		return then(cmd);
	if (!b->made) /* no memory, and nobody who would give one back */
		return SENSE_FAILURE;
	cmd->next = then;
	cmd->waits = true;
	TAILQ_INSERT_TAIL(&b->waiting, cmd, wait);
	return SENSE_PENDING;
}

void scsi_bounce_give(struct scsi_cmd *cmd)
{
	struct scsi_bounce *b = &cmd->ctx->bounce;

	if (cmd->pooled)
		b->free[b->nfree++] = cmd->buffer;
	else
		free(cmd->buffer);
	cmd->buffer = NULL;
	cmd->pooled = false;
}

static void stop_waiting(struct scsi_bounce *b, struct scsi_cmd *cmd)
{
	TAILQ_REMOVE(&b->waiting, cmd, wait);
	cmd->waits = false;
}

/* One that ends at once comes back here: the loop that runs already goes on with the next one. */
void scsi_bounce_serve(struct scsi_ctx *ctx)
{
	struct scsi_bounce *b = &ctx->bounce;
	struct scsi_cmd *cmd;

	if (b->serving)
		return;
	b->serving = true;
	while ((cmd = TAILQ_FIRST(&b->waiting)) && (cmd->buffer = take(b))) {
		stop_waiting(b, cmd);
		cmd->pooled = true;
		cmd->chan = cmd->path->chan; /* it may be another one by now */
		sbc_go_on(cmd, SENSE_NONE);
	}
	b->serving = false;
}

static struct scsi_cmd *next_ended(const struct scsi_bounce *b)
{
	struct scsi_cmd *cmd;

	TAILQ_FOREACH(cmd, &b->waiting, wait)
		if (cmd->aborted)
			return cmd;
	return NULL;
}

void scsi_bounce_end(struct scsi_ctx *ctx)
{
	struct scsi_cmd *cmd;

	while ((cmd = next_ended(&ctx->bounce))) {
		stop_waiting(&ctx->bounce, cmd);
		scsi_complete(cmd, cmd->aborted);
	}
}

struct scsi_cmd *scsi_bounce_runner(const struct scsi_ctx *ctx, const struct scsi_path *path)
{
	struct scsi_cmd *cmd;

	LIST_FOREACH(cmd, &ctx->tasks, link)
		if (!cmd->waits && (!path || cmd->path == path))
			return cmd;
	return NULL;
}
