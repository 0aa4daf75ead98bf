/* SPDX-License-Identifier: MIT */
/*
 * image_chain.h - the files that an image is made of: itself, its backing file, and so on.
 *
 * Whoever has made an image names its backing file in it, and could name any file of the host's. So
 * it is taken only with the format that the image names for it, too, only as a file, and only from
 * the image's own folder, unless the user says otherwise. An image that has its data in other files
 * is refused. qemu-img tells what is named, without opening it.
 */
#ifndef DEVICES_BLOCK_IMAGE_CHAIN_H
#define DEVICES_BLOCK_IMAGE_CHAIN_H

#include <stdio.h>

#include "devices/block/block.h"

#define IMAGE_FILES_MAX 16

struct image_file {
	char *path;          /* for messages */
	int fd;              /* open and locked: to be written, if it is the first one and may be */
	bool device;         /* a block device */
	struct claim *claim; /* NULL: nobody keeps a list */
	enum block_format format;
};

struct image_chain {
	unsigned n;
	struct image_file file[IMAGE_FILES_MAX]; /* each backs the one before it */
};

/* All zero before, and image_chain_close() is due in every case. -errno after one line. [setup] */
int image_chain_open(struct image_chain *c, const struct block_open *how, enum block_format format);
void image_chain_close(struct image_chain *c);

/* Are all of its files, as they are now, whole sectors of 512 bytes? */
bool image_chain_is_even(const struct image_chain *c);

/*
 * As JSON, what QEMU calls options: the i-th file is descriptor @first + i there, @aio by which
 * calls they are read and written, in its words.
 */
void image_chain_put(const struct image_chain *c, int first, const char *aio, bool direct,
		     FILE *out);

/* That there is no such program, in one line. Returns -EMEDIUMTYPE. */
int image_no_program(const char *path, const char *format, const char *program);

/*
 * The text that is @key's in the JSON @text from *@at on, malloc()ed; *@at is behind it then. NULL:
 * there is none. (A quotation mark within a text has a backslash before it: it cannot look like
 * a key.)
 */
char *image_json_text(const char *text, const char *key, size_t *at);

#endif
