/* SPDX-License-Identifier: MIT */
/*
 * layers.h - archives of a root file system, one over the other, as one image (erofs.h).
 *
 * They come from who is not trusted. libarchive reads them, packed by gzip, xz or zstd, in a
 * process of its own (apart.h) that has the image, the archives and nothing else. No name in them
 * gets to a file system of the host's; owners, modes, devices and links are only for the guest. The
 * process has bounds for its time and memory, and for the files, names and bytes that it takes.
 *
 * Layers are those of OCI images: a file .wh.NAME takes away what layers below have as NAME,
 * .wh..wh..opq all that they have in its folder.
 */
#ifndef RUN_LAYERS_H
#define RUN_LAYERS_H

#include <stdbool.h>
#include <stdint.h>

#define LAYERS_MAX 128
#define LAYERS_ENTRIES_MAX (1u << 20)
#define LAYERS_BYTES_MAX (64ull << 30)  /* of all files that are written, also of those replaced */
#define LAYERS_MEMORY_MAX (768ull << 20) /* bytes, of the process */
#define LAYERS_DIGEST 64 /* characters of a SHA-256 */

struct layers_cfg {
	const char *what; /* begins the line: "--root x.tar" */
	int from;         /* the archive, open; or the folder with layers */
	/* Paths of layers there, by their digests, the lowest first; NULL: @from is the only one,
	 * whose digest nobody knows. */
	const char (*digest)[LAYERS_DIGEST + 1];
	unsigned layers;
	const char *workdir; /* a folder that is made if it is missing; NULL: none */
	int image;        /* an empty file */
	uint64_t deadline; /* CLOCK_MONOTONIC in ms */
};

/* Where a blob with this digest is, below an image's folder. */
#define LAYERS_BLOB "blobs/sha256/%s"

/*
 * The image is there; or, after one line: -EINTR, a signal that ends processes has come, *@sig;
 * -EIO, an archive is damaged, not the one that its digest says, or breaks a bound. [setup]
 */
int layers_write(const struct layers_cfg *cfg, int *sig);

#endif
