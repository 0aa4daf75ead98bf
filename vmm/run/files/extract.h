/* SPDX-License-Identifier: MIT */
/*
 * extract.h - unpacks a tar archive that a guest has written.
 *
 * libarchive reads it, place.h puts down what it has; but the guest is not trusted. So of the
 * archive only this is taken: regular files, folders, hard links to files that it has brought
 * itself, and symbolic links that cannot lead out of the folder. Files are as sparse as the archive
 * has them. A process of its own does it (apart.h), with bounds for its time, memory, entries,
 * folders, names and bytes.
 */
#ifndef RUN_EXTRACT_H
#define RUN_EXTRACT_H

#include <stdint.h>

#define EXTRACT_ENTRIES_MAX (1u << 20)
#define EXTRACT_SPAN_MAX (16ull << 40)    /* bytes of all files, with their holes */
#define EXTRACT_MEMORY_MAX (128ull << 20) /* bytes, of the process */

struct claims;

struct extract_cfg {
	const char *what;  /* begins its lines */
	int archive;       /* a file, whose first ... */
	uint64_t size;     /* ... bytes are unpacked ... */
	int folder;        /* ... into this, in place of files that are there, ... */
	struct claims *claims; /* ... but for these. NULL: none */
	uint64_t limit;    /* bytes of all files, without their holes */
	uint64_t entries;  /* with the folders that are made for them */
	uint64_t deadline; /* CLOCK_MONOTONIC in ms */
	unsigned above;    /* folders of an entry's name that no link may lead to: its first ones */
};

/*
 * All or most of it is there, and of each file all or nothing. What is left out on purpose has a
 * warning and is no error. Else, after one line: -ETIMEDOUT, the deadline came first; -EINTR, by
 * *@sig; -EIO, something is missing: the line says what the first of it is, and why.
 */
int extract_tar(const struct extract_cfg *cfg, int *sig);

#endif
