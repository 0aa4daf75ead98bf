/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "devices/scsi/op.h"
#include "vmm/core/util.h"

/* SAM-5 4.7.10 */
static const uint8_t report_luns_wlun[8] = { 0xc1, 0x01 };

bool scsi_is_wlun(const uint8_t lun_field[8])
{
	return !memcmp(lun_field, report_luns_wlun, sizeof(report_luns_wlun));
}

void scsi_lun_address(uint16_t number, uint8_t lun_field[8])
{
	memset(lun_field, 0, 8);
	be16_put(lun_field, number < 256 ? number : 0x4000 | number);
}

int scsi_lun_number(const uint8_t lun_field[8])
{
	static const uint8_t zero[6];
	bool flat = lun_field[0] >> 6 == 1;

	if ((!flat && lun_field[0]) || memcmp(lun_field + 2, zero, sizeof(zero)))
		return -1;
	return be16_get(lun_field) & (SCSI_LUNS_MAX - 1);
}

int scsi_lun_compare(const struct scsi_lun *lun, uint8_t target, uint16_t number)
{
	return lun->target != target ? lun->target - target : lun->lun - number;
}

void scsi_port_init(struct scsi_port *port, uint16_t id)
{
	*port = (struct scsi_port){ .id = id, .initiator = id };
	pthread_mutex_init(&port->lock, NULL);
}

void scsi_port_fini(struct scsi_port *port)
{
	unsigned i;

	for (i = 0; i < port->count; i++)
		scsi_nexus_free(port->nexus[i]);
	free(port->nexus);
	port->nexus = NULL;
	port->count = 0;
	pthread_mutex_destroy(&port->lock);
}

/* Index of the first nexus whose address is not below this one. */
static unsigned place_of(const struct scsi_port *port, const struct scsi_lun *lun)
{
	unsigned low = 0, high = port->count;

	while (low < high) {
		unsigned mid = (low + high) / 2;

		if (scsi_lun_compare(port->nexus[mid]->lun, lun->target, lun->lun) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* Under the port's lock. */
static int insert(struct scsi_port *port, struct scsi_nexus *nexus)
{
	const struct scsi_lun *lun = nexus->lun;
	unsigned at = place_of(port, lun);
	struct scsi_nexus **list;

	if (at < port->count && !scsi_lun_compare(port->nexus[at]->lun, lun->target, lun->lun))
		return -EEXIST;
	list = realloc(port->nexus, (port->count + 1) * sizeof(struct scsi_nexus *));
	if (!list)
		return -ENOMEM;
	memmove(list + at + 1, list + at, (port->count - at) * sizeof(struct scsi_nexus *));
	list[at] = nexus;
	port->nexus = list;
	port->count++;
	return 0;
}

/* The first nexus powers the LUN on; a later one finds it running, but is new itself. */
static void join(struct scsi_nexus *nexus)
{
	struct scsi_lun *lun = nexus->lun;
	bool first = LIST_EMPTY(&lun->nexuses);

	if (first && lun->physical_block < lun->block_size)
		lun->physical_block = lun->block_size;
	if (first)
		scsi_lun_reset(lun);
	scsi_nexus_attention(nexus, SENSE_POWER_ON);
	pthread_mutex_lock(&lun->lock);
	LIST_INSERT_HEAD(&lun->nexuses, nexus, link);
	reserve_update(lun);
	pthread_mutex_unlock(&lun->lock);
}

int scsi_port_add(struct scsi_port *port, struct scsi_lun *lun)
{
	struct scsi_nexus *nexus = calloc(1, sizeof(*nexus));
	int r;

	if (!nexus)
		return -ENOMEM;
	nexus->port = port;
	nexus->lun = lun;
	pthread_mutex_lock(&port->lock);
	r = insert(port, nexus);
	if (r < 0)
		free(nexus);
	else
		join(nexus);
	pthread_mutex_unlock(&port->lock);
	return r;
}

struct scsi_nexus *scsi_port_take(struct scsi_port *port, const struct scsi_lun *lun)
{
	struct scsi_nexus *nexus = NULL;
	unsigned at;

	pthread_mutex_lock(&port->lock);
	at = place_of(port, lun);
	if (at < port->count && port->nexus[at]->lun == lun) {
		nexus = port->nexus[at];
		port->count--;
		memmove(port->nexus + at, port->nexus + at + 1,
			(port->count - at) * sizeof(struct scsi_nexus *));
	}
	pthread_mutex_unlock(&port->lock);
	return nexus;
}

void scsi_nexus_free(struct scsi_nexus *nexus)
{
	if (!nexus)
		return;
	pthread_mutex_lock(&nexus->lun->lock);
	reserve_forget(nexus);
	LIST_REMOVE(nexus, link);
	pthread_mutex_unlock(&nexus->lun->lock);
	free(nexus);
}

/* What an initiator has set for itself. */
static void leave(struct scsi_nexus *nexus)
{
	pthread_mutex_lock(&nexus->lun->lock);
	nexus->prevents = false;
	pthread_mutex_unlock(&nexus->lun->lock);
	reserve_release(nexus->lun, nexus);
}

void scsi_port_reset(struct scsi_port *port)
{
	unsigned i;

	pthread_mutex_lock(&port->lock);
	for (i = 0; i < port->count; i++) {
		struct scsi_nexus *nexus = port->nexus[i];

		if (scsi_lun_is_shared(nexus->lun))
			leave(nexus);
		else
			scsi_lun_reset(nexus->lun);
		/* It tells all that earlier attentions would. */
		atomic_store(&nexus->attentions, 1u << SENSE_POWER_ON);
	}
	pthread_mutex_unlock(&port->lock);
}

void scsi_port_luns_changed(struct scsi_port *port, const struct scsi_lun *lun)
{
	unsigned i;

	pthread_mutex_lock(&port->lock);
	for (i = 0; i < port->count; i++) {
		struct scsi_nexus *nexus = port->nexus[i];

		if (nexus->lun != lun && nexus->lun->target == lun->target)
			scsi_nexus_attention(nexus, SENSE_LUNS_CHANGED);
	}
	pthread_mutex_unlock(&port->lock);
}

bool scsi_port_has(struct scsi_port *port, uint8_t target, const uint8_t *lun_field)
{
	int number = lun_field ? scsi_lun_number(lun_field) : 0;
	bool found = false;
	unsigned i;

	pthread_mutex_lock(&port->lock);
	for (i = 0; !found && i < port->count; i++) {
		const struct scsi_lun *lun = port->nexus[i]->lun;

		found = lun->target == target && (!lun_field || lun->lun == number);
	}
	pthread_mutex_unlock(&port->lock);
	return found;
}

uint8_t scsi_port_last_target(struct scsi_port *port)
{
	uint8_t last = 0;

	pthread_mutex_lock(&port->lock);
	if (port->count)
		last = port->nexus[port->count - 1]->lun->target;
	pthread_mutex_unlock(&port->lock);
	return last;
}
