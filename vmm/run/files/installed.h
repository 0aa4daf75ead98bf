/* SPDX-License-Identifier: MIT */
/*
 * installed.h - where an installed lunette has what it brings for guests: in share/lunette, beside
 * the folder of the program, wherever both have been put.
 */
#ifndef RUN_INSTALLED_H
#define RUN_INSTALLED_H

/* The path of @name there, malloc()ed. NULL: @program has no such folder, or no memory. */
char *installed_beside(const char *program, const char *name);

/* The same of the program that runs. */
char *installed_path(const char *name);

/*
 * What a guest needs and lunette brings: installed, or in the user's cache, where "lunette
 * kernel build" leaves it. Its path, malloc()ed. NULL: it is not there; *@first is where it would
 * be, malloc()ed, or NULL for want of memory, and errno why it is not.
 */
char *installed_look(const char *name, char **first);

/* The same, but NULL after one line that begins with @option and ends with @cure. */
char *installed_part(const char *option, const char *name, const char *cure);

/*
 * A script about kernels: in share/lunette/kernel, or, of a lunette that is where "make" leaves it,
 * in guest/kernel. Its path, malloc()ed; NULL: it is not there.
 */
char *installed_script(const char *name);

#endif
