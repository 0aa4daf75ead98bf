/* SPDX-License-Identifier: MIT */
#include "vmm/run/files/kept.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "vmm/core/clock.h"
#include "vmm/core/log.h"
#include "vmm/run/files/cache.h"

#define SUFFIX ".erofs"
#define CACHE_BYTES (8ull << 30)   /* of all images; the longest unused go first, ... */
#define CACHE_SECONDS (30 * 86400) /* ... and those that nobody has used for so long, ... */
#define FRESH_SECONDS 60           /* ... but not one that a run may be about to open */

struct kept {
	char name[NAME_MAX + 1];
	time_t used;
	uint64_t bytes;
};

static int by_use(const void *a, const void *b)
{
	const struct kept *x = a, *y = b;

	return x->used == y->used ? 0 : x->used < y->used ? 1 : -1;
}

static bool ends_with(const char *name, const char *end)
{
	size_t len = strlen(name), n = strlen(end);

	return len > n && !strcmp(name + len - n, end);
}

/* All images, malloc()ed; what a killed run has left unfinished is removed. [locked] */
static struct kept *list_images(DIR *dir, size_t *count)
{
	struct kept *list = NULL, *more;
	struct dirent *e;
	struct stat st;

	for (*count = 0; (e = readdir(dir));) {
		if (ends_with(e->d_name, ".tmp"))
			unlinkat(dirfd(dir), e->d_name, 0);
		if (!ends_with(e->d_name, SUFFIX) || fstatat(dirfd(dir), e->d_name, &st, 0) < 0)
			continue;
		more = realloc(list, (*count + 1) * sizeof(*list));
		if (!more)
			break;
		list = more;
		snprintf(list[*count].name, sizeof(list->name), "%s", e->d_name);
		list[*count].used = st.st_mtime;
		list[(*count)++].bytes = st.st_blocks * 512ull;
	}
	return list;
}

/* [locked] */
static void sweep(const char *folder)
{
	DIR *dir = opendir(folder);
	time_t now = time(NULL);
	uint64_t bytes = 0;
	struct kept *list;
	size_t count, i;

	if (!dir)
		return;
	list = list_images(dir, &count);
	if (count)
		qsort(list, count, sizeof(*list), by_use);
	for (i = 0; i < count; i++) {
		bytes += list[i].bytes;
		if ((bytes > CACHE_BYTES || list[i].used < now - CACHE_SECONDS) &&
		    list[i].used < now - FRESH_SECONDS)
			unlinkat(dirfd(dir), list[i].name, 0);
	}
	free(list);
	closedir(dir);
}

/* It has been used now. False: it is not there. */
static bool is_kept(const char *image)
{
	return utimensat(AT_FDCWD, image, NULL, 0) == 0;
}

static void say_made(const char *what, const char *image, int64_t begun)
{
	struct stat st;

	if (stat(image, &st) == 0)
		log_info("%s: an image of %lld KiB, made in %lld ms: %s", what,
			 (long long)st.st_size >> 10, (long long)(now_ms() - begun), image);
}

/* As kept_image(). [locked] */
static int make(const char *what, const char *folder, const char *image, kept_make *fn, void *arg)
{
	uint64_t begun = now_ms();
	char *fresh;
	int r;

	if (is_kept(image)) /* by somebody else, while we waited */
		return 1;
	sweep(folder);
	if (asprintf(&fresh, "%s.tmp", image) < 0)
		return -ENOMEM;
	r = fn(arg, fresh);
	if (r == 1 && rename(fresh, image) < 0) {
		r = -errno;
		log_err("%s: %s: %s", what, image, strerror(-r));
	}
	if (r == 1)
		say_made(what, image, begun);
	else
		unlink(fresh);
	free(fresh);
	return r;
}

/* Locked until it is closed. */
static int lock(const char *what, const char *folder)
{
	char *path;
	int fd;

	if (asprintf(&path, "%s/lock", folder) < 0)
		return -ENOMEM;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || flock(fd, LOCK_EX) < 0) {
		log_err("%s: %s: %s", what, path, strerror(errno));
		if (fd >= 0)
			close(fd);
		fd = -EIO;
	}
	free(path);
	return fd;
}

int kept_image(const char *what, const char *folder, const char *name, kept_make *fn, void *arg,
	       char **image)
{
	int fd, r;

	if (asprintf(image, "%s/%s" SUFFIX, folder, name) < 0) {
		log_err("%s: %s", what, strerror(ENOMEM));
		return -ENOMEM;
	}
	if (is_kept(*image))
		return 1;
	fd = lock(what, folder);
	r = fd < 0 ? fd : make(what, folder, *image, fn, arg);
	if (fd >= 0)
		close(fd);
	if (r != 1)
		free(*image);
	return r;
}

char *kept_folder(const char *what)
{
	char *path = NULL, *folder = NULL;
	int r = cache_folder("share", &path);

	if (r == 0) {
		folder = realpath(path, NULL);
		r = folder ? 0 : -errno;
	}
	if (r < 0)
		log_err("%s: %s: %s; XDG_CACHE_HOME names another place for images", what,
			path ? path : "the cache", strerror(-r));
	free(path);
	return folder;
}
