/* SPDX-License-Identifier: MIT */
/*
 * Virtio over MMIO, version 2 (virtio 1.3 §4.2).
 *
 * There is one interrupt, and InterruptStatus has to say what it means before it
 * comes, and nothing that has not happened. So who serves a queue without us
 * cannot raise it himself: he is given an eventfd that the main loop watches, the
 * relay, and pays for that with a turn of ours.
 */
#include <errno.h>
#include <linux/virtio_mmio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "virtio/virtio.h"
#include "vmm/core/bell.h"
#include "vmm/core/bus.h"
#include "vmm/core/irq.h"
#include "vmm/core/loop.h"
#include "vmm/core/platform.h"
#include "vmm/core/state.h"
#include "vmm/core/util.h"

#define MMIO_SIZE 0x1000
#define MMIO_MAGIC 0x74726976 /* "virt" */
#define MMIO_VENDOR 0x54454e4c /* "LNET" */

struct mmio {
	struct virtio_device *vdev;
	struct irq irq;
	atomic_uint interrupts; /* InterruptStatus; raised by I/O threads too */
	struct mmio_sel {
		uint32_t queue, device_features, driver_features;
	} sel;
	struct loop *main_loop;
	struct loop_source relay; /* fd -1: nobody has asked for it yet */
	pthread_mutex_t relay_lock; /* keeps a relayed interrupt and the reset apart */
	uint64_t base;
	unsigned nkicks;
	int kick[]; /* one eventfd a queue */
};

static void mmio_raise(struct virtio_device *vdev, unsigned bit)
{
	struct mmio *m = vdev->transport_data;

	atomic_fetch_or(&m->interrupts, bit);
	irq_raise(&m->irq);
}

static void mmio_notify(struct virtio_device *vdev, unsigned q)
{
	(void)q;
	mmio_raise(vdev, VIRTIO_MMIO_INT_VRING);
}

static void mmio_notify_config(struct virtio_device *vdev)
{
	mmio_raise(vdev, VIRTIO_MMIO_INT_CONFIG);
}

static int mmio_kick_fd(struct virtio_device *vdev, unsigned q)
{
	struct mmio *m = vdev->transport_data;

	return m->kick[q];
}

/* A call that comes late, after the reset, is for a driver that has gone. */
static void mmio_relay(void *arg)
{
	struct mmio *m = arg;

	pthread_mutex_lock(&m->relay_lock);
	if (bell_take(m->relay.fd) &&
	    virtio_get_status(m->vdev) & VIRTIO_CONFIG_S_DRIVER_OK)
		mmio_raise(m->vdev, VIRTIO_MMIO_INT_VRING);
	pthread_mutex_unlock(&m->relay_lock);
}

/* One for all queues, as they share the interrupt. */
static int mmio_call_fd(struct virtio_device *vdev, unsigned q)
{
	struct mmio *m = vdev->transport_data;
	struct loop_source relay = { .fn = mmio_relay, .arg = m };
	int r;

	(void)q;
	if (m->relay.fd >= 0)
		return m->relay.fd;
	relay.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (relay.fd < 0)
		return -errno;
	m->relay = relay;
	r = loop_add(m->main_loop, &m->relay);
	if (r < 0) {
		close(relay.fd);
		m->relay.fd = -1;
		return r;
	}
	return relay.fd;
}

static int mmio_end_relay(void *arg)
{
	struct mmio *m = arg;

	loop_del(m->main_loop, &m->relay);
	return 0;
}

/* The queue that QueueSel selects, or NULL. */
static struct virtqueue *mmio_queue(const struct mmio *m)
{
	return m->sel.queue < m->vdev->nvq ? &m->vdev->vq[m->sel.queue] : NULL;
}

static uint32_t mmio_load(struct mmio *m, uint64_t off)
{
	const struct virtio_device *vdev = m->vdev;
	const struct virtqueue *vq = mmio_queue(m);
	uint32_t half = m->sel.device_features;

	switch (off) {
	case VIRTIO_MMIO_MAGIC_VALUE:
		return MMIO_MAGIC;
	case VIRTIO_MMIO_VERSION:
		return 2;
	case VIRTIO_MMIO_DEVICE_ID:
		return vdev->class->id;
	case VIRTIO_MMIO_VENDOR_ID:
		return MMIO_VENDOR;
	case VIRTIO_MMIO_DEVICE_FEATURES:
		return half > 1 ? 0 : vdev->offered >> 32 * half;
	case VIRTIO_MMIO_QUEUE_NUM_MAX:
		return vq ? vq->s.max_size : 0;
	case VIRTIO_MMIO_QUEUE_READY:
		return vq && vq->s.ready;
	case VIRTIO_MMIO_INTERRUPT_STATUS:
		return atomic_load(&m->interrupts);
	case VIRTIO_MMIO_STATUS:
		return virtio_get_status(vdev);
	case VIRTIO_MMIO_SHM_LEN_LOW:
	case VIRTIO_MMIO_SHM_LEN_HIGH:
	case VIRTIO_MMIO_SHM_BASE_LOW:
	case VIRTIO_MMIO_SHM_BASE_HIGH:
		return UINT32_MAX; /* there is no such region (§4.2.2.1) */
	case VIRTIO_MMIO_CONFIG_GENERATION:
		return atomic_load(&vdev->generation);
	default:
		return 0;
	}
}

/* The address that register @off is a half of, or NULL. */
static uint64_t *queue_address(struct vq_state *s, uint64_t off)
{
	switch (off & ~4ull) {
	case VIRTIO_MMIO_QUEUE_DESC_LOW:
		return &s->desc;
	case VIRTIO_MMIO_QUEUE_AVAIL_LOW:
		return &s->driver;
	case VIRTIO_MMIO_QUEUE_USED_LOW:
		return &s->device;
	default:
		return NULL;
	}
}

/* The registers of the selected queue. Values are judged when the queue is started. */
static void mmio_store_queue(struct mmio *m, uint64_t off, uint32_t v)
{
	struct virtqueue *vq = mmio_queue(m);
	uint64_t *addr;

	if (vq && off == VIRTIO_MMIO_QUEUE_READY && !v)
		virtio_queue_disable(m->vdev, m->sel.queue);
	if (!vq || !virtio_queue_writable(m->vdev, vq))
		return;
	if (off == VIRTIO_MMIO_QUEUE_READY)
		vq->s.ready = v == 1;
	if (off == VIRTIO_MMIO_QUEUE_NUM)
		vq->s.size = min_u64(v, UINT16_MAX);
	addr = queue_address(&vq->s, off);
	if (addr)
		set_half_u64(addr, !!(off & 4), v);
}

static void mmio_store_status(struct mmio *m, uint32_t v)
{
	if (v > UINT8_MAX)
		return;
	virtio_set_status(m->vdev, v);
	if (virtio_get_status(m->vdev))
		return;
	pthread_mutex_lock(&m->relay_lock);
	atomic_store(&m->interrupts, 0);
	pthread_mutex_unlock(&m->relay_lock);
}

/* QueueNotify does not come here: the queues' doorbells take it, and there are no others. */
static void mmio_store(struct mmio *m, uint64_t off, uint32_t v)
{
	switch (off) {
	case VIRTIO_MMIO_DEVICE_FEATURES_SEL:
		m->sel.device_features = v;
		break;
	case VIRTIO_MMIO_DRIVER_FEATURES:
		virtio_set_features(m->vdev, m->sel.driver_features, v);
		break;
	case VIRTIO_MMIO_DRIVER_FEATURES_SEL:
		m->sel.driver_features = v;
		break;
	case VIRTIO_MMIO_QUEUE_SEL:
		m->sel.queue = v;
		break;
	case VIRTIO_MMIO_INTERRUPT_ACK:
		atomic_fetch_and(&m->interrupts, ~v);
		break;
	case VIRTIO_MMIO_STATUS:
		mmio_store_status(m, v);
		break;
	default:
		mmio_store_queue(m, off, v);
	}
}

/* Registers are 32 bits wide and read and written whole (§4.2.2.2). */
static bool is_register(uint64_t off, unsigned len)
{
	return off < VIRTIO_MMIO_CONFIG && len == 4 && !(off & 3);
}

static void mmio_read(void *dev, uint64_t off, void *data, unsigned len)
{
	struct mmio *m = dev;

	memset(data, 0, len);
	pthread_mutex_lock(&m->vdev->lock);
	if (is_register(off, len))
		le32_put(data, mmio_load(m, off));
	else if (off >= VIRTIO_MMIO_CONFIG)
		virtio_config_read(m->vdev, off - VIRTIO_MMIO_CONFIG, data, len);
	pthread_mutex_unlock(&m->vdev->lock);
}

static void mmio_write(void *dev, uint64_t off, const void *data, unsigned len)
{
	struct mmio *m = dev;

	pthread_mutex_lock(&m->vdev->lock);
	if (is_register(off, len))
		mmio_store(m, off, le32_get(data));
	else if (off >= VIRTIO_MMIO_CONFIG)
		virtio_config_write(m->vdev, off - VIRTIO_MMIO_CONFIG, data, len);
	pthread_mutex_unlock(&m->vdev->lock);
}

static const struct bus_ops mmio_bus_ops = { mmio_read, mmio_write };

static struct ioeventfd mmio_bell(const struct mmio *m, unsigned q)
{
	return (struct ioeventfd){ .addr = m->base + VIRTIO_MMIO_QUEUE_NOTIFY, .len = 4,
				   .datamatch = true, .data = q, .fd = m->kick[q] };
}

static int mmio_add_kick(struct mmio *m, struct bus *bus)
{
	struct ioeventfd bell;

	m->kick[m->nkicks] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (m->kick[m->nkicks] < 0)
		return -errno;
	bell = mmio_bell(m, m->nkicks++);
	return bus_ioeventfd_add(bus, &bell);
}

static void mmio_free(struct mmio *m, struct bus *bus)
{
	while (m->nkicks) {
		struct ioeventfd bell = mmio_bell(m, --m->nkicks);

		bus_ioeventfd_del(bus, &bell);
		close(bell.fd);
	}
	pthread_mutex_destroy(&m->relay_lock);
	free(m);
}

static int mmio_connect(struct mmio *m, struct platform *p)
{
	struct mmio_slot slot;
	int r;

	r = platform_slot_alloc(p, MMIO_SIZE, &slot);
	if (r < 0)
		return r;
	m->base = slot.base;
	while (!r && m->nkicks < m->vdev->nvq)
		r = mmio_add_kick(m, p->mmio);
	if (!r)
		r = irq_init(&m->irq, slot.gsi, p->irqchip, p->chip);
	if (r < 0)
		return r;
	r = bus_map(p->mmio, slot.base, slot.size, &mmio_bus_ops, m);
	if (r < 0)
		irq_fini(&m->irq, p->irqchip, p->chip);
	return r;
}

static int mmio_attach(struct virtio_device *vdev, struct platform *p)
{
	struct mmio *m = calloc(1, sizeof(*m) + vdev->nvq * sizeof(m->kick[0]));
	int r = -ENOMEM;

	if (m) {
		m->vdev = vdev;
		m->main_loop = p->main_loop;
		m->relay.fd = -1;
		pthread_mutex_init(&m->relay_lock, NULL);
		r = mmio_connect(m, p);
	}
	if (r < 0) {
		if (r == -ENOSPC)
			log_err("%s: no room for another device; at most %u fit", vdev->name,
				p->nslots);
		else
			log_err("%s: cannot attach to the bus: %s", vdev->name, strerror(-r));
		if (m)
			mmio_free(m, p->mmio);
		return r;
	}
	vdev->transport_data = m;
	return 0;
}

static void mmio_state(struct virtio_device *vdev, struct state *s)
{
	struct mmio *m = vdev->transport_data;
	struct mmio_sel sel = m->sel;

	if (m->relay.fd >= 0)
		mmio_relay(m); /* what has come is in the register then */
	state_atomic(s, &m->interrupts, VIRTIO_MMIO_INT_VRING | VIRTIO_MMIO_INT_CONFIG);
	state_u32(s, &sel.queue);
	state_u32(s, &sel.device_features);
	state_u32(s, &sel.driver_features);
	if (state_takes(s))
		m->sel = sel;
}

static void mmio_detach(struct virtio_device *vdev, struct platform *p)
{
	struct mmio *m = vdev->transport_data;

	if (m->relay.fd >= 0) {
		loop_call(m->main_loop, mmio_end_relay, m);
		close(m->relay.fd);
	}
	bus_unmap(p->mmio, m->base);
	irq_fini(&m->irq, p->irqchip, p->chip);
	mmio_free(m, p->mmio);
}

const struct virtio_transport_ops virtio_mmio = {
	.name = "mmio",
	.help = "one interrupt line for all queues; what the kernel serves is relayed by the "
		"main loop, which sets InterruptStatus",
	.attach = mmio_attach,
	.detach = mmio_detach,
	.kick_fd = mmio_kick_fd,
	.call_fd = mmio_call_fd,
	.notify = mmio_notify,
	.notify_config = mmio_notify_config,
	.state = mmio_state,
};
