/* SPDX-License-Identifier: MIT */
/*
 * share.h - a folder as the image of a file system that can only be read.
 *
 * The file system is EROFS: Debian's mkfs.erofs makes it as fast as files can be read, and
 * Debian's kernels can mount it. The image is kept in the user's cache under a name that stands for
 * the folder's content: a digest of each entry's path, type, mode, size, device, inode, mtime,
 * ctime and link target. Nobody can change a file without the kernel setting its ctime, and nobody
 * can set that back. As the clock for it ticks slowly, a folder with changes of this very moment is
 * looked at again a moment later.
 *
 * A folder that changes while it is read gives no image, but another try, and in the end an error.
 */
#ifndef RUN_SHARE_H
#define RUN_SHARE_H

#include <stdbool.h>

/*
 * The image of @dir, made now if the cache has none; its name, malloc()ed. Waits for another
 * process that makes one. All belongs to root in it. Of a @root file system without /proc, /sys and
 * /dev, and where root makes it owners and file capabilities stay. NULL after one line that begins
 * with @option. One thread. [setup]
 */
char *share_image(const char *option, const char *dir, bool root);

#endif
