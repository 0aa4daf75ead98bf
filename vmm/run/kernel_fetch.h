/* SPDX-License-Identifier: MIT */
/*
 * kernel_fetch.h - a kernel of this distribution's, by its version: "6.1.0-32-amd64", or what one
 * begins with, as "6.12".
 *
 * They are in the folder "kernels" of the user's cache: one for each release, with vmlinuz and
 * lib/modules, and a link for each beginning that has been said. So "6.12" remains the same kernel
 * until it is fetched anew. A script (guest/kernel/fetch.sh) has the distribution's package tool
 * fetch them, without rights; nothing is installed.
 */
#ifndef RUN_KERNEL_FETCH_H
#define RUN_KERNEL_FETCH_H

#include <stdbool.h>

struct kernel_found;

/* Begins with a digit, and could be a release: no folder in it. */
bool kernel_is_version(const char *text);

/* The folder, made if need be, malloc()ed. NULL: none that can be used, after one line. */
char *kernel_fetch_folder(const char *option);

/* One that is in @folder. -ENOENT, without a line: it is not. */
int kernel_fetched(const char *folder, const char *version, struct kernel_found *found);

/*
 * By @script, NULL: it is not there. Waits for it, however long that takes; it ends with us. -errno
 * after one line that begins with @option. [setup, main]
 */
int kernel_fetch(const char *option, const char *version, const char *script,
		 struct kernel_found *found);

#endif
