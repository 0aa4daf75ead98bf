/* SPDX-License-Identifier: MIT */
#include "vmm/core/own_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/core/util.h"

const char *own_variable(const char *name)
{
	const char *value = getenv(name);

	return value && *value == '/' ? value : NULL;
}

int own_folder(const char *path, bool make)
{
	struct stat st;

	if (make && mkdir(path, 0700) < 0 && errno != EEXIST)
		return -errno;
	if (lstat(path, &st) < 0)
		return -errno;
	if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || st.st_mode & 022)
		return -EPERM;
	return faccessat(AT_FDCWD, path, W_OK | X_OK, AT_EACCESS) < 0 ? -errno : 0;
}

bool own_temporary(unsigned i, char path[PATH_MAX])
{
	const char *const dirs[] = { own_variable("TMPDIR"), "/var/tmp", "/tmp" };

	i += !dirs[0];
	if (i >= ARRAY_SIZE(dirs))
		return false;
	snprintf(path, PATH_MAX, "%s/lunette-%u", dirs[i], geteuid());
	return true;
}
