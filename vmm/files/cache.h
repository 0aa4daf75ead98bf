/*
 * cache.h - where the user's cache is: ${XDG_CACHE_HOME:-~/.cache}/lunette.
 */
#ifndef VMM_CACHE_H
#define VMM_CACHE_H

/* The path of @name there, malloc()ed; NULL: no memory. */
char *cache_path(const char *name);

#endif
