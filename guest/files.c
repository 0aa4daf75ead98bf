/*
 * files.c - folders from the host, and results to it.
 *
 * A folder comes as a disk with a file system that can only be read. So that builds and tests can
 * work in it as they do at home, an overlayfs is put above, with a tmpfs for what changes. The
 * tmpfs is mounted first, at the place itself, and has all that the overlay is made of; the overlay
 * hides it. A kernel without overlayfs gets the folder as it is.
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

#define BLOCK 512

int files_take(struct files *f, const char *what, char *text)
{
	char *path = strchr(text, ':');
	struct files_place *place = &f->out;

	if (!strcmp(what, "mount")) {
		if (f->mounts == FILES_MAX)
			return -EPROTO;
		place = &f->mount[f->mounts++];
	}
	if (!path || path[1] != '/')
		return -EPROTO;
	*path = 0;
	*place = (struct files_place){ text, path + 1 };
	return 0;
}

const char *files_keep(struct files *f)
{
	f->busybox = -1;
	if (f->mounts && access("/etc/modules", F_OK) == 0)
		system("modprobe -a erofs overlay");
	if (f->out.disk)
		f->busybox = open("/bin/busybox", O_PATH | O_CLOEXEC);
	return f->out.disk && f->busybox < 0 ? "--out: there is no busybox in the initramfs" : NULL;
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

static int mount_layers(const char *device, const char *path)
{
	struct stat st;

	if (mount("share", path, "tmpfs", MS_NODEV, "mode=0755") < 0)
		return -errno;
	/* From inside, as the options of an overlay cannot name every path. */
	if (chdir(path) < 0 || mkdir("folder", 0755) < 0 || mkdir("changes", 0755) < 0 ||
	    mkdir("work", 0755) < 0 || mount(device, "folder", "erofs", MS_RDONLY, NULL) < 0)
		return -errno;
	if (stat("folder", &st) == 0)
		chmod("changes", st.st_mode & 07777);
	if (mount("share", ".", "overlay", 0, "lowerdir=folder,upperdir=changes,workdir=work") < 0)
		return -errno;
	return 0;
}

static int mount_share(const struct files_place *place)
{
	char name[128], device[64];
	int r = make_path(place->path);

	if (r < 0 && r != -EEXIST)
		return r;
	snprintf(name, sizeof(name), "serial:%s", place->disk);
	r = disk_find(name, device, sizeof(device));
	if (r < 0)
		return r;
	r = mount_layers(device, place->path);
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
			init_log("--share: %s: %s", f->mount[i].path, strerror(-r));
			return r == -ENODEV ? "--share: this kernel has no EROFS" :
					      "--share: a folder cannot be mounted; the console "
					      "says why";
		}
	}
	if (f->out.disk) {
		r = make_out(&f->out);
		setenv("LUNETTE_OUT", f->out.path, 1);
	}
	if (r == 0)
		return NULL;
	init_log("--out: %s: %s", f->out.path, strerror(-r));
	return "--out: its folder cannot be made in the guest; the console says why";
}

/* To the end of what @to is for, whose position the parent shares. */
static int run_tar(const struct files *f, int to)
{
	static char *const argv[] = { "tar", "-cf", "-", ".", NULL };
	int status = -1, console = open("/dev/console", O_WRONLY | O_NOCTTY | O_CLOEXEC);
	pid_t pid = fork();

	if (pid == 0) {
		dup2(to, STDOUT_FILENO);
		if (console >= 0)
			dup2(console, STDERR_FILENO);
		if (chdir(f->out.path) == 0)
			fexecve(f->busybox, argv, environ);
		_exit(127);
	}
	if (console >= 0)
		close(console);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status;
}

unsigned files_give(const struct files *f, const char **lost)
{
	char name[128], device[64];
	off_t end = 0;
	int fd = -1, status;

	snprintf(name, sizeof(name), "serial:%s", f->out.disk);
	*lost = "its disk cannot be opened";
	if (disk_find(name, device, sizeof(device)) == 0)
		fd = open(device, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	status = run_tar(f, fd);
	end = lseek(fd, 0, SEEK_CUR);
	*lost = NULL;
	if (fsync(fd) < 0)
		*lost = "its disk cannot be written";
	else if (status)
		*lost = "tar has failed, perhaps for want of room (--out-limit); the console says "
			"why";
	close(fd);
	return end < 0 ? 0 : end / BLOCK;
}
