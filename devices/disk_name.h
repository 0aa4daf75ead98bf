/* SPDX-License-Identifier: MIT */
/*
 * disk_name.h - what a disk is called: its serial number, and its NAA name.
 *
 * Both are the same at every start, whoever serves the disk. The serial number,
 * from which the other names come, is the image's file name. Where that does not
 * serve (it is longer than a serial number may be, or not of printable ASCII, or
 * has a blank at an end, which LIO would take away) a digest of it does. Where
 * another disk has that one already, "-BUS-LUN" is put behind it.
 */
#ifndef DEVICES_DISK_NAME_H
#define DEVICES_DISK_NAME_H

#include "devices/scsi/scsi.h"

struct device_list;

struct disk_name {
	const char *id; /* of the device, for messages */
	const struct device_list *list;
	const char *path;         /* of the image; of an empty drive, the id */
	const char *serial, *wwn; /* as the user says; NULL: nothing */
	const char *bus;          /* its first one's id */
	unsigned target, lun;
};

/* -EUSAGE after one line: @serial, of device @id, is not of 1 to @max printable characters. */
int disk_name_check(const char *id, const char *serial, size_t max);
/*
 * The last part of @path, or, where that is no serial number of @max characters, a digest of it in
 * @text: 16 hex digits, behind "file-" where there is room.
 */
#define DISK_DIGEST_MAX (sizeof("file-") + 16)
const char *disk_name_of_file(const char *path, size_t max, char text[DISK_DIGEST_MAX]);

/* Of a SCSI disk. -EUSAGE after one line: it is none, or another disk has it. */
int disk_name_serial(const struct disk_name *n, char serial[SCSI_ID_MAX + 1]);
/* The same. @naa: by the serial number; changed where the user has another one. */
int disk_name_naa(const struct disk_name *n, char naa[SCSI_NAA_MAX + 1]);

#endif
