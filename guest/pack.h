/* SPDX-License-Identifier: MIT */
/*
 * pack.h - a folder as a tar archive, in the pax format of POSIX.
 *
 * Files are as sparse in it as they are (GNU's format 1.0). Names are bytes, of any length; owners
 * are left out, as all is root's. Files with several names are packed once.
 */
#ifndef GUEST_PACK_H
#define GUEST_PACK_H

#include <stddef.h>
#include <stdint.h>

/*
 * Packs all below the current directory to @to from its position on, @room bytes at most. What
 * cannot be read, or finds no room, is left out, and the rest comes: 0, -ENOSPC or another -errno,
 * of the first of it, which *@why names. The archive has its end, unless @to itself fails.
 */
int pack_folder(int to, uint64_t room, char *why, size_t size);

#endif
