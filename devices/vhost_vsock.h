/* SPDX-License-Identifier: MIT */
/*
 * vhost_vsock.h - the kernel's vhost-vsock, by which programs of the host have AF_VSOCK sockets to
 * a guest: what virtio/vhost.c does not know. It serves the queues of data, and we the event queue.
 */
#ifndef DEVICES_VHOST_VSOCK_H
#define DEVICES_VHOST_VSOCK_H

#include <stdint.h>

struct platform;
struct virtio_backend;
struct virtio_device;

#define VHOST_VSOCK_NODE "/dev/vhost-vsock"
#define VHOST_VSOCK_CID_MIN 3           /* those before are the host's */
#define VHOST_VSOCK_CID_MAX 0xfffffffeu

/*
 * Opens VHOST_VSOCK_NODE and takes *@cid, or with 0 one that nobody has, which is stored there. The
 * descriptor; -errno after one line, in which @id is the device's name. [setup]
 */
int vhost_vsock_open(const char *id, uint32_t *cid);
/* The back end; @fd is taken over in every case. NULL: errno tells. [setup] */
struct virtio_backend *vhost_vsock_create(struct virtio_device *vdev, int fd,
					  struct platform *platform);

#endif
