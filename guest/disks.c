/* SPDX-License-Identifier: MIT */
/* disks.c - modules, and disks by their LUNs. */
#include <blkid/blkid.h>
#include <dirent.h>
#include <errno.h>
#include <linux/virtio_ids.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest/init.h"

#define SCSI "/sys/bus/scsi"
#define DEVICES_MAX 8192
#define VIRTIO_MAX 1024
#define TRIES 10
#define TRY_US 200000

static int compare(const void *a, const void *b)
{
	const struct scsi_device *x = a, *y = b;

	if (x->host != y->host)
		return x->host < y->host ? -1 : 1;
	if (x->channel != y->channel)
		return x->channel < y->channel ? -1 : 1;
	if (x->target != y->target)
		return x->target < y->target ? -1 : 1;
	return x->lun < y->lun ? -1 : x->lun > y->lun;
}

struct scsi_device *disks_scan(unsigned *count)
{
	struct scsi_device *list = malloc(DEVICES_MAX * sizeof(*list));
	DIR *dir = opendir(SCSI "/devices");
	struct dirent *e;
	unsigned n = 0;

	while (list && dir && n < DEVICES_MAX && (e = readdir(dir)))
		n += sscanf(e->d_name, "%u:%u:%u:%llu", &list[n].host, &list[n].channel,
			    &list[n].target, &list[n].lun) == 4;
	if (dir)
		closedir(dir);
	if (n)
		qsort(list, n, sizeof(*list), compare);
	*count = n;
	return list;
}

static char *name(const struct scsi_device *d, char text[DISK_NAME_LEN])
{
	snprintf(text, DISK_NAME_LEN, "%u:%u:%u:%llu", d->host, d->channel, d->target, d->lun);
	return text;
}

/* The one disk in a folder "block". */
static bool block_in(const char *path, char block[DISK_NAME_LEN])
{
	DIR *dir = opendir(path);
	struct dirent *e;
	bool found = false;

	while (dir && !found && (e = readdir(dir))) {
		found = e->d_name[0] != '.';
		snprintf(block, DISK_NAME_LEN, "%.31s", e->d_name);
	}
	if (dir)
		closedir(dir);
	return found;
}

bool disk_block_name(const struct scsi_device *d, char block[DISK_NAME_LEN])
{
	char path[128], text[DISK_NAME_LEN];

	snprintf(path, sizeof(path), SCSI "/devices/%s/block", name(d, text));
	return block_in(path, block);
}

/* Number @n of the virtio disks, which are numbered with the other virtio devices. */
static bool virtio_disk(unsigned n, char block[DISK_NAME_LEN])
{
	char device[32], path[128];
	unsigned i;

	for (i = 0; i < VIRTIO_MAX; i++) {
		snprintf(device, sizeof(device), "virtio%u", i);
		if (!virtio_has_id(device, VIRTIO_ID_BLOCK) || n--)
			continue;
		snprintf(path, sizeof(path), "/sys/bus/virtio/devices/%s/block", device);
		return block_in(path, block);
	}
	return false;
}

/* sdz stands before sdaa. */
static bool in_order(const struct scsi_device *list, unsigned count)
{
	char block[DISK_NAME_LEN], last[DISK_NAME_LEN] = "";
	size_t i, len;

	for (i = 0; i < count; i++) {
		if (!disk_block_name(&list[i], block) || strncmp(block, "sd", 2))
			continue;
		len = strlen(last);
		if (strlen(block) < len || (strlen(block) == len && strcmp(block, last) < 0))
			return false;
		strcpy(last, block);
	}
	return true;
}

/* @how: "bind" or "unbind". Fails for what is not a disk, and that is all right. */
static void bind_each(const struct scsi_device *list, unsigned count, const char *how)
{
	char path[64], text[DISK_NAME_LEN];
	unsigned i;

	snprintf(path, sizeof(path), SCSI "/drivers/sd/%s", how);
	for (i = 0; i < count; i++)
		init_write(path, name(&list[i], text));
}

/* False: there are none, so that this kernel has what it needs built in. */
static bool load_modules(void)
{
	FILE *list = fopen(MODULES, "re");
	bool held = false;
	char path[256];

	if (!list)
		return false;
	while (fgets(path, sizeof(path), list)) {
		path[strcspn(path, "\n")] = 0;
		module_load(path);
		/* Disks wait, from the first moment at which they can be made to. */
		held = held || init_write(SCSI "/drivers_autoprobe", "0") == 0;
	}
	fclose(list);
	return true;
}

unsigned disk_type(const struct scsi_device *d)
{
	char path[128], text[DISK_NAME_LEN], type[8];

	snprintf(path, sizeof(path), SCSI "/devices/%s/type", name(d, text));
	return atoi(init_read(path, type, sizeof(type)));
}

static void load_cdrom(const struct scsi_device *list, unsigned count)
{
	while (count--) {
		if (disk_type(list++) == 5) {
			module_probe("sr_mod");
			break;
		}
	}
}

/*
 * The kernel gives out sda, sdb, ... as its probes happen to finish, so each disk is bound by
 * itself, in the order of LUNs, unless chance has done it right already. All of them have been
 * found: the kernel waits for scans that a module's load started, and before the first process for
 * those of built-in drivers.
 */
void disks_setup(void)
{
	bool modules = load_modules();
	struct scsi_device *list;
	unsigned count;

	list = disks_scan(&count);
	if (modules) {
		bind_each(list, count, "bind");
		init_write(SCSI "/drivers_autoprobe", "1");
		load_cdrom(list, count);
	} else if (!in_order(list, count)) {
		bind_each(list, count, "unbind");
		bind_each(list, count, "bind");
	}
	free(list);
}

/* LUNs from 256 on have another bit, as the kernel shows flat addresses. */
bool disk_is_at(const struct scsi_device *d, unsigned target, unsigned lun)
{
	return !d->channel && d->target == target && d->lun == (lun < 256 ? lun : lun | 0x4000);
}

static void find_lun(unsigned lun, char *path, size_t size)
{
	char block[DISK_NAME_LEN];
	struct scsi_device *list;
	unsigned count, i;
	bool found = false;

	list = disks_scan(&count);
	for (i = 0; i < count && !found; i++) {
		found = disk_is_at(&list[i], 0, lun) && disk_block_name(&list[i], block);
		if (found)
			snprintf(path, size, "/dev/%s", block);
	}
	free(list);
}

/* The page of vital product data with it has four bytes before it. */
static const char *serial_of(const struct scsi_device *d, char page[256])
{
	char file[128], text[DISK_NAME_LEN];

	memset(page, 0, 256);
	snprintf(file, sizeof(file), SCSI "/devices/%s/vpd_pg80", name(d, text));
	return init_read(file, page, 256) + 4;
}

static void find_serial(const char *serial, char *path, size_t size)
{
	char page[256], block[DISK_NAME_LEN];
	struct scsi_device *list;
	unsigned count, i;
	bool found = false;

	list = disks_scan(&count);
	for (i = 0; i < count && !found; i++) {
		found = !strcmp(serial_of(&list[i], page), serial) &&
			disk_block_name(&list[i], block);
		if (found)
			snprintf(path, size, "/dev/%s", block);
	}
	free(list);
}

/* LABEL=, UUID=, PARTLABEL= or PARTUUID=. */
static void find_tagged(const char *what, char *path, size_t size)
{
	char *device = blkid_evaluate_tag(what, NULL, NULL);

	snprintf(path, size, "%s", device ? device : "");
	free(device);
}

bool disk_look(const char *what, char *path, size_t size)
{
	char block[DISK_NAME_LEN];
	struct stat st;

	*path = 0;
	if (!strncmp(what, "lun:", 4))
		find_lun(strtoul(what + 4, NULL, 10), path, size);
	else if (!strncmp(what, "blk:", 4) && virtio_disk(strtoul(what + 4, NULL, 10), block))
		snprintf(path, size, "/dev/%s", block);
	else if (!strncmp(what, "serial:", 7))
		find_serial(what + 7, path, size);
	else if (strchr(what, '='))
		find_tagged(what, path, size);
	else
		snprintf(path, size, "%s", what);
	return stat(path, &st) == 0 && S_ISBLK(st.st_mode);
}

int disk_find(const char *what, char *path, size_t size)
{
	int try;

	for (try = 0; try < TRIES; try++) {
		if (disk_look(what, path, size))
			return 0;
		usleep(TRY_US);
	}
	return -ENXIO;
}

static void list_one(const struct scsi_device *d)
{
	char block[DISK_NAME_LEN], path[128], sectors[32], page[256];
	unsigned lun = d->lun & ~0x4000ull;

	if (!disk_block_name(d, block))
		return;
	snprintf(path, sizeof(path), "/sys/block/%s/size", block);
	init_read(path, sectors, sizeof(sectors));
	if (d->host)
		printf("controller %u, ", d->host);
	if (d->target)
		printf("target %u, ", d->target);
	printf("lun:%u  %s  %llu MiB  %s\n", lun, block, strtoull(sectors, NULL, 10) / 2048,
	       serial_of(d, page));
}

static void list_virtio(unsigned n, const char *block)
{
	char path[128], sectors[32], serial[32];

	snprintf(path, sizeof(path), "/sys/block/%s/size", block);
	init_read(path, sectors, sizeof(sectors));
	snprintf(path, sizeof(path), "/sys/block/%s/serial", block);
	init_read(path, serial, sizeof(serial));
	printf("blk:%u  %s  %llu MiB  %s\n", n, block, strtoull(sectors, NULL, 10) / 2048, serial);
}

void disks_list(void)
{
	char block[DISK_NAME_LEN];
	struct scsi_device *list;
	unsigned count, i;

	list = disks_scan(&count);
	for (i = 0; i < count; i++)
		list_one(&list[i]);
	free(list);
	for (i = 0; virtio_disk(i, block); i++)
		list_virtio(i, block);
}
