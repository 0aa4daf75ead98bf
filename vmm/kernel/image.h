/*
 * image.h - a kernel or initrd on its way into guest memory.
 *
 * The file is looked at by its first bytes, so that a wrong one can be named,
 * and read straight to where it belongs: there is no copy in between.
 */
#ifndef VMM_IMAGE_H
#define VMM_IMAGE_H

#include <stddef.h>
#include <stdint.h>

struct mem;

#define IMAGE_HEAD 4096

struct image {
	const char *what; /* the option: "--kernel" */
	const char *path;
	int fd;
	uint64_t size;
	uint8_t head[IMAGE_HEAD]; /* behind the end of a short file: zeroes */
};

/* -errno after one line. */
int image_open(struct image *img, const char *what, const char *path);
void image_close(struct image *img);

/* What the first bytes say that it is: "an arm64 Image". Never NULL. */
const char *image_kind(const struct image *img);

/* @len bytes from @off of the file. -errno after one line: the file ends, no such memory. */
int image_read(const struct image *img, uint64_t off, void *dst, size_t len);
int image_load(const struct image *img, uint64_t off, struct mem *mem, uint64_t gpa, uint64_t len);

#endif
