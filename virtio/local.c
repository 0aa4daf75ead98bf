/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "virtio/virtio.h"
#include "vmm/core/bell.h"
#include "vmm/core/loop.h"
#include "vmm/core/util.h"

struct local_queue {
	struct virtio_device *vdev;
	unsigned q;
	struct loop *loop;
	struct loop_source kick;
};

struct local {
	struct virtio_backend be;
	unsigned first_request_queue;
	struct local_queue *queue; /* as many as the device has, between start and stop */
	unsigned nloops;
	struct loop *loop[];
};

/* The code that serves is the class's own, so it can do whatever the class offers. */
static uint64_t local_features(struct virtio_backend *be)
{
	(void)be;
	return UINT64_MAX;
}

static void queue_kicked(void *arg)
{
	struct local_queue *lq = arg;

	bell_take(lq->kick.fd);
	if (!virtio_is_broken(lq->vdev))
		lq->vdev->class->kick(lq->vdev, lq->q);
}

static int queue_open(void *arg)
{
	struct local_queue *lq = arg;
	struct virtio_device *vdev = lq->vdev;
	struct virtqueue *vq = &vdev->vq[lq->q];
	int r;

	r = vq_start(vq, vdev->mem);
	if (r < 0) {
		log_guest(&vdev->limit, "%s: queue %u: bad size or address", vdev->name, lq->q);
		return r;
	}
	if (vdev->class->queue_start) {
		r = vdev->class->queue_start(vdev, lq->q, lq->loop);
		if (r < 0)
			goto stop;
	}
	r = loop_add(lq->loop, &lq->kick);
	if (!r)
		return 0;
	log_guest(&vdev->limit, "%s: queue %u: %s", vdev->name, lq->q, strerror(-r));
	if (vdev->class->queue_stop)
		vdev->class->queue_stop(vdev, lq->q);
stop:
	vq_stop(vq);
	return r;
}

static int queue_close(void *arg)
{
	struct local_queue *lq = arg;
	struct virtio_device *vdev = lq->vdev;
	struct virtqueue *vq = &vdev->vq[lq->q];

	loop_del(lq->loop, &lq->kick);
	if (vdev->class->queue_stop)
		vdev->class->queue_stop(vdev, lq->q);
	BUG_ON(vq->inflight);
	virtio_complete(vdev, lq->q);
	vq_stop(vq);
	return 0;
}

static struct loop *queue_loop(const struct local *l, unsigned q)
{
	return l->loop[q < l->first_request_queue ? 0 : (q - l->first_request_queue) % l->nloops];
}

static void local_stop(struct virtio_backend *be, struct virtio_device *vdev)
{
	struct local *l = container_of(be, struct local, be);
	unsigned q;

	for (q = 0; q < vdev->nvq; q++) {
		if (vq_started(&vdev->vq[q]))
			loop_call(l->queue[q].loop, queue_close, &l->queue[q]);
	}
	free(l->queue);
	l->queue = NULL;
}

static int local_start(struct virtio_backend *be, struct virtio_device *vdev)
{
	struct local *l = container_of(be, struct local, be);
	unsigned q;
	int r;

	l->queue = calloc(vdev->nvq, sizeof(*l->queue));
	if (!l->queue) {
		log_guest(&vdev->limit, "%s: out of memory", vdev->name);
		return -ENOMEM;
	}
	for (q = 0; q < vdev->nvq; q++) {
		struct local_queue *lq = &l->queue[q];

		if (!virtio_serves(vdev, be, q))
			continue;
		*lq = (struct local_queue){ .vdev = vdev, .q = q, .loop = queue_loop(l, q) };
		lq->kick = (struct loop_source){ .fd = vdev->transport->kick_fd(vdev, q),
						 .fn = queue_kicked, .arg = lq };
		r = loop_call(lq->loop, queue_open, lq);
		if (r < 0) {
			local_stop(be, vdev);
			return r;
		}
	}
	return 0;
}

static void local_destroy(struct virtio_backend *be)
{
	free(container_of(be, struct local, be));
}

static const struct virtio_backend_ops local_ops = {
	.name = "local",
	.features = local_features,
	.start = local_start,
	.stop = local_stop,
	.destroy = local_destroy,
};

struct virtio_backend *virtio_local_create(struct loop *const *loop, unsigned nloops,
					   unsigned first_request_queue)
{
	struct local *l = calloc(1, sizeof(*l) + nloops * sizeof(l->loop[0]));

	if (!l)
		return NULL;
	l->be.ops = &local_ops;
	l->first_request_queue = first_request_queue;
	l->nloops = nloops;
	memcpy(l->loop, loop, nloops * sizeof(l->loop[0]));
	return &l->be;
}
