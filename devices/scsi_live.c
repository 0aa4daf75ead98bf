/* SPDX-License-Identifier: MIT */
/*
 * scsi_live.c - what is done to disks and CD-ROM drives while the guest runs, on
 * the user's word. The target and the driver hear of it by scsi_plug.c.
 *
 * The main thread alone changes which LUNs there are and which medium is in
 * them; I/O threads are asked to look again, and have done so when the asking
 * returns.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "devices/scsi_disk.h"
#include "devices/scsi_plug.h"
#include "devices/virtio_scsi.h"
#include "vmm/core/fail.h"
#include "vmm/core/log.h"
#include "vmm/core/utf8.h"
#include "vmm/core/util.h"

static struct scsi_disk *disk_of(struct device *dev)
{
	return container_of(dev, struct scsi_disk, dev);
}

/* While the guest runs it is known who serves them; before, each controller looks at its disks. */
int scsi_disk_check_buses(const struct scsi_disk *d, const char *name)
{
	unsigned i;

	for (i = 0; d->nbuses > 1 && i < d->nbuses; i++) {
		if (!virtio_scsi_in_kernel(d->bus[i]))
			continue;
		log_err("%s: the kernel serves %s (vhost), which cannot share a disk; run with "
			"--vhost off", name, d->bus[i]->id);
		return -EBUSY;
	}
	return 0;
}

/* A LUN on several buses is never the kernel's, so the first one tells. */
static int check_ours(const struct scsi_disk *d)
{
	if (!virtio_scsi_in_kernel(d->bus[0]))
		return 0;
	log_err("%s: %s is served by the kernel (vhost), for which there are plug and unplug "
		"alone; run with --vhost off", d->dev.id, d->bus[0]->id);
	return -EBUSY;
}

static int check_medium(const struct scsi_disk *d)
{
	if (d->medium.block)
		return 0;
	log_err("%s: there is no medium in it; insert one first", d->dev.id);
	return -ENOMEDIUM;
}

static int check_removable(const struct scsi_disk *d)
{
	if (d->lun.removable)
		return 0;
	log_err("%s: has a medium that stays in it; unplug it as a whole, or start it with "
		"removable=on", d->dev.id);
	return -EUSAGE;
}

static int unplug(struct device *dev)
{
	return scsi_disk_leave(disk_of(dev));
}

/* Size. */

static void settle(void *arg)
{
	struct scsi_disk *d = arg;
	unsigned i;

	for (i = 0; i < d->nbuses; i++)
		scsi_plug_settle(virtio_scsi_host(d->bus[i]), &d->lun);
}

static int check_resize(const struct scsi_disk *d, uint64_t size)
{
	int r = check_ours(d);

	if (!r && d->lun.type == SCSI_CD) {
		log_err("%s: is a CD-ROM drive; eject, and insert another image", d->dev.id);
		r = -EUSAGE;
	}
	if (!r)
		r = check_medium(d);
	if (!r && (!size || size % d->lun.block_size)) {
		log_err("%s: %llu bytes: a multiple of the block size, %u, is wanted", d->dev.id,
			(unsigned long long)size, d->lun.block_size);
		r = -EUSAGE;
	}
	return r;
}

static int resize(struct device *dev, uint64_t size)
{
	struct scsi_disk *d = disk_of(dev);
	int r = check_resize(d, size);
	unsigned i;

	if (r < 0 || size == d->medium.block->size)
		return r;
	r = block_resize(d->medium.block, size, settle, d);
	for (i = 0; !r && i < d->nbuses; i++)
		scsi_plug_resized(virtio_scsi_host(d->bus[i]), &d->lun);
	return r;
}

/* Media. */

/* The tray opens; @block, or nothing, is in it when this returns. */
static int change_medium(struct scsi_disk *d, struct block *block)
{
	int r = 0, err;
	unsigned i;

	scsi_lun_eject(&d->lun);
	d->lun.block = d->medium.block = block;
	for (i = 0; i < d->nbuses; i++) {
		err = scsi_plug_media(virtio_scsi_host(d->bus[i]));
		r = r ? r : err;
	}
	return r;
}

/* What the user takes out in good order is kept, as at the end of the run. */
static int take_out(struct scsi_disk *d)
{
	struct block *old = d->medium.block;
	int r;

	change_medium(d, NULL);
	r = block_commit(old);
	block_close(old);
	return r;
}

static int eject(struct device *dev)
{
	struct scsi_disk *d = disk_of(dev);
	int r = check_ours(d);

	if (!r)
		r = check_removable(d);
	if (!r)
		r = check_medium(d);
	if (r < 0)
		return r;
	if (scsi_lun_is_locked(&d->lun)) {
		scsi_lun_wish_eject(&d->lun);
		log_err("%s: the guest prevents the removal of its medium, and has been asked for "
			"it; umount it there", dev->id);
		return -EBUSY;
	}
	return take_out(d);
}

static int load_again(struct scsi_disk *d)
{
	if (!d->medium.block) {
		log_err("%s: is empty; insert which file?", d->dev.id);
		return -EUSAGE;
	}
	scsi_lun_load(&d->lun);
	return 0;
}

/* A locked image may be in the open tray, and be put in again: so it is taken out first. */
static int insert_file(struct scsi_disk *d, const char *file)
{
	struct block *block;
	int r = d->medium.block ? take_out(d) : 0;

	if (!r)
		r = medium_open(&d->medium, file, &block);
	if (r < 0)
		return r;
	r = change_medium(d, block);
	if (r < 0) {
		log_err("%s: %s: %s", d->dev.id, file, strerror(-r));
		take_out(d);
		return r;
	}
	scsi_lun_load(&d->lun);
	return 0;
}

static int insert(struct device *dev, const char *file)
{
	struct scsi_disk *d = disk_of(dev);
	int r = check_ours(d);

	if (!r)
		r = check_removable(d);
	if (!r && d->medium.block && !d->lun.ejected) {
		log_err("%s: has a medium, %s; eject that first", dev->id, d->medium.block->path);
		r = -EBUSY;
	}
	if (r < 0)
		return r;
	return file ? insert_file(d, file) : load_again(d);
}

static int fault(struct device *dev, const char *rules)
{
	struct scsi_disk *d = disk_of(dev);
	int r = check_ours(d);
	unsigned i;

	if (!r)
		r = check_medium(d);
	if (!r)
		r = medium_fault(&d->medium, rules);
	if (!r)
		d->lun.block = d->medium.block;
	for (i = 0; !r && i < d->nbuses; i++) {
		r = scsi_plug_swap(virtio_scsi_host(d->bus[i]), &d->lun);
		if (r < 0)
			log_err("%s: fault=: %s", dev->id, strerror(-r));
	}
	return r;
}

/* Paths. */

static const char *const access_words[] = {
	[SCSI_ACCESS_OPTIMIZED] = "optimized",
	[SCSI_ACCESS_NON_OPTIMIZED] = "non-optimized",
	[SCSI_ACCESS_STANDBY] = "standby",
	[SCSI_ACCESS_UNAVAILABLE] = "unavailable",
	[SCSI_ACCESS_FAILS] = "fails",
};

static_assert(ARRAY_SIZE(access_words) == SCSI_ACCESS_STATES, "a state has no word");

static int find_access(const struct scsi_disk *d, const char *word, enum scsi_access_state *state)
{
	char all[100] = "";
	unsigned i;

	for (i = 0; i < SCSI_ACCESS_STATES; i++) {
		if (!strcmp(access_words[i], word)) {
			*state = i;
			return 0;
		}
		strcat(strcat(all, i ? ", " : ""), access_words[i]);
	}
	log_err("%s: %s: is no state of a path; there are %s", d->dev.id, word, all);
	return -EUSAGE;
}

static struct device *find_bus(const struct scsi_disk *d, const char *name)
{
	unsigned i;

	for (i = 0; i < d->nbuses; i++)
		if (!strcmp(d->bus[i]->id, name))
			return d->bus[i];
	log_err("%s: %s: is no bus of it; 'devices' lists them", d->dev.id, name);
	return NULL;
}

static int set_path(struct device *dev, const char *bus_name, const char *word)
{
	struct scsi_disk *d = disk_of(dev);
	enum scsi_access_state state;
	struct device *bus;
	int r = check_ours(d);

	if (!r && !d->lun.alua) {
		log_err("%s: is on one bus; paths have states where there are several: "
			"bus=ID+ID", dev->id);
		r = -EUSAGE;
	}
	if (!r)
		r = find_access(d, word, &state);
	if (r < 0)
		return r;
	bus = find_bus(d, bus_name);
	return bus ? scsi_access_set(&d->lun, virtio_scsi_port(bus), state) : -ENODEV;
}

/* What is told. */

static void place(const struct device *dev, struct device_place *to)
{
	const struct scsi_disk *d = container_of(dev, struct scsi_disk, dev);

	*to = (struct device_place){ .bus = d->bus[0], .target = d->lun.target, .lun = d->lun.lun,
				     .disk = d->lun.type == SCSI_DISK };
}

void scsi_disk_expect(const struct device *dev, struct device_facts *to)
{
	const struct scsi_disk *d = container_of(dev, struct scsi_disk, dev);
	const uint64_t at[] = { d->lun.target, d->lun.lun };
	unsigned i;

	for (i = 0; i < d->nbuses; i++)
		to->numbers(to, "lun", at, 2);
}

/* "s0=optimized+s1=standby" */
static void path_facts(const struct scsi_disk *d, struct device_facts *to)
{
	char paths[SCSI_DISK_BUSES_MAX * (DEVICE_ID_MAX + 16)] = "";
	size_t at = 0;
	unsigned i;

	for (i = 0; i < d->nbuses; i++)
		at += snprintf(paths + at, sizeof(paths) - at, "%s%s=%s", i ? "+" : "",
			       d->bus[i]->id,
			       access_words[scsi_access_of(&d->lun,
							   virtio_scsi_port(d->bus[i]))]);
	to->text(to, "paths", paths);
}

void scsi_disk_facts(const struct device *dev, struct device_facts *to)
{
	const struct scsi_disk *d = container_of(dev, struct scsi_disk, dev);
	const struct scsi_lun *lun = &d->lun;
	char buses[SCSI_DISK_BUSES_MAX * (DEVICE_ID_MAX + 1)] = "";
	unsigned i;

	for (i = 0; i < d->nbuses; i++) {
		strcat(buses, i ? "+" : "");
		strcat(buses, d->bus[i]->id);
	}
	to->text(to, "bus", buses);
	to->number(to, "target", lun->target);
	to->number(to, "lun", lun->lun);
	to->text(to, "served", virtio_scsi_in_kernel(d->bus[0]) ? "kernel" : "process");
	to->text(to, "serial", lun->serial);
	to->text(to, "naa", lun->naa);
	if (lun->alua)
		path_facts(d, to);
	to->text(to, "medium", !d->medium.block ? "none" : lun->ejected ? "ejected" : "in");
	medium_facts(&d->medium, to);
}

int scsi_disk_counters(struct device *dev, struct device_facts *to)
{
	struct scsi_disk *d = disk_of(dev);
	struct block_counters sum = { 0 };
	int r = check_ours(d);
	unsigned i;

	if (r < 0)
		return r;
	scsi_lun_count(&d->lun, &sum);
	for (i = 0; i < d->nbuses; i++)
		scsi_plug_count(virtio_scsi_host(d->bus[i]), &d->lun, &sum);
	medium_counters(&sum, to);
	return 0;
}

static const char *discard_words(const struct scsi_disk *d)
{
	if (d->lun.discard)
		return "gives space back";
	if (d->medium.block->can_discard)
		return "off, as asked";
	return d->lun.readonly ? "off, as nothing is written" : "off, as the store cannot";
}

void scsi_disk_explain(const struct device *dev, FILE *out)
{
	const struct scsi_disk *d = container_of(dev, struct scsi_disk, dev);
	const struct scsi_lun *lun = &d->lun;
	unsigned i;

	if (d->medium.block)
		utf8_line(out, "  image: %s, %llu bytes in blocks of %u, %s", d->medium.block->path,
			  (unsigned long long)d->medium.block->size, lun->block_size,
			  lun->readonly ? "write-protected" : "writable");
	else
		fprintf(out, "  image: none\n");
	if (d->medium.block && d->medium.block->by)
		utf8_line(out, "  image served by: %s", d->medium.block->by);
	for (i = 0; i < d->nbuses; i++)
		fprintf(out, "  place: target %u, LUN %u of %s\n", lun->target, lun->lun,
			d->bus[i]->id);
	fprintf(out, "  names: serial %s, NAA %s\n", lun->serial, lun->naa);
	if (lun->type == SCSI_DISK)
		fprintf(out, "  discard: %s\n", discard_words(d));
}

/* What becomes of its changes. */

static int keep(struct device *dev, int folder)
{
	struct scsi_disk *d = disk_of(dev);

	if (!medium_changes_vanish(&d->medium))
		return 0;
	scsi_disk_stop(d);
	return medium_keep(&d->medium, dev->id, folder);
}

const struct device_hotplug scsi_disk_hotplug = { .unplug = unplug };
const struct device_medium scsi_disk_medium = {
	.resize = resize, .eject = eject, .insert = insert, .fault = fault, .keep = keep,
};
const struct device_lun scsi_disk_lun = { .path = set_path, .place = place };
