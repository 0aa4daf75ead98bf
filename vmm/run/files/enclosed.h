/* SPDX-License-Identifier: MIT */
/*
 * enclosed.h - a process that finds one folder of this system's at a place of its own, with some
 * of what is in it covered: by namespaces, which need no rights.
 *
 * It is in a mount namespace, and sees the folder at ENCLOSED_AT with all that is mounted below.
 * What is to be read only cannot be written there, whoever tries; devices in it cannot be opened;
 * and what is covered is empty, there and where the process itself is (but for /proc, /sys, /dev
 * and /run, which it needs). It has no network, and where lunette may not make mounts, it is in
 * a user namespace, too, in which our user is 0 and everybody else is nobody. All of that is the
 * process's own: here nothing changes, and nothing is left.
 */
#ifndef RUN_ENCLOSED_H
#define RUN_ENCLOSED_H

#include <stdbool.h>

#define ENCLOSED_AT "/sys/folder" /* the process sees nothing else of /sys */

struct enclosed {
	const char *dir; /* absolute, without links */
	bool readonly;
	/* Files and folders in it, absolute, without links; what is not there is passed over. */
	const char *const *covered;
	unsigned ncovered;

	/* enclosed_init()'s. */
	char uid_map[32], gid_map[32];
	const char *failed; /* what could not be done; NULL: nothing failed */
	bool mapped;        /* it is in a user namespace */
};

/* Once the first members are set. [setup] */
void enclosed_init(struct enclosed *e);

/* A child's prepare() (vmm/core/child.h), of a struct enclosed. -errno: @failed says of what. */
int enclosed_enter(void *e);

#endif
