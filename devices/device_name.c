/* SPDX-License-Identifier: MIT */
/* device_name.c - what users call devices, and how they ask for disks. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "devices/devices.h"
#include "virtio/virtio.h"
#include "vmm/core/fail.h"
#include "vmm/core/log.h"
#include "vmm/core/util.h"

struct device *device_by_id(const struct device_list *list, const char *id)
{
	struct device *dev;

	for (dev = list->last; dev; dev = dev->next) {
		if (!strcmp(dev->id, id))
			return dev;
	}
	return NULL;
}

/* The oldest of a class: the guest finds it first. */
static const struct device *first_of(const struct device_list *list,
				     const struct device_class *class)
{
	const struct device *dev, *first = NULL;

	for (dev = list->last; dev; dev = dev->next) {
		if (dev->class == class)
			first = dev;
	}
	return first;
}

/* Is it on the first controller? */
static bool find_place(const struct device_list *list, const struct device *dev,
		       struct device_place *place)
{
	if (!dev->class->lun)
		return false;
	dev->class->lun->place(dev, place);
	return place->bus && place->bus == first_of(list, place->bus->class);
}

static struct device *find_lun(const struct device_list *list, const char *number)
{
	struct device_place place;
	struct device *dev;
	char lun[16];

	for (dev = list->last; dev; dev = dev->next) {
		if (!find_place(list, dev, &place) || place.target)
			continue;
		snprintf(lun, sizeof(lun), "%u", place.lun);
		if (!strcmp(lun, number))
			return dev;
	}
	return NULL;
}

static void report_no_lun(const struct device_list *list, const char *name)
{
	struct device_place place;
	const struct device *dev;
	char luns[200] = "";
	size_t at = 0;

	for (dev = list->last; dev; dev = dev->next) {
		if (find_place(list, dev, &place) && !place.target && at < sizeof(luns))
			at += snprintf(luns + at, sizeof(luns) - at, "%s%u", at ? ", " : "",
				       place.lun);
	}
	log_err("%s: the first controller has no such LUN at its target 0%s%s", name,
		at ? "; it has " : "", luns);
}

/* Whoever serves it: the guest's kernel gives out vda, vdb, ... to all of them. */
static bool is_blk(struct device *dev)
{
	const struct virtio_device *vdev = dev->class->virtio ? dev->class->virtio(dev) : NULL;

	return vdev && vdev->class && vdev->class->id == VIRTIO_ID_BLOCK;
}

struct device *device_blk(const struct device_list *list, const char *number)
{
	struct device *dev;
	unsigned n = 0;
	char text[16];

	for (dev = list->last; dev; dev = dev->next)
		n += is_blk(dev);
	for (dev = list->last; dev; dev = dev->next) {
		if (!is_blk(dev))
			continue;
		snprintf(text, sizeof(text), "%u", --n);
		if (!strcmp(text, number))
			return dev;
	}
	return NULL;
}

struct device *device_named(const struct device_list *list, const char *name)
{
	bool by_lun = !strncmp(name, "lun:", 4), by_number = !strncmp(name, "blk:", 4);
	struct device *dev = by_lun ? find_lun(list, name + 4) :
			     by_number ? device_blk(list, name + 4) : device_by_id(list, name);

	if (dev && (dev->class->hotplug || dev->class->medium))
		return dev;
	if (dev)
		log_err("%s: is a %s, which stays as it is while the guest runs", name,
			dev->class->name);
	else if (by_lun)
		report_no_lun(list, name);
	else
		log_err("%s: there is no device of this name; lun:N is LUN N, blk:N a virtio disk",
			name);
	return NULL;
}

unsigned device_disk_rank(const struct device_list *list, const struct device *dev)
{
	struct device_place place, other;
	const struct device *d;
	unsigned rank = 0;

	dev->class->lun->place(dev, &place);
	for (d = list->last; d; d = d->next)
		rank += find_place(list, d, &other) && other.disk &&
			(other.target < place.target ||
			 (other.target == place.target && other.lun < place.lun));
	return rank;
}

/* What follows the comma that ends an option; a double comma is part of it. */
static char *next_option(char *text)
{
	for (; *text; text++) {
		if (*text == ',' && *++text != ',')
			break;
	}
	return text;
}

bool device_take_option(char *options, const char *key, char *text, size_t size)
{
	size_t len = strlen(key);
	char *at, *next;

	for (at = options; *at; at = next) {
		next = next_option(at);
		if (strncmp(at, key, len))
			continue;
		snprintf(text, size, "%.*s", (int)strcspn(at + len, ","), at + len);
		memmove(at, next, strlen(next) + 1);
		if (!*at && at > options)
			at[-1] = 0;
		return true;
	}
	return false;
}

static const struct {
	const char *on, *class;
} disks[] = {
	{ "scsi", "scsi-disk" },
	{ "blk", "virtio-blk" },
};

bool device_disk_is_shared(const char *text)
{
	char *options = strdup(text), name[8];
	bool shared = options && device_take_option(options, "shared=", name, sizeof(name));

	free(options);
	return shared;
}

/* What is a disk's of one guest alone, and why several cannot have it. */
static const struct {
	const char *key, *why;
} alone[] = {
	{ "on=", "guests share a disk by SCSI, which has reservations" },
	{ "fault=", "the server of the disk would fail for all who share it" },
	{ "overlay=", "what one guest writes the others are to read" },
	{ "store=", "there is nothing to share but a file" },
	{ "size=", "there is nothing to share but a file" },
	{ "on-enospc=", "all who share the disk are told of it" },
	{ "bus=", "such a disk has a controller of its own" },
	{ "target=", "such a disk is LUN 0 of a controller of its own" },
	{ "lun=", "such a disk is LUN 0 of a controller of its own" },
};

static int shared_disk(const char *text, char **device)
{
	char *options = strdup(text), value[64];
	int r = options ? 0 : -ENOMEM;
	size_t i;

	for (i = 0; !r && i < ARRAY_SIZE(alone); i++) {
		if (!device_take_option(options, alone[i].key, value, sizeof(value)) ||
		    (!i && !strcmp(value, "scsi")))
			continue;
		log_err("--disk %s: %s%s does not go with shared=: %s", text, alone[i].key, value,
			alone[i].why);
		r = -EUSAGE;
	}
	if (!r)
		r = asprintf(device, "shared-disk,%s", options) < 0 ? -ENOMEM : 0;
	free(options);
	return r;
}

int device_of_disk(const char *text, char **device)
{
	char *options = strdup(text), on[16] = "scsi", again[16];
	size_t i = 0;
	int r = -EUSAGE;

	if (!options)
		return -ENOMEM;
	if (device_disk_is_shared(text)) {
		free(options);
		return shared_disk(text, device);
	}
	device_take_option(options, "on=", on, sizeof(on));
	while (i < ARRAY_SIZE(disks) && strcmp(disks[i].on, on))
		i++;
	if (i == ARRAY_SIZE(disks))
		log_err("--disk %s: on=%s: is none of: scsi, blk", text, on);
	else if (device_take_option(options, "on=", again, sizeof(again)))
		log_err("--disk %s: on=%s: given twice; one of them has to go", text, again);
	else
		r = asprintf(device, "%s%s%s", disks[i].class, *options ? "," : "", options) < 0 ?
		    -ENOMEM : 0;
	free(options);
	return r;
}
