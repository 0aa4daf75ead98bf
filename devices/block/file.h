/* SPDX-License-Identifier: MIT */
/*
 * file.h - a file or block device that is open, for those who do I/O on it.
 */
#ifndef DEVICES_BLOCK_FILE_H
#define DEVICES_BLOCK_FILE_H

#include "devices/block/block.h"
#include "devices/block/step.h"

struct mem;

struct file {
	struct block block;
	int fd;
	int below;               /* of a loop device: its file, for the lock; -1: none */
	struct claim *claim;     /* NULL: nobody keeps a list */
	bool regular;            /* a file, which can change its size under us */
	struct step_align align;
	enum block_engine engine;
	struct mem *mem;   /* to be registered with the kernel; NULL: not */
};

/*
 * Before something is written: 0, or -EIO when somebody has cut the image off. A write behind its
 * end would make it longer again, with holes where there was data. [any thread]
 */
int file_check(const struct file *file);

#endif
