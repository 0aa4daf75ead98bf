/* SPDX-License-Identifier: MIT */
#include "vmm/run/files/place.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/core/claim.h"
#include "vmm/core/util.h"

#define FOLDER (O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

/* A file, whatever it is called. */
struct inode {
	dev_t dev;
	ino_t ino; /* 0: this place is free */
};

/* A time that a folder gets once nothing more is put into it. */
struct when {
	struct when *next;
	struct timespec mtime;
	char path[];
};

struct place {
	int top;
	struct claims *claims; /* NULL: nothing is spared */
	char temp[32]; /* the name of what has none yet */
	struct inode *file;
	size_t files, room; /* room is a power of two, or 0 */
	struct when *times;
	uint64_t folders;

	/* The file that is being written. */
	int fd, parent;
	bool named;
	char name[NAME_MAX + 1];
};

const char *place_why(int err)
{
	static const struct {
		int err;
		const char *text;
	} row[] = {
		{ EXDEV, "its name is absolute, or has '..'" },
		{ ELOOP, "a symbolic link is in its way" },
		{ ENOTDIR, "a file is in its way" },
		{ EISDIR, "a folder is in its way" },
		{ EINVAL, "it has no name" },
		{ EBUSY, "in its place is a disk, or another file of this run" },
	};
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(row); i++)
		if (row[i].err == -err)
			return row[i].text;
	return strerror(-err);
}

/* Files that were made: a hash table, no more than three quarters full. */

static size_t find_slot(const struct place *p, struct inode i)
{
	size_t n = (i.ino * 0x9e3779b97f4a7c15ull >> 20) & (p->room - 1);

	while (p->file[n].ino && (p->file[n].ino != i.ino || p->file[n].dev != i.dev))
		n = (n + 1) & (p->room - 1);
	return n;
}

static bool is_ours(const struct place *p, struct inode i)
{
	return p->room && p->file[find_slot(p, i)].ino;
}

static int grow(struct place *p)
{
	struct place old = *p;
	size_t i;

	p->room = p->room ? 2 * p->room : 64;
	p->file = calloc(p->room, sizeof(*p->file));
	if (!p->file) {
		p->room = old.room;
		p->file = old.file;
		return -ENOMEM;
	}
	for (i = 0; i < old.room; i++)
		if (old.file[i].ino)
			p->file[find_slot(p, old.file[i])] = old.file[i];
	free(old.file);
	return 0;
}

static int remember_file(struct place *p, int fd)
{
	struct stat st;
	struct inode i;
	size_t n;

	if (p->files >= p->room / 4 * 3 && grow(p) < 0)
		return -ENOMEM;
	if (fstat(fd, &st) < 0)
		return -errno;
	i = (struct inode){ st.st_dev, st.st_ino };
	n = find_slot(p, i);
	p->files += !p->file[n].ino;
	p->file[n] = i;
	return 0;
}

/* Names. */

/* The next component, which is not "."; its length, 0 at the end. */
static size_t next_name(const char **path)
{
	size_t len;

	for (;; *path += len) {
		*path += strspn(*path, "/");
		len = strcspn(*path, "/");
		if (len != 1 || **path != '.')
			return len;
	}
}

static int copy_name(char name[NAME_MAX + 1], const char *from, size_t len)
{
	if (len > NAME_MAX)
		return -ENAMETOOLONG;
	memcpy(name, from, len);
	name[len] = 0;
	return strcmp(name, "..") ? 0 : -EXDEV;
}

/* Why it could not be opened as a folder. */
static int what_is_there(int parent, const char *name, int err)
{
	struct stat st;

	if (err == ENOTDIR && fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    S_ISLNK(st.st_mode))
		return -ELOOP;
	return -err;
}

/* A folder in @parent, which is closed, made if need be and if @p counts it. */
static int enter(struct place *p, int parent, const char *name, bool make)
{
	int fd = openat(parent, name, FOLDER), r;

	if (fd < 0 && errno == ENOENT && make) {
		if (mkdirat(parent, name, 0777) == 0)
			p->folders++;
		fd = openat(parent, name, FOLDER);
	}
	r = fd < 0 ? what_is_there(parent, name, errno) : fd;
	close(parent);
	return r;
}

/* Opens the folder that @path is in, and gives the last component. */
static int walk(struct place *p, const char *path, bool make, char name[NAME_MAX + 1])
{
	int fd, r;
	size_t len;

	if (*path == '/')
		return -EXDEV;
	if (strlen(path) > PLACE_PATH_MAX)
		return -ENAMETOOLONG;
	len = next_name(&path);
	if (!len)
		return -EINVAL;
	fd = openat(p->top, ".", FOLDER);
	if (fd < 0)
		return -errno;
	for (;;) {
		r = copy_name(name, path, len);
		path += len;
		len = next_name(&path);
		if (r < 0 || !len)
			break;
		fd = enter(p, fd, name, make);
		if (fd < 0)
			return fd;
	}
	if (r == 0)
		return fd;
	close(fd);
	return r;
}

static bool is_spared(const struct place *p, int parent, const char *name)
{
	return p->claims && claims_have(p->claims, parent, name);
}

/* @p->temp becomes @name in @parent; or it is gone. */
static int put_in_place(struct place *p, int parent, const char *name)
{
	int r = is_spared(p, parent, name) ? -EBUSY : 0;

	if (r == 0)
		r = renameat(parent, p->temp, parent, name) < 0 ? -errno : 0;

	/* Also there if both are names of one file, which rename() leaves alone. */
	unlinkat(parent, p->temp, 0);
	return r;
}

/* As files have it: modified then, and looked at now. */
static void set_times(struct timespec times[2], const struct timespec *mtime)
{
	times[0] = (struct timespec){ .tv_nsec = UTIME_NOW };
	times[1] = *mtime;
}

/* Without memory it has no time, and that is all. */
static void remember_time(struct place *p, const char *path, const struct timespec *mtime)
{
	struct when *w = malloc(sizeof(*w) + strlen(path) + 1);

	if (!w)
		return;
	w->next = p->times;
	w->mtime = *mtime;
	strcpy(w->path, path);
	p->times = w;
}

int place_folder(struct place *p, const char *path, mode_t mode, const struct timespec *mtime)
{
	char name[NAME_MAX + 1];
	int parent = walk(p, path, true, name), r;
	struct stat st;

	if (parent < 0)
		return parent;
	mode = (mode & 0777) | 0700;
	r = mkdirat(parent, name, mode) < 0 ? -errno : 1;
	if (r == -EEXIST && fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		r = S_ISDIR(st.st_mode) ? 0 : r;
	if (r == -EEXIST && is_spared(p, parent, name)) {
		r = -EBUSY;
	} else if (r == -EEXIST) {
		unlinkat(parent, name, 0);
		r = mkdirat(parent, name, mode) < 0 ? -errno : 1;
	}
	close(parent);
	if (r == 1) {
		p->folders++;
		remember_time(p, path, mtime);
	}
	return r < 0 ? r : 0;
}

int place_symlink(struct place *p, const char *path, const char *target,
		  const struct timespec *mtime)
{
	char name[NAME_MAX + 1];
	int parent = walk(p, path, true, name), r;
	struct timespec times[2];

	if (parent < 0)
		return parent;
	r = symlinkat(target, parent, p->temp) < 0 ? -errno : 0;
	if (r == 0) {
		set_times(times, mtime);
		utimensat(parent, p->temp, times, AT_SYMLINK_NOFOLLOW);
		r = put_in_place(p, parent, name);
	}
	close(parent);
	return r;
}

/* The name by which an open file can be linked to. */
static int link_open(int fd, int parent, const char *name)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return linkat(AT_FDCWD, path, parent, name, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}

/* A file of ours, open, so that it stays the same. */
static int open_ours(struct place *p, const char *path)
{
	char name[NAME_MAX + 1];
	int parent = walk(p, path, false, name), fd, r;
	struct stat st;

	if (parent < 0)
		return parent;
	fd = openat(parent, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	r = fd < 0 || fstat(fd, &st) < 0 ? -errno : fd;
	if (r >= 0 && (!S_ISREG(st.st_mode) ||
		       !is_ours(p, (struct inode){ st.st_dev, st.st_ino })))
		r = -ENOENT;
	if (r < 0 && fd >= 0)
		close(fd);
	close(parent);
	return r;
}

int place_link(struct place *p, const char *path, const char *target)
{
	char name[NAME_MAX + 1];
	int fd = open_ours(p, target), parent, r;

	if (fd < 0)
		return fd;
	parent = walk(p, path, true, name);
	r = parent;
	if (parent >= 0) {
		r = link_open(fd, parent, p->temp);
		if (r == 0)
			r = put_in_place(p, parent, name);
		close(parent);
	}
	close(fd);
	return r;
}

int place_begin(struct place *p, const char *path, mode_t mode)
{
	int r;

	p->parent = walk(p, path, true, p->name);
	if (p->parent < 0)
		return p->parent;
	mode = (mode & 0777) | 0600;
	p->named = false;
	p->fd = openat(p->parent, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, mode);
	if (p->fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == ENOENT)) {
		p->named = true;
		p->fd = openat(p->parent, p->temp,
			       O_CREAT | O_EXCL | O_NOFOLLOW | O_WRONLY | O_CLOEXEC, mode);
	}
	if (p->fd >= 0)
		return 0;
	r = -errno;
	close(p->parent);
	return r;
}

int place_write(struct place *p, const void *data, size_t len, uint64_t off)
{
	const char *from = data;
	ssize_t n;

	while (len) {
		n = pwrite(p->fd, from, len, off);
		if (n < 0)
			return -errno;
		from += n;
		off += n;
		len -= n;
	}
	return 0;
}

/* Some file systems know only now that there is no room. */
static int close_file(struct place *p)
{
	int fd = p->fd;

	p->fd = -1;
	return close(fd) < 0 ? -errno : 0;
}

int place_commit(struct place *p, uint64_t size, const struct timespec *mtime)
{
	struct timespec times[2];
	struct stat st;
	int r = 0;

	if (fstat(p->fd, &st) < 0 ||
	    ((uint64_t)st.st_size != size && ftruncate(p->fd, size) < 0))
		r = -errno;
	set_times(times, mtime);
	futimens(p->fd, times);
	if (r == 0)
		r = remember_file(p, p->fd);
	if (r == 0 && !p->named)
		r = link_open(p->fd, p->parent, p->temp);
	p->named = p->named || r == 0;
	if (r == 0)
		r = close_file(p);
	if (r == 0) {
		r = put_in_place(p, p->parent, p->name);
		close(p->parent);
		return r;
	}
	place_drop(p);
	return r;
}

void place_drop(struct place *p)
{
	if (p->fd >= 0)
		close(p->fd);
	if (p->named)
		unlinkat(p->parent, p->temp, 0);
	close(p->parent);
	p->fd = -1;
}

uint64_t place_folders(const struct place *p)
{
	return p->folders;
}

void place_spare(struct place *p, struct claims *claims)
{
	p->claims = claims;
}

struct place *place_create(int folder)
{
	struct place *p = calloc(1, sizeof(*p));
	uint64_t number = 0;

	if (!p)
		return NULL;
	if (getrandom(&number, sizeof(number), GRND_NONBLOCK) < 0)
		number = (uint64_t)getpid() << 32 | (uint32_t)time(NULL);
	snprintf(p->temp, sizeof(p->temp), ".lunette-%016llx", (unsigned long long)number);
	p->top = folder;
	p->fd = -1;
	return p;
}

static void set_time(struct place *p, const struct when *w)
{
	char name[NAME_MAX + 1];
	int parent = walk(p, w->path, false, name);
	struct timespec times[2];

	if (parent < 0)
		return;
	set_times(times, &w->mtime);
	utimensat(parent, name, times, AT_SYMLINK_NOFOLLOW);
	close(parent);
}

void place_destroy(struct place *p)
{
	struct when *w;

	if (!p)
		return;
	if (p->fd >= 0)
		place_drop(p);
	while ((w = p->times)) {
		p->times = w->next;
		set_time(p, w);
		free(w);
	}
	free(p->file);
	free(p);
}
