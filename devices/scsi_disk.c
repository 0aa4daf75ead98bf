/* SPDX-License-Identifier: MIT */
/*
 * scsi_disk.c - a disk, or a CD-ROM drive: a medium that becomes a LUN of a
 * controller, or of several, for multipath.
 *
 * The guest knows disks by number and by name, and both are the same at every
 * start. The number is the place on the command line; disk_name.h has the names.
 */
#include "devices/scsi_disk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "devices/disk_name.h"
#include "devices/virtio_scsi.h"
#include "vmm/core/fail.h"
#include "vmm/core/log.h"
#include "vmm/core/util.h"

struct scsi_disk_cfg {
	struct medium_cfg medium;
	struct scsi_unit_cfg unit;
	const char *bus, *shared;
	uint32_t lun, target;
};

#define LUN_NEXT SCSI_LUNS_MAX /* stands for: the first after those on the bus */

static const char *const lun_words[] = { "next", NULL };

#define OPTION(name) offsetof(struct scsi_disk_cfg, name)

/* Where a LUN is, what it is called, what may be in it: the same for all of them. */
#define OPT_PLACE                                                                            \
	{ .key = "bus", .type = OPT_STR, .offset = OPTION(bus), .arg = "ID[+ID...]",         \
	  .help = "the virtio-scsi controller (default the one before); several: multipath" }, \
	{ .key = "target", .type = OPT_U32, .offset = OPTION(target), .def = "0", .min = 0,  \
	  .max = UINT8_MAX, .help = "number of the target" },                                \
	{ .key = "lun", .type = OPT_U32, .offset = OPTION(lun), .def = "next", .min = 0,     \
	  .max = SCSI_LUNS_MAX - 1, .words = lun_words,                                      \
	  .help = "number; next is the one after those of the target" },                     \
	SCSI_SERIAL_OPT(struct scsi_disk_cfg, unit)

static const struct opt scsi_disk_opts[] = {
	{ .key = "file", .type = OPT_STR, .offset = OPTION(medium.file), .arg = "FILE",
	  .help = "image or block device; 'file=' may be left out" },
	OPT_PLACE,
	SCSI_UNIT_OPTS(struct scsi_disk_cfg, unit),
	MEDIUM_OPTS(struct scsi_disk_cfg, medium),
	{ .key = "shared", .type = OPT_STR, .offset = OPTION(shared), .arg = "NAME",
	  .help = "of --disk: all guests that say this name have the disk together; see --device "
		  "shared-disk,help" },
	{ 0 }
};

static const struct opt scsi_cd_opts[] = {
	{ .key = "file", .type = OPT_STR, .offset = OPTION(medium.file), .arg = "FILE",
	  .help = "image; 'file=' may be left out, and without it the drive is empty" },
	OPT_PLACE,
	MEDIUM_FORMAT_OPT(struct scsi_disk_cfg, medium),
	{ 0 }
};

/* What a disk is made from. */
struct wish {
	const char *id;
	const struct device_list *list;
	const struct scsi_disk_cfg *cfg;
	enum scsi_type type;
};

static int report_no_bus(const struct wish *w, const char *bus)
{
	if (bus)
		log_err("%s: bus=%s: no " VIRTIO_SCSI_CLASS " of this name stands before it", w->id,
			bus);
	else
		log_err("%s: no " VIRTIO_SCSI_CLASS " stands before it; add --device "
			VIRTIO_SCSI_CLASS, w->id);
	return -EUSAGE;
}

static int add_bus(const struct wish *w, struct scsi_disk *d, const char *bus)
{
	struct device *dev = device_find(w->list, VIRTIO_SCSI_CLASS, bus);
	unsigned i;

	if (!dev)
		return report_no_bus(w, bus);
	for (i = 0; i < d->nbuses; i++) {
		if (d->bus[i] == dev) {
			log_err("%s: bus=%s: is named twice", w->id, bus);
			return -EUSAGE;
		}
	}
	if (d->nbuses == SCSI_DISK_BUSES_MAX) {
		log_err("%s: bus=%s: a disk can be on %d buses at most", w->id, bus,
			SCSI_DISK_BUSES_MAX);
		return -EUSAGE;
	}
	d->bus[d->nbuses++] = dev;
	return 0;
}

static int find_buses(const struct wish *w, struct scsi_disk *d)
{
	char names[SCSI_DISK_BUSES_MAX * (DEVICE_ID_MAX + 2)], *next = names, *name;
	int r = 0;

	if (!w->cfg->bus)
		return add_bus(w, d, NULL);
	if (strlen(w->cfg->bus) >= sizeof(names))
		return report_no_bus(w, w->cfg->bus);
	strcpy(names, w->cfg->bus);
	while (!r && (name = strsep(&next, "+")))
		r = add_bus(w, d, name);
	return r ? r : scsi_disk_check_buses(d, w->id);
}

/* One more than the last LUN of the target, on each bus. */
static uint32_t next_lun(const struct wish *w, const struct scsi_disk *d)
{
	uint32_t next = 0;
	unsigned b, i;

	for (b = 0; b < d->nbuses; b++) {
		const struct scsi_port *port = virtio_scsi_port(d->bus[b]);

		for (i = 0; i < port->count; i++) {
			const struct scsi_lun *lun = port->nexus[i]->lun;

			if (lun->target == w->cfg->target && lun->lun >= next)
				next = lun->lun + 1u;
		}
	}
	return next;
}

static int choose_lun(const struct wish *w, const struct scsi_disk *d, uint16_t *number)
{
	uint32_t lun = w->cfg->lun == LUN_NEXT ? next_lun(w, d) : w->cfg->lun;

	if (lun >= SCSI_LUNS_MAX) {
		log_err("%s: there is no LUN after %u; give lun=N", w->id, SCSI_LUNS_MAX - 1);
		return -EUSAGE;
	}
	*number = lun;
	return 0;
}

/* What kind of LUN it is, which its place does not tell. */
static void set_kind(struct scsi_lun *lun, const struct wish *w)
{
	const struct scsi_unit_cfg *cfg = &w->cfg->unit;

	lun->target = (uint8_t)w->cfg->target;
	if (w->type == SCSI_CD) {
		scsi_lun_become_cd(lun);
		return;
	}
	lun->block_size = medium_block_sizes[cfg->block_size];
	if (cfg->physical_block)
		lun->physical_block = medium_physical_sizes[cfg->physical_block];
	lun->removable = cfg->removable;
	if (!cfg->discard)
		lun->discard = false;
}

int scsi_disk_leave(struct scsi_disk *d)
{
	int r = 0;

	while (!r && d->nbuses) {
		r = virtio_scsi_remove(d->bus[d->nbuses - 1], &d->lun);
		if (!r)
			d->nbuses--;
	}
	return r;
}

static const struct scsi_lun *lun_at(const struct scsi_port *port, const struct scsi_lun *place)
{
	unsigned i;

	for (i = 0; i < port->count; i++) {
		const struct scsi_lun *lun = port->nexus[i]->lun;

		if (lun->target == place->target && lun->lun == place->lun)
			return lun;
	}
	return NULL;
}

static int join_buses(struct scsi_disk *d, const struct wish *w)
{
	struct why why;
	unsigned i;
	int r;

	for (i = 0; i < d->nbuses; i++) {
		r = virtio_scsi_add(d->bus[i], &d->lun, &why);
		if (r == -EEXIST) {
			log_err("%s: lun=%u: is in use by %s; give another lun=", w->id,
				d->lun.lun,
				lun_at(virtio_scsi_port(d->bus[i]), &d->lun)->serial);
			return -EUSAGE;
		}
		if (r < 0 && r != -ENOMEM)
			log_err("%s: cannot be put on %s: %s", w->id, d->bus[i]->id, why.text);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Gives the LUN its number, its names and its place on the buses. */
static int lun_init(struct scsi_disk *d, const struct wish *w)
{
	struct disk_name name = {
		.id = w->id, .list = w->list,
		.path = d->medium.block ? d->medium.block->path : w->id,
		.serial = w->cfg->unit.serial, .wwn = w->cfg->unit.wwn, .bus = d->bus[0]->id,
		.target = w->cfg->target,
	};
	char serial[SCSI_ID_MAX + 1];
	uint16_t number;
	int r;

	r = choose_lun(w, d, &number);
	name.lun = number;
	if (!r)
		r = disk_name_serial(&name, serial);
	if (r < 0)
		return r;
	scsi_lun_init(&d->lun, d->medium.block, number, serial);
	set_kind(&d->lun, w);
	d->lun.alua = d->nbuses > 1;
	r = disk_name_naa(&name, d->lun.naa);
	if (!r)
		r = join_buses(d, w);
	if (r < 0) {
		scsi_disk_leave(d);
		scsi_lun_fini(&d->lun);
	}
	return r;
}

/* The store, unless it is an empty drive. */
static int open_medium(struct scsi_disk *d, const struct wish *w, struct platform *p)
{
	struct medium_cfg cfg = w->cfg->medium;

	if (w->type == SCSI_CD) {
		cfg.readonly = true;
		return medium_init(&d->medium, p, w->id, &cfg, 2048, "--cdrom", true);
	}
	return medium_init(&d->medium, p, w->id, &cfg,
			   medium_block_sizes[w->cfg->unit.block_size], "--disk", false);
}

static int create(struct platform *p, struct device_list *list, const char *id,
		  const struct scsi_disk_cfg *cfg, enum scsi_type type, struct device **dev)
{
	struct wish w = { .id = id, .list = list, .cfg = cfg, .type = type };
	struct scsi_disk *d = calloc(1, sizeof(*d));
	int r;

	if (!d)
		return -ENOMEM;
	if (cfg->shared) {
		log_err("%s: shared=%s: is for --disk, or --device shared-disk", id, cfg->shared);
		free(d);
		return -EUSAGE;
	}
	r = find_buses(&w, d);
	if (!r)
		r = open_medium(d, &w, p);
	if (!r)
		r = lun_init(d, &w);
	if (r < 0) {
		medium_fini(&d->medium);
		free(d);
		return r;
	}
	*dev = &d->dev;
	return 0;
}

static int scsi_disk_create(struct platform *p, struct device_list *list, const char *id,
			    const void *config, struct device **dev)
{
	return create(p, list, id, config, SCSI_DISK, dev);
}

static int scsi_cd_create(struct platform *p, struct device_list *list, const char *id,
			  const void *config, struct device **dev)
{
	return create(p, list, id, config, SCSI_CD, dev);
}

void scsi_disk_stop(const struct scsi_disk *d)
{
	unsigned i;

	for (i = 0; i < d->nbuses; i++)
		virtio_scsi_stop(d->bus[i]);
}

static int scsi_disk_finish(struct device *dev)
{
	struct scsi_disk *d = container_of(dev, struct scsi_disk, dev);

	scsi_disk_stop(d);
	return medium_finish(&d->medium);
}

/* The buses live longer, and must not serve a LUN that is gone. */
static void scsi_disk_destroy(struct device *dev)
{
	struct scsi_disk *d = container_of(dev, struct scsi_disk, dev);
	unsigned i;

	scsi_disk_stop(d);
	for (i = 0; i < d->nbuses; i++)
		scsi_nexus_free(scsi_port_take(virtio_scsi_port(d->bus[i]), &d->lun));
	scsi_lun_fini(&d->lun);
	medium_fini(&d->medium);
	free(d);
}

static void scsi_disk_state(struct device *dev, struct state *s)
{
	scsi_lun_state(&container_of(dev, struct scsi_disk, dev)->lun, s);
}

const struct device_class scsi_disk_class = {
	.name = "scsi-disk",
	.help = "disk on a virtio-scsi controller; --disk is short for it",
	.opts = scsi_disk_opts,
	.first_opt = "file",
	.cfg_size = sizeof(struct scsi_disk_cfg),
	.create = scsi_disk_create,
	.finish = scsi_disk_finish,
	.hotplug = &scsi_disk_hotplug,
	.medium = &scsi_disk_medium,
	.lun = &scsi_disk_lun,
	.facts = scsi_disk_facts,
	.counters = scsi_disk_counters,
	.expect = scsi_disk_expect,
	.state = scsi_disk_state,
	.explain = scsi_disk_explain,
	.destroy = scsi_disk_destroy,
};

const struct device_class scsi_cd_class = {
	.name = "scsi-cd",
	.help = "CD-ROM drive on a virtio-scsi controller; --cdrom is short for it",
	.opts = scsi_cd_opts,
	.first_opt = "file",
	.cfg_size = sizeof(struct scsi_disk_cfg),
	.create = scsi_cd_create,
	.hotplug = &scsi_disk_hotplug,
	.medium = &scsi_disk_medium,
	.lun = &scsi_disk_lun,
	.facts = scsi_disk_facts,
	.counters = scsi_disk_counters,
	.expect = scsi_disk_expect,
	.state = scsi_disk_state,
	.explain = scsi_disk_explain,
	.destroy = scsi_disk_destroy,
};
