/* SPDX-License-Identifier: MIT */
/*
 * memlimit.h - how much memory the host allows this process.
 *
 * A guest that grows beyond the limit of a control group (a container's, a CI
 * job's) is killed together with lunette, by SIGKILL, and nothing can be said
 * then. So it is said before: guest RAM and what running it takes have to fit.
 */
#ifndef MACHINE_MEMLIMIT_H
#define MACHINE_MEMLIMIT_H

#include <stdbool.h>
#include <stdint.h>

#define MEMLIMIT_WHERE 256

struct memlimit {
	uint64_t limit, used; /* bytes; what the kernel would give back when asked is not used */
	char where[MEMLIMIT_WHERE]; /* the file or the resource limit that says so */
};

/*
 * The tightest limit that this process is under: of its control groups, version 1 or 2, and of
 * those above them, or RLIMIT_AS. False: there is none. @root: "", or where a test has its /proc
 * and /sys; then without RLIMIT_AS.
 */
bool memlimit_find(const char *root, struct memlimit *tightest);

/*
 * Bytes that can still be had: of this machine, or of the tightest limit where that leaves less.
 * @where: of which, in words. @root as above.
 */
uint64_t memlimit_left(const char *root, char where[MEMLIMIT_WHERE]);

/*
 * Bytes that a guest with @ram and @cpus takes at most, the kernel's share with them, and what its
 * devices take beyond the usual.
 */
uint64_t memlimit_need(uint64_t ram, unsigned cpus, uint64_t devices);

/* Does a guest fit? -EOVERLIMIT after one line with the figures and the cure. @root as above. */
int memlimit_check(const char *root, uint64_t ram, unsigned cpus, uint64_t devices);

#endif
