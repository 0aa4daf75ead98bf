/*
 * image.h - a kernel or initrd on its way into guest memory.
 *
 * The file is looked at by its first bytes, so that a wrong one can be named,
 * and read straight to where it belongs: there is no copy in between. A file
 * that is packed inside another one, as vmlinux is in a bzImage, is an image,
 * too, and is unpacked to where it belongs.
 */
#ifndef VMM_IMAGE_H
#define VMM_IMAGE_H

#include <stddef.h>
#include <stdint.h>

struct mem;

#define IMAGE_HEAD 4096
#define IMAGE_PARTS 64

struct image {
	const char *what; /* the option: "--kernel" */
	const char *path;
	int fd;
	uint64_t size;
	uint8_t *packed; /* NULL: a file of its own */
	size_t packed_len;
	uint8_t head[IMAGE_HEAD]; /* behind the end of a short file: zeroes */
};

/* Bytes of an image that have their place in guest memory. */
struct image_part {
	uint64_t off, len, gpa;
};

/* -errno after one line. */
int image_open(struct image *img, const char *what, const char *path);
/*
 * @len bytes from @off of the file @outer, as Linux's build packs things: the unpacked size is in
 * the last 4 bytes. @inner is closed by itself. -ENOTSUP without a line: a format unknown here;
 * another -errno after one line.
 */
int image_unpack(const struct image *outer, uint64_t off, uint64_t len, struct image *inner);
void image_close(struct image *img);

/* What the first bytes say that it is: "an arm64 Image". Never NULL. */
const char *image_kind(const struct image *img);

/*
 * @len bytes from @off; of a packed image those of @head and no others. -errno after one line: the
 * file ends.
 */
int image_read(const struct image *img, uint64_t off, void *dst, size_t len);

/*
 * @count parts, at most IMAGE_PARTS, to their places; of a packed image they must not overlap and
 * have ascending offsets. -errno after one line: the file ends or is damaged, no such memory.
 */
int image_load(const struct image *img, struct mem *mem, const struct image_part *part,
	       unsigned count);

/* All of a packed image, malloc()ed; its size is img->size. NULL after one line. */
uint8_t *image_unpack_all(const struct image *img);

#endif
