/* SPDX-License-Identifier: MIT */
/*
 * erofs.h - a tree of files (fstree.h) as an image of EROFS, which Linux can only read.
 *
 * The bytes of files are written first, each file from a block of its own on; the tree's nodes say
 * where. Behind them come folders and inodes. So an archive is written as it is read, and nobody
 * needs rights for owners or device nodes. Linux has the format in fs/erofs/erofs_fs.h; of it this
 * has uncompressed files, inodes of 64 bytes, links inside of their inodes, and file capabilities.
 */
#ifndef RUN_EROFS_H
#define RUN_EROFS_H

#include <stdint.h>

#define EROFS_BLOCK 4096
#define EROFS_FIRST 1             /* block that files may have; the one before it is the header's */
#define EROFS_BLOCKS_MAX (1u << 28) /* of files: 1 TiB */

struct fstree;

/* Writes all but the bytes of files, which end before @block, to @fd. -errno. */
int erofs_write(struct fstree *tree, int fd, uint64_t block);

#endif
