/*
 * vhost_scsi.h - the kernel's vhost-scsi: what virtio/vhost.c does not know.
 *
 * /dev/vhost-scsi serves the queues of a virtio-scsi device with a target of
 * the kernel's own (LIO), which has a name, the WWN, and is made elsewhere.
 */
#ifndef DEVICES_VHOST_SCSI_H
#define DEVICES_VHOST_SCSI_H

#include <stdbool.h>

#include "devices/why.h"

struct loop;
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

/* The back end; takes @fd over in every case. NULL: errno tells. [setup] */
struct virtio_backend *vhost_scsi_create(struct virtio_device *vdev, int fd, const char *wwn,
					 struct loop *main_loop);

#endif
