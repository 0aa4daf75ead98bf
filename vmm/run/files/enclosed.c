/* SPDX-License-Identifier: MIT */
#include "vmm/run/files/enclosed.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/core/compat.h"
#include "vmm/core/util.h"

#define AROUND "/sys" /* there is one everywhere, and nobody needs it there */
#define NOTHING AROUND "/nothing" /* an empty file, for those that are covered */
#define SPACES (CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC)

void enclosed_init(struct enclosed *e)
{
	snprintf(e->uid_map, sizeof(e->uid_map), "0 %u 1", (unsigned)geteuid());
	snprintf(e->gid_map, sizeof(e->gid_map), "0 %u 1", (unsigned)getegid());
	e->failed = NULL;
	e->mapped = false;
}

static int put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), r = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		r = -errno;
	close(fd);
	return r;
}

/* A user namespace, for who may not have others otherwise; its owner is us. */
static int leave(struct enclosed *e)
{
	int r;

	if (unshare(SPACES) == 0)
		return 0;
	if (errno != EPERM || unshare(CLONE_NEWUSER | SPACES) < 0)
		return -errno;
	e->mapped = true;
	r = put("/proc/self/setgroups", "deny"); /* the kernel wants that first */
	if (!r)
		r = put("/proc/self/uid_map", e->uid_map);
	return r ? r : put("/proc/self/gid_map", e->gid_map);
}

/* A place with nothing else in it. What is mounted in there stays there. */
static int make_place(void)
{
	int fd;

	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("lunette", AROUND, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC,
		  "mode=0755,size=64k") < 0 || mkdir(ENCLOSED_AT, 0755) < 0)
		return -errno;
	fd = open(NOTHING, O_WRONLY | O_CREAT | O_CLOEXEC, 0400);
	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

static int cover(const char *place)
{
	struct stat st;
	int r;

	if (lstat(place, &st) < 0)
		return errno == ENOENT || errno == ENOTDIR || errno == EACCES ? 0 : -errno;
	if (S_ISLNK(st.st_mode))
		return -ELOOP;
	if (S_ISDIR(st.st_mode))
		r = mount("lunette", place, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0555,size=4k");
	else
		r = mount(NOTHING, place, NULL, MS_BIND, NULL);
	return r < 0 ? -errno : 0;
}

/* A process needs them itself: they are covered in the folder alone. */
static bool is_needed(const char *path)
{
	static const char *const needed[] = { "/proc", "/sys", "/dev", "/run" };
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(needed); i++) {
		if (!strcmp(path, needed[i]))
			return true;
	}
	return false;
}

/* All else is so everywhere, in case that the process is not what it was. Of "/" there is none in
 * front of what is in it. */
static int cover_all(struct enclosed *e, bool needed)
{
	size_t outer = strcmp(e->dir, "/") ? strlen(e->dir) : 0;
	char place[2 * PATH_MAX];
	unsigned i;
	int r = 0;

	for (i = 0; r == 0 && i < e->ncovered; i++) {
		const char *path = e->covered[i];

		if (is_needed(path) != needed)
			continue;
		e->failed = path;
		snprintf(place, sizeof(place), "%s%s", needed ? ENCLOSED_AT : "",
			 path + (needed ? outer : 0));
		r = cover(place);
	}
	return r;
}

static int enter(struct enclosed *e)
{
	int r;

	e->failed = "namespaces for users, mounts and networks";
	r = leave(e);
	if (r < 0)
		return r;
	e->failed = "a mount namespace";
	r = make_place();
	if (r < 0)
		return r;
	r = cover_all(e, false);
	if (r < 0)
		return r;
	e->failed = "a mount of the folder";
	if (mount(e->dir, ENCLOSED_AT, NULL, MS_BIND | MS_REC, NULL) < 0)
		return -errno;
	r = cover_all(e, true);
	if (r < 0)
		return r;
	e->failed = "a mount that is read only";
	return mount_restrict(ENCLOSED_AT, e->readonly) < 0 ? -errno : 0;
}

int enclosed_enter(void *arg)
{
	struct enclosed *e = arg;
	int r = enter(e);

	if (r == 0)
		e->failed = NULL;
	return r;
}
