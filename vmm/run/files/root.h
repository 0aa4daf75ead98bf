/* SPDX-License-Identifier: MIT */
/*
 * root.h - what --root names beside a disk: a folder, an archive, or an image of container tools,
 * as an image that the guest's root file system is made of; or this system itself (host_root.h).
 */
#ifndef RUN_ROOT_H
#define RUN_ROOT_H

#include <stdbool.h>

#include "vmm/run/files/live.h"
#include "vmm/run/files/oci.h"

struct claims;

struct root {
	char *image;      /* a file in the cache, malloc()ed; NULL: it is none */
	struct live live; /* this system; LIVE_NONE: it is none of its own */
	struct oci oci;   /* what the image says of commands, or this system's user would */
};

#define ROOT_NONE ((struct root){ .oci.folder = -1, .live = LIVE_NONE })

/* Is it one of these, and not a disk's name? NULL is neither. */
bool root_is_files(const char *text);
/* Is it one that has a command of its own? */
bool root_has_command(const char *text);

/* Is there such a thing, as far as a look at its name tells? And is it one for who has no @command?
 * -EUSAGE after one line. */
int root_check(const char *text, bool command);

/*
 * @root is ROOT_NONE before. Its image, made now if the cache has none. An archive is claimed, as
 * it is read; NULL: nobody keeps a list. -errno after one line; -EUSAGE: @text makes no sense.
 * [setup]
 */
int root_open(const char *text, struct claims *claims, struct root *root);
void root_close(struct root *root);

#endif
