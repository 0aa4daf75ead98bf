#include "vmm/files/cache.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

char *cache_path(const char *name)
{
	const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
	bool given = cache && *cache == '/'; /* as its specification says */
	char *path;

	if (asprintf(&path, "%s%s/lunette/%s", given ? cache : home ? home : "",
		     given ? "" : "/.cache", name) < 0)
		return NULL;
	return path;
}
