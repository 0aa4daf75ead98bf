/* SPDX-License-Identifier: MIT */
#include "vmm/run/files/installed.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/core/log.h"
#include "vmm/run/files/cache.h"

/* Ends @path before its last part. False: there is none. */
static bool cut(char *path)
{
	char *slash = strrchr(path, '/');

	if (slash)
		*slash = 0;
	return slash;
}

char *installed_beside(const char *program, const char *name)
{
	char top[PATH_MAX], *path;
	size_t len;

	if (snprintf(top, sizeof(top), "%s", program) >= (int)sizeof(top) || !cut(top) ||
	    !cut(top) || asprintf(&path, "%s/share/lunette/%s", top, name) < 0)
		return NULL;
	len = strlen(path) - strlen(name);
	path[len - 1] = 0;
	if (access(path, X_OK) < 0) {
		free(path);
		return NULL;
	}
	path[len - 1] = '/';
	return path;
}

char *installed_path(const char *name)
{
	char program[PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", program, sizeof(program) - 1);

	if (len < 0)
		return NULL;
	program[len] = 0;
	return installed_beside(program, name);
}

char *installed_look(const char *name, char **first)
{
	char *paths[] = { installed_path(name), cache_path(name) };
	int i;

	for (i = 0; i < 2; i++) {
		if (paths[i] && access(paths[i], R_OK) == 0) {
			free(paths[!i]);
			return paths[i];
		}
	}
	i = !paths[0];
	*first = paths[i];
	free(paths[!i]);
	return NULL;
}

char *installed_part(const char *option, const char *name, const char *cure)
{
	char *first = NULL, *path = installed_look(name, &first);

	if (!path)
		log_err("%s: %s: %s; %s", option, first ? first : name, strerror(errno), cure);
	free(first);
	return path;
}

/* @name in @dir, if it can be run; NULL. */
static char *script_in(const char *dir, const char *name)
{
	char *path;

	if (asprintf(&path, "%s/%s", dir, name) < 0)
		return NULL;
	if (access(path, X_OK) == 0)
		return path;
	free(path);
	return NULL;
}

char *installed_script(const char *name)
{
	char *dir = installed_path("kernel"), program[PATH_MAX];
	char *path = dir ? script_in(dir, name) : NULL;
	ssize_t len = readlink("/proc/self/exe", program,
			       sizeof(program) - sizeof("/guest/kernel"));

	free(dir);
	if (path || len < 0)
		return path;
	program[len] = 0;
	if (!cut(program))
		return NULL;
	strcat(program, "/guest/kernel");
	return script_in(program, name);
}
