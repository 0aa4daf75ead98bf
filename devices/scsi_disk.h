/*
 * scsi_disk.h - a disk or a CD-ROM drive, as scsi_disk.c makes it, and as
 * scsi_live.c changes it while the guest runs.
 */
#ifndef DEVICES_SCSI_DISK_H
#define DEVICES_SCSI_DISK_H

#include "devices/block/block.h"
#include "devices/devices.h"
#include "devices/scsi/scsi.h"

struct platform;

#define SCSI_DISK_BUSES_MAX 8

struct scsi_disk {
	struct device dev;
	struct platform *platform;
	struct device *bus[SCSI_DISK_BUSES_MAX];
	unsigned nbuses;
	struct block *block; /* NULL: an empty drive */
	struct block_open how; /* for each medium, but for the path; strings are the device's */
	unsigned on_enospc;    /* likewise: of struct platform's, or one more for that */
	struct scsi_lun lun;
};

/* Opens a medium. -errno after one line; -EINVAL: the settings make no sense. [setup, main] */
int scsi_disk_open(const struct scsi_disk *d, const char *file, struct block **block);
/* No bus has it any more, and it knows of none. [setup, main] */
void scsi_disk_leave(struct scsi_disk *d);

/* scsi_live.c */

/* 0; or -EBUSY, after one line: the kernel serves the controller, and its LUNs cannot change. */
int scsi_disk_in_kernel(const char *name, struct device *bus);

extern const struct device_live scsi_disk_live;

#endif
