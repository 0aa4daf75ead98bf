/* SPDX-License-Identifier: MIT */
#include "virtio/virtio.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "vmm/core/bell.h"
#include "vmm/core/mem.h"
#include "vmm/core/util.h"

/* Of one chain that virtio_answer_all() takes. */
#define ANSWER_PIECES 128

static void queue_reset(struct virtqueue *vq)
{
	uint16_t max = vq->s.max_size;

	*vq = (struct virtqueue){ .s = { .max_size = max, .size = max } };
}

/* What all who serve can do, and what needs none of them. */
static void take_backends(struct virtio_device *vdev, struct virtio_backend *backend,
			  struct virtio_backend *rest)
{
	vdev->backend = backend;
	vdev->rest = rest;
	vdev->offered = (vdev->class->features | VIRTIO_QUEUE_FEATURES) &
			backend->ops->features(backend);
	if (rest)
		vdev->offered &= rest->ops->features(rest);
	vdev->offered |= vdev->class->own_features | VIRTIO_BIT(VIRTIO_F_VERSION_1);
}

static void destroy_backend(struct virtio_backend *be)
{
	if (be)
		be->ops->destroy(be);
}

int virtio_device_init(struct virtio_device *vdev, struct mem *mem, struct virtio_backend *backend,
		       struct virtio_backend *rest, unsigned nvq, uint16_t queue_size)
{
	unsigned q;

	vdev->vq = backend ? calloc(nvq, sizeof(*vdev->vq)) : NULL;
	if (!vdev->vq) {
		destroy_backend(rest);
		destroy_backend(backend);
		return -ENOMEM;
	}
	for (q = 0; q < nvq; q++) {
		vdev->vq[q].s.max_size = queue_size;
		queue_reset(&vdev->vq[q]);
	}
	vdev->nvq = nvq;
	vdev->mem = mem;
	take_backends(vdev, backend, rest);
	pthread_mutex_init(&vdev->lock, NULL);
	return 0;
}

bool virtio_serves(const struct virtio_device *vdev, const struct virtio_backend *be, unsigned q)
{
	const struct virtio_backend *first = vdev->backend;
	bool is_first = !first->ops->serves || first->ops->serves(first, q);

	return vdev->vq[q].s.ready && is_first == (be == first);
}

void virtio_device_fini(struct virtio_device *vdev)
{
	BUG_ON(vdev->started);
	destroy_backend(vdev->rest);
	destroy_backend(vdev->backend);
	pthread_mutex_destroy(&vdev->lock);
	free(vdev->vq);
}

uint8_t virtio_get_status(const struct virtio_device *vdev)
{
	return atomic_load(&vdev->status);
}

/* The rest last, and in virtio_device_stop() first: it may have something to ask of the other. */
static int start_backends(struct virtio_device *vdev)
{
	struct virtio_backend *be = vdev->backend, *rest = vdev->rest;
	int r = be->ops->start(be, vdev);

	if (r < 0 || !rest)
		return r;
	r = rest->ops->start(rest, vdev);
	if (r < 0)
		be->ops->stop(be, vdev);
	return r;
}

static void go_on(struct virtio_device *vdev)
{
	vdev->started = start_backends(vdev) == 0;
	if (!vdev->started)
		virtio_needs_reset(vdev);
}

/* There may be work whose kick came before, or was taken by another back end. */
void virtio_device_start(struct virtio_device *vdev)
{
	unsigned q;

	go_on(vdev);
	for (q = 0; vdev->started && q < vdev->nvq; q++) {
		if (vdev->vq[q].s.ready)
			virtio_queue_again(vdev, q);
	}
}

void virtio_device_stop(struct virtio_device *vdev)
{
	if (!vdev->started)
		return;
	if (vdev->rest)
		vdev->rest->ops->stop(vdev->rest, vdev);
	vdev->backend->ops->stop(vdev->backend, vdev);
	vdev->started = false;
}

/* Of the kicks until now those are left whose work has not been done. */
static void pause_queues(struct virtio_device *vdev)
{
	unsigned q;

	virtio_device_stop(vdev);
	for (q = 0; q < vdev->nvq; q++) {
		struct virtqueue look = vdev->vq[q];

		if (!look.s.ready)
			continue;
		bell_take(vdev->transport->kick_fd(vdev, q));
		if (vq_view(&look, vdev->mem) == 0 && vq_ahead(&look))
			virtio_queue_again(vdev, q);
	}
}

void virtio_device_hold(struct virtio_device *vdev, enum virtio_hold why, bool held)
{
	bool can_start = virtio_get_status(vdev) & VIRTIO_CONFIG_S_DRIVER_OK &&
			 !virtio_is_broken(vdev);

	vdev->held = held ? vdev->held | why : vdev->held & ~why;
	if (vdev->held && vdev->started)
		pause_queues(vdev);
	else if (!vdev->held && can_start && !vdev->started && why == VIRTIO_HOLD_PAUSE)
		virtio_device_start(vdev);
	else if (!vdev->held && can_start && !vdev->started)
		go_on(vdev);
}

void virtio_device_pause(struct virtio_device *vdev, bool paused)
{
	if (!vdev->transport)
		return;
	pthread_mutex_lock(&vdev->lock);
	virtio_device_hold(vdev, VIRTIO_HOLD_PAUSE, paused);
	pthread_mutex_unlock(&vdev->lock);
}

static void device_reset(struct virtio_device *vdev)
{
	unsigned q;

	virtio_device_stop(vdev);
	if (vdev->class->reset)
		vdev->class->reset(vdev);
	for (q = 0; q < vdev->nvq; q++)
		queue_reset(&vdev->vq[q]);
	vdev->accepted = 0;
	log_limit_reset(&vdev->limit);
	atomic_store(&vdev->status, 0);
}

void virtio_device_reset(struct virtio_device *vdev)
{
	unsigned q;

	pthread_mutex_lock(&vdev->lock);
	device_reset(vdev);
	for (q = 0; q < vdev->nvq; q++)
		bell_take(vdev->transport->kick_fd(vdev, q));
	pthread_mutex_unlock(&vdev->lock);
}

bool virtio_features_ok(const struct virtio_device *vdev, uint64_t accepted)
{
	return !(accepted & ~vdev->offered) && accepted & VIRTIO_BIT(VIRTIO_F_VERSION_1);
}

/* FEATURES_OK sticks only if we can do all that the driver has chosen (§3.1.1). */
static bool features_ok(struct virtio_device *vdev)
{
	unsigned q;

	if (!virtio_features_ok(vdev, vdev->accepted))
		return false;
	for (q = 0; q < vdev->nvq; q++) {
		struct vq_state *s = &vdev->vq[q].s;

		s->event_idx = vdev->accepted & VIRTIO_BIT(VIRTIO_RING_F_EVENT_IDX);
		s->indirect = vdev->accepted & VIRTIO_BIT(VIRTIO_RING_F_INDIRECT_DESC);
	}
	return true;
}

/* The bit is set first: an I/O thread may have a notification to send before start returns. */
static bool driver_ok(struct virtio_device *vdev)
{
	atomic_fetch_or(&vdev->status, VIRTIO_CONFIG_S_DRIVER_OK);
	if (!vdev->held)
		virtio_device_start(vdev);
	return true;
}

/* What a driver may add to the status, in this order; @after has to be there before (§2.1). */
static const struct step {
	uint8_t bit, after;
	bool (*take)(struct virtio_device *vdev);
} steps[] = {
	{ VIRTIO_CONFIG_S_ACKNOWLEDGE, 0, NULL },
	{ VIRTIO_CONFIG_S_DRIVER, VIRTIO_CONFIG_S_ACKNOWLEDGE, NULL },
	{ VIRTIO_CONFIG_S_FEATURES_OK, VIRTIO_CONFIG_S_DRIVER, features_ok },
	{ VIRTIO_CONFIG_S_DRIVER_OK, VIRTIO_CONFIG_S_FEATURES_OK, driver_ok },
	{ VIRTIO_CONFIG_S_FAILED, 0, NULL },
};

bool virtio_status_ok(uint8_t status)
{
	uint8_t known = VIRTIO_CONFIG_S_NEEDS_RESET;
	bool ok = true;
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(steps); i++) {
		known |= steps[i].bit;
		ok &= !(status & steps[i].bit) || (status & steps[i].after) == steps[i].after;
	}
	return ok && !(status & ~known);
}

void virtio_set_status(struct virtio_device *vdev, uint8_t status)
{
	uint8_t old = virtio_get_status(vdev);
	unsigned i;

	if (!status) {
		device_reset(vdev);
		return;
	}
	/* NEEDS_RESET may have come after the driver has looked: it does not mean to clear it. */
	if (old & ~status & ~VIRTIO_CONFIG_S_NEEDS_RESET) {
		log_guest(&vdev->limit, "%s: status 0x%x clears bits of 0x%x", vdev->name, status,
			  old);
		return;
	}
	for (i = 0; i < ARRAY_SIZE(steps); i++) {
		const struct step *s = &steps[i];

		if (!(status & ~old & s->bit))
			continue;
		if ((virtio_get_status(vdev) & s->after) != s->after ||
		    (s->take && !s->take(vdev))) {
			log_guest(&vdev->limit, "%s: status 0x%x after 0x%x is refused", vdev->name,
				  status, old);
			return;
		}
		atomic_fetch_or(&vdev->status, s->bit);
	}
}

void virtio_set_features(struct virtio_device *vdev, unsigned sel, uint32_t bits)
{
	if (sel > 1 || virtio_get_status(vdev) & VIRTIO_CONFIG_S_FEATURES_OK)
		return;
	set_half_u64(&vdev->accepted, sel, bits);
}

/* The class's config space. */
static void class_config_get(struct virtio_device *vdev, size_t off, void *data, size_t len)
{
	if (vdev->class->config_reading)
		vdev->class->config_reading(vdev);
	memcpy(data, vdev->config + off, len);
}

void virtio_config_read(struct virtio_device *vdev, uint64_t off, void *data, size_t len)
{
	struct virtio_backend *be = vdev->backend;
	size_t inside = off < vdev->config_len ? min_u64(len, vdev->config_len - off) : 0;

	memset(data, 0, len);
	if (!inside)
		return;
	if (!be->ops->config_get)
		class_config_get(vdev, off, data, inside);
	else if (be->ops->config_get(be, off, data, inside) < 0)
		memset(data, 0, inside);
}

void virtio_config_write(struct virtio_device *vdev, uint64_t off, const void *data, size_t len)
{
	struct virtio_backend *be = vdev->backend;

	if (!range_ok(off, len, vdev->config_len))
		return;
	if (be->ops->config_set)
		be->ops->config_set(be, off, data, len);
	else if (!be->ops->config_get && vdev->class->config_write)
		vdev->class->config_write(vdev, off, data, len);
}

bool virtio_queue_writable(const struct virtio_device *vdev, const struct virtqueue *vq)
{
	uint8_t status = virtio_get_status(vdev);

	return status & VIRTIO_CONFIG_S_FEATURES_OK && !(status & VIRTIO_CONFIG_S_DRIVER_OK) &&
	       !vq->s.ready;
}

void virtio_queue_disable(struct virtio_device *vdev, unsigned q)
{
	bool started = vdev->started;

	if (!vdev->vq[q].s.ready)
		return;
	virtio_device_stop(vdev);
	vdev->vq[q].s.ready = false;
	if (started)
		virtio_device_start(vdev);
}

void virtio_needs_reset(struct virtio_device *vdev)
{
	uint8_t old = atomic_fetch_or(&vdev->status, VIRTIO_CONFIG_S_NEEDS_RESET);

	if (old & VIRTIO_CONFIG_S_DRIVER_OK && !(old & VIRTIO_CONFIG_S_NEEDS_RESET))
		vdev->transport->notify_config(vdev);
}

bool virtio_is_broken(const struct virtio_device *vdev)
{
	return virtio_get_status(vdev) & VIRTIO_CONFIG_S_NEEDS_RESET;
}

void virtio_queue_fault(struct virtio_device *vdev, unsigned q)
{
	log_guest(&vdev->limit, "%s: queue %u: bad ring: %s", vdev->name, q, vdev->vq[q].broken);
	virtio_needs_reset(vdev);
}

void virtio_queue_again(struct virtio_device *vdev, unsigned q)
{
	int fd = vdev->transport->kick_fd(vdev, q);

	if (vdev->mem->shared) /* another process may have it, and have filled it */
		bell_ring(fd);
	else
		eventfd_write(fd, 1);
}

void virtio_complete(struct virtio_device *vdev, unsigned q)
{
	if (vq_flush(&vdev->vq[q]))
		vdev->transport->notify(vdev, q);
}

void virtio_refuse(struct virtio_device *vdev, unsigned q, uint16_t head)
{
	log_guest(&vdev->limit, "%s: queue %u: request shorter than its headers", vdev->name, q);
	virtio_needs_reset(vdev); /* first: a driver that sees the answer sees this, too */
	vq_push(&vdev->vq[q], head, 0);
	virtio_complete(vdev, q);
}

void virtio_kick_end(struct virtio_device *vdev, unsigned q)
{
	/* What came meanwhile waits for its turn, so that no queue starves the thread's others. */
	if (vq_rearm(&vdev->vq[q]))
		virtio_queue_again(vdev, q);
}

void virtio_answer_all(struct virtio_device *vdev, unsigned q, virtio_answer_fn *answer)
{
	struct virtqueue *vq = &vdev->vq[q];
	struct iovec iov[ANSWER_PIECES];
	struct vq_chain c;
	int r;

	while ((r = vq_pop(vq, &c, iov, ANSWER_PIECES)) > 0)
		vq_push(vq, c.head, answer(vdev, q, &c));
	virtio_complete(vdev, q);
	if (r < 0)
		virtio_queue_fault(vdev, q);
	else
		virtio_kick_end(vdev, q);
}

void virtio_config_changed(struct virtio_device *vdev)
{
	atomic_fetch_add(&vdev->generation, 1);
	if (virtio_get_status(vdev) & VIRTIO_CONFIG_S_DRIVER_OK)
		vdev->transport->notify_config(vdev);
}
