/* SPDX-License-Identifier: MIT */
/*
 * lock.h - no two virtual machines write to one image, or one to what the other reads.
 *
 * An open-file-description lock on the whole file: shared for those who only
 * read, exclusive for one who writes. It goes with the last descriptor, so a
 * crash leaves nothing behind; the kernel's own one, of writes that are still
 * under way then, is the last. It is advisory: lunette, QEMU and others that
 * ask respect it.
 */
#ifndef CORE_LOCK_H
#define CORE_LOCK_H

#include <stdbool.h>

/*
 * Locks what @fd has open. -EBUSY when another has it; other -errno where locks do not work. Both
 * after one line with @path. [setup]
 */
int lock_image(int fd, const char *path, bool exclusive);
/*
 * The same for the file that @fd, a loop device, makes a disk of: @below has it open and keeps the
 * lock; -1: there is none, or none that may be opened. [setup]
 */
int lock_below(int fd, const char *path, bool exclusive, int *below);
/*
 * The same for a file that output goes to, which has the name @what in the line. Where locks do not
 * work there is none: 0. @keep false: the lock is another's matter, and only asked for. [setup]
 */
int lock_output(int fd, const char *what, bool keep);
/* At once, even if the kernel has the file open for a while longer. Nothing is in flight. */
void unlock_image(int fd);

#endif
