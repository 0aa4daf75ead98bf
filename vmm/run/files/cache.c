/* SPDX-License-Identifier: MIT */
#include "vmm/run/files/cache.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/core/util.h"

/* What a variable says, if that is an absolute path; else it is to be taken as not set. */
static const char *place(const char *variable)
{
	const char *value = getenv(variable);

	return value && *value == '/' ? value : NULL;
}

char *cache_path(const char *name)
{
	const char *cache = place("XDG_CACHE_HOME"), *home = place("HOME");
	char *path;

	if (asprintf(&path, "%s%s/lunette/%s", cache ? cache : home ? home : "",
		     cache ? "" : "/.cache", name) < 0)
		return NULL;
	return path;
}

/* With those that it is in. 0: it can be written to; or what the first has failed for. */
static int make_folders(char *path)
{
	char *c = path;
	int err = 0;

	do {
		c = strchr(c + 1, '/');
		if (c)
			*c = 0;
		if (mkdir(path, 0700) < 0 && errno != EEXIST && !err)
			err = errno;
		if (c)
			*c = '/';
	} while (c);
	if (err)
		return -err;
	return faccessat(AT_FDCWD, path, W_OK | X_OK, AT_EACCESS) < 0 ? -errno : 0;
}

/* Where everybody may write, somebody else may have been first. */
static int make_own(const char *path)
{
	struct stat st;

	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return -errno;
	if (lstat(path, &st) < 0)
		return -errno;
	return S_ISDIR(st.st_mode) && st.st_uid == geteuid() && !(st.st_mode & 022) ? 0 : -EPERM;
}

static int make_temporary(const char *name, const char *dir, char **path)
{
	char *own;
	int r;

	if (!dir)
		return -ENOENT;
	if (asprintf(&own, "%s/lunette-%u", dir, geteuid()) < 0)
		return -ENOMEM;
	r = make_own(own);
	if (r == 0 && asprintf(path, "%s/%s", own, name) < 0)
		r = -ENOMEM;
	if (r == 0) {
		r = make_folders(*path);
		if (r < 0)
			free(*path);
	}
	free(own);
	return r;
}

int cache_folder(const char *name, char **path)
{
	const char *const dirs[] = { place("TMPDIR"), "/var/tmp", "/tmp" };
	char *home = cache_path(name);
	unsigned i;
	int r;

	*path = home;
	if (!home)
		return -ENOMEM;
	r = place("XDG_CACHE_HOME") || place("HOME") ? make_folders(home) : -ENOENT;
	if (r == 0 || place("XDG_CACHE_HOME")) /* the user has said where */
		return r;
	for (i = 0; i < ARRAY_SIZE(dirs); i++) {
		if (make_temporary(name, dirs[i], path) == 0) {
			free(home);
			return 0;
		}
	}
	*path = home;
	return r;
}
