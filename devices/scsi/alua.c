/* SPDX-License-Identifier: MIT */
/*
 * alua.c - asymmetric logical unit access (SPC-4 5.15): by which of its ports a
 * LUN that is on several is to be used.
 *
 * Each port is a target port group of its own, with the port's number. The user
 * sets the states; initiators are told, and cannot set them (implicit ALUA only).
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "devices/scsi/op.h"
#include "vmm/core/util.h"

/* What each state lets through, and how the rest ends. */
static const struct {
	uint8_t code;     /* SPC-4 6.37, ASYMMETRIC ACCESS STATE */
	unsigned allowed; /* commands with one of these flags */
	enum scsi_sense why; /* NONE: all are allowed */
} states[] = {
	[SCSI_ACCESS_OPTIMIZED] = { 0x0, 0, SENSE_NONE },
	[SCSI_ACCESS_NON_OPTIMIZED] = { 0x1, 0, SENSE_NONE },
	[SCSI_ACCESS_STANDBY] = { 0x2, SCSI_OP_STANDBY, SENSE_STANDBY },
	[SCSI_ACCESS_UNAVAILABLE] = { 0x3, SCSI_OP_UNAVAILABLE, SENSE_UNAVAILABLE },
	[SCSI_ACCESS_FAILS] = { 0x3, 0, SENSE_PATH_FAILS }, /* as others see it */
};

static_assert(ARRAY_SIZE(states) == SCSI_ACCESS_STATES, "a state has no row");

int scsi_access_set(struct scsi_lun *lun, const struct scsi_port *port,
		    enum scsi_access_state state)
{
	struct scsi_nexus *nexus;
	int r = -ENOENT;

	pthread_mutex_lock(&lun->lock);
	LIST_FOREACH(nexus, &lun->nexuses, link) {
		if (nexus->port != port)
			continue;
		r = nexus->access != state;
		nexus->access = state;
		nexus->access_was_set = true;
	}
	pthread_mutex_unlock(&lun->lock);
	if (r > 0)
		scsi_attention(lun, SENSE_ACCESS_STATE_CHANGED);
	return r < 0 ? r : 0;
}

enum scsi_access_state scsi_access_of(const struct scsi_lun *lun, const struct scsi_port *port)
{
	const struct scsi_nexus *nexus;

	LIST_FOREACH(nexus, &lun->nexuses, link)
		if (nexus->port == port)
			return nexus->access;
	return SCSI_ACCESS_FAILS;
}

enum scsi_sense alua_state(const struct scsi_nexus *nexus)
{
	return states[nexus->access].why;
}

enum scsi_sense alua_check(const struct scsi_cmd *cmd)
{
	unsigned state = cmd->nexus->access;

	return cmd->op->flags & states[state].allowed ? SENSE_NONE : states[state].why;
}

enum { GROUP_LEN = 12, SUPPORTED = 0x0f, BY_US = 0x02 };

/* SPC-4 6.37: a target port group descriptor, with its one port. */
static size_t put_group(const struct scsi_nexus *nexus, uint8_t *to)
{
	to[0] = states[nexus->access].code;
	to[1] = SUPPORTED; /* U, S, AN, AO */
	be16_put(to + 2, nexus->port->id);
	to[5] = nexus->access_was_set ? BY_US : 0;
	to[7] = 1;
	be16_put(to + 10, nexus->port->id);
	return GROUP_LEN;
}

/* NULL: no memory. Under the LUN's lock. */
static uint8_t *put_groups(const struct scsi_lun *lun, size_t header, size_t *len)
{
	const struct scsi_nexus *nexus;
	uint8_t *data;

	*len = header;
	LIST_FOREACH(nexus, &lun->nexuses, link)
		*len += GROUP_LEN;
	data = calloc(1, *len);
	*len = header;
	LIST_FOREACH(nexus, &lun->nexuses, link)
		if (data)
			*len += put_group(nexus, data + *len);
	return data;
}

enum { SHORT_HEADER = 4, EXTENDED_HEADER = 8, FORMAT_TYPE = 0x10 };

enum scsi_sense alua_report(struct scsi_cmd *cmd)
{
	unsigned format = cmd->cdb[1] >> 5; /* PARAMETER DATA FORMAT */
	size_t len;

	if (format > 1)
		return scsi_bad_cdb(cmd, 1, 7);
	pthread_mutex_lock(&cmd->unit->lock);
	cmd->buffer = put_groups(cmd->unit, format ? EXTENDED_HEADER : SHORT_HEADER, &len);
	pthread_mutex_unlock(&cmd->unit->lock);
	if (!cmd->buffer)
		return SENSE_FAILURE;
	be32_put(cmd->buffer, (uint32_t)(len - 4));
	if (format)
		cmd->buffer[4] = FORMAT_TYPE;
	return scsi_reply(cmd, cmd->buffer, len, be32_get(cmd->cdb + 6));
}
