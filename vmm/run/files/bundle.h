/* SPDX-License-Identifier: MIT */
/*
 * bundle.h - a file or folder as a tar archive, for tar in a guest.
 */
#ifndef RUN_BUNDLE_H
#define RUN_BUNDLE_H

#include <stddef.h>

/*
 * Writes @path, with all below it, to @to as @name. All belongs to root there; modes and times are
 * as here; links stay links. Devices, pipes and sockets are left out: *@left_out. -errno of the
 * first thing that cannot be read or written, which is in @why with its reason.
 */
int bundle_write(const char *path, const char *name, int to, unsigned *left_out, char *why,
		 size_t size);

#endif
