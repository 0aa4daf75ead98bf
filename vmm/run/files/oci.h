/* SPDX-License-Identifier: MIT */
/*
 * oci.h - an image as container tools write it into a folder, an "OCI image layout": what it is
 * made of, and what it says of commands in it.
 *
 * The folder has index.json and blobs, files that are named after their SHA-256. They come from who
 * is not trusted: only files of such names are opened, each JSON text has 4 MiB at most, and what
 * has another digest than it should is refused.
 */
#ifndef RUN_OCI_H
#define RUN_OCI_H

#include "vmm/run/files/layers.h"

/* Ends with NULL; all malloc()ed. */
typedef char **oci_words;

struct oci {
	int folder; /* open; -1: none */
	char manifest[LAYERS_DIGEST + 1]; /* its digest stands for the whole image */
	char (*layer)[LAYERS_DIGEST + 1]; /* digests, the lowest first */
	unsigned layers;
	oci_words env, entry, command; /* NULL: the image has none */
	char *workdir, *user;          /* NULL: none */
};

/*
 * Reads the image of DIR or DIR:TAG, which is @text; @what begins lines. -EIO after one line.
 * [setup]
 */
int oci_open(const char *what, const char *text, struct oci *oci);
/* NULL is all right in all of it; all zero but for the folder, -1: nothing. */
void oci_close(struct oci *oci);

#endif
