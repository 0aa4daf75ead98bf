/*
 * lock.h - no two virtual machines write to one image.
 *
 * An open-file-description lock on the whole file: shared for those who only
 * read, exclusive for one who writes. It goes with the last descriptor, so a
 * crash leaves nothing behind. It is advisory: lunette, QEMU and others that
 * ask respect it.
 */
#ifndef DEVICES_BLOCK_LOCK_H
#define DEVICES_BLOCK_LOCK_H

#include <stdbool.h>

/*
 * Locks what @fd has open. -EBUSY when another has it; other -errno where locks do not work. Both
 * after one line with @path. [setup]
 */
int lock_image(int fd, const char *path, bool exclusive);

#endif
