/* SPDX-License-Identifier: MIT */
/* port.c - named ports of console devices. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "guest/init.h"

#define WAIT_US 1000
#define WAIT_TRIES 5000

/* The kernel tells of a port first, and of its name a moment later. */
static int find_port(const char *wanted)
{
	DIR *dir = opendir("/sys/class/virtio-ports");
	char path[300], name[80];
	struct dirent *e;
	int fd = -1;

	while (dir && fd < 0 && (e = readdir(dir))) {
		snprintf(path, sizeof(path), "/sys/class/virtio-ports/%s/name", e->d_name);
		init_read(path, name, sizeof(name));
		name[strcspn(name, "\n")] = 0;
		snprintf(path, sizeof(path), "/dev/%s", e->d_name);
		if (!strcmp(name, wanted))
			fd = open(path, O_RDWR | O_CLOEXEC);
	}
	if (dir)
		closedir(dir);
	return fd;
}

int init_port(const char *name)
{
	int try, fd = -1;

	for (try = 0; fd < 0 && try < WAIT_TRIES; try++) {
		fd = find_port(name);
		if (fd < 0)
			usleep(WAIT_US);
	}
	return fd;
}
