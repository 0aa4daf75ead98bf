/*
 * scsi_disk.c - a disk: a store that becomes a LUN of a controller.
 *
 * The guest knows disks by number and by name, and both are the same at every
 * start. The number is the place on the command line. The serial number, from
 * which the other names come, is the image's file name; where another disk has
 * that one already, "-BUS-LUN" is put behind it.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "devices/block/block.h"
#include "devices/devices.h"
#include "devices/scsi/scsi.h"
#include "devices/virtio_scsi.h"
#include "vmm/core/log.h"
#include "vmm/core/platform.h"
#include "vmm/core/util.h"

struct scsi_disk_cfg {
	const char *file, *bus, *serial, *wwn, *store, *fault;
	uint32_t lun;
	uint64_t size;
	unsigned block_size, engine, on_enospc, overlay;
	bool readonly, discard, direct;
};

#define LUN_NEXT SCSI_LUNS_MAX /* stands for: the first after those on the bus */

static const char *const lun_words[] = { "next", NULL };
static const char *const block_size_words[] = { "512", "4096", NULL };
static const char *const engine_words[] = {
	[BLOCK_ENGINE_AUTO] = "auto",
	[BLOCK_ENGINE_URING] = "uring",
	[BLOCK_ENGINE_THREADS] = "threads",
	NULL
};
static const char *const full_words[] = {
	[PLATFORM_FULL_REPORT] = "report",
	[PLATFORM_FULL_STOP] = "stop",
	[PLATFORM_FULL_FAIL] = "fail",
	"as-run",
	NULL
};
static const char *const overlay_words[] = {
	[BLOCK_OVERLAY_NONE] = "off",
	[BLOCK_OVERLAY_DROP] = "on",
	[BLOCK_OVERLAY_COMMIT] = "commit",
	NULL
};
#define FULL_AS_RUN (PLATFORM_FULL_FAIL + 1) /* the platform says it */

static const enum block_full full[] = {
	[PLATFORM_FULL_REPORT] = BLOCK_FULL_REPORT,
	[PLATFORM_FULL_STOP] = BLOCK_FULL_STOP,
	[PLATFORM_FULL_FAIL] = BLOCK_FULL_FAIL,
};

static const uint32_t block_sizes[] = { 512, 4096 };

#define OPTION(name) offsetof(struct scsi_disk_cfg, name)

static const struct opt scsi_disk_opts[] = {
	{ .key = "file", .type = OPT_STR, .offset = OPTION(file), .arg = "FILE",
	  .help = "image or block device; 'file=' may be left out" },
	{ .key = "bus", .type = OPT_STR, .offset = OPTION(bus), .arg = "ID",
	  .help = "the virtio-scsi controller (default the one before)" },
	{ .key = "lun", .type = OPT_U32, .offset = OPTION(lun), .def = "next", .min = 0,
	  .max = SCSI_LUNS_MAX - 1, .words = lun_words,
	  .help = "number; next is the one after those on the bus" },
	{ .key = "serial", .type = OPT_STR, .offset = OPTION(serial), .arg = "TEXT",
	  .help = "serial number, up to 63 characters (default the file's name)" },
	{ .key = "wwn", .type = OPT_STR, .offset = OPTION(wwn), .arg = "HEX",
	  .help = "NAA name, 16 or 32 hex digits (default made from the serial number)" },
	{ .key = "readonly", .type = OPT_BOOL, .offset = OPTION(readonly), .def = "off",
	  .help = "write-protected; several may share the image then" },
	{ .key = "block-size", .type = OPT_ENUM, .offset = OPTION(block_size), .def = "512",
	  .words = block_size_words, .arg = "BYTES", .help = "logical block" },
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
	{ .key = "overlay", .type = OPT_ENUM, .offset = OPTION(overlay), .def = "off",
	  .words = overlay_words, .arg = "WHAT",
	  .help = "changes are kept in a file in $TMPDIR; on: they vanish, and several may share "
		  "the image; commit: they are written to it when the guest powers itself off" },
	{ .key = "fault", .type = OPT_STR, .offset = OPTION(fault), .arg = "RULES",
	  .help = "fail as told, for tests: write:lba=0-7:after=1:times=1:error=EIO+..." },
	{ .key = "on-enospc", .type = OPT_ENUM, .offset = OPTION(on_enospc), .def = "as-run",
	  .words = full_words, .arg = "WHAT",
	  .help = "when the host's disk is full: tell the guest, wait for room, end the run" },
	{ 0 }
};

struct scsi_disk {
	struct device dev;
	struct device *bus;
	struct block *block;
	struct scsi_lun lun;
};

extern const struct device_class scsi_disk_class;

/* What a disk is made from. */
struct wish {
	const char *id;
	const struct device_list *list;
	const struct scsi_disk_cfg *cfg;
};

static int find_bus(const struct wish *w, struct device **dev)
{
	const char *bus = w->cfg->bus;

	*dev = device_find(w->list, VIRTIO_SCSI_CLASS, bus);
	if (*dev)
		return 0;
	if (bus)
		log_err("%s: bus=%s: no " VIRTIO_SCSI_CLASS " of this name stands before it", w->id,
			bus);
	else
		log_err("%s: no " VIRTIO_SCSI_CLASS " stands before it; add --device "
			VIRTIO_SCSI_CLASS, w->id);
	return -ENODEV;
}

static int choose_lun(const struct wish *w, const struct scsi_target *target, uint16_t *number)
{
	uint32_t next = target->nluns ? target->lun[target->nluns - 1]->lun + 1u : 0;
	uint32_t lun = w->cfg->lun == LUN_NEXT ? next : w->cfg->lun;
	unsigned i;

	if (lun >= SCSI_LUNS_MAX) {
		log_err("%s: there is no LUN after %u; give lun=N", w->id, SCSI_LUNS_MAX - 1);
		return -ERANGE;
	}
	for (i = 0; i < target->nluns; i++) {
		if (target->lun[i]->lun == lun) {
			log_err("%s: lun=%u: is in use by %s; give another lun=", w->id, lun,
				target->lun[i]->block->path);
			return -EEXIST;
		}
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

		if (dev->class != &scsi_disk_class)
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
	const char *slash = strrchr(d->block->path, '/');
	const char *name = slash ? slash + 1 : d->block->path;

	snprintf(serial, size, "%s", w->cfg->serial ? w->cfg->serial : name);
	if (!w->cfg->serial && find_disk(w, serial, NULL))
		snprintf(serial, size, "%s-%s-%u", name, d->bus->id, lun);
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

/* Gives the LUN its number, its names and its place on the bus. */
static int lun_init(struct scsi_disk *d, const struct wish *w)
{
	struct scsi_target *target = virtio_scsi_target(d->bus);
	char serial[256 + 32];
	uint16_t number;
	int r;

	r = choose_lun(w, target, &number);
	if (!r)
		r = choose_serial(w, d, number, serial, sizeof(serial));
	if (r < 0)
		return r;
	scsi_lun_init(&d->lun, d->block, number, serial);
	d->lun.block_size = block_sizes[w->cfg->block_size];
	if (!w->cfg->discard)
		d->lun.discard = false;
	r = choose_naa(w, d->lun.naa);
	if (!r)
		r = scsi_target_add(target, &d->lun);
	if (r < 0)
		scsi_lun_fini(&d->lun);
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

static int scsi_disk_create(struct platform *p, struct device_list *list, const char *id,
			    const void *config, struct device **dev)
{
	const struct scsi_disk_cfg *cfg = config;
	struct block_open how = { .path = cfg->file, .store = cfg->store, .size = cfg->size,
				  .readonly = cfg->readonly,
				  .block_size = block_sizes[cfg->block_size],
				  .engine = cfg->engine, .direct = cfg->direct, .mem = p->mem,
				  .overlay = cfg->overlay, .fault = cfg->fault };
	struct wish w = { .id = id, .list = list, .cfg = cfg };
	struct scsi_disk *d = calloc(1, sizeof(*d));
	int r;

	if (!d)
		return -ENOMEM;
	r = find_bus(&w, &d->bus);
	if (!r)
		r = block_open(&how, &d->block);
	if (!r)
		set_full(d->block, p, cfg->on_enospc);
	if (!r)
		r = check_size(d->block, block_sizes[cfg->block_size]);
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

static int scsi_disk_finish(struct device *dev)
{
	struct scsi_disk *d = container_of(dev, struct scsi_disk, dev);

	virtio_scsi_stop(d->bus);
	return block_commit(d->block);
}

/* The bus lives longer, and must not serve a LUN that is gone. */
static void scsi_disk_destroy(struct device *dev)
{
	struct scsi_disk *d = container_of(dev, struct scsi_disk, dev);

	virtio_scsi_stop(d->bus);
	scsi_lun_fini(&d->lun);
	block_close(d->block);
	free(d);
}

static void explain(const struct device *dev, FILE *out)
{
	const struct scsi_disk *d = container_of(dev, struct scsi_disk, dev);
	const struct scsi_lun *lun = &d->lun;

	fprintf(out, "  image: %s, %llu bytes in blocks of %u, %s\n", d->block->path,
		(unsigned long long)d->block->size, lun->block_size,
		lun->readonly ? "write-protected" : "writable");
	fprintf(out, "  place: LUN %u of %s\n", lun->lun, d->bus->id);
	fprintf(out, "  names: serial %s, NAA %s\n", lun->serial, lun->naa);
	fprintf(out, "  discard: %s\n", lun->discard ? "gives space back" : d->block->can_discard ?
		"off, as asked" : lun->readonly ? "off, as nothing is written" :
		"off, as the store cannot");
}

const struct device_class scsi_disk_class = {
	.name = "scsi-disk",
	.help = "disk on a virtio-scsi controller; --disk is short for it",
	.opts = scsi_disk_opts,
	.first_opt = "file",
	.cfg_size = sizeof(struct scsi_disk_cfg),
	.create = scsi_disk_create,
	.finish = scsi_disk_finish,
	.explain = explain,
	.destroy = scsi_disk_destroy,
};
