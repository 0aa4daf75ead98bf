#include "virtio/vhost.h"

#include <errno.h>
#include <linux/vhost.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "virtio/virtio.h"
#include "vmm/core/loop.h"
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

#define NO_FD (-1)

struct vhost {
	struct virtio_backend be;
	int fd;
	bool owned;
	unsigned first_request_queue;
	const struct virtio_vhost_ops *ops;
	void *arg;
	struct virtio_device *vdev;
	struct loop *main_loop;
	struct loop_source err; /* an eventfd, of all queues */
	pthread_mutex_t err_lock; /* keeps an error that is being told and the reset apart */
	int idle;               /* an eventfd that nobody writes */
};

/* The memory table, with room for as many regions as there can be. */
struct memory {
	struct vhost_memory head;
	struct vhost_memory_region region[MEM_REGIONS];
};

static int vhost_call(const struct vhost *v, unsigned long request, const char *name, void *arg)
{
	int err;

	if (ioctl(v->fd, request, arg) >= 0)
		return 0;
	err = errno;
	log_guest(&v->vdev->limit, "%s: %s: %s", v->vdev->name, name, strerror(err));
	return -err;
}

#define CALL(v, request, arg) vhost_call(v, request, #request, arg)

static uint64_t vhost_features(struct virtio_backend *be)
{
	uint64_t features = 0;

	ioctl(container_of(be, struct vhost, be)->fd, VHOST_GET_FEATURES, &features);
	return features;
}

int virtio_vhost_new_worker(int fd, unsigned *id)
{
	struct vhost_worker_state worker = { 0 };

	if (ioctl(fd, VHOST_NEW_WORKER, &worker) < 0)
		return -errno;
	*id = worker.worker_id;
	return 0;
}

int virtio_vhost_own_empty(int fd)
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
static void make_workers(const struct vhost *v)
{
	struct vhost_vring_worker w;
	unsigned q;

	for (q = v->first_request_queue + 1; q < v->vdev->nvq; q++) {
		w = (struct vhost_vring_worker){ .index = q };
		if (virtio_vhost_new_worker(v->fd, &w.worker_id) < 0 ||
		    ioctl(v->fd, VHOST_ATTACH_VRING_WORKER, &w) < 0)
			return;
	}
}

/*
 * At the first start, and not before: a worker of Linux 6.4 and newer is a thread of ours, and is
 * to have no more rights than the others.
 */
static int own(struct vhost *v)
{
	int r = 0;

	if (!v->owned)
		r = CALL(v, VHOST_SET_OWNER, NULL);
	if (!r && !v->owned)
		make_workers(v);
	v->owned |= !r;
	return r;
}

static int set_memory(const struct vhost *v, const struct mem *mem)
{
	struct memory m = { .head.nregions = mem->nregions };
	unsigned i;
	int r;

	for (i = 0; i < mem->nregions; i++) {
		const struct mem_region *from = &mem->region[i];

		m.region[i] = (struct vhost_memory_region){
			.guest_phys_addr = from->gpa,
			.memory_size = from->size,
			.userspace_addr = (uintptr_t)from->hva,
		};
	}
	r = CALL(v, VHOST_SET_MEM_TABLE, &m);
	if (r == -E2BIG)
		log_guest(&v->vdev->limit, "%s: this guest has %u memory regions; raise "
			  "max_mem_regions of the module vhost", v->vdev->name, mem->nregions);
	return r;
}

static int set_number(const struct vhost *v, unsigned long request, const char *name, unsigned q,
		      unsigned number)
{
	return vhost_call(v, request, name, &(struct vhost_vring_state){ .index = q,
									 .num = number });
}

static int set_file(const struct vhost *v, unsigned long request, const char *name, unsigned q,
		    int fd)
{
	return vhost_call(v, request, name, &(struct vhost_vring_file){ .index = q, .fd = fd });
}

#define SET_NUMBER(v, request, q, number) set_number(v, request, #request, q, number)
#define SET_FILE(v, request, q, fd) set_file(v, request, #request, q, fd)

static int set_eventfds(const struct vhost *v, unsigned q)
{
	const struct virtio_transport_ops *transport = v->vdev->transport;
	int fd = transport->call_fd(v->vdev, q), r;

	if (fd < 0) {
		log_guest(&v->vdev->limit, "%s: queue %u: no interrupt: %s", v->vdev->name, q,
			  strerror(-fd));
		return fd;
	}
	r = SET_FILE(v, VHOST_SET_VRING_CALL, q, fd);
	return r ? r : SET_FILE(v, VHOST_SET_VRING_KICK, q, transport->kick_fd(v->vdev, q));
}

static int queue_open(struct vhost *v, unsigned q)
{
	struct virtio_device *vdev = v->vdev;
	struct virtqueue *vq = &vdev->vq[q];
	struct vhost_vring_addr addr = { .index = q };
	int r;

	r = vq_view(vq, vdev->mem);
	if (r < 0) {
		log_guest(&vdev->limit, "%s: queue %u: bad size or address", vdev->name, q);
		return r;
	}
	addr.desc_user_addr = (uintptr_t)vq->desc;
	addr.avail_user_addr = (uintptr_t)vq->driver;
	addr.used_user_addr = (uintptr_t)vq->device;
	r = SET_NUMBER(v, VHOST_SET_VRING_NUM, q, vq->s.size);
	if (!r)
		r = SET_NUMBER(v, VHOST_SET_VRING_BASE, q, vq->s.next_avail);
	if (!r)
		r = CALL(v, VHOST_SET_VRING_ADDR, &addr);
	if (!r)
		r = SET_FILE(v, VHOST_SET_VRING_ERR, q, v->err.fd);
	return r ? r : set_eventfds(v, q);
}

/*
 * The kernel is to forget the addresses too: it writes to the rings of every queue that has some at
 * the next start, and the next driver may use fewer queues.
 */
static void queue_close(const struct vhost *v, unsigned q)
{
	struct virtqueue *vq = &v->vdev->vq[q];
	struct vhost_vring_addr nowhere = { .index = q };

	SET_FILE(v, VHOST_SET_VRING_KICK, q, NO_FD);
	SET_FILE(v, VHOST_SET_VRING_CALL, q, NO_FD);
	SET_FILE(v, VHOST_SET_VRING_ERR, q, NO_FD);
	CALL(v, VHOST_SET_VRING_ADDR, &nowhere);
	vq->desc = NULL;
	vq->driver = vq->device = NULL;
}

/* How far the kernel has come; -errno. */
static int queue_base(const struct vhost *v, unsigned q)
{
	struct vhost_vring_state base = { .index = q };
	int r = CALL(v, VHOST_GET_VRING_BASE, &base);

	return r ? r : (int)(base.num & 0xffff);
}

#define QUIET_ROUNDS 64 /* more than a ring has work for, unless the driver goes on adding */

/*
 * From now on the worker takes no request from the ring. To clear the end point is not enough: what
 * it finds in the ring meanwhile it answers as if there were no such target. To change the kick is
 * to wait for what the worker has begun; but of much work it puts off a part, so that is done until
 * there was nothing to wait for.
 */
static void queue_quiet(const struct vhost *v, unsigned q)
{
	int before, now, rounds = QUIET_ROUNDS;

	SET_FILE(v, VHOST_SET_VRING_KICK, q, NO_FD);
	now = queue_base(v, q);
	do {
		before = now;
		SET_FILE(v, VHOST_SET_VRING_KICK, q, v->idle);
		SET_FILE(v, VHOST_SET_VRING_KICK, q, NO_FD);
		now = queue_base(v, q);
	} while (now != before && --rounds);
}

/* With nothing in flight, as many chains have been given back as have been taken. */
static void queue_read_back(const struct vhost *v, unsigned q)
{
	struct vq_state *s = &v->vdev->vq[q].s;
	int base = queue_base(v, q);

	if (base >= 0)
		s->next_avail = s->next_used = (uint16_t)base;
}

static int open_all(struct vhost *v)
{
	struct virtio_device *vdev = v->vdev;
	unsigned q;
	int r;

	r = own(v);
	if (!r)
		r = CALL(v, VHOST_SET_FEATURES, &vdev->accepted);
	if (!r)
		r = set_memory(v, vdev->mem);
	for (q = 0; !r && q < vdev->nvq; q++) {
		if (vdev->vq[q].s.ready)
			r = queue_open(v, q);
	}
	return r;
}

static void close_all(const struct vhost *v)
{
	unsigned q;

	for (q = 0; q < v->vdev->nvq; q++) {
		if (v->vdev->vq[q].desc)
			queue_close(v, q);
	}
}

static int vhost_start(struct virtio_backend *be, struct virtio_device *vdev)
{
	struct vhost *v = container_of(be, struct vhost, be);
	unsigned q;
	int r;

	r = open_all(v);
	if (!r)
		r = v->ops->attach(v->arg, vdev, v->fd);
	if (r < 0) {
		close_all(v);
		return r;
	}
	/* There may be work whose kick came before, or was taken by another back end. */
	for (q = 0; q < vdev->nvq; q++) {
		if (vdev->vq[q].s.ready)
			virtio_queue_again(vdev, q);
	}
	return 0;
}

static void vhost_stop(struct virtio_backend *be, struct virtio_device *vdev)
{
	struct vhost *v = container_of(be, struct vhost, be);
	eventfd_t count;
	unsigned q;

	for (q = 0; q < vdev->nvq; q++) {
		if (vdev->vq[q].desc)
			queue_quiet(v, q);
	}
	v->ops->detach(v->arg, v->fd);
	for (q = 0; q < vdev->nvq; q++) {
		if (vdev->vq[q].desc)
			queue_read_back(v, q);
	}
	close_all(v);
	/* What is wrong with these rings is no news for those who set up the next ones. */
	pthread_mutex_lock(&v->err_lock);
	eventfd_read(v->err.fd, &count);
	pthread_mutex_unlock(&v->err_lock);
}

/* The kernel does not say which queue it is, nor what is wrong with it. [main] */
static void ring_error(void *arg)
{
	struct vhost *v = arg;
	eventfd_t count;

	pthread_mutex_lock(&v->err_lock);
	if (eventfd_read(v->err.fd, &count) == 0) {
		log_guest(&v->vdev->limit, "%s: the kernel found a bad ring or request",
			  v->vdev->name);
		virtio_needs_reset(v->vdev);
	}
	pthread_mutex_unlock(&v->err_lock);
}

static int forget_errors(void *arg)
{
	struct vhost *v = arg;

	loop_del(v->main_loop, &v->err);
	return 0;
}

static void vhost_destroy(struct virtio_backend *be)
{
	struct vhost *v = container_of(be, struct vhost, be);

	if (v->err.fd >= 0) {
		loop_call(v->main_loop, forget_errors, v);
		close(v->err.fd);
	}
	if (v->idle >= 0)
		close(v->idle);
	v->ops->destroy(v->arg);
	pthread_mutex_destroy(&v->err_lock);
	close(v->fd);
	free(v);
}

static const struct virtio_backend_ops vhost_ops = {
	.name = "vhost",
	.features = vhost_features,
	.start = vhost_start,
	.stop = vhost_stop,
	.destroy = vhost_destroy,
};

struct virtio_backend *virtio_vhost_create(struct virtio_device *vdev, int fd,
					   unsigned first_request_queue,
					   const struct virtio_vhost_ops *ops, void *arg,
					   struct loop *main_loop)
{
	struct vhost *v = calloc(1, sizeof(*v));
	int r;

	if (!v) {
		ops->destroy(arg);
		close(fd);
		errno = ENOMEM;
		return NULL;
	}
	v->be.ops = &vhost_ops;
	v->vdev = vdev;
	v->fd = fd;
	v->first_request_queue = first_request_queue;
	v->ops = ops;
	v->arg = arg;
	v->main_loop = main_loop;
	pthread_mutex_init(&v->err_lock, NULL);
	v->err = (struct loop_source){ .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
				       .fn = ring_error, .arg = v };
	v->idle = eventfd(0, EFD_CLOEXEC);
	r = v->err.fd < 0 || v->idle < 0 ? -errno : loop_add(main_loop, &v->err);
	if (!r)
		return &v->be;
	vhost_destroy(&v->be);
	errno = -r;
	return NULL;
}
