/* SPDX-License-Identifier: MIT */
#include "devices/disk_name.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "devices/scsi_disk.h"
#include "vmm/core/fail.h"
#include "vmm/core/log.h"
#include "vmm/core/util.h"

extern const struct device_class scsi_disk_class, scsi_cd_class;

/*
 * The disk with this serial number, or with this NAA name when @serial is NULL. On any bus: a guest
 * has one folder for the names of all disks.
 */
static const struct scsi_disk *find_disk(const struct device_list *list, const char *serial,
					 const char *naa)
{
	struct device *dev;

	for (dev = list->last; dev; dev = dev->next) {
		const struct scsi_disk *d = container_of(dev, struct scsi_disk, dev);

		if (dev->class != &scsi_disk_class && dev->class != &scsi_cd_class)
			continue;
		if (serial ? !strcmp(d->lun.serial, serial) : !strcmp(d->lun.naa, naa))
			return d;
	}
	return NULL;
}

/* The place of the first character that cannot be in a serial number; @len: there is none. */
static size_t first_bad(const char *serial, size_t len)
{
	size_t i = 0;

	while (i < len && serial[i] >= ' ' && serial[i] <= '~')
		i++;
	return i;
}

/* As it is given, or not at all. */
int disk_name_check(const char *id, const char *serial, size_t max)
{
	size_t len = strlen(serial), bad = first_bad(serial, len);

	if (!len || len > max)
		log_err("%s: serial=%s: has %zu characters, 1 to %zu are wanted%s", id, serial, len,
			max, max < SCSI_ID_MAX ? "; a SCSI disk may have 63" : "");
	else if (bad < len)
		log_err("%s: serial=%s: character %zu is not printable ASCII", id, serial, bad + 1);
	else
		return 0;
	return -EUSAGE;
}

static bool serves(const char *name, size_t max)
{
	size_t len = strlen(name);

	return len && len <= max && first_bad(name, len) == len && *name != ' ' &&
	       name[len - 1] != ' ';
}

static const char *file_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static const char *digest(const char *name, size_t max, char text[DISK_DIGEST_MAX])
{
	snprintf(text, DISK_DIGEST_MAX, "%s%016" PRIx64, max < DISK_DIGEST_MAX - 1 ? "" : "file-",
		 hash_u64(name, strlen(name)));
	return text;
}

/* Never cut: two numbers may be the same then. */
const char *disk_name_of_file(const char *path, size_t max, char text[DISK_DIGEST_MAX])
{
	const char *name = file_name(path);

	return serves(name, max) ? name : digest(name, max, text);
}

static void serial_of_file(const struct disk_name *n, char serial[SCSI_ID_MAX + 1])
{
	char text[DISK_DIGEST_MAX], place[48] = "";
	const char *name = disk_name_of_file(n->path, SCSI_ID_MAX, text);

	if (n->target)
		snprintf(place, sizeof(place), "-%s-%u-%u", n->bus, n->target, n->lun);
	else
		snprintf(place, sizeof(place), "-%s-%u", n->bus, n->lun);
	if (!find_disk(n->list, name, NULL))
		*place = 0;
	else if (strlen(name) + strlen(place) > SCSI_ID_MAX)
		name = digest(file_name(n->path), SCSI_ID_MAX, text);
	snprintf(serial, SCSI_ID_MAX + 1, "%s%s", name, place);
}

int disk_name_serial(const struct disk_name *n, char serial[SCSI_ID_MAX + 1])
{
	const struct scsi_disk *other;

	if (!n->serial)
		serial_of_file(n, serial);
	else if (disk_name_check(n->id, n->serial, SCSI_ID_MAX) < 0)
		return -EUSAGE;
	else
		strcpy(serial, n->serial);
	other = find_disk(n->list, serial, NULL);
	if (!other)
		return 0;
	log_err("%s: serial=%s: is in use by %s; give another serial=", n->id, serial,
		other->dev.id);
	return -EUSAGE;
}

/* Of 8 bytes: IEEE Extended, Locally Assigned, IEEE Registered; of 16: its Extended form. */
static bool naa_is_valid(const char *naa)
{
	size_t len = strlen(naa);

	return !naa[strspn(naa, "0123456789abcdefABCDEF")] &&
	       ((len == 16 && strchr("235", naa[0])) || (len == 32 && naa[0] == '6'));
}

int disk_name_naa(const struct disk_name *n, char naa[SCSI_NAA_MAX + 1])
{
	const struct scsi_disk *other;
	size_t i;

	if (n->wwn && !naa_is_valid(n->wwn)) {
		log_err("%s: wwn=%s: 16 hex digits are wanted, the first of them 2, 3 or 5, or 32, "
			"with a 6", n->id, n->wwn);
		return -EUSAGE;
	}
	for (i = 0; n->wwn && i <= strlen(n->wwn); i++)
		naa[i] = (char)tolower((unsigned char)n->wwn[i]);
	other = find_disk(n->list, NULL, naa);
	if (!other)
		return 0;
	log_err("%s: wwn=%s: is in use by %s; give another wwn=", n->id, naa, other->dev.id);
	return -EUSAGE;
}
