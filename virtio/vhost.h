/*
 * vhost.h - back end: the kernel serves the queues.
 *
 * The guest's kick is an eventfd that a vhost worker, a thread of the kernel,
 * waits for; the worker reads the ring in guest memory, does the work, and
 * writes the eventfd that ends as the guest's interrupt. We run at start and at
 * stop only.
 *
 * What kind of device it is lies in two hooks, which set and clear its "end
 * point": the kernel takes ring addresses while there is none, and waits for
 * what is in flight when it is cleared. So start is memory, rings, attach; and
 * stop is taking the kicks away, detach, and reading how far the rings have come.
 *
 * The kernel reads the ring and says that the driver broke a rule by an
 * eventfd, which the main loop watches.
 */
#ifndef VIRTIO_VHOST_H
#define VIRTIO_VHOST_H

#include <stdbool.h>

struct loop;
struct virtio_backend;
struct virtio_device;

struct virtio_vhost_ops {
	/* From now on the kernel serves the queues. -errno after one line. Under @lock. */
	int (*attach)(void *arg, struct virtio_device *vdev, int fd);
	/* No longer, and nothing is in flight. Under @lock. */
	void (*detach)(void *arg, int fd);
	void (*destroy)(void *arg);
};

/*
 * For @vdev alone. @fd, an open vhost device without an owner, and @arg are taken over, always.
 * Each request queue (from @first_request_queue on) gets a worker of its own where the kernel has
 * more than one. NULL: errno tells. [setup]
 */
struct virtio_backend *virtio_vhost_create(struct virtio_device *vdev, int fd,
					   unsigned first_request_queue,
					   const struct virtio_vhost_ops *ops, void *arg,
					   struct loop *main_loop);

/* Makes one more worker for a device that has an owner. -ENOTTY: this kernel has one a device. */
int virtio_vhost_new_worker(int fd, unsigned *id);

/* Becomes its owner and gives it no guest memory at all: enough to try an end point. -errno. */
int virtio_vhost_own_empty(int fd);

#endif
