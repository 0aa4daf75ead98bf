/* SPDX-License-Identifier: MIT */
/*
 * remote.h - a command in a guest that runs, from here: the client's side of guest/exec.h.
 */
#ifndef RUN_REMOTE_H
#define RUN_REMOTE_H

#include <stdbool.h>

#include "vmm/core/opt.h"

struct remote_cfg {
	const char *what;  /* begins error lines */
	char *const *argv; /* ends with NULL */
	struct opt_list env; /* NAME=VALUE; NAME: as it is here */
	const char *cwd, *user; /* NULL: the guest's choice */
	bool tty;          /* it has a terminal; this one is raw meanwhile, if there is one */
	unsigned wait_ms;  /* for the guest's init to be there; 0: 20 s */
	int in, out, err;  /* its streams, borrowed; in -1: there is no input */
};

/*
 * Runs it by @fd, a control socket which has been asked for that and is taken over, until its
 * output is written. Signals that come meanwhile are for the command. Returns an exit status: its
 * own, 128 and the number of its signal, or after one line 213, it did not begin; 209 or another
 * one of lunette's: the guest has gone. [main]
 */
int remote_run(const struct remote_cfg *cfg, int fd);

#endif
