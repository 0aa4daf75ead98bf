/* SPDX-License-Identifier: MIT */
/*
 * job.h - a command that runs in the guest: what it is, its terminal, how it ended.
 *
 * The guest's init (guest/job.c) is the other side, over ports of a console device; guest/job.h has
 * what the two say to each other. What the guest says is not believed further than this: a run
 * counts as successful only if the guest said that its command was, and that all is written back.
 */
#ifndef RUN_JOB_H
#define RUN_JOB_H

#include <stdbool.h>

#include "vmm/core/opt.h"
#include "vmm/machine/cause.h"

struct files;
struct job;
struct machine;
struct report;

struct job_cfg {
	char *const *argv;   /* ends with NULL; NULL: there is no command */
	bool own;            /* the root file system's image has a command; @argv only names it */
	const char *cwd;     /* NULL: the guest's choice */
	const char *user;    /* NAME[:GROUP]; NULL: the image's, or root */
	struct opt_list env; /* NAME=VALUE; NAME: as it is here */
	bool tty;            /* this terminal becomes the command's */
	bool shell;          /* it is there for its user, who may power the guest off as well */
	struct files *files; /* what the guest gets and gives; borrowed. NULL: nothing */
};

/* Do its words make sense? -EUSAGE after one line. */
int job_check(const struct job_cfg *cfg);

/*
 * After all other devices. Makes the ports, on a console device of their own, and tells the guest
 * what to run, and what it must find before that. Borrows all of them.
 * NULL after one line (ENOMEM: without one), errno EUSAGE if the user is wrong. [setup]
 */
struct job *job_create(struct machine *m, struct report *report, const struct job_cfg *cfg);
/* After the devices. NULL is all right. */
void job_destroy(struct job *job);

/*
 * The run is over, and the guest is not listened to any more. Returns why, after one line where
 * that needs one. @cause: how the machine ended. [main]
 */
enum cause job_cause(struct job *job, enum cause cause);

#endif
