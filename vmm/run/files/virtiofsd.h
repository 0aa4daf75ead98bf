/* SPDX-License-Identifier: MIT */
/*
 * virtiofsd.h - virtiofsd, which serves one folder to one guest, by vhost-user.
 *
 * It is started for a run and ends with it, as child.h has it, in namespaces of its own, in which
 * there is that folder and nothing else that its guest could ask for (enclosed.h): what is read
 * only stays so, and ".." is not beyond. A guest that took it over could do what the user may, but
 * for what is covered, and for the network.
 *
 * There are two programs of the name: one of its own project, and one that QEMU had until 7.2. The
 * newer one can also say whose files are; the older one wants to leave its groups, which is root's.
 */
#ifndef RUN_VIRTIOFSD_H
#define RUN_VIRTIOFSD_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "vmm/core/child.h"

struct virtiofsd_program {
	char path[PATH_MAX];
	bool old;         /* QEMU's */
	bool readonly;    /* it can refuse what would write, too */
	bool submounts;   /* it would tell the guest of mounts, unless it is told not to */
	bool translates;  /* it can show files as other users' */
};

struct virtiofsd_cfg {
	const char *dir; /* absolute, without links */
	bool readonly;
	/* Owners: as they are here, which without rights holds for us alone: all others are root;
	 * or what is ours is root's in the guest, and what is made there is ours. */
	bool owners;
	const char *const *covered; /* as struct enclosed has it */
	unsigned ncovered;
};

struct virtiofsd {
	struct virtiofsd_program program;
	struct child child;
	int at; /* stands for the file of its socket; -1: none */
};

#define VIRTIOFSD_NONE ((struct virtiofsd){ .child = CHILD_NONE, .at = -1 })

/*
 * The first in PATH, or else where distributions have it. -ENOENT: there is none; -EPROTO: it is
 * none that we know. Then @why, of @size bytes, says so, with the cure. [setup]
 */
int virtiofsd_find(struct virtiofsd_program *p, char *why, size_t size);

/*
 * @v is VIRTIOFSD_NONE before. Starts it; it serves whoever connects to the socket first, and ends
 * when that one goes. -errno: @why says why not, and the cure. [setup]
 */
int virtiofsd_start(struct virtiofsd *v, const struct virtiofsd_cfg *cfg, char *why, size_t size);

/* What it has said last; "": nothing. [main] */
void virtiofsd_words(const struct virtiofsd *v, char *text, size_t size);

/* Of VIRTIOFSD_NONE, too. [main] */
void virtiofsd_end(struct virtiofsd *v);

#endif
