/* SPDX-License-Identifier: MIT */
/*
 * bounce.h - buffers for commands that need one while they run.
 *
 * A thread of a controller has SCSI_BOUNCE_MAX of them at most, whatever the initiator has in
 * flight. A command that finds none free waits for its turn. It is then in nobody's hands but the
 * target's, and whoever ends commands ends those that wait first: they hold nothing, and those that
 * hold a buffer never wait for another command, so that all end.
 */
#ifndef DEVICES_SCSI_BOUNCE_H
#define DEVICES_SCSI_BOUNCE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#define SCSI_BOUNCE_SIZE (128u << 10)
#define SCSI_BOUNCE_MAX 4

struct scsi_cmd;
struct scsi_ctx;
struct scsi_path;

/* Of one thread; all zero but for the list: nothing has been made yet. */
struct scsi_bounce {
	uint8_t *free[SCSI_BOUNCE_MAX];
	unsigned nfree, made;
	bool serving;
	TAILQ_HEAD(scsi_waiters, scsi_cmd) waiting; /* the longest first */
};

void scsi_bounce_init(struct scsi_bounce *b);
/* Nothing is in flight. */
void scsi_bounce_fini(struct scsi_bounce *b);
/* The command has ended: its buffer, if it has one, goes back; one of its own is freed. */
void scsi_bounce_give(struct scsi_cmd *cmd);
/* Commands that wait go on, as far as there are buffers. */
void scsi_bounce_serve(struct scsi_ctx *ctx);
/* Ends those that wait and are aborted. */
void scsi_bounce_end(struct scsi_ctx *ctx);
/* One in flight that the store has, of @path if it is not NULL; NULL: there is none. */
struct scsi_cmd *scsi_bounce_runner(const struct scsi_ctx *ctx, const struct scsi_path *path);

#endif
