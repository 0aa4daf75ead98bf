/* SPDX-License-Identifier: MIT */
/*
 * Reservations: who may do what to a LUN that several initiators reach.
 *
 * An initiator port is a controller. Its registration is in its nexus, the
 * reservation in the LUN, all under the LUN's lock. Whenever either changes,
 * reserve_update() works out for each nexus what is refused to it, as bits of
 * enum scsi_access. So a command costs one look at its nexus, without a lock,
 * and the tables of SPC-4 and SBC-3 are the access column of the command table.
 *
 * Registrations do not survive the run (APTPL is refused), but every reset.
 */
#include <stdlib.h>

#include "devices/block/block.h"
#include "devices/block/count.h"
#include "devices/scsi/op.h"
#include "vmm/core/util.h"

/* SPC-4 6.15.3: the TYPE field */
enum reservation_type {
	NO_RESERVATION = 0,
	WRITE_EXCLUSIVE = 1,
	EXCLUSIVE_ACCESS = 3,
	WRITE_EXCLUSIVE_REGISTRANTS = 5,
	EXCLUSIVE_ACCESS_REGISTRANTS = 6,
	WRITE_EXCLUSIVE_ALL = 7,
	EXCLUSIVE_ACCESS_ALL = 8,
	RESERVATION_TYPES
};

static const struct {
	bool known;
	uint8_t refused;  /* to who is neither holder nor excepted */
	bool registrants; /* whoever is registered is excepted */
	bool all;         /* ... and is a holder */
} types[RESERVATION_TYPES] = {
	[WRITE_EXCLUSIVE] = { true, ACCESS_WRITE, false, false },
	[EXCLUSIVE_ACCESS] = { true, ACCESS_READ | ACCESS_WRITE, false, false },
	[WRITE_EXCLUSIVE_REGISTRANTS] = { true, ACCESS_WRITE, true, false },
	[EXCLUSIVE_ACCESS_REGISTRANTS] = { true, ACCESS_READ | ACCESS_WRITE, true, false },
	[WRITE_EXCLUSIVE_ALL] = { true, ACCESS_WRITE, true, true },
	[EXCLUSIVE_ACCESS_ALL] = { true, ACCESS_READ | ACCESS_WRITE, true, true },
};

static bool is_holder(const struct scsi_nexus *nexus)
{
	const struct scsi_reservation *r = &nexus->lun->reservation;

	return r->type && (types[r->type].all ? nexus->registered : r->holder == nexus);
}

static unsigned refused_to(const struct scsi_nexus *nexus)
{
	const struct scsi_reservation *r = &nexus->lun->reservation;

	if (r->owner && r->owner != nexus)
		return ACCESS_ALL;
	if (!r->type || is_holder(nexus) || (types[r->type].registrants && nexus->registered))
		return 0;
	return types[r->type].refused;
}

void reserve_update(struct scsi_lun *lun)
{
	struct scsi_nexus *nexus;

	LIST_FOREACH(nexus, &lun->nexuses, link)
		nexus->refused = refused_to(nexus);
}

static void set_reservation(struct scsi_lun *lun, unsigned type, struct scsi_nexus *holder)
{
	lun->reservation.type = (uint8_t)type;
	lun->reservation.holder = type && !types[type].all ? holder : NULL;
}

static unsigned registrants(const struct scsi_lun *lun)
{
	const struct scsi_nexus *nexus;
	unsigned n = 0;

	LIST_FOREACH(nexus, &lun->nexuses, link)
		n += nexus->registered;
	return n;
}

static void tell_registrants(const struct scsi_nexus *but, enum scsi_sense why)
{
	struct scsi_nexus *nexus;

	LIST_FOREACH(nexus, &but->lun->nexuses, link)
		if (nexus != but && nexus->registered)
			scsi_nexus_attention(nexus, why);
}

/* The reservation goes with its holder, or with the last of all registrants (SPC-4 5.13.11.2). */
static void unregister(struct scsi_nexus *nexus)
{
	struct scsi_lun *lun = nexus->lun;
	unsigned type = lun->reservation.type;
	bool held = is_holder(nexus);

	nexus->registered = false;
	nexus->key = 0;
	if (!held || (types[type].all && registrants(lun)))
		return;
	set_reservation(lun, NO_RESERVATION, NULL);
	if (types[type].registrants)
		tell_registrants(nexus, SENSE_RESERVATIONS_RELEASED);
}

void reserve_forget(struct scsi_nexus *nexus)
{
	struct scsi_reservation *r = &nexus->lun->reservation;

	unregister(nexus);
	if (r->owner == nexus)
		r->owner = NULL;
	reserve_update(nexus->lun);
}

void reserve_release(struct scsi_lun *lun, const struct scsi_nexus *nexus)
{
	pthread_mutex_lock(&lun->lock);
	if (!nexus || lun->reservation.owner == nexus)
		lun->reservation.owner = NULL;
	reserve_update(lun);
	pthread_mutex_unlock(&lun->lock);
}

/* The old kind, SPC-2 7.21: of the whole LUN, for who asks. */

static enum scsi_sense check_whole(struct scsi_cmd *cmd)
{
	/* Third parties, and extents. */
	if (cmd->cdb[1] & 0x1f)
		return scsi_bad_cdb(cmd, 1, cmd->cdb[1] & 0x10 ? 4 : 0);
	return SENSE_NONE;
}

enum scsi_sense reserve_unit(struct scsi_cmd *cmd)
{
	struct scsi_lun *lun = cmd->unit;
	enum scsi_sense why = check_whole(cmd);

	if (why)
		return why;
	pthread_mutex_lock(&lun->lock);
	if (registrants(lun) || (lun->reservation.owner && lun->reservation.owner != cmd->nexus))
		why = SENSE_CONFLICT;
	else
		lun->reservation.owner = cmd->nexus;
	reserve_update(lun);
	pthread_mutex_unlock(&lun->lock);
	return why;
}

/* Another's reservation stays, and that is no error. */
enum scsi_sense reserve_release_unit(struct scsi_cmd *cmd)
{
	enum scsi_sense why = check_whole(cmd);
	bool conflict;

	if (why)
		return why;
	pthread_mutex_lock(&cmd->unit->lock);
	conflict = registrants(cmd->unit);
	pthread_mutex_unlock(&cmd->unit->lock);
	if (conflict)
		return SENSE_CONFLICT;
	reserve_release(cmd->unit, cmd->nexus);
	return SENSE_NONE;
}

/* PERSISTENT RESERVE IN, SPC-4 6.15. */

#define HEADER 8
#define TRANSPORT_ID 24
#define FULL_STATUS (24 + TRANSPORT_ID)

/*
 * The name of an initiator port. Virtio has none, so it is given the form of SAS, with a locally
 * assigned address (SPC-4 7.6.4.6): tools know that one.
 */
static void put_transport_id(const struct scsi_nexus *nexus, uint8_t to[TRANSPORT_ID])
{
	memset(to, 0, TRANSPORT_ID);
	to[0] = 0x06;
	be64_put(to + 4, 3ull << 60 | (nexus->port->initiator & ((1ull << 60) - 1)));
}

static void put_full_status(const struct scsi_nexus *nexus, uint8_t *to)
{
	be64_put(to, nexus->key);
	to[12] = is_holder(nexus);
	to[13] = is_holder(nexus) ? nexus->lun->reservation.type : 0;
	be16_put(to + 18, nexus->port->id);
	be32_put(to + 20, TRANSPORT_ID);
	put_transport_id(nexus, to + 24);
}

static void put_key(const struct scsi_nexus *nexus, uint8_t *to)
{
	be64_put(to, nexus->key);
}

/* A list with @size bytes for each registrant. */
static enum scsi_sense list_registrants(struct scsi_cmd *cmd, size_t size,
					void (*put)(const struct scsi_nexus *nexus, uint8_t *to))
{
	struct scsi_lun *lun = cmd->unit;
	const struct scsi_nexus *nexus;
	size_t len = HEADER;

	pthread_mutex_lock(&lun->lock);
	cmd->buffer = calloc(1, HEADER + registrants(lun) * size);
	if (cmd->buffer) {
		LIST_FOREACH(nexus, &lun->nexuses, link) {
			if (!nexus->registered)
				continue;
			put(nexus, cmd->buffer + len);
			len += size;
		}
		be32_put(cmd->buffer, lun->reservation.generation);
		be32_put(cmd->buffer + 4, (uint32_t)(len - HEADER));
	}
	pthread_mutex_unlock(&lun->lock);
	if (!cmd->buffer)
		return SENSE_FAILURE;
	return scsi_reply(cmd, cmd->buffer, len, be16_get(cmd->cdb + 7));
}

enum scsi_sense reserve_read_keys(struct scsi_cmd *cmd)
{
	return list_registrants(cmd, 8, put_key);
}

enum scsi_sense reserve_read_full_status(struct scsi_cmd *cmd)
{
	return list_registrants(cmd, FULL_STATUS, put_full_status);
}

enum scsi_sense reserve_read_reservation(struct scsi_cmd *cmd)
{
	uint8_t data[HEADER + 16] = { 0 };
	const struct scsi_reservation *r = &cmd->unit->reservation;

	pthread_mutex_lock(&cmd->unit->lock);
	be32_put(data, r->generation);
	if (r->type) {
		data[7] = 16;
		be64_put(data + 8, r->holder ? r->holder->key : 0);
		data[21] = r->type;
	}
	pthread_mutex_unlock(&cmd->unit->lock);
	return scsi_reply(cmd, data, HEADER + data[7], be16_get(cmd->cdb + 7));
}

/* No capability but the types: all of them. SPC-4 6.15.4 */
enum scsi_sense reserve_report_capabilities(struct scsi_cmd *cmd)
{
	static const uint8_t data[8] = { 0x00, 0x08, 0x00, 0x80, 0xea, 0x01 };

	return scsi_reply(cmd, data, sizeof(data), be16_get(cmd->cdb + 7));
}

/* PERSISTENT RESERVE OUT, SPC-4 6.16: each action under the lock. */

#define PREEMPT_AND_ABORT 0x05
#define PARAMETERS 24

struct action {
	struct scsi_cmd *cmd;
	struct scsi_nexus *nexus;
	struct scsi_lun *lun;
	unsigned type;         /* and SCOPE, whose only value, the LUN, is 0 */
	uint64_t key, new_key; /* RESERVATION KEY, SERVICE ACTION RESERVATION KEY */
	uint8_t bytes[PARAMETERS + TRANSPORT_ID];
};

static bool is_type(unsigned type)
{
	return type < RESERVATION_TYPES && types[type].known;
}

bool reserve_is_possible(const struct scsi_reservation *r, unsigned registrants)
{
	if (!r->type)
		return !r->holder;
	return is_type(r->type) && (types[r->type].all ? registrants && !r->holder : !!r->holder);
}

/* The wrong field is SCOPE or TYPE. */
static enum scsi_sense bad_type(struct scsi_cmd *cmd)
{
	return scsi_bad_cdb(cmd, 2, cmd->cdb[2] >> 4 ? 7 : 3);
}

static enum scsi_sense act_register(struct action *a)
{
	if (!a->new_key)
		unregister(a->nexus);
	a->nexus->registered = a->new_key;
	a->nexus->key = a->new_key;
	a->lun->reservation.generation++;
	return SENSE_NONE;
}

static enum scsi_sense act_reserve(struct action *a)
{
	const struct scsi_reservation *r = &a->lun->reservation;

	if (!r->type)
		set_reservation(a->lun, a->type, a->nexus);
	else if (!is_holder(a->nexus) || r->type != a->type)
		return SENSE_CONFLICT;
	return SENSE_NONE;
}

static enum scsi_sense act_release(struct action *a)
{
	unsigned type = a->lun->reservation.type;

	if (!is_holder(a->nexus))
		return SENSE_NONE;
	if (a->type != type)
		return SENSE_INVALID_RELEASE;
	set_reservation(a->lun, NO_RESERVATION, NULL);
	if (types[type].registrants)
		tell_registrants(a->nexus, SENSE_RESERVATIONS_RELEASED);
	return SENSE_NONE;
}

static enum scsi_sense act_clear(struct action *a)
{
	struct scsi_nexus *nexus;

	set_reservation(a->lun, NO_RESERVATION, NULL);
	tell_registrants(a->nexus, SENSE_RESERVATIONS_PREEMPTED);
	LIST_FOREACH(nexus, &a->lun->nexuses, link) {
		nexus->registered = false;
		nexus->key = 0;
	}
	a->lun->reservation.generation++;
	return SENSE_NONE;
}

/* Removes the others' registrations with this key, or with any; how many. */
static unsigned remove_registrants(struct action *a, bool any)
{
	struct scsi_nexus *nexus;
	unsigned n = 0;

	LIST_FOREACH(nexus, &a->lun->nexuses, link) {
		if (nexus == a->nexus || !nexus->registered ||
		    (!any && nexus->key != a->new_key))
			continue;
		nexus->registered = false;
		nexus->key = 0;
		scsi_nexus_attention(nexus, SENSE_REGISTRATIONS_PREEMPTED);
		if (a->cmd->op->action == PREEMPT_AND_ABORT)
			scsi_nexus_end_commands(nexus);
		n++;
	}
	return n;
}

/* SPC-4 5.13.11.2.4: the reservation changes hands if it is the key's, or if it is everyone's. */
static enum scsi_sense act_preempt(struct action *a)
{
	const struct scsi_reservation *r = &a->lun->reservation;
	unsigned old = r->type;
	bool all = types[old].all && !a->new_key;
	bool takes = all || (r->holder && r->holder->key == a->new_key);

	if (!a->new_key && !all)
		return scsi_bad_parameter(a->cmd, 8, 7);
	if (takes && !is_type(a->type))
		return bad_type(a->cmd);
	if (!remove_registrants(a, all) && !takes && a->nexus->key != a->new_key)
		return SENSE_CONFLICT;
	if (takes)
		set_reservation(a->lun, a->type, a->nexus);
	if (takes && types[old].registrants && a->type != old)
		tell_registrants(a->nexus, SENSE_RESERVATIONS_RELEASED);
	a->lun->reservation.generation++;
	return SENSE_NONE;
}

/* The nexus that the TransportID in the parameters names; NULL: none that we know. */
static struct scsi_nexus *named_nexus(const struct action *a)
{
	uint8_t id[TRANSPORT_ID];
	struct scsi_nexus *nexus;

	LIST_FOREACH(nexus, &a->lun->nexuses, link) {
		put_transport_id(nexus, id);
		if (!memcmp(id, a->bytes + PARAMETERS, sizeof(id)) &&
		    be16_get(a->bytes + 18) == nexus->port->id)
			return nexus;
	}
	return NULL;
}

/* SPC-4 5.13.8 */
static enum scsi_sense act_move(struct action *a)
{
	struct scsi_nexus *to = named_nexus(a);
	unsigned type = a->lun->reservation.type;

	if (!is_holder(a->nexus) || types[type].all)
		return SENSE_CONFLICT;
	if (!a->new_key)
		return scsi_bad_parameter(a->cmd, 8, 7);
	if (!to || to == a->nexus)
		return scsi_bad_parameter(a->cmd, PARAMETERS, 7);
	if (a->type != type)
		return bad_type(a->cmd);
	to->registered = true;
	to->key = a->new_key;
	set_reservation(a->lun, type, to);
	if (a->bytes[17] & 0x02) { /* UNREG */
		a->nexus->registered = false;
		a->nexus->key = 0;
	}
	a->lun->reservation.generation++;
	return SENSE_NONE;
}

static const struct {
	enum scsi_sense (*run)(struct action *a);
	bool any_key;    /* RESERVATION KEY is not looked at */
	bool newcomers;  /* for who is not registered, with key 0, too */
	bool has_type;   /* TYPE must be one that there is */
	uint8_t extra;   /* bytes behind the parameters */
} actions[] = {
	[0x00] = { .run = act_register, .newcomers = true },
	[0x01] = { .run = act_reserve, .has_type = true },
	[0x02] = { .run = act_release },
	[0x03] = { .run = act_clear },
	[0x04] = { .run = act_preempt },
	[PREEMPT_AND_ABORT] = { .run = act_preempt },
	[0x06] = { .run = act_register, .any_key = true },
	[0x07] = { .run = act_move, .has_type = true, .extra = TRANSPORT_ID },
};

/* SPEC_I_PT, ALL_TG_PT and APTPL are not offered; REGISTER AND MOVE has flags of its own. */
static enum scsi_sense check_flags(const struct action *a)
{
	bool moves = actions[a->cmd->op->action].extra;
	uint8_t bad = moves ? a->bytes[17] & ~0x02 : a->bytes[20];

	if (bad)
		return scsi_bad_parameter(a->cmd, moves ? 17 : 20, 31 - __builtin_clz(bad));
	if (moves && be32_get(a->bytes + 20) != TRANSPORT_ID)
		return SENSE_PARAMETER_LIST_LENGTH;
	return SENSE_NONE;
}

static enum scsi_sense fetch(struct action *a)
{
	struct scsi_cmd *cmd = a->cmd;
	size_t want = PARAMETERS + actions[cmd->op->action].extra;

	a->type = cmd->cdb[2];
	if (actions[cmd->op->action].has_type && !is_type(a->type))
		return bad_type(cmd);
	if (be32_get(cmd->cdb + 5) != want)
		return SENSE_PARAMETER_LIST_LENGTH;
	if (!scsi_fetch(cmd, a->bytes, want))
		return SENSE_OVERRUN;
	a->key = be64_get(a->bytes);
	a->new_key = be64_get(a->bytes + 8);
	return check_flags(a);
}

static bool key_matches(const struct action *a)
{
	unsigned action = a->cmd->op->action;

	if (actions[action].any_key)
		return true;
	if (!a->nexus->registered)
		return actions[action].newcomers && !a->key;
	return a->key == a->nexus->key;
}

/*
 * What PREEMPT AND ABORT has ended is over before it ends itself (SPC-4 5.13.11.2.6): of a node
 * that was thrown out nothing is written any more. I/O threads do not wait for one another, so it
 * has the store flush, which takes as long as the store does, and looks again. Reads change
 * nothing, and are not waited for.
 */
static enum scsi_sense await_others(struct scsi_cmd *cmd)
{
	if (!scsi_others_linger(cmd->nexus))
		return SENSE_NONE;
	if (block_count_now() - cmd->began > BLOCK_PATIENCE_TMF * 1000000ull)
		return SENSE_INTERNAL_FAILURE;
	cmd->next = await_others;
	return sbc_submit(cmd, BLOCK_FLUSH, 0, 0, 0);
}

enum scsi_sense reserve_out(struct scsi_cmd *cmd)
{
	struct action a = { .cmd = cmd, .nexus = cmd->nexus, .lun = cmd->unit };
	enum scsi_sense why = fetch(&a);

	if (why)
		return why;
	pthread_mutex_lock(&a.lun->lock);
	why = key_matches(&a) ? actions[cmd->op->action].run(&a) : SENSE_CONFLICT;
	reserve_update(a.lun);
	pthread_mutex_unlock(&a.lun->lock);
	return why || cmd->op->action != PREEMPT_AND_ABORT ? why : await_others(cmd);
}
