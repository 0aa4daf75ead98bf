/* SPDX-License-Identifier: MIT */
#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "devices/scsi/op.h"
#include "vmm/core/log.h"
#include "vmm/core/util.h"

static_assert(SENSE_LUNS_CHANGED < 32, "attentions are bits of 32");

/*
 * A hash, folded to the 22 bits that are free in a locally assigned company: of its first byte the
 * lowest bit is 0 and the next one 1, as in a MAC address (IEEE 802, 8.2.2).
 */
static uint32_t local_company(const char *serial)
{
	uint64_t hash = hash_u64(serial, strlen(serial));
	uint32_t folded = (uint32_t)(hash ^ hash >> 22 ^ hash >> 44);

	return (folded & 0xfcffff) | 0x020000;
}

void scsi_naa_from_serial(char naa[SCSI_NAA_MAX + 1], uint32_t company, const char *serial)
{
	size_t at = snprintf(naa, SCSI_NAA_MAX + 1, "6%06x", company & 0xffffff);

	for (; *serial && at < SCSI_NAA_MAX; serial++) {
		if (isxdigit((unsigned char)*serial))
			naa[at++] = (char)tolower((unsigned char)*serial);
	}
	memset(naa + at, '0', SCSI_NAA_MAX - at);
	naa[SCSI_NAA_MAX] = 0;
}

uint32_t scsi_naa_company(const char *naa)
{
	uint32_t company = 0;

	sscanf(naa, "6%6x", &company);
	return company;
}

void scsi_lun_init(struct scsi_lun *lun, struct block *block, uint16_t number, const char *serial)
{
	BUG_ON(strlen(serial) > SCSI_ID_MAX);
	*lun = (struct scsi_lun){
		.lun = number,
		.block = block,
		.block_size = 512,
		.physical_block = block ? block->physical_block : 512,
		.readonly = block && block->readonly,
		.discard = block && block->can_discard,
		.atomic = block && !block->readonly && block->atomic_max,
		.vendor = "LUNETTE",
		.product = "DISK",
	};
	snprintf(lun->revision, sizeof(lun->revision), "%s", VERSION);
	snprintf(lun->serial, sizeof(lun->serial), "%s", serial);
	scsi_naa_from_serial(lun->naa, local_company(serial), serial);
	LIST_INIT(&lun->claims[false]);
	LIST_INIT(&lun->claims[true]);
	LIST_INIT(&lun->nexuses);
	pthread_mutex_init(&lun->lock, NULL);
}

void scsi_lun_become_cd(struct scsi_lun *lun)
{
	lun->type = SCSI_CD;
	lun->removable = lun->readonly = true;
	lun->discard = false;
	lun->block_size = lun->physical_block = 2048;
	snprintf(lun->product, sizeof(lun->product), "CD-ROM");
}

void scsi_lun_fini(struct scsi_lun *lun)
{
	BUG_ON(!LIST_EMPTY(&lun->nexuses));
	pthread_mutex_destroy(&lun->lock);
}

static void allow_removal(struct scsi_lun *lun)
{
	struct scsi_nexus *nexus;

	LIST_FOREACH(nexus, &lun->nexuses, link)
		nexus->prevents = false;
}

void scsi_lun_reset(struct scsi_lun *lun)
{
	lun->write_cache = !lun->write_through;
	lun->descriptor_sense = false;
	lun->swp = false;
	lun->stopped = false;
	pthread_mutex_lock(&lun->lock);
	allow_removal(lun);
	pthread_mutex_unlock(&lun->lock);
	reserve_release(lun, NULL);
}

bool scsi_is_protected(const struct scsi_lun *lun)
{
	return lun->readonly || lun->swp;
}

bool scsi_lun_is_shared(struct scsi_lun *lun)
{
	const struct scsi_nexus *first;
	bool shared;

	pthread_mutex_lock(&lun->lock);
	first = LIST_FIRST(&lun->nexuses);
	shared = first && LIST_NEXT(first, link);
	pthread_mutex_unlock(&lun->lock);
	return shared;
}

bool scsi_lun_is_locked(struct scsi_lun *lun)
{
	struct scsi_nexus *nexus;
	bool locked = false;

	pthread_mutex_lock(&lun->lock);
	LIST_FOREACH(nexus, &lun->nexuses, link)
		locked |= nexus->prevents;
	pthread_mutex_unlock(&lun->lock);
	return locked;
}

void scsi_nexus_attention(struct scsi_nexus *nexus, enum scsi_sense why)
{
	BUG_ON(why < SENSE_POWER_ON || why > SENSE_LUNS_CHANGED);
	atomic_fetch_or(&nexus->attentions, 1u << why);
}

static void attention_but(struct scsi_lun *lun, const struct scsi_nexus *not, enum scsi_sense why)
{
	struct scsi_nexus *nexus;

	pthread_mutex_lock(&lun->lock);
	LIST_FOREACH(nexus, &lun->nexuses, link)
		if (nexus != not)
			scsi_nexus_attention(nexus, why);
	pthread_mutex_unlock(&lun->lock);
}

void scsi_attention(struct scsi_lun *lun, enum scsi_sense why)
{
	attention_but(lun, NULL, why);
}

void scsi_attention_others(const struct scsi_nexus *nexus, enum scsi_sense why)
{
	attention_but(nexus->lun, nexus, why);
}

enum scsi_sense scsi_attention_take(struct scsi_nexus *nexus)
{
	unsigned pending = nexus->attentions;
	unsigned first;

	do {
		if (!pending)
			return SENSE_NONE;
		first = pending & -pending;
	} while (!atomic_compare_exchange_weak(&nexus->attentions, &pending, pending & ~first));
	return (enum scsi_sense)__builtin_ctz(first);
}

void scsi_nexus_end_commands(struct scsi_nexus *nexus)
{
	atomic_fetch_add(&nexus->epoch, 1);
}

void scsi_end_others(const struct scsi_nexus *nexus)
{
	struct scsi_nexus *other;

	pthread_mutex_lock(&nexus->lun->lock);
	LIST_FOREACH(other, &nexus->lun->nexuses, link)
		if (other != nexus)
			scsi_nexus_end_commands(other);
	pthread_mutex_unlock(&nexus->lun->lock);
}

void scsi_lun_eject(struct scsi_lun *lun)
{
	pthread_mutex_lock(&lun->lock);
	allow_removal(lun);
	pthread_mutex_unlock(&lun->lock);
	lun->ejected = true;
	lun->media_event = SCSI_MEDIA_REMOVED;
}

void scsi_lun_wish_eject(struct scsi_lun *lun)
{
	lun->media_event = SCSI_MEDIA_EJECT_WISH;
}

void scsi_lun_load(struct scsi_lun *lun)
{
	lun->stopped = false;
	if (!lun->ejected)
		return;
	lun->ejected = false;
	lun->media_event = SCSI_MEDIA_NEW;
	scsi_attention(lun, SENSE_MEDIUM_CHANGED);
}
