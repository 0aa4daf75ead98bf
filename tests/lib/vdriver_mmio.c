/* SPDX-License-Identifier: MIT */
/* The MMIO transport's part of vdriver.h. */
#include "tests/lib/vdriver.h"

#define MAGIC 0x74726976

static bool mmio_probe(struct vdriver *v, unsigned n)
{
	const struct mmio_slot *slot = &v->tb->p.slot[n];

	v->base = slot->base;
	v->config = v->base + VIRTIO_MMIO_CONFIG;
	v->gsi[0] = slot->gsi;
	v->ngsis = 1;
	v->device_id = vdriver_read32(v, VIRTIO_MMIO_DEVICE_ID);
	return vdriver_read32(v, VIRTIO_MMIO_MAGIC_VALUE) == MAGIC &&
	       vdriver_read32(v, VIRTIO_MMIO_VERSION) == 2;
}

static uint8_t mmio_status(struct vdriver *v)
{
	return vdriver_read32(v, VIRTIO_MMIO_STATUS);
}

static void mmio_set_status(struct vdriver *v, uint8_t status)
{
	vdriver_write32(v, VIRTIO_MMIO_STATUS, status);
}

static uint32_t mmio_features(struct vdriver *v, unsigned half)
{
	vdriver_write32(v, VIRTIO_MMIO_DEVICE_FEATURES_SEL, half);
	return vdriver_read32(v, VIRTIO_MMIO_DEVICE_FEATURES);
}

static void mmio_set_features(struct vdriver *v, unsigned half, uint32_t bits)
{
	vdriver_write32(v, VIRTIO_MMIO_DRIVER_FEATURES_SEL, half);
	vdriver_write32(v, VIRTIO_MMIO_DRIVER_FEATURES, bits);
}

static uint32_t mmio_queue_max(struct vdriver *v, unsigned q)
{
	vdriver_write32(v, VIRTIO_MMIO_QUEUE_SEL, q);
	return vdriver_read32(v, VIRTIO_MMIO_QUEUE_READY) ?
	       0 : vdriver_read32(v, VIRTIO_MMIO_QUEUE_NUM_MAX);
}

static void write_pair(struct vdriver *v, uint64_t off, uint64_t value)
{
	vdriver_write32(v, off, value);
	vdriver_write32(v, off + 4, value >> 32);
}

static bool mmio_set_up_queue(struct vdriver *v, unsigned q, const struct driver *ring)
{
	vdriver_write32(v, VIRTIO_MMIO_QUEUE_SEL, q);
	vdriver_write32(v, VIRTIO_MMIO_QUEUE_NUM, ring->size);
	write_pair(v, VIRTIO_MMIO_QUEUE_DESC_LOW, ring->desc);
	write_pair(v, VIRTIO_MMIO_QUEUE_AVAIL_LOW, ring->driver);
	write_pair(v, VIRTIO_MMIO_QUEUE_USED_LOW, ring->device);
	vdriver_write32(v, VIRTIO_MMIO_QUEUE_READY, 1);
	return vdriver_read32(v, VIRTIO_MMIO_QUEUE_READY) == 1;
}

static void mmio_notify(struct vdriver *v, unsigned q)
{
	vdriver_write32(v, VIRTIO_MMIO_QUEUE_NOTIFY, q);
}

static uint32_t mmio_interrupts(struct vdriver *v, uint32_t fired)
{
	uint32_t bits = fired ? vdriver_read32(v, VIRTIO_MMIO_INTERRUPT_STATUS) : 0;

	vdriver_write32(v, VIRTIO_MMIO_INTERRUPT_ACK, bits);
	return bits;
}

const struct vdriver_ops vdriver_mmio = {
	.probe = mmio_probe,
	.status = mmio_status,
	.set_status = mmio_set_status,
	.features = mmio_features,
	.set_features = mmio_set_features,
	.queue_max = mmio_queue_max,
	.set_up_queue = mmio_set_up_queue,
	.notify = mmio_notify,
	.interrupts = mmio_interrupts,
};
