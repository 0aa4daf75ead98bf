/* SPDX-License-Identifier: MIT */
#include "virtio/wire_kernel.h"

#include <errno.h>
#include <linux/vhost.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "virtio/virtio.h"
#include "vmm/core/mem.h"
#include "vmm/core/util.h"

/* Of Linux 6.5, and so not in the headers of Debian 12. */
#ifndef VHOST_NEW_WORKER
struct vhost_worker_state {
	unsigned int worker_id;
};
struct vhost_vring_worker {
	unsigned int index, worker_id;
};
#define VHOST_NEW_WORKER _IOR(VHOST_VIRTIO, 0x8, struct vhost_worker_state)
#define VHOST_ATTACH_VRING_WORKER _IOW(VHOST_VIRTIO, 0x15, struct vhost_vring_worker)
#endif

struct kernel {
	struct vhost_kernel base;
	int idle; /* an eventfd that nobody writes */
	unsigned first_request_queue;
	const struct vhost_endpoint_ops *ops;
	void *arg;
};

/* The memory table, with room for as many regions as there can be. */
union memory {
	struct vhost_memory head;
	char room[sizeof(struct vhost_memory) + MEM_REGIONS * sizeof(struct vhost_memory_region)];
};

static const struct vhost_kernel *base_of(struct vhost_wire *w)
{
	return container_of(w, struct vhost_kernel, wire);
}

static struct kernel *kernel_of(struct vhost_wire *w)
{
	return container_of(w, struct kernel, base.wire);
}

struct vhost_wire *vhost_kernel_wire(struct vhost_kernel *k, const struct vhost_wire_ops *ops,
				     struct virtio_device *vdev, int fd)
{
	*k = (struct vhost_kernel){ .wire.ops = ops, .vdev = vdev, .fd = fd };
	return &k->wire;
}

int vhost_kernel_call(const struct vhost_kernel *k, unsigned long request, const char *name,
		      void *arg)
{
	int err;

	if (ioctl(k->fd, request, arg) >= 0)
		return 0;
	err = errno;
	log_guest(&k->vdev->limit, "%s: %s: %s", k->vdev->name, name, strerror(err));
	return -err;
}

#define CALL(k, request, arg) vhost_kernel_call(&(k)->base, request, #request, arg)

int vhost_kernel_new_worker(int fd, unsigned *id)
{
	struct vhost_worker_state worker = { 0 };

	if (ioctl(fd, VHOST_NEW_WORKER, &worker) < 0)
		return -errno;
	*id = worker.worker_id;
	return 0;
}

int vhost_kernel_own_empty(int fd)
{
	struct vhost_memory none = { 0 };

	if (ioctl(fd, VHOST_SET_OWNER) < 0 || ioctl(fd, VHOST_SET_MEM_TABLE, &none) < 0)
		return -errno;
	return 0;
}

/*
 * The first request queue stays with the worker that every device has: the queues before it have
 * little to do. Without a further worker, queues share the ones that there are.
 */
static void make_workers(const struct kernel *k)
{
	struct vhost_vring_worker w;
	unsigned q;

	for (q = k->first_request_queue + 1; q < k->base.vdev->nvq; q++) {
		w = (struct vhost_vring_worker){ .index = q };
		if (vhost_kernel_new_worker(k->base.fd, &w.worker_id) < 0 ||
		    ioctl(k->base.fd, VHOST_ATTACH_VRING_WORKER, &w) < 0)
			return;
	}
}

static int own(struct vhost_wire *w)
{
	const struct kernel *k = kernel_of(w);
	int r = CALL(k, VHOST_SET_OWNER, NULL);

	if (!r)
		make_workers(k);
	return r;
}

static uint64_t features(struct vhost_wire *w)
{
	uint64_t bits = 0;

	ioctl(kernel_of(w)->base.fd, VHOST_GET_FEATURES, &bits);
	return bits;
}

static int set_features(struct vhost_wire *w, uint64_t bits)
{
	return CALL(kernel_of(w), VHOST_SET_FEATURES, &bits);
}

static int set_mem(struct vhost_wire *w, const struct mem *mem)
{
	const struct kernel *k = kernel_of(w);
	union memory m = { .head.nregions = mem->nregions };
	unsigned i;
	int r;

	for (i = 0; i < mem->nregions; i++) {
		const struct mem_region *from = &mem->region[i];

		m.head.regions[i] = (struct vhost_memory_region){
			.guest_phys_addr = from->gpa,
			.memory_size = from->size,
			.userspace_addr = (uintptr_t)from->hva,
		};
	}
	r = CALL(k, VHOST_SET_MEM_TABLE, &m);
	if (r == -E2BIG)
		log_guest(&k->base.vdev->limit, "%s: this guest has %u memory regions; raise "
			  "max_mem_regions of the module vhost", k->base.vdev->name, mem->nregions);
	return r;
}

int vhost_kernel_ring_size(struct vhost_wire *w, unsigned q, uint16_t size)
{
	struct vhost_vring_state state = { .index = q, .num = size };

	return VHOST_KERNEL_CALL(base_of(w), VHOST_SET_VRING_NUM, &state);
}

int vhost_kernel_ring_set_base(struct vhost_wire *w, unsigned q, uint32_t base)
{
	struct vhost_vring_state state = { .index = q, .num = base };

	return VHOST_KERNEL_CALL(base_of(w), VHOST_SET_VRING_BASE, &state);
}

int vhost_kernel_ring_get_base(struct vhost_wire *w, unsigned q, uint32_t *base)
{
	struct vhost_vring_state state = { .index = q };
	int r = VHOST_KERNEL_CALL(base_of(w), VHOST_GET_VRING_BASE, &state);

	*base = state.num;
	return r;
}

int vhost_kernel_ring_at(struct vhost_wire *w, unsigned q, uint64_t desc, uint64_t driver,
			 uint64_t device)
{
	struct vhost_vring_addr addr = { .index = q, .desc_user_addr = desc,
					 .avail_user_addr = driver, .used_user_addr = device };

	return VHOST_KERNEL_CALL(base_of(w), VHOST_SET_VRING_ADDR, &addr);
}

static int ring_addr(struct vhost_wire *w, unsigned q, const struct virtqueue *vq)
{
	return vhost_kernel_ring_at(w, q, (uintptr_t)vq->desc, (uintptr_t)vq->driver,
				    (uintptr_t)vq->device);
}

#define FILE_REQUEST(name) { name, #name }

static const struct {
	unsigned long request;
	const char *name;
} file_requests[] = {
	[VHOST_FD_KICK] = FILE_REQUEST(VHOST_SET_VRING_KICK),
	[VHOST_FD_CALL] = FILE_REQUEST(VHOST_SET_VRING_CALL),
	[VHOST_FD_ERR] = FILE_REQUEST(VHOST_SET_VRING_ERR),
};

int vhost_kernel_ring_fd(struct vhost_wire *w, unsigned q, enum vhost_fd which, int fd)
{
	struct vhost_vring_file file = { .index = q, .fd = fd };

	return vhost_kernel_call(base_of(w), file_requests[which].request,
				 file_requests[which].name, &file);
}

void vhost_kernel_ring_unbind(struct vhost_wire *w, unsigned q)
{
	vhost_kernel_ring_fd(w, q, VHOST_FD_KICK, VHOST_FILE_UNBIND);
	vhost_kernel_ring_fd(w, q, VHOST_FD_CALL, VHOST_FILE_UNBIND);
	vhost_kernel_ring_fd(w, q, VHOST_FD_ERR, VHOST_FILE_UNBIND);
}

/* How far the kernel has come; -errno. */
static int kernel_base(struct vhost_wire *w, unsigned q)
{
	uint32_t base;
	int r = vhost_kernel_ring_get_base(w, q, &base);

	return r ? r : (int)(base & 0xffff);
}

#define QUIET_ROUNDS 64 /* more than a ring has work for, unless the driver goes on adding */

/*
 * From now on the worker takes no request from the ring. To clear the end point is not enough: what
 * it finds in the ring meanwhile it answers as if there were no such target. To change the kick is
 * to wait for what the worker has begun; but of much work it puts off a part, so that is done until
 * there was nothing to wait for.
 */
static void quieten(struct vhost_wire *w, unsigned q)
{
	int before, now, rounds = QUIET_ROUNDS;

	vhost_kernel_ring_fd(w, q, VHOST_FD_KICK, VHOST_FILE_UNBIND);
	now = kernel_base(w, q);
	do {
		before = now;
		vhost_kernel_ring_fd(w, q, VHOST_FD_KICK, kernel_of(w)->idle);
		vhost_kernel_ring_fd(w, q, VHOST_FD_KICK, VHOST_FILE_UNBIND);
		now = kernel_base(w, q);
	} while (now != before && --rounds);
}

/* A ring that has a kick is enabled. */
static int ring_enable(struct vhost_wire *w, unsigned q, bool on)
{
	if (!on)
		quieten(w, q);
	return 0;
}

static int run(struct vhost_wire *w, bool on)
{
	const struct kernel *k = kernel_of(w);

	if (on)
		return k->ops->set(k->arg, k->base.fd);
	k->ops->clear(k->arg, k->base.fd);
	return 0;
}

/*
 * The kernel is to forget the addresses too: it writes to the rings of every queue that has some at
 * the next start, and the next driver may use fewer queues.
 */
static void ring_close(struct vhost_wire *w, unsigned q)
{
	vhost_kernel_ring_unbind(w, q);
	vhost_kernel_ring_at(w, q, 0, 0, 0);
}

static void wire_close(struct vhost_wire *w)
{
	struct kernel *k = kernel_of(w);

	close(k->idle);
	close(k->base.fd);
	free(k);
}

static const struct vhost_wire_ops kernel_ops = {
	.server = "the kernel",
	.own = own,
	.features = features,
	.set_features = set_features,
	.set_mem = set_mem,
	.ring_size = vhost_kernel_ring_size,
	.ring_set_base = vhost_kernel_ring_set_base,
	.ring_addr = ring_addr,
	.ring_fd = vhost_kernel_ring_fd,
	.ring_enable = ring_enable,
	.run = run,
	.ring_get_base = vhost_kernel_ring_get_base,
	.ring_close = ring_close,
	.close = wire_close,
};

struct vhost_wire *vhost_kernel_create(struct virtio_device *vdev, int fd,
				       unsigned first_request_queue,
				       const struct vhost_endpoint_ops *ops, void *arg)
{
	struct kernel *k = malloc(sizeof(*k));
	int idle = eventfd(0, EFD_CLOEXEC), err = idle < 0 ? errno : ENOMEM;

	if (!k || idle < 0) {
		if (idle >= 0)
			close(idle);
		free(k);
		close(fd);
		errno = err;
		return NULL;
	}
	*k = (struct kernel){
		.idle = idle,
		.first_request_queue = first_request_queue,
		.ops = ops,
		.arg = arg,
	};
	return vhost_kernel_wire(&k->base, &kernel_ops, vdev, fd);
}
