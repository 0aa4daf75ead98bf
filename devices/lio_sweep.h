/* SPDX-License-Identifier: MIT */
/*
 * lio_sweep.h - whose LIO objects are whose, and their removal: see lio.h.
 */
#ifndef DEVICES_LIO_SWEEP_H
#define DEVICES_LIO_SWEEP_H

#include <stddef.h>
#include <stdio.h>

#include "vmm/core/log.h"

struct lio_tree;

#define LIO_PATH 512
#define LIO_PORT "naa." /* the kind of a target's name; what we call it comes behind */
/* With our process number added, the number of the folder that our stores are in: above all numbers
 * that other programs and people give. */
#define LIO_HBA_BASE 1000000000u

/* "lunette-PID-START-SPACE:ID" for this process. -ENOENT: /proc does not tell. */
int lio_owner_name(char *name, size_t size, const char *id);

/*
 * Removes what has this name, as a target, or begins with it and a colon, as a store; @name NULL:
 * what dead owners have left. A line in @out, unless NULL, for each thing; for what cannot be
 * removed a line at @level, and the first one's -errno.
 */
int lio_sweep(const struct lio_tree *tree, const char *name, enum log_level level, FILE *out);

/*
 * Removes one LUN of our target @name, and its store; what is not there needs no removal. -errno
 * after one line.
 */
int lio_sweep_lun(const struct lio_tree *tree, const char *name, unsigned lun);

#endif
