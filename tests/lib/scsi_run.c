/* SPDX-License-Identifier: MIT */
#include "tests/lib/scsi_run.h"

#include <errno.h>
#include <stdlib.h>

#include "vmm/core/log.h"
#include "vmm/core/loop.h"
#include "vmm/core/state.h"
#include "vmm/core/util.h"

uint8_t rig_byte(uint64_t at)
{
	return (uint8_t)(at * 7 + (at >> 9) * 13 + 1);
}

static void forget_attentions(struct scsi_lun *lun)
{
	struct scsi_nexus *nexus;

	LIST_FOREACH(nexus, &lun->nexuses, link)
		nexus->attentions = 0;
}

/* Some tests do it a thousand times; ThreadSanitizer has nothing to find in it. */
__attribute__((no_sanitize("thread"))) static void fill(uint8_t *to, const uint8_t *from,
							 size_t len)
{
	while (len--)
		*to++ = *from++;
}

static const uint8_t *pattern(void)
{
	static uint8_t bytes[RIG_BLOCKS * 512];
	uint64_t i;

	for (i = 0; !bytes[0] && i < sizeof(bytes); i++)
		bytes[sizeof(bytes) - 1 - i] = rig_byte(sizeof(bytes) - 1 - i);
	return bytes;
}

void rig_init(struct scsi_rig *rig)
{
	memset(rig, 0, sizeof(*rig));
	rig->loop = loop_create("rig");
	rig->ram = ramstore_open(RIG_BLOCKS * 512);
	fill(rig->ram->bytes, pattern(), RIG_BLOCKS * 512);
	scsi_lun_init(&rig->lun, &rig->ram->block, 0, "serial-0");
	scsi_port_init(&rig->port, 1);
	BUG_ON(scsi_port_add(&rig->port, &rig->lun));
	BUG_ON(scsi_ctx_init(&rig->ctx, &rig->port, rig->loop));
	forget_attentions(&rig->lun);
}

void rig_add(struct scsi_rig *rig, struct scsi_lun *lun)
{
	BUG_ON(scsi_port_add(&rig->port, lun));
	BUG_ON(scsi_ctx_sync(&rig->ctx));
	forget_attentions(lun);
}

void rig_restart(struct scsi_rig *rig)
{
	scsi_ctx_fini(&rig->ctx);
	scsi_port_fini(&rig->port);
	scsi_port_init(&rig->port, 1);
	BUG_ON(scsi_port_add(&rig->port, &rig->lun));
	BUG_ON(scsi_ctx_init(&rig->ctx, &rig->port, rig->loop));
	forget_attentions(&rig->lun);
}

void rig_fini(struct scsi_rig *rig)
{
	scsi_ctx_fini(&rig->ctx);
	scsi_port_fini(&rig->port);
	scsi_lun_fini(&rig->lun);
	block_close(&rig->ram->block);
	loop_destroy(rig->loop);
}

static void lun_state(void *lun, struct state *s)
{
	scsi_lun_state(lun, s);
}

void rig_rebirth(struct scsi_rig *rig, void (*tear_down)(void), void (*set_up)(void))
{
	struct scsi_rig was = *rig;
	uint8_t *bytes;
	size_t len;
	uint8_t *medium = rig->ram->bytes;

	BUG_ON(state_save(lun_state, &rig->lun, &bytes, &len) < 0);
	rig->ram->bytes = NULL;
	tear_down();
	set_up();
	free(rig->ram->bytes);
	rig->ram->bytes = medium;
	BUG_ON(state_restore(lun_state, &rig->lun, bytes, len - 1) != -EPROTO);
	BUG_ON(state_restore(lun_state, &rig->lun, bytes, len) < 0);
	free(bytes);
	rig->step = was.step;
	rig->other = was.other;
	rig->cut = was.cut;
	rig->target = was.target;
	memcpy(rig->lun_field, was.lun_field, sizeof(rig->lun_field));
}

void rig_other_init(struct scsi_rig *rig, struct scsi_rig_port *other, uint16_t id)
{
	scsi_port_init(&other->port, id);
	BUG_ON(scsi_port_add(&other->port, &rig->lun));
	BUG_ON(scsi_ctx_init(&other->ctx, &other->port, rig->loop));
	forget_attentions(&rig->lun);
}

void rig_other_fini(struct scsi_rig_port *other)
{
	scsi_ctx_fini(&other->ctx);
	scsi_port_fini(&other->port);
}

/* Each element is in memory of its own, so that a sanitizer sees a step over its end. */
static struct iovcur shatter(const struct scsi_rig *rig, const void *data, size_t len,
			     struct iovec *iov)
{
	size_t cut = rig->cut ? rig->cut : len, at;
	unsigned n = 0;

	for (at = 0; at < len; at += cut, n++) {
		BUG_ON(n == RIG_IOVS);
		iov[n].iov_len = min_u64(cut, len - at);
		iov[n].iov_base = malloc(iov[n].iov_len);
		memcpy(iov[n].iov_base, (const char *)data + at, iov[n].iov_len);
	}
	return iov_cursor(iov, n);
}

static void gather(struct iovec *iov, size_t len, uint8_t *data)
{
	for (; len; len -= iov->iov_len, iov++) {
		if (data) {
			memcpy(data, iov->iov_base, iov->iov_len);
			data += iov->iov_len;
		}
		free(iov->iov_base);
	}
}

static void flight_done(struct scsi_cmd *cmd)
{
	container_of(cmd, struct scsi_flight, cmd)->done++;
}

static void address(struct scsi_flight *flight, struct scsi_rig *rig, const uint8_t *cdb)
{
	struct scsi_cmd *cmd = &flight->cmd;

	cmd->ctx = rig->other ? &rig->other->ctx : &rig->ctx;
	cmd->target = rig->target;
	memcpy(cmd->lun_field, rig->lun_field, 8);
	memcpy(cmd->cdb, cdb, SCSI_CDB_MAX);
	cmd->iov = flight->io;
	cmd->iov_max = RIG_IOVS;
	cmd->done = flight_done;
}

void flight_prepare(struct scsi_flight *flight, struct scsi_rig *rig, const uint8_t *cdb,
		    const void *out, size_t out_len, void *in, size_t in_len)
{
	uint64_t tag = flight->cmd.tag;

	memset(flight, 0, sizeof(*flight));
	flight->cmd.tag = tag;
	flight->out[0] = (struct iovec){ (void *)(uintptr_t)out, out_len };
	flight->in[0] = (struct iovec){ in, in_len };
	flight->cmd.out = iov_cursor(flight->out, 1);
	flight->cmd.in = iov_cursor(flight->in, 1);
	address(flight, rig, cdb);
}

void flight_start(struct scsi_flight *flight, struct scsi_rig *rig, const uint8_t *cdb,
		  const void *out, size_t out_len, void *in, size_t in_len)
{
	flight_prepare(flight, rig, cdb, out, out_len, in, in_len);
	scsi_submit(&flight->cmd);
}

uint32_t flight_result(const struct scsi_flight *flight)
{
	const struct scsi_cmd *cmd = &flight->cmd;
	const uint8_t *s = cmd->sense;

	BUG_ON(flight->done != 1);
	if (cmd->response != SCSI_RESPONSE_OK)
		return RIG_RESPONSE(cmd->response);
	if (cmd->status != SCSI_CHECK_CONDITION)
		return cmd->status ? RIG_STATUS(cmd->status) : 0;
	if (s[0] == 0x72)
		return (uint32_t)s[1] << 16 | (uint32_t)s[2] << 8 | s[3];
	return (uint32_t)s[2] << 16 | (uint32_t)s[12] << 8 | s[13];
}

uint32_t scsi_run(struct scsi_rig *rig, const uint8_t *cdb, const void *out, size_t out_len,
		  void *in, size_t in_len)
{
	struct scsi_flight flight = { .cmd.tag = 0 };
	uint32_t result;

	if (rig->step)
		rig->step();
	flight.cmd.out = shatter(rig, out, out_len, flight.out);
	flight.cmd.in = shatter(rig, in, in_len, flight.in);
	address(&flight, rig, cdb);
	scsi_submit(&flight.cmd);
	scsi_ctx_drain(flight.cmd.ctx);
	result = flight_result(&flight);
	gather(flight.out, out_len, NULL);
	gather(flight.in, in_len, in);
	rig->cmd = flight.cmd;
	return result;
}
