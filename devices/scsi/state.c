/* SPDX-License-Identifier: MIT */
/*
 * state.c - a LUN as bytes: its switches, what it knows of each initiator, its reservations.
 *
 * Initiators go by the number of their port. What a reservation refuses is worked out again.
 */
#include "devices/scsi/op.h"
#include "vmm/core/state.h"

#define ATTENTIONS ((2u << SENSE_LUNS_CHANGED) - (1u << SENSE_POWER_ON))

/* The next one by its port's number, which begin at 1; NULL: there is none. */
static struct scsi_nexus *nexus_after(const struct scsi_lun *lun, unsigned id)
{
	struct scsi_nexus *nexus, *next = NULL;

	LIST_FOREACH(nexus, &lun->nexuses, link)
		if (nexus->port->id > id && (!next || nexus->port->id < next->port->id))
			next = nexus;
	return next;
}

static uint16_t id_of(const struct scsi_nexus *nexus)
{
	return nexus ? nexus->port->id : 0;
}

/* 0: nobody. */
static void nexus_id(struct scsi_lun *lun, struct scsi_nexus **nexus, struct state *s)
{
	uint16_t id = id_of(*nexus);

	state_u16(s, &id);
	*nexus = id ? nexus_after(lun, id - 1u) : NULL;
	state_check(s, id_of(*nexus) == id);
}

static void atomic_bool_state(atomic_bool *at, struct state *s)
{
	bool v = *at;

	state_bool(s, &v);
	if (state_takes(s))
		*at = v;
}

/* Returns whether it is registered. */
static bool nexus_state(struct scsi_nexus *nexus, struct state *s)
{
	bool registered = nexus->registered, prevents = nexus->prevents,
	     access_was_set = nexus->access_was_set;
	uint8_t access = (uint8_t)nexus->access;
	uint64_t key = nexus->key;

	state_same(s, nexus->port->id);
	state_atomic(s, &nexus->attentions, ATTENTIONS);
	state_u8(s, &access);
	state_bool(s, &access_was_set);
	state_bool(s, &registered);
	state_u64(s, &key);
	state_bool(s, &prevents);
	state_check(s, access < SCSI_ACCESS_STATES && registered == !!key);
	if (state_takes(s)) {
		nexus->access = access;
		nexus->access_was_set = access_was_set;
		nexus->registered = registered;
		nexus->key = key;
		nexus->prevents = prevents;
	}
	return registered;
}

static void reservation_state(struct scsi_lun *lun, struct state *s)
{
	struct scsi_reservation r = lun->reservation;
	bool registered, holder_registered = false;
	struct scsi_nexus *nexus = NULL;
	unsigned registrants = 0;

	state_u32(s, &r.generation);
	state_u8(s, &r.type);
	nexus_id(lun, &r.holder, s);
	nexus_id(lun, &r.owner, s);
	while ((nexus = nexus_after(lun, id_of(nexus)))) {
		registered = nexus_state(nexus, s);
		registrants += registered;
		holder_registered |= registered && nexus == r.holder;
	}
	state_check(s, holder_registered == !!r.holder &&
		       reserve_is_possible(&r, registrants));
	if (state_takes(s))
		lun->reservation = r;
}

void scsi_lun_state(struct scsi_lun *lun, struct state *s)
{
	const struct scsi_nexus *nexus;
	uint32_t nexuses = 0;

	pthread_mutex_lock(&lun->lock);
	LIST_FOREACH(nexus, &lun->nexuses, link)
		nexuses++;
	state_same(s, lun->type);
	state_same(s, lun->target);
	state_same(s, lun->lun);
	state_same(s, lun->block_size);
	state_same(s, nexuses);
	atomic_bool_state(&lun->write_cache, s);
	atomic_bool_state(&lun->descriptor_sense, s);
	atomic_bool_state(&lun->swp, s);
	atomic_bool_state(&lun->stopped, s);
	atomic_bool_state(&lun->ejected, s);
	state_atomic(s, &lun->media_event, SCSI_MEDIA_REMOVED);
	reservation_state(lun, s);
	if (state_takes(s))
		reserve_update(lun);
	pthread_mutex_unlock(&lun->lock);
}
