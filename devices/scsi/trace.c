/* SPDX-License-Identifier: MIT */
#include "devices/scsi/trace.h"

#include <stdio.h>
#include <stdlib.h>

#include "devices/scsi/op.h"
#include "vmm/core/loop.h"
#include "vmm/core/stream.h"

#define ROOM (64u << 10)
#define LINE_MAX_LEN 256

struct scsi_trace {
	struct stream *to;
	struct loop *loop;
	struct loop_task flush;
	size_t used;
	char text[ROOM];
};

static void flush(void *arg)
{
	struct scsi_trace *t = arg;

	stream_put(t->to, t->text, t->used);
	t->used = 0;
}

static const char *result(const struct scsi_cmd *cmd)
{
	static const char *const responses[] = {
		[SCSI_RESPONSE_BAD_TARGET] = "BAD-TARGET",
		[SCSI_RESPONSE_PATH] = "PATH-FAILS",
		[SCSI_RESPONSE_ABORTED] = "ABORTED",
		[SCSI_RESPONSE_RESET] = "RESET",
		[SCSI_RESPONSE_OVERRUN] = "OVERRUN",
		[SCSI_RESPONSE_FAILURE] = "FAILURE",
	};

	if (cmd->response != SCSI_RESPONSE_OK)
		return responses[cmd->response];
	switch (cmd->status) {
	case SCSI_GOOD:
		return "GOOD";
	case SCSI_CHECK_CONDITION:
		return "CHECK-CONDITION";
	case SCSI_BUSY:
		return "BUSY";
	case SCSI_RESERVATION_CONFLICT:
		return "RESERVATION-CONFLICT";
	default:
		return "OTHER";
	}
}

/* An unknown command has the length of its group (SAM-5 5.2.2). */
static size_t put_cdb(char *to, const struct scsi_cmd *cmd)
{
	static const uint8_t group[] = { 6, 10, 10, SCSI_CDB_MAX, 16, 12, 16, 16 };
	unsigned i, len = cmd->op ? cmd->op->cdb_len : group[cmd->cdb[0] >> 5];

	for (i = 0; i < len; i++)
		sprintf(to + 2 * i, "%02x", cmd->cdb[i]);
	return 2 * len;
}

static size_t put_sense(char *to, const struct scsi_cmd *cmd)
{
	const uint8_t *s = cmd->sense;

	if (!cmd->sense_len)
		return sprintf(to, "0/00/00");
	if ((s[0] & 0x7f) >= 0x72)
		return sprintf(to, "%x/%02x/%02x", s[1] & 0xf, s[2], s[3]);
	return sprintf(to, "%x/%02x/%02x", s[2] & 0xf, s[12], s[13]);
}

static size_t put_address(char *to, const struct scsi_cmd *cmd)
{
	int number = scsi_lun_number(cmd->lun_field);
	char lun[12] = "-";

	if (number >= 0)
		sprintf(lun, "%d", number);
	return sprintf(to, "%u:%u:%s", cmd->ctx->port->id, cmd->target, lun);
}

void scsi_trace_put(struct scsi_trace *t, const struct scsi_cmd *cmd, uint64_t now)
{
	char *to;

	if (t->used + LINE_MAX_LEN > ROOM)
		flush(t);
	to = t->text + t->used;
	to += sprintf(to, "%llu.%06llu ", (unsigned long long)cmd->began / 1000000000,
		      (unsigned long long)cmd->began / 1000 % 1000000);
	to += put_address(to, cmd);
	*to++ = ' ';
	to += put_cdb(to, cmd);
	to += sprintf(to, " %s ", result(cmd));
	to += put_sense(to, cmd);
	to += sprintf(to, " %zu %llu\n", cmd->moved,
		      (unsigned long long)(now - cmd->began) / 1000);
	t->used = to - t->text;
	loop_defer(t->loop, &t->flush);
}

struct scsi_trace *scsi_trace_open(struct stream *to, struct loop *loop)
{
	struct scsi_trace *t = malloc(sizeof(*t));

	if (!t)
		return NULL;
	t->to = to;
	t->loop = loop;
	t->flush = (struct loop_task){ .fn = flush, .arg = t };
	t->used = 0;
	return t;
}

void scsi_trace_close(struct scsi_trace *t)
{
	if (!t)
		return;
	loop_cancel(t->loop, &t->flush);
	flush(t);
	free(t);
}
