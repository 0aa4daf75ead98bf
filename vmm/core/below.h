/* SPDX-License-Identifier: MIT */
/*
 * below.h - what a loop device makes a disk of.
 */
#ifndef CORE_BELOW_H
#define CORE_BELOW_H

#include <limits.h>
#include <stdbool.h>
#include <sys/stat.h>

/*
 * The file of a loop device, or of one whose partition @st is; through loop devices of loop
 * devices. False: it is neither, or its file has no name that leads to it.
 */
bool below_find(const struct stat *st, char path[PATH_MAX], struct stat *file);

#endif
