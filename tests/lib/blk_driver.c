/* SPDX-License-Identifier: MIT */
#include "tests/lib/blk_driver.h"

#include <string.h>

#include "vmm/core/util.h"

#define TIMEOUT_MS 5000

void blk_driver_header(uint8_t raw[BLK_HEADER], uint32_t type, uint64_t sector)
{
	memset(raw, 0, BLK_HEADER);
	le32_put(raw, type);
	le64_put(raw + 8, sector);
}

struct blk_answer blk_driver_raw(struct vdriver *v, unsigned q, const void *header,
				 size_t header_len, const void *out, size_t out_len, void *in,
				 size_t in_len, bool has_status)
{
	struct blk_answer a = { .status = BLK_DRIVER_UNTOUCHED };
	const struct iovec o[] = { { (void *)header, header_len }, { (void *)out, out_len } };
	const struct iovec i[] = { { in, in_len }, { &a.status, 1 } };
	unsigned nin = has_status ? 2 : in_len ? 1 : 0;
	bool data = in_len;

	a.used = vdriver_request(v, q, o, out_len ? 2 : 1, data ? i : i + 1, data ? nin : !!nin,
				 TIMEOUT_MS);
	return a;
}

struct blk_answer blk_driver_run(struct vdriver *v, unsigned q, uint32_t type, uint64_t sector,
				 const void *out, size_t out_len, void *in, size_t in_len)
{
	uint8_t header[BLK_HEADER];

	blk_driver_header(header, type, sector);
	return blk_driver_raw(v, q, header, sizeof(header), out, out_len, in, in_len, true);
}

struct blk_answer blk_driver_rw(struct vdriver *v, unsigned q, bool write, uint64_t sector,
				void *data, size_t len)
{
	return blk_driver_run(v, q, write ? VIRTIO_BLK_T_OUT : VIRTIO_BLK_T_IN, sector,
			      write ? data : NULL, write ? len : 0, write ? NULL : data,
			      write ? 0 : len);
}

void blk_driver_segment(uint8_t raw[16], uint64_t sector, uint32_t sectors, uint32_t flags)
{
	le64_put(raw, sector);
	le32_put(raw + 8, sectors);
	le32_put(raw + 12, flags);
}

struct blk_answer blk_driver_range(struct vdriver *v, unsigned q, uint32_t type, uint64_t sector,
				   uint32_t sectors, uint32_t flags)
{
	uint8_t segment[16];

	blk_driver_segment(segment, sector, sectors, flags);
	return blk_driver_run(v, q, type, 0, segment, sizeof(segment), NULL, 0);
}
