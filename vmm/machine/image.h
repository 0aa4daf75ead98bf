/* SPDX-License-Identifier: MIT */
/*
 * image.h - a kernel or initrd on its way into guest memory.
 *
 * The file is looked at by its first bytes, so that a wrong one can be named,
 * and read straight to where it belongs: there is no copy in between.
 */
#ifndef MACHINE_IMAGE_H
#define MACHINE_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct claims;
struct mem;
struct opt_list;

#define IMAGE_HEAD 4096

struct image {
	const char *what; /* the option: "--kernel" */
	const char *path;
	int fd;
	uint64_t size;
	uint8_t head[IMAGE_HEAD]; /* behind the end of a short file: zeroes */
};

/* All zero: empty. */
struct image_list {
	struct image *image;
	unsigned count;
};

/* -errno after one line. */
int image_open(struct image *img, const char *what, const char *path);
void image_close(struct image *img);
/* The run reads it. -errno after one line; -EUSAGE: it is an output, too. */
int image_claim(const struct image *img, struct claims *claims);

/* All of @paths. */
int image_list_open(struct image_list *list, const char *what, const struct opt_list *paths);
void image_list_close(struct image_list *list);

/* What the first bytes say that it is: "an arm64 Image". Never NULL. */
const char *image_kind(const struct image *img);

bool image_is_bzimage(const struct image *img);

/*
 * Where a kernel's file has the kernel proper packed, by its headers, whatever the architecture: a
 * bzImage, a zboot image, or all of it by gzip. The file may end before. The last 4 of the @len
 * bytes, always more than those, say how many it unpacks to. False: nowhere; nothing is written
 * then.
 */
bool image_packed(const struct image *img, uint64_t *off, uint64_t *len);

/* @len bytes from @off of the file. -errno after one line: the file ends, no such memory. */
int image_read(const struct image *img, uint64_t off, void *dst, size_t len);
int image_load(const struct image *img, uint64_t off, struct mem *mem, uint64_t gpa, uint64_t len);

/*
 * Initrds as one, in bytes, and from @gpa on, a multiple of four, into memory that is all zero:
 * Linux finds one archive behind the other where each begins at such a multiple. -errno after one
 * line.
 */
uint64_t image_list_size(const struct image_list *initrds);
int image_list_load(const struct image_list *initrds, struct mem *mem, uint64_t gpa);

#endif
