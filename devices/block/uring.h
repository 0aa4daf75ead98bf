/* SPDX-License-Identifier: MIT */
/*
 * uring.h - channels to files by io_uring: no thread waits, and what one kick
 * has brought goes to the kernel by one system call.
 *
 * A loop has one ring, which its channels share: it is made with the first and
 * goes with the last. The ring's own descriptor is in the loop, as it is
 * readable when something has completed; what completes at once, from the page
 * cache, is taken up without that. A fixed number of requests is in the
 * kernel's hands at a time, the others wait their turn; so memory is of fixed
 * size, too, and nothing is allocated for a request, but for one that O_DIRECT
 * does not take as it is.
 */
#ifndef DEVICES_BLOCK_URING_H
#define DEVICES_BLOCK_URING_H

#include "devices/block/file.h"

/* Linux 6.1 or newer. 0, or -errno, about which uring_why() has a few words. [setup] */
int uring_probe(void);
const char *uring_why(int err);

/*
 * NULL: errno tells. *@first: it is the first time that this loop is refused a ring; from then on
 * it is not asked for.
 */
struct block_chan *uring_open(struct file *file, struct loop *loop, bool *first);

#endif
