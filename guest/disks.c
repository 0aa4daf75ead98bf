/* disks.c - modules, and disks by their LUNs. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "guest/init.h"

#define SCSI "/sys/bus/scsi"
#define MODULES "/etc/modules" /* files, in the order in which they load; by mkinitramfs.sh */
#define DEVICES_MAX 8192
#define NAME_LEN 32
#define TRIES 10
#define TRY_US 200000

/* A device on a SCSI bus, as the kernel writes it: host:channel:target:lun. */
struct scsi_device {
	unsigned host, channel, target;
	unsigned long long lun;
};

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

/* All, sorted; free()d by the caller. */
static struct scsi_device *scan(unsigned *count)
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

static char *name(const struct scsi_device *d, char text[NAME_LEN])
{
	snprintf(text, NAME_LEN, "%u:%u:%u:%llu", d->host, d->channel, d->target, d->lun);
	return text;
}

/* What the block layer calls it, e.g. "sda"; false: it is none of its devices. */
static bool block_name(const struct scsi_device *d, char block[NAME_LEN])
{
	char path[128], text[NAME_LEN];
	struct dirent *e;
	bool found = false;
	DIR *dir;

	snprintf(path, sizeof(path), SCSI "/devices/%s/block", name(d, text));
	dir = opendir(path);
	while (dir && !found && (e = readdir(dir))) {
		found = e->d_name[0] != '.';
		snprintf(block, NAME_LEN, "%.31s", e->d_name);
	}
	if (dir)
		closedir(dir);
	return found;
}

/* sdz stands before sdaa. */
static bool in_order(const struct scsi_device *list, unsigned count)
{
	char block[NAME_LEN], last[NAME_LEN] = "";
	size_t i, len;

	for (i = 0; i < count; i++) {
		if (!block_name(&list[i], block) || strncmp(block, "sd", 2))
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
	char path[64], text[NAME_LEN];
	unsigned i;

	snprintf(path, sizeof(path), SCSI "/drivers/sd/%s", how);
	for (i = 0; i < count; i++)
		init_write(path, name(&list[i], text));
}

/* "virtio-pci.ko" and "virtio_pci.force_legacy=1" are about the same module. */
static bool is_about(const char *word, const char *file, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if (word[i] != file[i] && (word[i] != '_' || file[i] != '-'))
			return false;
	return word[len] == '.';
}

/* The parameters that the kernel's command line has for the module in this file. */
static void module_words(const char *path, char *to, size_t size)
{
	char line[4096], *word, *rest = init_read("/proc/cmdline", line, sizeof(line));
	const char *slash = strrchr(path, '/'), *file = slash ? slash + 1 : path;
	size_t len = strcspn(file, "."), at = 0;

	*to = 0;
	while ((word = strsep(&rest, " \n")))
		if (is_about(word, file, len) && at < size)
			at += snprintf(to + at, size - at, "%s ", word + len + 1);
}

static void load(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char words[4096];

	module_words(path, words, sizeof(words));
	if (fd < 0 || (syscall(SYS_finit_module, fd, words, 0) < 0 && errno != EEXIST &&
		       errno != ENODEV))
		init_log("%s: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
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
		load(path);
		/* Disks wait, from the first moment at which they can be made to. */
		held = held || init_write(SCSI "/drivers_autoprobe", "0") == 0;
	}
	fclose(list);
	return true;
}

static void load_cdrom(void)
{
	char type[8], path[128], text[NAME_LEN];
	struct scsi_device *list;
	unsigned count, i;

	list = scan(&count);
	for (i = 0; i < count; i++) {
		snprintf(path, sizeof(path), SCSI "/devices/%s/type", name(&list[i], text));
		if (atoi(init_read(path, type, sizeof(type))) == 5) {
			system("modprobe sr_mod");
			break;
		}
	}
	free(list);
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

	list = scan(&count);
	if (modules) {
		bind_each(list, count, "bind");
		init_write(SCSI "/drivers_autoprobe", "1");
		load_cdrom();
	} else if (!in_order(list, count)) {
		bind_each(list, count, "unbind");
		bind_each(list, count, "bind");
	}
	free(list);
}

/* LUNs from 256 on have another bit, as the kernel shows flat addresses. */
static bool find_lun(unsigned lun, char *path, size_t size)
{
	char block[NAME_LEN];
	struct scsi_device *list;
	unsigned count, i;
	bool found = false;

	list = scan(&count);
	for (i = 0; i < count && !found; i++) {
		if (list[i].channel || list[i].target ||
		    list[i].lun != (lun < 256 ? lun : lun | 0x4000))
			continue;
		found = block_name(&list[i], block);
		snprintf(path, size, "/dev/%s", block);
	}
	free(list);
	return found;
}

/* The page of vital product data with it has four bytes before it. */
static bool find_serial(const char *serial, char *path, size_t size)
{
	char page[256], file[128], block[NAME_LEN];
	struct scsi_device *list;
	unsigned count, i;
	bool found = false;

	list = scan(&count);
	for (i = 0; i < count && !found; i++) {
		memset(page, 0, sizeof(page));
		snprintf(file, sizeof(file), SCSI "/devices/%s/vpd_pg80", name(&list[i], block));
		found = !strcmp(init_read(file, page, sizeof(page)) + 4, serial) &&
			block_name(&list[i], block);
		snprintf(path, size, "/dev/%s", block);
	}
	free(list);
	return found;
}

/* LABEL= or UUID=. */
static bool find_tagged(const char *what, char *path, size_t size)
{
	bool found;
	FILE *out;

	setenv("WHAT", what, 1);
	out = popen("findfs \"$WHAT\" 2>/dev/null", "re");
	found = out && fgets(path, size, out);
	if (out)
		pclose(out);
	unsetenv("WHAT");
	path[strcspn(path, "\n")] = 0;
	return found;
}

int disk_find(const char *what, char *path, size_t size)
{
	struct stat st;
	int try;

	for (try = 0; try < TRIES; try++) {
		*path = 0;
		if (!strncmp(what, "lun:", 4))
			find_lun(strtoul(what + 4, NULL, 10), path, size);
		else if (!strncmp(what, "serial:", 7))
			find_serial(what + 7, path, size);
		else if (strchr(what, '='))
			find_tagged(what, path, size);
		else
			snprintf(path, size, "%s", what);
		if (stat(path, &st) == 0 && S_ISBLK(st.st_mode))
			return 0;
		usleep(TRY_US);
	}
	return -ENXIO;
}

void disks_list(void)
{
	char block[NAME_LEN], path[128], sectors[32], vendor[32], model[32];
	struct scsi_device *list;
	unsigned count, i;

	list = scan(&count);
	for (i = 0; i < count; i++) {
		if (!block_name(&list[i], block) || strncmp(block, "sd", 2))
			continue;
		snprintf(path, sizeof(path), "/sys/block/%s/size", block);
		init_read(path, sectors, sizeof(sectors));
		snprintf(path, sizeof(path), "/sys/block/%s/device/vendor", block);
		init_read(path, vendor, sizeof(vendor));
		snprintf(path, sizeof(path), "/sys/block/%s/device/model", block);
		init_read(path, model, sizeof(model));
		vendor[strcspn(vendor, " \n")] = 0;
		model[strcspn(model, "\n")] = 0;
		printf("%s: %llu MiB, %s %s\n", block, strtoull(sectors, NULL, 10) / 2048, vendor,
		       model);
	}
	free(list);
}
