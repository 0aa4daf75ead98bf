/* SPDX-License-Identifier: MIT */
/*
 * picture.h - what can still be said of a guest that has come to a bad end: where
 * its vCPUs are, and the last lines of its console.
 */
#ifndef MACHINE_PICTURE_H
#define MACHINE_PICTURE_H

#include "vmm/machine/limits.h"

struct machine;

/* What limits do with a struct machine. */
extern const struct limits_ops picture_limits;

/*
 * The run is over: shows on stderr what has not been shown yet and is of use with @m->cause, and
 * tells @vcpu, line by line, where vCPUs were. After they have been stopped. [main]
 */
void picture_end(struct machine *m, void (*vcpu)(void *arg, const char *line), void *arg);

#endif
