/* SPDX-License-Identifier: MIT */
#include "vmm/run/files/cache.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/core/own_folder.h"

char *cache_path(const char *name)
{
	const char *cache = own_variable("XDG_CACHE_HOME"), *home = own_variable("HOME");
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

static int make_temporary(const char *name, const char *own, char **path)
{
	int r = own_folder(own, true);

	if (r == 0 && asprintf(path, "%s/%s", own, name) < 0)
		r = -ENOMEM;
	if (r == 0) {
		r = make_folders(*path);
		if (r < 0)
			free(*path);
	}
	return r;
}

int cache_folder(const char *name, char **path)
{
	const char *cache = own_variable("XDG_CACHE_HOME");
	char own[PATH_MAX], *home = cache_path(name);
	unsigned i;
	int r;

	*path = home;
	if (!home)
		return -ENOMEM;
	r = cache || own_variable("HOME") ? make_folders(home) : -ENOENT;
	if (r == 0 || cache) /* the user has said where */
		return r;
	for (i = 0; own_temporary(i, own); i++) {
		if (make_temporary(name, own, path) == 0) {
			free(home);
			return 0;
		}
	}
	*path = home;
	return r;
}
