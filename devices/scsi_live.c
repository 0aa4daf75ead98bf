/*
 * scsi_live.c - what is done to disks and CD-ROM drives while the guest runs, on
 * the user's word. The target and the driver hear of it by scsi_plug.c.
 *
 * The main thread alone changes which LUNs there are and which medium is in
 * them; I/O threads are asked to look again, and have done so when the asking
 * returns.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "devices/block/copy.h"
#include "devices/block/fault.h"
#include "devices/scsi_disk.h"
#include "devices/scsi_plug.h"
#include "devices/virtio_scsi.h"
#include "vmm/core/log.h"
#include "vmm/core/util.h"

static struct scsi_disk *disk_of(struct device *dev)
{
	return container_of(dev, struct scsi_disk, dev);
}

int scsi_disk_in_kernel(const char *name, struct device *bus)
{
	if (!virtio_scsi_in_kernel(bus))
		return 0;
	log_err("%s: %s is served by the kernel (vhost), where LUNs stay as they are; run with "
		"--vhost off", name, bus->id);
	return -EBUSY;
}

/* A LUN on several buses is never the kernel's, so the first one tells. */
static int check_ours(const struct scsi_disk *d)
{
	return scsi_disk_in_kernel(d->dev.id, d->bus[0]);
}

static int check_medium(const struct scsi_disk *d)
{
	if (d->block)
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
	return -EINVAL;
}

static int unplug(struct device *dev)
{
	struct scsi_disk *d = disk_of(dev);
	int r = check_ours(d);

	if (!r)
		scsi_disk_leave(d);
	return r;
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
		r = -EINVAL;
	}
	if (!r)
		r = check_medium(d);
	if (!r && (!size || size % d->lun.block_size)) {
		log_err("%s: %llu bytes: a multiple of the block size, %u, is wanted", d->dev.id,
			(unsigned long long)size, d->lun.block_size);
		r = -EINVAL;
	}
	return r;
}

static int resize(struct device *dev, uint64_t size)
{
	struct scsi_disk *d = disk_of(dev);
	int r = check_resize(d, size);
	unsigned i;

	if (r < 0 || size == d->block->size)
		return r;
	r = block_resize(d->block, size, settle, d);
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
	d->lun.block = d->block = block;
	for (i = 0; i < d->nbuses; i++) {
		err = scsi_plug_media(virtio_scsi_host(d->bus[i]));
		r = r ? r : err;
	}
	return r;
}

/* What the user takes out in good order is kept, as at the end of the run. */
static int take_out(struct scsi_disk *d)
{
	struct block *old = d->block;
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
	if (!d->block) {
		log_err("%s: is empty; insert which file?", d->dev.id);
		return -EINVAL;
	}
	scsi_lun_load(&d->lun);
	return 0;
}

/* A locked image may be in the open tray, and be put in again: so it is taken out first. */
static int insert_file(struct scsi_disk *d, const char *file)
{
	struct block *block;
	int r = d->block ? take_out(d) : 0;

	if (!r)
		r = scsi_disk_open(d, file, &block);
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
	if (!r && d->block && !d->lun.ejected) {
		log_err("%s: has a medium, %s; eject that first", dev->id, d->block->path);
		r = -EBUSY;
	}
	if (r < 0)
		return r;
	return file ? insert_file(d, file) : load_again(d);
}

/* Its store gets one around it that fails; before that, faults cost nothing. */
static int insert_fault(struct scsi_disk *d, const char *rules)
{
	struct block *block;
	int r = fault_insert(d->block, d->lun.block_size, rules, &block);

	if (!r)
		d->lun.block = d->block = block;
	return r;
}

static int fault(struct device *dev, const char *rules)
{
	struct scsi_disk *d = disk_of(dev);
	int r = check_ours(d);
	unsigned i;

	if (!r)
		r = check_medium(d);
	if (!r && d->block->ops == &block_fault)
		r = fault_set(d->block, rules);
	else if (!r && *rules)
		r = insert_fault(d, rules);
	for (i = 0; !r && i < d->nbuses; i++) {
		r = scsi_plug_swap(virtio_scsi_host(d->bus[i]), &d->lun);
		if (r < 0)
			log_err("%s: fault=: %s", dev->id, strerror(-r));
	}
	return r;
}

/* What is told. */

static void place(const struct device *dev, struct device_place *to)
{
	const struct scsi_disk *d = container_of(dev, struct scsi_disk, dev);

	*to = (struct device_place){ .bus = d->bus[0], .target = d->lun.target, .lun = d->lun.lun,
				     .disk = d->lun.type == SCSI_DISK };
}

static void facts(const struct device *dev, struct device_facts *to)
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
	to->text(to, "medium", !d->block ? "none" : lun->ejected ? "ejected" : "in");
	if (!d->block)
		return;
	to->text(to, "file", d->block->path);
	to->number(to, "size", d->block->size);
	to->text(to, "access", lun->readonly ? "ro" : "rw");
}

static int counters(struct device *dev, struct device_facts *to)
{
	struct scsi_disk *d = disk_of(dev);
	struct scsi_counters sum = { 0 };
	int r = check_ours(d);
	unsigned i;

	if (r < 0)
		return r;
	scsi_lun_count(&d->lun, &sum);
	for (i = 0; i < d->nbuses; i++)
		scsi_plug_count(virtio_scsi_host(d->bus[i]), &d->lun, &sum);
	to->number(to, "commands", sum.commands);
	to->number(to, "errors", sum.errors);
	to->number(to, "reads", sum.reads);
	to->number(to, "writes", sum.writes);
	to->number(to, "read", sum.read);
	to->number(to, "written", sum.written);
	to->number(to, "unmapped", sum.unmapped);
	to->number(to, "flushes", sum.flushes);
	to->number(to, "resets", sum.resets);
	to->numbers(to, "latency", sum.latency, SCSI_LATENCIES);
	return 0;
}

static int keep(struct device *dev, int folder)
{
	struct scsi_disk *d = disk_of(dev);
	char name[DEVICE_ID_MAX + 8];
	unsigned i;
	int fd, r;

	if (!d->block || d->how.overlay == BLOCK_OVERLAY_NONE)
		return 0;
	for (i = 0; i < d->nbuses; i++)
		virtio_scsi_stop(d->bus[i]);
	snprintf(name, sizeof(name), "%s.img", dev->id);
	fd = openat(folder, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0666);
	r = fd < 0 ? -errno : block_copy(d->block, fd);
	if (fd >= 0)
		close(fd);
	if (r < 0)
		log_err("--keep-on-fail: %s: %s is not kept: %s", d->block->path, name,
			strerror(-r));
	else
		log_warn("--keep-on-fail: %s, as the guest has left it, is %s", d->block->path,
			 name);
	return r;
}

const struct device_live scsi_disk_live = {
	.keep = keep,
	.unplug = unplug,
	.resize = resize,
	.eject = eject,
	.insert = insert,
	.fault = fault,
	.place = place,
	.facts = facts,
	.counters = counters,
};
