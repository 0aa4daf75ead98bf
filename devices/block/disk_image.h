/* SPDX-License-Identifier: MIT */
/*
 * disk_image.h - a store in an image of a format, or at an NBD server: served by qemu-nbd, which
 * lunette starts for it and ends.
 *
 * lunette knows no format. What a file is said to be, it is: by format=, or by its name and its
 * first bytes together. By the bytes alone it is not, as a guest may have written them to a disk
 * that is raw. The program opens what it is given here, and nothing that an image names: backing
 * files are opened, locked and compared with the run's others here, too (image_chain.h).
 */
#ifndef DEVICES_BLOCK_DISK_IMAGE_H
#define DEVICES_BLOCK_DISK_IMAGE_H

#include "devices/block/block.h"

extern const struct block_ops block_image; /* in place of block_file */

/* Is the path of @how such a one? */
bool image_is_one(const struct block_open *how);

#endif
