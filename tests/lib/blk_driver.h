/* SPDX-License-Identifier: MIT */
/*
 * blk_driver.h - a virtio-blk driver, as small as can be: one request at a time
 * through a vdriver.
 */
#ifndef TESTS_BLK_DRIVER_H
#define TESTS_BLK_DRIVER_H

#include <linux/virtio_blk.h>

#include "tests/lib/vdriver.h"

/* What kernel headers of 2022 lack. */
#ifndef VIRTIO_BLK_F_SECURE_ERASE
#define VIRTIO_BLK_F_SECURE_ERASE 16
#define VIRTIO_BLK_T_SECURE_ERASE 14
#endif

#define BLK_HEADER 16            /* bytes of a request before its data */
#define BLK_DRIVER_UNTOUCHED 0xee /* a status that the device has not written */

struct blk_answer {
	int64_t used; /* bytes, or -ETIMEDOUT, -EIO: see vdriver_request() */
	uint8_t status;
};

/* The header of a request. */
void blk_driver_header(uint8_t raw[BLK_HEADER], uint32_t type, uint64_t sector);
/* Behind the header, or a part of it, come @out, and @in before a status, if there is one. */
struct blk_answer blk_driver_raw(struct vdriver *v, unsigned q, const void *header,
				 size_t header_len, const void *out, size_t out_len, void *in,
				 size_t in_len, bool has_status);
struct blk_answer blk_driver_run(struct vdriver *v, unsigned q, uint32_t type, uint64_t sector,
				 const void *out, size_t out_len, void *in, size_t in_len);

/* A read or a write. */
struct blk_answer blk_driver_rw(struct vdriver *v, unsigned q, bool write, uint64_t sector,
				void *data, size_t len);
/* A discard or a write zeroes of one segment. */
struct blk_answer blk_driver_range(struct vdriver *v, unsigned q, uint32_t type, uint64_t sector,
				   uint32_t sectors, uint32_t flags);
/* One segment of several. */
void blk_driver_segment(uint8_t raw[16], uint64_t sector, uint32_t sectors, uint32_t flags);

#endif
