/* SPDX-License-Identifier: MIT */
/*
 * vhost.h - back end: a vhost server, as the kernel or another process, serves the queues.
 *
 * The guest's kick is an eventfd that the server waits for; it reads the ring in
 * guest memory, does the work, and writes the eventfd that ends as the guest's
 * interrupt. We run at start and at stop only.
 *
 * This is the order in which a server is told of rings, and of their end; how it
 * is told is in wire.h. What a server is at may take as long as the host's disk
 * does, so a stop is bounded: see bounded.h.
 *
 * Queues that are none of the server's get no rings there. Who serves them may
 * have the server finish with what it has, without the driver noticing: settle.
 *
 * The server reads the ring and says that the driver broke a rule by an
 * eventfd, which the main loop watches.
 */
#ifndef VIRTIO_VHOST_H
#define VIRTIO_VHOST_H

#include <stdbool.h>

struct loop;
struct vhost_wire;
struct virtio_backend;
struct virtio_device;

struct virtio_vhost_ops {
	/* Is queue @q the server's? NULL: all are. */
	bool (*serves)(unsigned q);
	/* For so many ms the server has not let go of the queues. Often, if it returns. 0: the wire
	 * itself never waits for long. */
	int patience;
	void (*hangs)(void *arg);
	/* @arg goes. NULL: it is another's. */
	void (*destroy)(void *arg);
};

/* For @vdev alone. @wire (NULL: there is none) and @arg are taken over, always. @ops NULL: all
 * queues are the server's, and @arg is nothing. NULL: errno tells. [setup] */
struct virtio_backend *virtio_vhost_create(struct virtio_device *vdev, struct vhost_wire *wire,
					   const struct virtio_vhost_ops *ops, void *arg,
					   struct loop *main_loop);

/*
 * All that the driver has kicked for until now has been answered when this returns, and the server
 * serves on. For who serves the device's other queues, on its thread, between their start and stop.
 * -errno after one line: the device needs a reset.
 */
int virtio_vhost_settle(struct virtio_backend *be);

/*
 * A server that had the queues has gone, and another one, or the same, is to go on: it is told all
 * from the beginning, with rings at what has been answered. Under the device's lock, while it is
 * started. -errno after one line: that may be tried again.
 */
int virtio_vhost_again(struct virtio_backend *be);

#endif
