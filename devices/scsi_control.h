/* SPDX-License-Identifier: MIT */
/*
 * scsi_control.h - the control queue of a virtio-scsi device (virtio 1.3
 * §5.6.6.2), whoever serves its request queues; and what all its queues share.
 */
#ifndef DEVICES_SCSI_CONTROL_H
#define DEVICES_SCSI_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

struct scsi_tmf_request;
struct virtio_device;

/* A chain may have so many pieces: data, and the two headers if they are each in one piece. */
#define SCSI_HOST_CHAIN_MAX 128

enum scsi_host_queue { SCSI_HOST_CONTROL, SCSI_HOST_EVENT, SCSI_HOST_REQUEST };

/* By whom requests are served. Both on the thread of the control queue. */
struct scsi_control_ops {
	bool (*has_target)(void *arg, uint8_t target);
	/* Every command that is to end has been answered when it returns. enum scsi_tmf_response,
	 * or -errno. */
	int (*tmf)(void *arg, const struct scsi_tmf_request *request);
};

struct scsi_control {
	struct virtio_device *vdev;
	const struct scsi_control_ops *ops;
	void *arg;
};

/* Hook of struct virtio_class, for this queue. [thread of the control queue] */
void scsi_control_kick(struct scsi_control *control);

/*
 * Splits an address of §5.6.6.1: 1, the target, a single-level LUN; or the well-known LUN for
 * REPORT LUNS, C1 01 and zeroes, which is that of target 0. False: not one of ours.
 */
bool scsi_address_decode(const uint8_t lun[8], uint8_t *target, uint8_t lun_field[8]);

#endif
