/*
 * scsi_disk.c - a disk, or a CD-ROM drive: a store that becomes a LUN of a
 * controller, or of several, for multipath.
 *
 * The guest knows disks by number and by name, and both are the same at every
 * start. The number is the place on the command line. The serial number, from
 * which the other names come, is the image's file name; where another disk has
 * that one already, "-BUS-LUN" is put behind it.
 */
#include "devices/scsi_disk.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "devices/scsi_plug.h"
#include "devices/virtio_scsi.h"
#include "vmm/core/log.h"
#include "vmm/core/platform.h"
#include "vmm/core/util.h"

struct scsi_disk_cfg {
	const char *file, *bus, *serial, *wwn, *store, *fault;
	uint32_t lun, target;
	uint64_t size;
	unsigned block_size, physical_block, engine, on_enospc, overlay;
	bool readonly, removable, discard, direct;
};

#define LUN_NEXT SCSI_LUNS_MAX /* stands for: the first after those on the bus */

static const char *const lun_words[] = { "next", NULL };
static const char *const block_size_words[] = { "512", "4096", NULL };
static const char *const engine_words[] = {
	[BLOCK_ENGINE_AUTO] = "auto", [BLOCK_ENGINE_URING] = "uring",
	[BLOCK_ENGINE_THREADS] = "threads", NULL
};
static const char *const full_words[] = {
	[PLATFORM_FULL_REPORT] = "report", [PLATFORM_FULL_STOP] = "stop",
	[PLATFORM_FULL_FAIL] = "fail", "as-run", NULL
};
static const char *const overlay_words[] = {
	[BLOCK_OVERLAY_NONE] = "off", [BLOCK_OVERLAY_DROP] = "on",
	[BLOCK_OVERLAY_COMMIT] = "commit", "as-run", NULL
};
#define FULL_AS_RUN (PLATFORM_FULL_FAIL + 1) /* the platform says it; so also this */
#define OVERLAY_AS_RUN (BLOCK_OVERLAY_COMMIT + 1)

static const enum block_full full[] = {
	[PLATFORM_FULL_REPORT] = BLOCK_FULL_REPORT,
	[PLATFORM_FULL_STOP] = BLOCK_FULL_STOP,
	[PLATFORM_FULL_FAIL] = BLOCK_FULL_FAIL,
};

static const uint32_t block_sizes[] = { 512, 4096 };
static const char *const physical_words[] = { "auto", "512", "4096", NULL };
static const uint32_t physical_sizes[] = { 0, 512, 4096 };

#define OPTION(name) offsetof(struct scsi_disk_cfg, name)

/* Where a LUN is, and what it is called: the same for all of them. */
#define OPT_PLACE                                                                            \
	{ .key = "bus", .type = OPT_STR, .offset = OPTION(bus), .arg = "ID[+ID...]",         \
	  .help = "the virtio-scsi controller (default the one before); several: multipath" }, \
	{ .key = "target", .type = OPT_U32, .offset = OPTION(target), .def = "0", .min = 0,  \
	  .max = UINT8_MAX, .help = "number of the target" },                                \
	{ .key = "lun", .type = OPT_U32, .offset = OPTION(lun), .def = "next", .min = 0,     \
	  .max = SCSI_LUNS_MAX - 1, .words = lun_words,                                      \
	  .help = "number; next is the one after those of the target" },                     \
	{ .key = "serial", .type = OPT_STR, .offset = OPTION(serial), .arg = "TEXT",         \
	  .help = "serial number, up to 63 characters (default the file's name)" }

static const struct opt scsi_disk_opts[] = {
	{ .key = "file", .type = OPT_STR, .offset = OPTION(file), .arg = "FILE",
	  .help = "image or block device; 'file=' may be left out" },
	OPT_PLACE,
	{ .key = "wwn", .type = OPT_STR, .offset = OPTION(wwn), .arg = "HEX",
	  .help = "NAA name, 16 or 32 hex digits (default made from the serial number)" },
	{ .key = "readonly", .type = OPT_BOOL, .offset = OPTION(readonly), .def = "off",
	  .help = "write-protected; several may share the image then" },
	{ .key = "block-size", .type = OPT_ENUM, .offset = OPTION(block_size), .def = "512",
	  .words = block_size_words, .arg = "BYTES", .help = "logical block" },
	{ .key = "physical-block", .type = OPT_ENUM, .offset = OPTION(physical_block),
	  .def = "auto", .words = physical_words, .arg = "BYTES",
	  .help = "physical block; auto is that of the store" },
	{ .key = "removable", .type = OPT_BOOL, .offset = OPTION(removable), .def = "off",
	  .help = "the guest may eject it" },
	{ .key = "discard", .type = OPT_BOOL, .offset = OPTION(discard), .def = "on",
	  .help = "give space back that the guest unmaps, where the store can" },
	{ .key = "store", .type = OPT_STR, .offset = OPTION(store), .def = "file", .arg = "KIND",
	  .help = "file, or null, which drops writes and reads zeroes" },
	{ .key = "size", .type = OPT_SIZE, .offset = OPTION(size), .min = 4096, .max = 1ull << 62,
	  .arg = "BYTES", .help = "of a null store" },
	{ .key = "io", .type = OPT_ENUM, .offset = OPTION(engine), .def = "auto",
	  .words = engine_words, .arg = "HOW",
	  .help = "how a file is read and written; auto is io_uring, or threads where it is not" },
	{ .key = "direct", .type = OPT_BOOL, .offset = OPTION(direct), .def = "off",
	  .help = "past the host's page cache (O_DIRECT)" },
	{ .key = "overlay", .type = OPT_ENUM, .offset = OPTION(overlay), .def = "as-run",
	  .words = overlay_words, .arg = "WHAT",
	  .help = "changes are kept in a file in $TMPDIR; on: they vanish, and several may share "
		  "the image; commit, or run --commit: they are written to it after a good run" },
	{ .key = "fault", .type = OPT_STR, .offset = OPTION(fault), .arg = "RULES",
	  .help = "fail as told, for tests: write:lba=0-7:after=1:times=1:error=EIO+..." },
	{ .key = "on-enospc", .type = OPT_ENUM, .offset = OPTION(on_enospc), .def = "as-run",
	  .words = full_words, .arg = "WHAT",
	  .help = "when the host's disk is full: tell the guest, wait for room, end the run" },
	{ 0 }
};

static const struct opt scsi_cd_opts[] = {
	{ .key = "file", .type = OPT_STR, .offset = OPTION(file), .arg = "FILE",
	  .help = "image; 'file=' may be left out, and without it the drive is empty" },
	OPT_PLACE,
	{ 0 }
};

extern const struct device_class scsi_disk_class, scsi_cd_class;

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
	return -ENODEV;
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
			return -EINVAL;
		}
	}
	if (d->nbuses == SCSI_DISK_BUSES_MAX) {
		log_err("%s: bus=%s: a disk can be on %d buses at most", w->id, bus,
			SCSI_DISK_BUSES_MAX);
		return -EINVAL;
	}
	d->bus[d->nbuses++] = dev;
	return scsi_disk_in_kernel(w->id, dev);
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
	return r;
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
		return -ERANGE;
	}
	*number = lun;
	return 0;
}

/*
 * The disk with this serial number, or with this NAA name when @serial is NULL. On any bus: a guest
 * has one folder for the names of all disks.
 */
static const struct scsi_disk *find_disk(const struct wish *w, const char *serial, const char *naa)
{
	struct device *dev;

	for (dev = w->list->last; dev; dev = dev->next) {
		const struct scsi_disk *d = container_of(dev, struct scsi_disk, dev);

		if (dev->class != &scsi_disk_class && dev->class != &scsi_cd_class)
			continue;
		if (serial ? !strcmp(d->lun.serial, serial) : !strcmp(d->lun.naa, naa))
			return d;
	}
	return NULL;
}

static int check_serial(const struct wish *w, const char *serial)
{
	const char *cure = w->cfg->serial ? "" : "; give serial=TEXT";
	const struct scsi_disk *other;
	size_t i, len = strlen(serial);

	if (!len || len > SCSI_ID_MAX) {
		log_err("%s: serial=%s: has %zu characters, 1 to %d are wanted%s", w->id, serial,
			len, SCSI_ID_MAX, cure);
		return -EINVAL;
	}
	for (i = 0; i < len; i++) {
		if (serial[i] < ' ' || serial[i] > '~') {
			log_err("%s: serial=%s: character %zu is not printable ASCII%s", w->id,
				serial, i + 1, cure);
			return -EINVAL;
		}
	}
	other = find_disk(w, serial, NULL);
	if (other) {
		log_err("%s: serial=%s: is in use by %s; give another serial=", w->id, serial,
			other->dev.id);
		return -EEXIST;
	}
	return 0;
}

/* Never cut: two numbers may be the same then. @serial has room for more than may be. */
static int choose_serial(const struct wish *w, const struct scsi_disk *d, uint16_t lun,
			 char *serial, size_t size)
{
	const char *path = d->block ? d->block->path : w->id;
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;

	snprintf(serial, size, "%s", w->cfg->serial ? w->cfg->serial : name);
	if (!w->cfg->serial && find_disk(w, serial, NULL))
		snprintf(serial, size, "%s-%s-%u", name, d->bus[0]->id, lun);
	return check_serial(w, serial);
}

/* Of 8 bytes: IEEE Extended, Locally Assigned, IEEE Registered; of 16: its Extended form. */
static bool naa_is_valid(const char *naa)
{
	size_t len = strlen(naa);

	return !naa[strspn(naa, "0123456789abcdefABCDEF")] &&
	       ((len == 16 && strchr("235", naa[0])) || (len == 32 && naa[0] == '6'));
}

static int choose_naa(const struct wish *w, char naa[SCSI_NAA_MAX + 1])
{
	const char *wwn = w->cfg->wwn;
	const struct scsi_disk *other;
	size_t i;

	if (wwn) {
		if (!naa_is_valid(wwn)) {
			log_err("%s: wwn=%s: 16 hex digits are wanted, the first of them 2, 3 or "
				"5, or 32, with a 6", w->id, wwn);
			return -EINVAL;
		}
		for (i = 0; i <= strlen(wwn); i++)
			naa[i] = (char)tolower((unsigned char)wwn[i]);
	}
	other = find_disk(w, NULL, naa);
	if (other) {
		log_err("%s: wwn=%s: is in use by %s; give another wwn=", w->id, naa,
			other->dev.id);
		return -EEXIST;
	}
	return 0;
}

static int check_size(const struct block *block, uint32_t block_size)
{
	uint64_t rest = block->size % block_size, up = block->size - rest + block_size;

	if (!rest)
		return 0;
	log_err("%s: its size, %llu bytes, is not a multiple of the block size, %u; "
		"%llu would be: 'truncate -s %llu FILE'",
		block->path, (unsigned long long)block->size, block_size, (unsigned long long)up,
		(unsigned long long)up);
	return -EDOM;
}

/* What kind of LUN it is, which its place does not tell. */
static void set_kind(struct scsi_lun *lun, const struct wish *w)
{
	const struct scsi_disk_cfg *cfg = w->cfg;

	lun->target = (uint8_t)cfg->target;
	if (w->type == SCSI_CD) {
		scsi_lun_become_cd(lun);
		return;
	}
	lun->block_size = block_sizes[cfg->block_size];
	if (cfg->physical_block)
		lun->physical_block = physical_sizes[cfg->physical_block];
	lun->removable = cfg->removable;
	if (!cfg->discard)
		lun->discard = false;
}

/* The guest may be running: then there is somebody who serves the bus. */
static int join_bus(struct scsi_lun *lun, struct device *bus)
{
	struct scsi_host *host = virtio_scsi_host(bus);

	return host ? scsi_plug_add(host, lun) : scsi_port_add(virtio_scsi_port(bus), lun);
}

void scsi_disk_leave(struct scsi_disk *d)
{
	while (d->nbuses) {
		struct device *bus = d->bus[--d->nbuses];
		struct scsi_host *host = virtio_scsi_host(bus);

		if (host)
			scsi_plug_remove(host, &d->lun);
		else
			scsi_nexus_free(scsi_port_take(virtio_scsi_port(bus), &d->lun));
	}
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
	unsigned i;
	int r;

	for (i = 0; i < d->nbuses; i++) {
		r = join_bus(&d->lun, d->bus[i]);
		if (r == -EEXIST)
			log_err("%s: lun=%u: is in use by %s; give another lun=", w->id,
				d->lun.lun,
				lun_at(virtio_scsi_port(d->bus[i]), &d->lun)->serial);
		else if (r < 0 && r != -ENOMEM)
			log_err("%s: cannot be put on %s: %s", w->id, d->bus[i]->id, strerror(-r));
		if (r < 0)
			return r;
	}
	return 0;
}

/* Gives the LUN its number, its names and its place on the buses. */
static int lun_init(struct scsi_disk *d, const struct wish *w)
{
	char serial[256 + 32];
	uint16_t number;
	int r;

	r = choose_lun(w, d, &number);
	if (!r)
		r = choose_serial(w, d, number, serial, sizeof(serial));
	if (r < 0)
		return r;
	scsi_lun_init(&d->lun, d->block, number, serial);
	set_kind(&d->lun, w);
	r = choose_naa(w, d->lun.naa);
	if (!r)
		r = join_buses(d, w);
	if (r < 0) {
		scsi_disk_leave(d);
		scsi_lun_fini(&d->lun);
	}
	return r;
}

static void on_full(void *platform)
{
	struct platform *p = platform;

	p->disk_full(p);
}

/* What the kernel's target does is to report. */
static void set_full(struct block *block, struct platform *p, unsigned what)
{
	block->full = full[what == FULL_AS_RUN ? p->on_enospc : what];
	block->on_full = p->disk_full ? on_full : NULL;
	block->on_full_arg = p;
	if (block->full != BLOCK_FULL_REPORT && block->fd) {
		block->fd = 0;
		block->ours = "on-enospc= is not report";
	}
}

int scsi_disk_open(const struct scsi_disk *d, const char *file, struct block **block)
{
	struct block_open how = d->how;
	int r;

	how.path = file;
	r = block_open(&how, block);
	if (r < 0)
		return r;
	set_full(*block, d->platform, d->on_enospc);
	r = check_size(*block, how.block_size);
	if (r < 0)
		block_close(*block);
	return r;
}

static enum block_overlay choose_overlay(const struct scsi_disk_cfg *cfg, const struct platform *p)
{
	enum block_overlay kind = cfg->overlay;

	if (kind == OVERLAY_AS_RUN) /* and the store keeps what is written */
		kind = p->overlay && !cfg->readonly && !strcmp(cfg->store, block_stores[0]->name) ?
			       BLOCK_OVERLAY_DROP : BLOCK_OVERLAY_NONE;
	return p->commit && kind == BLOCK_OVERLAY_DROP ? BLOCK_OVERLAY_COMMIT : kind;
}

/* The store, unless it is an empty drive. */
static int open_store(struct scsi_disk *d, const struct wish *w, struct platform *p)
{
	const struct scsi_disk_cfg *cfg = w->cfg;
	bool cd = w->type == SCSI_CD;
	struct block *block;
	int r;

	d->platform = p;
	d->on_enospc = cfg->on_enospc;
	d->how = (struct block_open){ .store = cfg->store, .size = cfg->size,
				      .readonly = cd || cfg->readonly,
				      .block_size = cd ? 2048 : block_sizes[cfg->block_size],
				      .engine = cfg->engine, .direct = cfg->direct, .mem = p->mem,
				      .overlay = choose_overlay(cfg, p), .fault = cfg->fault };
	if (cd && !cfg->file)
		return 0;
	r = scsi_disk_open(d, cfg->file, &block);
	if (!r)
		d->block = block;
	return r;
}

static int create(struct platform *p, struct device_list *list, const char *id,
		  const struct scsi_disk_cfg *cfg, enum scsi_type type, struct device **dev)
{
	struct wish w = { .id = id, .list = list, .cfg = cfg, .type = type };
	struct scsi_disk *d = calloc(1, sizeof(*d));
	int r;

	if (!d)
		return -ENOMEM;
	r = find_buses(&w, d);
	if (!r)
		r = open_store(d, &w, p);
	if (!r)
		r = lun_init(d, &w);
	if (r < 0) {
		block_close(d->block);
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

static void stop_buses(const struct scsi_disk *d)
{
	unsigned i;

	for (i = 0; i < d->nbuses; i++)
		virtio_scsi_stop(d->bus[i]);
}

static int scsi_disk_finish(struct device *dev)
{
	struct scsi_disk *d = container_of(dev, struct scsi_disk, dev);

	stop_buses(d);
	return d->block ? block_commit(d->block) : 0;
}

/* The buses live longer, and must not serve a LUN that is gone. */
static void scsi_disk_destroy(struct device *dev)
{
	struct scsi_disk *d = container_of(dev, struct scsi_disk, dev);
	unsigned i;

	stop_buses(d);
	for (i = 0; i < d->nbuses; i++)
		scsi_nexus_free(scsi_port_take(virtio_scsi_port(d->bus[i]), &d->lun));
	scsi_lun_fini(&d->lun);
	block_close(d->block);
	free(d);
}

static const char *discard_words(const struct scsi_disk *d)
{
	if (d->lun.discard)
		return "gives space back";
	if (d->block->can_discard)
		return "off, as asked";
	return d->lun.readonly ? "off, as nothing is written" : "off, as the store cannot";
}

static void explain(const struct device *dev, FILE *out)
{
	const struct scsi_disk *d = container_of(dev, struct scsi_disk, dev);
	const struct scsi_lun *lun = &d->lun;
	unsigned i;

	if (d->block)
		fprintf(out, "  image: %s, %llu bytes in blocks of %u, %s\n", d->block->path,
			(unsigned long long)d->block->size, lun->block_size,
			lun->readonly ? "write-protected" : "writable");
	else
		fprintf(out, "  image: none\n");
	for (i = 0; i < d->nbuses; i++)
		fprintf(out, "  place: target %u, LUN %u of %s\n", lun->target, lun->lun,
			d->bus[i]->id);
	fprintf(out, "  names: serial %s, NAA %s\n", lun->serial, lun->naa);
	if (lun->type == SCSI_DISK)
		fprintf(out, "  discard: %s\n", discard_words(d));
}

const struct device_class scsi_disk_class = {
	.name = "scsi-disk",
	.help = "disk on a virtio-scsi controller; --disk is short for it",
	.opts = scsi_disk_opts,
	.first_opt = "file",
	.cfg_size = sizeof(struct scsi_disk_cfg),
	.create = scsi_disk_create,
	.finish = scsi_disk_finish,
	.live = &scsi_disk_live,
	.explain = explain,
	.destroy = scsi_disk_destroy,
};

const struct device_class scsi_cd_class = {
	.name = "scsi-cd",
	.help = "CD-ROM drive on a virtio-scsi controller; --cdrom is short for it",
	.opts = scsi_cd_opts,
	.first_opt = "file",
	.cfg_size = sizeof(struct scsi_disk_cfg),
	.create = scsi_cd_create,
	.live = &scsi_disk_live,
	.explain = explain,
	.destroy = scsi_disk_destroy,
};
