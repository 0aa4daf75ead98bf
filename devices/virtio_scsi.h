/* SPDX-License-Identifier: MIT */
/*
 * virtio_scsi.h - the controller, for the disks on it.
 */
#ifndef DEVICES_VIRTIO_SCSI_H
#define DEVICES_VIRTIO_SCSI_H

#include <stdbool.h>

#include "devices/why.h"

struct device;
struct device_list;
struct scsi_host;
struct scsi_lun;
struct scsi_port;
struct virtio_device;

#define VIRTIO_SCSI_CLASS "virtio-scsi"

/* @dev is of this class. LUNs that are added before the guest runs are the caller's. [setup] */
struct scsi_port *virtio_scsi_port(struct device *dev);

/*
 * A LUN comes or goes, also while the guest runs; the driver is told then. -EEXIST: the address is
 * taken; other -errno: @why has step and cure, or, where it cannot go, there was a line. [main]
 */
int virtio_scsi_add(struct device *dev, struct scsi_lun *lun, struct why *why);
int virtio_scsi_remove(struct device *dev, struct scsi_lun *lun);

/* Who serves it in process, for LUNs that change. NULL: the kernel serves it, or none yet. */
struct scsi_host *virtio_scsi_host(struct device *dev);

/* The kernel serves it: its LUNs come and go, but do not change. */
bool virtio_scsi_in_kernel(struct device *dev);

/* Its virtio side, for whom the data path is not the one of the options. */
struct virtio_device *virtio_scsi_vdev(struct device *dev);

/* The controller uses no LUN from now on. No vCPU runs any more. */
void virtio_scsi_stop(struct device *dev);

#endif
