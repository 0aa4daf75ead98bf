/* SPDX-License-Identifier: MIT */
/*
 * scsi_driver.h - a virtio-scsi driver, as small as can be: one request at a
 * time through a vdriver.
 */
#ifndef TESTS_SCSI_DRIVER_H
#define TESTS_SCSI_DRIVER_H

#include <linux/virtio_scsi.h>

#include "tests/lib/vdriver.h"

#define SCSI_DRIVER_CDB(...) ((const uint8_t[32]){ __VA_ARGS__ })

struct scsi_driver_answer {
	int64_t used; /* bytes, or -ETIMEDOUT, -EIO: see vdriver_request() */
	uint32_t sense_len, resid;
	uint8_t status, response;
	uint8_t sense[VIRTIO_SCSI_SENSE_DEFAULT_SIZE];
};

/* The 8 bytes of LUN @lun of target @target. */
void scsi_driver_lun(uint8_t field[8], uint8_t target, uint16_t lun);
/* The request header, with the default CDB size. */
void scsi_driver_header(struct virtio_scsi_cmd_req *req, uint16_t lun, uint64_t tag,
			const uint8_t cdb[32]);

/* Runs a command on LUN @lun of target 0 by request queue @q (2 and up). */
struct scsi_driver_answer scsi_driver_run(struct vdriver *v, unsigned q, uint16_t lun,
					  const uint8_t cdb[32], const void *out, size_t out_len,
					  void *in, size_t in_len);
/* The same with headers of the caller's making. */
struct scsi_driver_answer scsi_driver_raw(struct vdriver *v, unsigned q, const void *req,
					  size_t req_len, size_t resp_len, const void *out,
					  size_t out_len, void *in, size_t in_len);

/* Task management; returns the response, or -errno. */
int scsi_driver_tmf(struct vdriver *v, uint32_t subtype, uint16_t lun, uint64_t tag);

/* Takes the unit attention of power on away. */
void scsi_driver_clear_attention(struct vdriver *v, uint16_t lun);

/* READ(16) and WRITE(16) for @blocks from @lba on. */
void scsi_driver_rw(uint8_t cdb[32], bool write, uint64_t lba, uint32_t blocks);

#endif
