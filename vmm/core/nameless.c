/* SPDX-License-Identifier: MIT */
#include "vmm/core/nameless.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

const char *nameless_folder(void)
{
	const char *dir = getenv("TMPDIR");

	return dir && *dir ? dir : "/var/tmp";
}

static int open_and_unlink(const char *dir)
{
	char *path;
	int fd, r;

	if (asprintf(&path, "%s/.lunette-XXXXXX", dir) < 0)
		return -ENOMEM;
	fd = mkostemp(path, O_CLOEXEC);
	r = fd;
	if (fd < 0) {
		r = -errno;
	} else if (unlink(path) < 0) {
		r = -errno;
		close(fd);
	}
	free(path);
	return r;
}

int nameless_open(const char *dir)
{
	int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd >= 0)
		return fd;
	return errno == EOPNOTSUPP || errno == EISDIR ? open_and_unlink(dir) : -errno;
}
