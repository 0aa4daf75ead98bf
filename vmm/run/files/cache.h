/* SPDX-License-Identifier: MIT */
/*
 * cache.h - where the user's cache is: ${XDG_CACHE_HOME:-~/.cache}/lunette.
 *
 * Who has no home, in a container for one, has it in a temporary folder of his own (own_folder.h).
 */
#ifndef RUN_CACHE_H
#define RUN_CACHE_H

/* The path of @name there, malloc()ed; NULL: no memory. */
char *cache_path(const char *name);

/*
 * Makes the folder @name there, if need be; 0, or -errno, when it cannot be written to. *@path is
 * malloc()ed: where it is, or would be; NULL: no memory.
 */
int cache_folder(const char *name, char **path);

#endif
