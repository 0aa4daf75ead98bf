/* SPDX-License-Identifier: MIT */
/*
 * apart.h - a function in a process of its own, which can do little and not for long.
 *
 * For work on what a guest has sent. The process has the two files that it is given and stderr, no
 * capabilities that this one has not, no new ones (no_new_privs), no other process, and bounds for
 * its memory and its files' size; it ends with this one. What it finds out is in memory that the
 * caller shares with it (MAP_SHARED), and to be looked at as a guest's words are.
 */
#ifndef RUN_APART_H
#define RUN_APART_H

#include <stdint.h>

struct apart {
	void (*fn)(void *arg);
	void *arg;
	int fd[2];         /* that stay open; */
	uint64_t memory;   /* bytes beyond what this process has */
	uint64_t file_max; /* bytes of a file */
	uint64_t deadline; /* CLOCK_MONOTONIC in ms */
	int signal;        /* with -EINTR: which one */
};

/*
 * Runs it to its end. 0: the function has returned. -ETIMEDOUT: the deadline came first. -EINTR: a
 * signal that ends processes came first; it is taken. -ECHILD: the process has ended in another
 * way, for want of memory perhaps. Other -errno: there was none. One thread.
 */
int apart_run(struct apart *a);

#endif
