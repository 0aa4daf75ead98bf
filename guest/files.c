/* SPDX-License-Identifier: MIT */
/*
 * files.c - folders from the host, and results to it.
 *
 * A folder comes as a disk with a file system that can only be read. So that builds and tests can
 * work in it as they do at home, an overlayfs is put above, with a tmpfs for what changes. The
 * tmpfs is mounted first, at the place itself, and has all that the overlay is made of; the overlay
 * hides it. A kernel without overlayfs gets the folder as it is. Or it is the host's own, which
 * another program serves there: a file system without a disk, and with nothing above.
 */
#include "guest/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest/init.h"
#include "guest/pack.h"

#define BLOCK 512

int files_take(struct files *f, const char *what, char *text)
{
	char *path = strchr(text, ':');
	struct files_place *place = &f->out;

	if (strcmp(what, "out")) {
		if (f->mounts == FILES_MAX)
			return -EPROTO;
		place = &f->mount[f->mounts++];
	}
	if (!path || path[1] != '/')
		return -EPROTO;
	*path = 0;
	*place = (struct files_place){ .disk = text, .path = path + 1 };
	place->readonly = !strcmp(what, "seen");
	place->live = place->readonly || !strcmp(what, "live");
	return 0;
}

void files_keep(struct files *f)
{
	if (f->mounts) {
		module_probe("erofs");
		module_probe("overlay");
	}
}

/* The last folder is there if the path is a folder, or can be made. */
static int make_path(const char *path)
{
	char name[4096], *c;

	if (snprintf(name, sizeof(name), "%s", path) >= (int)sizeof(name))
		return -ENAMETOOLONG;
	for (c = name + 1; (c = strchr(c, '/')); *c++ = '/') {
		*c = 0;
		mkdir(name, 0755);
	}
	if (mkdir(name, 0755) < 0)
		return -errno;
	return 0;
}

int files_layers(const char *device, const char *path, const char *type)
{
	struct stat st;

	if (mount("share", path, "tmpfs", MS_NODEV, "mode=0755") < 0)
		return -errno;
	/* From inside, as the options of an overlay cannot name every path. */
	if (chdir(path) < 0 || mkdir("folder", 0755) < 0 || mkdir("changes", 0755) < 0 ||
	    mkdir("work", 0755) < 0 || mount(device, "folder", type, MS_RDONLY, NULL) < 0)
		return -errno;
	if (stat("folder", &st) == 0)
		chmod("changes", st.st_mode & 07777);
	if (mount("share", ".", "overlay", 0, "lowerdir=folder,upperdir=changes,workdir=work") < 0)
		return -errno;
	return 0;
}

static int mount_live(const struct files_place *place)
{
	unsigned long flags = MS_NODEV | (place->readonly ? MS_RDONLY : 0);

	return mount(place->disk, place->path, "virtiofs", flags, NULL) < 0 ? -errno : 0;
}

static int mount_share(const struct files_place *place)
{
	char name[128], device[64];
	int r = make_path(place->path);

	if (r < 0 && r != -EEXIST)
		return r;
	if (place->live)
		return mount_live(place);
	snprintf(name, sizeof(name), "serial:%s", place->disk);
	r = disk_find(name, device, sizeof(device));
	if (r < 0)
		return r;
	r = files_layers(device, place->path, "erofs");
	chdir("/");
	if (r == -ENODEV) { /* no overlayfs, or no erofs, which is tried again */
		umount2(place->path, MNT_DETACH);
		r = mount(device, place->path, "erofs", MS_RDONLY, NULL) < 0 ? -errno : 0;
	}
	return r;
}

/* A path that was there keeps what it has, below. */
static int make_out(const struct files_place *place)
{
	int r = make_path(place->path);

	if (r == -EEXIST)
		r = mount("out", place->path, "tmpfs", MS_NODEV, "mode=0755") < 0 ? -errno : 0;
	return r;
}

const char *files_mount(const struct files *f)
{
	unsigned i;
	int r = 0;

	for (i = 0; i < f->mounts; i++) {
		r = mount_share(&f->mount[i]);
		if (r < 0) {
			init_log("--share: %s cannot be mounted: %s", f->mount[i].path,
				 r != -ENODEV ? strerror(-r) : f->mount[i].live ?
				 "this kernel has no virtiofs" : "this kernel has no EROFS");
			return init_said();
		}
	}
	if (f->out.disk) {
		r = make_out(&f->out);
		setenv("LUNETTE_OUT", f->out.path, 1);
	}
	if (r == 0)
		return NULL;
	init_log("--out: %s cannot be made: %s", f->out.path, strerror(-r));
	return init_said();
}

/* In a process of its own, which the kernel may kill for want of memory. */
static int pack(const struct files *f, int to, uint64_t room)
{
	int status = -1;
	pid_t pid = fork();
	char why[300] = "its folder is gone";

	if (pid == 0) {
		int r = chdir(f->out.path) < 0 ? -errno : pack_folder(to, room, why, sizeof(why));

		if (r < 0)
			init_log("--out: %s", why);
		_exit(-r);
	}
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status;
}

/* NULL: all is there. */
static const char *what_is_lost(int status)
{
	if (WIFEXITED(status) && WEXITSTATUS(status) == ENOSPC)
		return "some find no room (--out-limit); the console says which is the first";
	return status ? "some cannot be packed; the console says why" : NULL;
}

unsigned files_give(const struct files *f, const char **lost)
{
	char name[128], device[64];
	off_t end = 0, room;
	int fd = -1;

	snprintf(name, sizeof(name), "serial:%s", f->out.disk);
	*lost = "its disk cannot be opened";
	if (disk_find(name, device, sizeof(device)) == 0)
		fd = open(device, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	room = lseek(fd, 0, SEEK_END);
	lseek(fd, 0, SEEK_SET);
	*lost = what_is_lost(pack(f, fd, room < 0 ? 0 : room));
	end = lseek(fd, 0, SEEK_CUR); /* which the process has moved */
	if (fsync(fd) < 0)
		*lost = "its disk cannot be written";
	close(fd);
	return end < 0 ? 0 : end / BLOCK;
}
