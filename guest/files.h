/* SPDX-License-Identifier: MIT */
/*
 * files.h - folders of the host's in the guest, and the folder whose content goes back.
 */
#ifndef GUEST_FILES_H
#define GUEST_FILES_H

#include <stdbool.h>

#define FILES_MAX 32

/* A disk by its serial number, and where its content is. From a record's "NAME:PATH". */
struct files_place {
	const char *disk, *path;
	/* It is no disk, but the tag of a folder that is the host's own, which may be only read. */
	bool live, readonly;
};

struct files {
	struct files_place mount[FILES_MAX], out; /* out.disk NULL: there is none */
	unsigned mounts;
};

/* A record, whose @text is kept and cut up; @what: "mount", "live", "seen" or "out". -EPROTO. */
int files_take(struct files *f, const char *what, char *text);

/*
 * Mounts @device, a file system of @type, at @path, to be read, and above it what is written: in
 * memory. -ENODEV: the kernel has not this type, or no overlayfs. The working folder may be another
 * one then.
 */
int files_layers(const char *device, const char *path, const char *type);

/* Before the root file system is another one: what is needed of this one's modules. */
void files_keep(struct files *f);
/* The folders are there, and $LUNETTE_OUT, empty. NULL, or what went wrong, after a line in the
 * kernel's log. */
const char *files_mount(const struct files *f);

/*
 * Writes $LUNETTE_OUT to its disk, as a tar archive. Returns the number of its blocks of 512 bytes;
 * *@lost: NULL, or why it is not whole.
 */
unsigned files_give(const struct files *f, const char **lost);

#endif
