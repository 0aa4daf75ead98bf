/* SPDX-License-Identifier: MIT */
/*
 * wire_kernel.h - what the wires to the kernel have in common: vhost devices are told of their
 * rings by the same ioctls, whether the kernel or a vDPA device serves them.
 */
#ifndef VIRTIO_WIRE_KERNEL_H
#define VIRTIO_WIRE_KERNEL_H

#include "virtio/wire.h"

struct vhost_kernel {
	struct vhost_wire wire;
	struct virtio_device *vdev;
	int fd;
};

/* Its wire, once it is one: @fd is its own. */
struct vhost_wire *vhost_kernel_wire(struct vhost_kernel *k, const struct vhost_wire_ops *ops,
				     struct virtio_device *vdev, int fd);

/* -errno after one line, which has @name. */
int vhost_kernel_call(const struct vhost_kernel *k, unsigned long request, const char *name,
		      void *arg);
#define VHOST_KERNEL_CALL(k, request, arg) vhost_kernel_call(k, request, #request, arg)

/* As in struct vhost_wire_ops. */
int vhost_kernel_ring_size(struct vhost_wire *w, unsigned q, uint16_t size);
int vhost_kernel_ring_set_base(struct vhost_wire *w, unsigned q, uint32_t base);
int vhost_kernel_ring_get_base(struct vhost_wire *w, unsigned q, uint32_t *base);
int vhost_kernel_ring_fd(struct vhost_wire *w, unsigned q, enum vhost_fd which, int fd);

/* Where the three areas of ring @q are; zeroes: nowhere. */
int vhost_kernel_ring_at(struct vhost_wire *w, unsigned q, uint64_t desc, uint64_t driver,
			 uint64_t device);
/* The ring has no eventfds any more. */
void vhost_kernel_ring_unbind(struct vhost_wire *w, unsigned q);

#endif
