/* SPDX-License-Identifier: MIT */
/*
 * vhost_user_scsi.h - what a SCSI controller is to its driver when another process
 * serves it, for the classes of such controllers.
 */
#ifndef DEVICES_VHOST_USER_SCSI_H
#define DEVICES_VHOST_USER_SCSI_H

#include <linux/virtio_scsi.h>

#include "devices/user_device.h"

extern const struct virtio_class user_scsi_virtio;
void user_scsi_config(struct user_device *u, uint8_t *config);

/* Their part of a struct user_device_kind. */
#define USER_SCSI_KIND                                                                        \
	.class = &user_scsi_virtio, .config_len = sizeof(struct virtio_scsi_config),          \
	.other_queues = 2, .queue_size = 128

#endif
