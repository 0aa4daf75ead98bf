/* SPDX-License-Identifier: MIT */
/*
 * vhost_scsi.h - the kernel's vhost-scsi: what virtio/vhost.c does not know.
 *
 * /dev/vhost-scsi serves the queues of a virtio-scsi device with a target of
 * the kernel's own (LIO), which has a name, the WWN, and is made elsewhere.
 *
 * All but the control queue, which is ours: of the eight functions of task
 * management the kernel knows one, LOGICAL UNIT RESET, and in Linux 5.12 to 6.13
 * that one damages the kernel's memory when the target has two LUNs or more. We
 * let the kernel answer all that it has been given, after which there is nothing
 * left that a function could end. The event queue is the kernel's, who alone
 * hears of what others do to a target.
 */
#ifndef DEVICES_VHOST_SCSI_H
#define DEVICES_VHOST_SCSI_H

#include <stdbool.h>

#include "devices/why.h"

struct lio;
struct platform;
struct scsi_control_ops;
struct scsi_lun;
struct scsi_port;
struct virtio_backend;
struct virtio_device;

#define VHOST_SCSI_NODE "/dev/vhost-scsi"
/* Bytes of a target's name, its zero too. */
#define VHOST_SCSI_WWN_MAX 224
/* Bytes of one request that every kernel takes: 2048 pages, of which any may be used in part. */
#define VHOST_SCSI_PAGES 2048

/* An open VHOST_SCSI_NODE that talks as we do. -errno: @why has step and cure. [setup] */
int vhost_scsi_open(struct why *why);

/* Can the target be had? @workers: has this kernel more than one worker a device? [setup] */
int vhost_scsi_try(const char *wwn, bool *workers, struct why *why);

/* The back end, which leaves the control queue out; takes @fd over in every case. The run ends when
 * the host's disk hangs, and the kernel with it. NULL: errno tells. [setup] */
struct virtio_backend *vhost_scsi_create(struct virtio_device *vdev, int fd, const char *wwn,
					 struct platform *platform);

/* As lio_remove(), which waits for what the LUN has begun: bounded as the above. [main] */
int vhost_scsi_remove(struct virtio_device *vdev, struct platform *platform, struct lio *lio,
		      const struct scsi_lun *lun);

/* How a struct scsi_control serves that queue. Its arg is a struct vhost_scsi_tasks. */
struct vhost_scsi_tasks {
	struct virtio_backend *backend; /* of vhost_scsi_create() */
	struct scsi_port *port;         /* the LUNs there are; NULL: the target is the user's */
};
extern const struct scsi_control_ops vhost_scsi_control;

#endif
