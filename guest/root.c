/* SPDX-License-Identifier: MIT */
/* root.c - the root file system. */
#include <blkid/blkid.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest/files.h"
#include "guest/init.h"

#define ROOT "/mnt"
#define LIVE "virtiofs:" /* with a tag behind it, it is no disk */

/* As mount(8) finds it. -ENODATA: none that is known; -ENOTUNIQ: several. */
static int probe_type(const char *device, char *type, size_t size)
{
	blkid_probe probe = blkid_new_probe_from_filename(device);
	const char *value;
	int r;

	if (!probe)
		return errno ? -errno : -EIO;
	blkid_probe_enable_superblocks(probe, 1);
	blkid_probe_set_superblocks_flags(probe, BLKID_SUBLKS_TYPE);
	r = blkid_do_safeprobe(probe);
	if (r == 0 && blkid_probe_lookup_value(probe, "TYPE", &value, NULL) == 0)
		snprintf(type, size, "%s", value);
	else
		r = r == -2 ? -ENOTUNIQ : r == -1 ? -EIO : -ENODATA;
	blkid_free_probe(probe);
	return r;
}

/* @flags: also tried with MS_RDONLY, for a disk that cannot be written. */
static int mount_type(const char *device, const char *type, unsigned long flags)
{
	int r = mount(device, ROOT, type, flags, NULL) < 0 ? -errno : 0;

	if (r == -EACCES || r == -EROFS)
		r = mount(device, ROOT, type, flags | MS_RDONLY, NULL) < 0 ? -errno : 0;
	return r;
}

/* An image of lunette's, or the host's own folder: what is written goes into memory. */
static int mount_below(const char *device, const char *type, const char *needs)
{
	int r;

	module_probe(type);
	module_probe("overlay");
	r = files_layers(device, ROOT, type);
	chdir("/");
	if (r == -ENODEV)
		init_log("--root: this kernel has no %s, or no overlayfs (CONFIG_%s_FS, "
			 "CONFIG_OVERLAY_FS)", type, needs);
	else if (r < 0)
		init_log("--root: %s, with %s, cannot be mounted: %s", device, type, strerror(-r));
	return r;
}

static int mount_root(const char *what, const char *device)
{
	const char *word = init_word("rootfstype");
	char type[64] = "";
	int r = 0;

	if (word)
		snprintf(type, sizeof(type), "%s", word);
	else
		r = probe_type(device, type, sizeof(type));
	if (r == -ENODATA)
		init_log("root=%s: there is no file system on %s", what, device);
	else if (r == -ENOTUNIQ)
		init_log("root=%s: %s has marks of several file systems; rootfstype= says which",
			 what, device);
	else if (r < 0)
		init_log("root=%s: %s: %s", what, device, strerror(-r));
	if (r < 0)
		return r;
	r = mount_type(device, type, init_word("ro") ? MS_RDONLY : 0);
	if (r == -ENODEV)
		init_log("root=%s: %s has %s, which this kernel does not know", what, device, type);
	else if (r < 0)
		init_log("root=%s: %s, with %s, cannot be mounted: %s", what, device, type,
			 strerror(-r));
	return r;
}

int init_mount_root(void)
{
	const char *what = init_word("lunette.root");
	char path[128], name[128];
	int r;

	if (!what)
		what = init_word("root");
	if (!what)
		return 0;
	snprintf(name, sizeof(name), "%s", what);
	if (!strncmp(name, LIVE, strlen(LIVE))) {
		r = mount_below(name + strlen(LIVE), "virtiofs", "VIRTIO");
		return r < 0 ? r : 1;
	}
	r = disk_find(name, path, sizeof(path));
	if (r < 0)
		init_log("root=%s: there is no such disk", name);
	else
		r = init_word("lunette.overlay") ? mount_below(path, "erofs", "EROFS") :
						     mount_root(name, path);
	return r < 0 ? r : 1;
}

int init_enter_root(void)
{
	static const char *const along[] = { "/dev", "/proc", "/sys" };
	char to[16];
	size_t i;
	int r;

	for (i = 0; i < sizeof(along) / sizeof(along[0]); i++) {
		snprintf(to, sizeof(to), ROOT "%s", along[i]);
		mkdir(to, 0755); /* where that can be done */
		if (mount(along[i], to, NULL, MS_MOVE, NULL) < 0) {
			r = -errno;
			init_log("the root file system has no folder %s", along[i]);
			return r;
		}
	}
	if (chdir(ROOT) < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 ||
	    chdir("/") < 0) {
		r = -errno;
		init_log("the root file system cannot be entered: %s", strerror(-r));
		return r;
	}
	return 0;
}
