/* SPDX-License-Identifier: MIT */
#include "virtio/vhost.h"

#include <endian.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "virtio/virtio.h"
#include "virtio/wire.h"
#include "vmm/core/bell.h"
#include "vmm/core/bounded.h"
#include "vmm/core/loop.h"
#include "vmm/core/util.h"

struct vhost {
	struct virtio_backend be;
	struct vhost_wire *wire;
	bool owned;
	const struct virtio_vhost_ops *ops;
	void *arg;
	struct virtio_device *vdev;
	struct loop *main_loop;
	struct loop_source err; /* an eventfd, of all queues */
	pthread_mutex_t err_lock; /* keeps an error that is being told and the reset apart */
};

static uint64_t vhost_features(struct virtio_backend *be)
{
	struct vhost_wire *w = container_of(be, struct vhost, be)->wire;

	return w->ops->features(w);
}

static void begin(const struct vhost *v)
{
	if (v->wire->ops->begin)
		v->wire->ops->begin(v->wire);
}

/*
 * At the first start, and not before: a worker of Linux 6.4 and newer is a thread of ours, and is
 * to have no more rights than the others.
 */
static int own(struct vhost *v)
{
	int r = v->owned ? 0 : v->wire->ops->own(v->wire);

	v->owned |= !r;
	return r;
}

static int set_eventfds(const struct vhost *v, unsigned q)
{
	const struct virtio_transport_ops *transport = v->vdev->transport;
	struct vhost_wire *w = v->wire;
	int fd, r;

	r = w->ops->ring_fd(w, q, VHOST_FD_ERR, v->err.fd);
	if (r < 0)
		return r;
	fd = transport->call_fd(v->vdev, q);
	if (fd < 0) {
		log_guest(&v->vdev->limit, "%s: queue %u: no interrupt: %s", v->vdev->name, q,
			  strerror(-fd));
		return fd;
	}
	r = w->ops->ring_fd(w, q, VHOST_FD_CALL, fd);
	return r ? r : w->ops->ring_fd(w, q, VHOST_FD_KICK, transport->kick_fd(v->vdev, q));
}

static int queue_open(struct vhost *v, unsigned q)
{
	struct virtio_device *vdev = v->vdev;
	struct virtqueue *vq = &vdev->vq[q];
	struct vhost_wire *w = v->wire;
	int r;

	r = vq_view(vq, vdev->mem);
	if (r < 0) {
		log_guest(&vdev->limit, "%s: queue %u: bad size or address", vdev->name, q);
		return r;
	}
	r = w->ops->ring_size(w, q, vq->s.size);
	if (!r)
		r = w->ops->ring_set_base(w, q, vq->s.next_avail);
	if (!r)
		r = w->ops->ring_addr(w, q, vq);
	if (!r)
		r = set_eventfds(v, q);
	return r ? r : w->ops->ring_enable(w, q, true);
}

/* A queue that another serves has a view, too. */
static bool is_open(const struct vhost *v, unsigned q)
{
	return virtio_serves(v->vdev, &v->be, q) && v->vdev->vq[q].desc;
}

static void queue_close(const struct vhost *v, unsigned q)
{
	struct virtqueue *vq = &v->vdev->vq[q];

	v->wire->ops->ring_close(v->wire, q);
	vq->desc = NULL;
	vq->driver = vq->device = NULL;
}

/* How many chains have been given back, as the ring itself says: that is all that is known where
 * the server has gone. */
static uint16_t given_back(const struct virtqueue *vq)
{
	return __atomic_load_n((const uint16_t *)(const void *)(vq->device + 2), __ATOMIC_ACQUIRE);
}

/* With nothing in flight, as many chains have been given back as have been taken. */
static void queue_read_back(const struct vhost *v, unsigned q)
{
	struct virtqueue *vq = &v->vdev->vq[q];
	uint32_t base;
	int r = v->wire->ops->ring_get_base(v->wire, q, &base);

	if (r < 0)
		base = le16toh(given_back(vq));
	vq->s.next_avail = vq->s.next_used = (uint16_t)base;
	/* Nobody knows then what has been begun of that for which the driver waits. */
	if (r < 0 && r != -EPIPE && vq_ahead(vq))
		virtio_needs_reset(v->vdev);
}

static int open_all(struct vhost *v)
{
	struct virtio_device *vdev = v->vdev;
	struct vhost_wire *w = v->wire;
	unsigned q;
	int r;

	r = own(v);
	if (!r)
		r = w->ops->set_features(w, vdev->accepted & ~vdev->class->own_features);
	if (!r)
		r = w->ops->set_mem(w, vdev->mem);
	for (q = 0; !r && q < vdev->nvq; q++) {
		if (virtio_serves(vdev, &v->be, q))
			r = queue_open(v, q);
	}
	return r;
}

static void close_all(const struct vhost *v)
{
	unsigned q;

	for (q = 0; q < v->vdev->nvq; q++) {
		if (is_open(v, q))
			queue_close(v, q);
	}
}

/*
 * A kick that is there when the server gets the eventfd may be passed over, as it does not run yet:
 * the kernel does so, and others take it from the eventfd, too. What the driver adds from now on it
 * kicks for.
 */
static void kick_again(const struct vhost *v)
{
	struct virtio_device *vdev = v->vdev;
	unsigned q;

	for (q = 0; q < vdev->nvq; q++) {
		if (is_open(v, q) && vq_ahead(&vdev->vq[q]))
			virtio_queue_again(vdev, q);
	}
}

static int vhost_start(struct virtio_backend *be, struct virtio_device *vdev)
{
	struct vhost *v = container_of(be, struct vhost, be);
	int r;

	(void)vdev; /* it has been known since this was made */
	begin(v);
	r = open_all(v);
	if (!r)
		r = v->wire->ops->run(v->wire, true);
	if (r < 0)
		close_all(v);
	else
		kick_again(v);
	return r;
}

/* Each of these calls waits for the server, and some for the host's disk. */
static void let_go(void *arg)
{
	const struct vhost *v = arg;
	struct virtio_device *vdev = v->vdev;
	struct vhost_wire *w = v->wire;
	unsigned q;

	begin(v);
	for (q = 0; q < vdev->nvq; q++) {
		if (is_open(v, q))
			w->ops->ring_enable(w, q, false);
	}
	w->ops->run(w, false);
	for (q = 0; q < vdev->nvq; q++) {
		if (is_open(v, q))
			queue_read_back(v, q);
	}
	close_all(v);
}

static void finish(struct vhost *v)
{
	const struct bounded patience = { v->ops->patience, v->ops->hangs, v->arg };

	if (v->ops->patience)
		bounded_call(&patience, let_go, v);
	else
		let_go(v);
}

int virtio_vhost_settle(struct virtio_backend *be)
{
	struct vhost *v = container_of(be, struct vhost, be);
	int r;

	finish(v);
	r = vhost_start(be, v->vdev);
	if (r < 0)
		virtio_needs_reset(v->vdev);
	return r;
}

/* As if the driver had just set them up, but for what has been answered since. */
static void rewind_all(const struct vhost *v)
{
	struct virtio_device *vdev = v->vdev;
	unsigned q;

	for (q = 0; q < vdev->nvq; q++) {
		struct virtqueue look = vdev->vq[q];

		if (!virtio_serves(vdev, &v->be, q) || vq_view(&look, vdev->mem) < 0)
			continue;
		vdev->vq[q].s.next_avail = le16toh(given_back(&look));
		vdev->vq[q].s.next_used = vdev->vq[q].s.next_avail;
	}
}

int virtio_vhost_again(struct virtio_backend *be)
{
	struct vhost *v = container_of(be, struct vhost, be);
	unsigned q;
	int r;

	close_all(v);
	rewind_all(v);
	r = vhost_start(be, v->vdev);
	if (r < 0) /* and it may have answered some before that */
		rewind_all(v);
	for (q = 0; !r && q < v->vdev->nvq; q++) {
		if (is_open(v, q))
			virtio_queue_again(v->vdev, q);
	}
	return r;
}

static void vhost_stop(struct virtio_backend *be, struct virtio_device *vdev)
{
	struct vhost *v = container_of(be, struct vhost, be);

	(void)vdev;
	finish(v);
	/* What is wrong with these rings is no news for those who set up the next ones. */
	pthread_mutex_lock(&v->err_lock);
	bell_take(v->err.fd);
	pthread_mutex_unlock(&v->err_lock);
}

/* The server does not say which queue it is, nor what is wrong with it. [main] */
static void ring_error(void *arg)
{
	struct vhost *v = arg;

	pthread_mutex_lock(&v->err_lock);
	if (bell_take(v->err.fd)) {
		log_guest(&v->vdev->limit, "%s: %s found a bad ring or request",
			  v->vdev->name, v->wire->ops->server);
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

static bool vhost_serves(const struct virtio_backend *be, unsigned q)
{
	const struct vhost *v = container_of(be, struct vhost, be);

	return !v->ops->serves || v->ops->serves(q);
}

static void vhost_destroy(struct virtio_backend *be)
{
	struct vhost *v = container_of(be, struct vhost, be);

	if (v->err.fd >= 0) {
		loop_call(v->main_loop, forget_errors, v);
		close(v->err.fd);
	}
	if (v->ops->destroy)
		v->ops->destroy(v->arg);
	pthread_mutex_destroy(&v->err_lock);
	v->wire->ops->close(v->wire);
	free(v);
}

static const struct virtio_backend_ops vhost_ops = {
	.name = "vhost",
	.features = vhost_features,
	.serves = vhost_serves,
	.start = vhost_start,
	.stop = vhost_stop,
	.destroy = vhost_destroy,
};

static const struct virtio_vhost_ops no_ops;

struct virtio_backend *virtio_vhost_create(struct virtio_device *vdev, struct vhost_wire *wire,
					   const struct virtio_vhost_ops *ops, void *arg,
					   struct loop *main_loop)
{
	struct vhost *v = wire ? calloc(1, sizeof(*v)) : NULL;
	int r = -errno;

	ops = ops ? ops : &no_ops;
	if (!v) {
		if (ops->destroy)
			ops->destroy(arg);
		if (wire)
			wire->ops->close(wire);
		errno = -r;
		return NULL;
	}
	v->be.ops = &vhost_ops;
	v->vdev = vdev;
	v->wire = wire;
	v->ops = ops;
	v->arg = arg;
	v->main_loop = main_loop;
	pthread_mutex_init(&v->err_lock, NULL);
	v->err = (struct loop_source){ .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
				       .fn = ring_error, .arg = v };
	r = v->err.fd < 0 ? -errno : loop_add(main_loop, &v->err);
	if (!r)
		return &v->be;
	vhost_destroy(&v->be);
	errno = -r;
	return NULL;
}
