/*
 * lock.h - no two virtual machines write to one image.
 *
 * An open-file-description lock on the whole file: shared for those who only
 * read, exclusive for one who writes. It goes with the last descriptor, so a
 * crash leaves nothing behind; the kernel's own one, of writes that are still
 * under way then, is the last. It is advisory: lunette, QEMU and others that
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
/* At once, even if the kernel has the file open for a while longer. Nothing is in flight. */
void unlock_image(int fd);

#endif
