/* SPDX-License-Identifier: MIT */
#include "vmm/core/below.h"

#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "vmm/core/util.h"

#define LOOPS_MAX 8 /* that are looked through */

static bool find_file(dev_t dev, char name[PATH_MAX])
{
	static const char *const places[] = { "", "/.." };
	char path[64];
	bool found = false;
	unsigned i;
	FILE *in;

	for (i = 0; i < ARRAY_SIZE(places) && !found; i++) {
		snprintf(path, sizeof(path), "/sys/dev/block/%u:%u%s/loop/backing_file",
			 major(dev), minor(dev), places[i]);
		in = fopen(path, "re");
		found = in && fgets(name, PATH_MAX, in);
		if (in)
			fclose(in);
	}
	if (found)
		name[strcspn(name, "\n")] = 0;
	return found;
}

bool below_find(const struct stat *st, char path[PATH_MAX], struct stat *file)
{
	struct stat now = *st;
	unsigned i;

	for (i = 0; i < LOOPS_MAX && S_ISBLK(now.st_mode); i++) {
		if (!find_file(now.st_rdev, path))
			break;
		if (stat(path, &now) < 0)
			return false;
	}
	*file = now;
	return i > 0;
}
