/* SPDX-License-Identifier: MIT */
/*
 * scsi_disk.h - a disk or a CD-ROM drive, as scsi_disk.c makes it, and as
 * scsi_live.c changes it while the guest runs.
 */
#ifndef DEVICES_SCSI_DISK_H
#define DEVICES_SCSI_DISK_H

#include "devices/devices.h"
#include "devices/medium.h"
#include "devices/scsi/scsi.h"

#define SCSI_DISK_BUSES_MAX 8

/* What a disk is to a guest beside what is in it, for settings of a class. */
struct scsi_unit_cfg {
	const char *serial, *wwn;
	unsigned block_size, physical_block; /* numbers of medium.h's words */
	bool removable, discard;
};

/* Rows for a struct of @settings with a struct scsi_unit_cfg @member. */
#define SCSI_SERIAL_OPT(settings, member)                                                    \
	{ .key = "serial", .type = OPT_STR, .offset = offsetof(settings, member.serial),     \
	  .arg = "TEXT",                                                                     \
	  .help = "serial number, up to 63 characters (default the file's name, or a digest)" }
#define SCSI_UNIT_OPTS(settings, member)                                                     \
	{ .key = "wwn", .type = OPT_STR, .offset = offsetof(settings, member.wwn),           \
	  .arg = "HEX",                                                                      \
	  .help = "NAA name, 16 or 32 hex digits (default made from the serial number)" },   \
	MEDIUM_BLOCK_OPTS(settings, member.block_size, member.physical_block),               \
	{ .key = "removable", .type = OPT_BOOL,                                              \
	  .offset = offsetof(settings, member.removable), .def = "off",                      \
	  .help = "the guest may eject it" },                                                \
	{ .key = "discard", .type = OPT_BOOL, .offset = offsetof(settings, member.discard),  \
	  .def = "on", .help = "give space back that the guest unmaps, where the store can" }

struct scsi_disk {
	struct device dev;
	struct device *bus[SCSI_DISK_BUSES_MAX];
	unsigned nbuses;
	struct medium medium;
	struct scsi_lun lun;
};

/* No bus has it any more, and it knows of none. -errno after one line: one keeps it. [setup, main]
 */
int scsi_disk_leave(struct scsi_disk *d);

/* No bus does I/O on it any more. */
void scsi_disk_stop(const struct scsi_disk *d);

/* scsi_live.c */

void scsi_disk_explain(const struct device *dev, FILE *out);

/* 0; or -EBUSY, after one line: one of several buses is the kernel's, while a guest runs. */
int scsi_disk_check_buses(const struct scsi_disk *d, const char *name);

extern const struct device_hotplug scsi_disk_hotplug;
extern const struct device_medium scsi_disk_medium;
extern const struct device_lun scsi_disk_lun;
void scsi_disk_facts(const struct device *dev, struct device_facts *to);
int scsi_disk_counters(struct device *dev, struct device_facts *to);
void scsi_disk_expect(const struct device *dev, struct device_facts *to);

#endif
