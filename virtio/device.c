#include "virtio/virtio.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "vmm/core/util.h"

static void queue_reset(struct virtqueue *vq)
{
	uint16_t max = vq->s.max_size;

	*vq = (struct virtqueue){ .s = { .max_size = max, .size = max } };
}

static void take_backend(struct virtio_device *vdev, struct virtio_backend *backend)
{
	vdev->backend = backend;
	vdev->offered = (vdev->class->features | VIRTIO_QUEUE_FEATURES) &
			backend->ops->features(backend);
	vdev->offered |= VIRTIO_BIT(VIRTIO_F_VERSION_1);
}

int virtio_device_init(struct virtio_device *vdev, struct mem *mem, struct virtio_backend *backend,
		       unsigned nvq, uint16_t queue_size)
{
	unsigned q;

	if (!backend)
		return -ENOMEM;
	vdev->vq = calloc(nvq, sizeof(*vdev->vq));
	if (!vdev->vq) {
		backend->ops->destroy(backend);
		return -ENOMEM;
	}
	for (q = 0; q < nvq; q++) {
		vdev->vq[q].s.max_size = queue_size;
		queue_reset(&vdev->vq[q]);
	}
	vdev->nvq = nvq;
	vdev->mem = mem;
	take_backend(vdev, backend);
	pthread_mutex_init(&vdev->lock, NULL);
	return 0;
}

int virtio_device_serve(struct virtio_device *vdev, struct virtio_backend *backend)
{
	BUG_ON(vdev->started);
	if (!backend)
		return -ENOMEM;
	vdev->backend->ops->destroy(vdev->backend);
	take_backend(vdev, backend);
	return 0;
}

void virtio_device_fini(struct virtio_device *vdev)
{
	BUG_ON(vdev->started);
	vdev->backend->ops->destroy(vdev->backend);
	pthread_mutex_destroy(&vdev->lock);
	free(vdev->vq);
}

const char *const virtio_transport_words[] = { "pci", "mmio", NULL };

static const struct virtio_transport_ops *const transports[] = {
	[VIRTIO_ON_PCI] = &virtio_pci,
	[VIRTIO_ON_MMIO] = &virtio_mmio,
};

int virtio_attach(struct virtio_device *vdev, struct platform *p, enum virtio_transport transport)
{
	int r = transports[transport]->attach(vdev, p);

	if (r == 0)
		vdev->transport = transports[transport];
	return r;
}

void virtio_detach(struct virtio_device *vdev, struct platform *p)
{
	virtio_device_stop(vdev);
	vdev->transport->detach(vdev, p);
}

uint8_t virtio_get_status(const struct virtio_device *vdev)
{
	return atomic_load(&vdev->status);
}

void virtio_device_start(struct virtio_device *vdev)
{
	vdev->started = vdev->backend->ops->start(vdev->backend, vdev) == 0;
	if (!vdev->started)
		virtio_needs_reset(vdev);
}

void virtio_device_stop(struct virtio_device *vdev)
{
	if (vdev->started)
		vdev->backend->ops->stop(vdev->backend, vdev);
	vdev->started = false;
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

/* FEATURES_OK sticks only if we can do all that the driver has chosen (§3.1.1). */
static bool features_ok(struct virtio_device *vdev)
{
	unsigned q;

	if (vdev->accepted & ~vdev->offered ||
	    !(vdev->accepted & VIRTIO_BIT(VIRTIO_F_VERSION_1)))
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

void virtio_config_read(struct virtio_device *vdev, uint64_t off, void *data, size_t len)
{
	if (vdev->class->config_reading)
		vdev->class->config_reading(vdev);
	memset(data, 0, len);
	if (off < vdev->config_len)
		memcpy(data, vdev->config + off, min_u64(len, vdev->config_len - off));
}

void virtio_config_write(struct virtio_device *vdev, uint64_t off, const void *data, size_t len)
{
	if (vdev->class->config_write && range_ok(off, len, vdev->config_len))
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
	eventfd_write(vdev->transport->kick_fd(vdev, q), 1);
}

void virtio_complete(struct virtio_device *vdev, unsigned q)
{
	if (vq_flush(&vdev->vq[q]))
		vdev->transport->notify(vdev, q);
}

void virtio_config_changed(struct virtio_device *vdev)
{
	atomic_fetch_add(&vdev->generation, 1);
	if (virtio_get_status(vdev) & VIRTIO_CONFIG_S_DRIVER_OK)
		vdev->transport->notify_config(vdev);
}
