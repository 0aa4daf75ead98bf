/* SPDX-License-Identifier: MIT */
/*
 * guestpath.h - where in the guest a folder may be: --share DIR:PATH, --out DIR:PATH.
 */
#ifndef RUN_GUESTPATH_H
#define RUN_GUESTPATH_H

#include <stdbool.h>

#define GUESTPATH_MAX 1024 /* bytes */

/*
 * @path is absolute. Makes it plain, in place: no "//", no "." and no "/" at its end. NULL, or why
 * no folder can be there: it has "..", is too long, or is where the guest has files of its own.
 */
const char *guestpath_check(char *path);

/* Is @path at @outer, or below it? Both are plain. */
bool guestpath_is_in(const char *path, const char *outer);

#endif
