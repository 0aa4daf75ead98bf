/* SPDX-License-Identifier: MIT */
/*
 * host_root.h - `--root host`: this system itself as a guest's root file system, as its user sees
 * it, without what the kernel has there (/proc, /sys, /dev), without /run, and without the places
 * where keys and passwords are kept, unless they are asked for.
 *
 * virtiofsd serves it, to be read only: what is hidden it does not see itself. All else that the
 * user may read a guest may read.
 */
#ifndef RUN_HOST_ROOT_H
#define RUN_HOST_ROOT_H

#include <stdbool.h>

#include "vmm/run/files/live.h"
#include "vmm/run/files/oci.h"

#define HOST_ROOT_TAG "lunette-root"

/* Is it that? Then perhaps with ",secrets=on" behind it. NULL is not. */
bool host_root_is_one(const char *text);
/* -EUSAGE after one line: what is behind it makes no sense, or there is no @command. */
int host_root_check(const char *text, bool command);

/* What is hidden, malloc()ed, without links: @list ends with NULL. NULL: no memory. [setup] */
char **host_root_hidden(bool secrets);
void host_root_free(char **list);

/*
 * @live is LIVE_NONE before. Serves it, and says in @oci how a command runs there that is to be as
 * here: as whom, where, with which PATH, HOME and TERM. -errno after one line, which begins with
 * @what. [setup]
 */
int host_root_open(const char *what, const char *text, struct live *live, struct oci *oci);

#endif
