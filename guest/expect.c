/* SPDX-License-Identifier: MIT */
/* expect.c - is there what the command line of lunette asked for, and if not, why not? */
#include "guest/expect.h"

#include <dirent.h>
#include <errno.h>
#include <linux/virtio_ids.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest/init.h"

#define VIRTIO "/sys/bus/virtio/devices"
#define PORTS "/sys/class/virtio-ports"
#define TRIES 30 /* for what comes late */
#define TRY_US 100000

/* Of devices on the virtio bus: what the module of the driver is called, and the driver itself. */
static const struct {
	unsigned id;
	const char *driver, *what;
} virtio[] = {
	{ VIRTIO_ID_NET, "virtio_net", "network interface" },
	{ VIRTIO_ID_BLOCK, "virtio_blk", "disk" },
	{ VIRTIO_ID_CONSOLE, "virtio_console", "console" },
	{ VIRTIO_ID_RNG, "virtio_rng", "source of random numbers" },
	{ VIRTIO_ID_BALLOON, "virtio_balloon", "memory balloon" },
	{ VIRTIO_ID_SCSI, "virtio_scsi", "SCSI controller" },
	{ VIRTIO_ID_VSOCK, "vmw_vsock_virtio_transport", "socket device" },
	{ VIRTIO_ID_FS, "virtiofs", "folder of another program's" },
};

/* Where drivers of the two transports are, and their modules. */
static const char *const transports[][2] = {
	{ "/sys/bus/pci/drivers/virtio-pci", "virtio_pci" },
	{ "/sys/bus/platform/drivers/virtio-mmio", "virtio_mmio" },
};

bool virtio_has_id(const char *device, unsigned id)
{
	char path[300], text[16];

	snprintf(path, sizeof(path), VIRTIO "/%s/device", device);
	return strtoul(init_read(path, text, sizeof(text)), NULL, 16) == id;
}

unsigned virtio_count(unsigned id, bool bound)
{
	DIR *dir = opendir(VIRTIO);
	struct dirent *e;
	char path[300];
	unsigned n = 0;

	while (dir && (e = readdir(dir))) {
		snprintf(path, sizeof(path), VIRTIO "/%s/driver", e->d_name);
		n += e->d_name[0] != '.' && virtio_has_id(e->d_name, id) &&
		     (!bound || access(path, F_OK) == 0);
	}
	if (dir)
		closedir(dir);
	return n;
}

/* @bus: "virtio" or "scsi". NULL: there is one. */
static const char *no_driver(const char *bus, const char *driver, const char *module, char *text,
			     size_t size)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/bus/%s/drivers/%s", bus, driver);
	return access(path, F_OK) == 0 ? NULL : module_why(module, text, size);
}

static const char *no_transport(char *text, size_t size)
{
	size_t i;

	for (i = 0; i < sizeof(transports) / sizeof(transports[0]); i++)
		if (access(transports[i][0], F_OK) < 0)
			return module_why(transports[i][1], text, size);
	return "the kernel has not found it; its command line may forbid that (pci=off, acpi=off)";
}

/* Why there are fewer than @wanted devices with this ID that have a driver. */
static const char *no_virtio(unsigned row, unsigned wanted, char *text, size_t size)
{
	const char *why;

	if (virtio_count(virtio[row].id, false) < wanted)
		return no_transport(text, size);
	why = no_driver("virtio", virtio[row].driver, virtio[row].driver, text, size);
	return why ? why : "its driver does not take it; the kernel's log says why";
}

static unsigned row_of(unsigned id)
{
	unsigned row = 0;

	while (row < sizeof(virtio) / sizeof(virtio[0]) && virtio[row].id != id)
		row++;
	return row;
}

static const char *no_controller(char *text, size_t size)
{
	return virtio_count(VIRTIO_ID_SCSI, true) ? NULL :
	       no_virtio(row_of(VIRTIO_ID_SCSI), 1, text, size);
}

/* @d NULL: it is not even on a bus. */
static const char *no_disk(const struct scsi_device *d, char *text, size_t size)
{
	const char *why = no_controller(text, size);

	if (!why && !d)
		return "the kernel's scan of the controller has not found it";
	if (!why && disk_type(d) == 5)
		why = no_driver("scsi", "sr", "sr_mod", text, size);
	else if (!why)
		why = no_driver("scsi", "sd", "sd_mod", text, size);
	return why ? why : "its driver does not take it; the kernel's log says why";
}

/* One kind of record each: false, with the line in x->why, if there is not what it tells of. */

static bool miss(struct expect *x, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static bool miss(struct expect *x, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(x->why, sizeof(x->why), fmt, ap);
	va_end(ap);
	return false;
}

static bool check_lun(struct expect *x, unsigned target, unsigned lun, unsigned wanted)
{
	const struct scsi_device *last = NULL;
	char block[DISK_NAME_LEN], text[256];
	unsigned i;

	for (i = 0; wanted && i < x->ndevices; i++) {
		if (!disk_is_at(&x->device[i], target, lun))
			continue;
		if (disk_block_name(&x->device[i], block))
			wanted--;
		else
			last = &x->device[i];
	}
	return !wanted || miss(x, "target %u, lun:%u is not there: %s", target, lun,
			       no_disk(last, text, sizeof(text)));
}

/* How many controllers have it, by the records of all. */
static unsigned times(const struct expect *x, unsigned target, unsigned lun)
{
	unsigned t, first, last, i, n = 0;

	for (i = 0; i < x->count; i++)
		n += !strcmp(x->wanted[i].what, "lun") &&
		     sscanf(x->wanted[i].value, "%u %u %u", &t, &first, &last) == 3 &&
		     t == target && lun >= first && lun <= last;
	return n;
}

static bool check_luns(struct expect *x, const char *value)
{
	unsigned target, first, last;
	bool there = sscanf(value, "%u %u %u", &target, &first, &last) == 3;

	for (; there && first <= last; first++)
		there = check_lun(x, target, first, times(x, target, first));
	return there;
}

/* Under the name by which users know it, as udev has it. */
static void link_port(const char *name, const char *device)
{
	char path[300], to[300];

	mkdir("/dev/virtio-ports", 0755);
	snprintf(path, sizeof(path), "/dev/virtio-ports/%s", name);
	snprintf(to, sizeof(to), "../%s", device);
	if (symlink(to, path) < 0 && errno != EEXIST)
		init_log("%s: %s", path, strerror(errno));
}

static bool check_port(struct expect *x, const char *value)
{
	char path[300], name[80], text[256];
	DIR *dir = opendir(PORTS);
	struct dirent *e;
	bool found = false;

	while (dir && !found && (e = readdir(dir))) {
		snprintf(path, sizeof(path), PORTS "/%s/name", e->d_name);
		init_read(path, name, sizeof(name));
		name[strcspn(name, "\n")] = 0;
		found = !strcmp(name, value);
		if (found)
			link_port(name, e->d_name);
	}
	if (dir)
		closedir(dir);
	return found || miss(x, "port %s is not there: %s", value,
			     no_virtio(row_of(VIRTIO_ID_CONSOLE), 1, text, sizeof(text)));
}

/* "ID COUNT" */
static bool check_virtio(struct expect *x, const char *value)
{
	unsigned id, wanted, row;
	char text[256];

	if (sscanf(value, "%u %u", &id, &wanted) != 2)
		return true;
	row = row_of(id);
	if (row == sizeof(virtio) / sizeof(virtio[0]) || virtio_count(id, true) >= wanted)
		return true;
	return miss(x, "a %s is not there: %s", virtio[row].what,
		    no_virtio(row, wanted, text, sizeof(text)));
}

static bool check_place(struct expect *x, const char *option, const struct files_place *place)
{
	char what[128], device[64], text[256];
	const char *why;

	if (!place->disk || place->live) /* which is a virtio device */
		return true;
	snprintf(what, sizeof(what), "serial:%s", place->disk);
	if (disk_look(what, device, sizeof(device)))
		return true;
	why = no_controller(text, sizeof(text));
	why = why ? why : no_driver("scsi", "sd", "sd_mod", text, sizeof(text));
	return miss(x, "%s: the disk for %s is not there: %s", option, place->path,
		    why ? why : "the kernel's scan of the controller has not found it");
}

static const struct {
	const char *what;
	bool (*check)(struct expect *x, const char *value);
} kinds[] = {
	{ "lun", check_luns },
	{ "port", check_port },
	{ "virtio", check_virtio },
};

static int kind_of(const char *what)
{
	int i;

	for (i = sizeof(kinds) / sizeof(kinds[0]) - 1; i >= 0 && strcmp(kinds[i].what, what); i--)
		;
	return i;
}

int expect_take(struct expect *x, const char *what, const char *value)
{
	if (kind_of(what) < 0 || x->count == EXPECT_MAX)
		return -EPROTO;
	x->wanted[x->count++] = (struct expect_wanted){ what, value };
	return 0;
}

static bool check_all(struct expect *x, const struct files *f)
{
	bool there = check_place(x, "--out", &f->out);
	unsigned i;

	for (i = 0; there && i < f->mounts; i++)
		there = check_place(x, "--share", &f->mount[i]);
	x->device = disks_scan(&x->ndevices);
	for (i = 0; there && i < x->count; i++)
		there = kinds[kind_of(x->wanted[i].what)].check(x, x->wanted[i].value);
	free(x->device);
	return there;
}

bool expect_met(struct expect *x, const struct files *f)
{
	bool met = check_all(x, f);
	int try;

	for (try = 0; !met && try < TRIES; try++) {
		usleep(TRY_US);
		met = check_all(x, f);
	}
	if (!met)
		init_log("%s", x->why);
	return met;
}
