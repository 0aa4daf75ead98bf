/* SPDX-License-Identifier: MIT */
/*
 * wire.h - how a vhost server is spoken to.
 *
 * A vhost server is somebody else who serves the queues of a device. The order
 * of what it is told is the same for all of them and stands in vhost.c. The form
 * of each message is a wire's: for the kernel they are ioctls (wire_kernel.c),
 * for another process messages by a socket (wire_user.c).
 *
 * In this order: begin, own, set_features, set_mem; for each ring size, base, addr,
 * err, call, kick, enable; run. Back: begin; for each ring enable(false);
 * run(false); for each ring get_base, then close.
 */
#ifndef VIRTIO_WIRE_H
#define VIRTIO_WIRE_H

#include <stdbool.h>
#include <stdint.h>

struct mem;
struct vhost_wire;
struct virtio_device;
struct virtqueue;

/* The eventfds of a ring: the driver's kick, its interrupt, what the server finds wrong. */
enum vhost_fd { VHOST_FD_KICK, VHOST_FD_CALL, VHOST_FD_ERR };

/* What returns an int gives -errno after one line. All but features and close: under @lock. */
struct vhost_wire_ops {
	const char *server; /* for messages: "the kernel" */
	/* A start or a stop begins: if its waits are bounded, they are as a whole. NULL: not. */
	void (*begin)(struct vhost_wire *w);
	/* The server is ours from now on. Until it has worked, each start begins with it. */
	int (*own)(struct vhost_wire *w);
	/* The feature bits that the server can serve; 0: it does not answer. [setup] */
	uint64_t (*features)(struct vhost_wire *w);
	int (*set_features)(struct vhost_wire *w, uint64_t features);
	int (*set_mem)(struct vhost_wire *w, const struct mem *mem);
	int (*ring_size)(struct vhost_wire *w, unsigned q, uint16_t size);
	/* From which chain on; as virtqueue's next_avail. */
	int (*ring_set_base)(struct vhost_wire *w, unsigned q, uint32_t base);
	/* Where it lies: @vq has a view. */
	int (*ring_addr)(struct vhost_wire *w, unsigned q, const struct virtqueue *vq);
	/* Borrowed until ring_close. */
	int (*ring_fd)(struct vhost_wire *w, unsigned q, enum vhost_fd which, int fd);
	/* From now on, and while it runs, the server takes chains from the ring; or no further
	 * ones, while it may still be at those that it has. */
	int (*ring_enable)(struct vhost_wire *w, unsigned q, bool on);
	/* The server works. Or no longer: then nothing is in flight when this returns. */
	int (*run)(struct vhost_wire *w, bool on);
	/* How far it has come. -EPIPE: it has gone, and who comes next knows what it had begun. */
	int (*ring_get_base)(struct vhost_wire *w, unsigned q, uint32_t *base);
	/* The server forgets the ring, however much it knows of it. While it does not run. */
	void (*ring_close)(struct vhost_wire *w, unsigned q);
	/* Lets the server go, and frees the wire. */
	void (*close)(struct vhost_wire *w);
};

struct vhost_wire {
	const struct vhost_wire_ops *ops;
};

/*
 * The kernel's "end point", what a device of the kernel's is connected to: it is what makes it run.
 * The kernel takes ring addresses while there is none, and waits for what is in flight when it is
 * cleared.
 */
struct vhost_endpoint_ops {
	/* -errno after one line. */
	int (*set)(void *arg, int fd);
	void (*clear)(void *arg, int fd);
};

/*
 * The wire to an open vhost device of the kernel's, @fd, without an owner, which is taken over in
 * every case. For @vdev alone. Each request queue (from @first_request_queue on) gets a worker of
 * its own where the kernel has more than one. @arg is borrowed. NULL: errno tells. [setup]
 */
struct vhost_wire *vhost_kernel_create(struct virtio_device *vdev, int fd,
				       unsigned first_request_queue,
				       const struct vhost_endpoint_ops *ops, void *arg);

/* Makes one more worker for a device that has an owner. -ENOTTY: this kernel has one a device. */
int vhost_kernel_new_worker(int fd, unsigned *id);

/* Becomes its owner and gives it no guest memory at all: enough to try an end point. -errno. */
int vhost_kernel_own_empty(int fd);

#endif
