/* SPDX-License-Identifier: MIT */
/*
 * kept.h - images that are kept in the user's cache, by a name that stands for what is in them.
 *
 * 8 GiB of them and 30 days at most; those that nobody has used for the longest time go first.
 */
#ifndef RUN_KEPT_H
#define RUN_KEPT_H

#include <stdint.h>

/*
 * Makes the file @path, which does not exist. 1: it is whole. 0: it is not what its name says, as
 * something has changed meanwhile. -errno after one line.
 */
typedef int kept_make(void *arg, const char *path);

/* The cache's folder for images, without links, malloc()ed. NULL after one line that begins so. */
char *kept_folder(const char *what);

/*
 * The image of @name (a digest) in @folder: *@image, malloc()ed; made now if it is not there. Waits
 * for another process that makes one. Returns as @fn does; 1 too where it was there. [setup]
 */
int kept_image(const char *what, const char *folder, const char *name, kept_make *fn, void *arg,
	       char **image);

#endif
