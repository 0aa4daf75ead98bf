/* SPDX-License-Identifier: MIT */
#include "tests/lib/vdriver.h"

#include <errno.h>
#include <linux/virtio_ring.h>
#include <poll.h>
#include <string.h>
#include <time.h>

#include "vmm/core/log.h"
#include "vmm/core/util.h"

#define BIT(n) (1ull << (n))

uint64_t vdriver_peek(struct vdriver *v, uint64_t addr, unsigned len)
{
	uint8_t raw[8] = { 0 };

	if (v->tb->step)
		v->tb->step(v->tb->step_arg);
	bus_read(&v->tb->mmio, addr, raw, len);
	return le64_get(raw);
}

void vdriver_poke(struct vdriver *v, uint64_t addr, uint64_t value, unsigned len)
{
	uint8_t raw[8];

	if (v->tb->step)
		v->tb->step(v->tb->step_arg);
	le64_put(raw, value);
	bus_write(&v->tb->mmio, addr, raw, len);
}

uint32_t vdriver_read32(struct vdriver *v, uint64_t off)
{
	return vdriver_peek(v, v->base + off, 4);
}

void vdriver_write32(struct vdriver *v, uint64_t off, uint32_t value)
{
	vdriver_poke(v, v->base + off, value, 4);
}

void vdriver_config_read(struct vdriver *v, uint64_t off, void *data, unsigned len)
{
	uint8_t *to = data;

	while (len--)
		*to++ = vdriver_peek(v, v->config + off++, 1);
}

void vdriver_config_write(struct vdriver *v, uint64_t off, uint64_t value, unsigned len)
{
	vdriver_poke(v, v->config + off, value, len);
}

uint8_t vdriver_status(struct vdriver *v)
{
	return v->ops->status(v);
}

void vdriver_set_status(struct vdriver *v, uint8_t status)
{
	v->ops->set_status(v, status);
}

uint32_t vdriver_queue_max(struct vdriver *v, unsigned q)
{
	return v->ops->queue_max(v, q);
}

static bool add_status(struct vdriver *v, uint8_t bit)
{
	vdriver_set_status(v, vdriver_status(v) | bit);
	return vdriver_status(v) & bit;
}

bool vdriver_probe(struct vdriver *v, struct testbed *tb, unsigned n)
{
	bool mmio = n < tb->p.nslots;
	unsigned half;

	memset(v, 0, sizeof(*v));
	v->tb = tb;
	v->ops = mmio ? &vdriver_mmio : &vdriver_pci;
	if (!v->ops->probe(v, mmio ? n : n - tb->p.nslots))
		return false;
	vdriver_reset(v);
	for (half = 0; half < 2; half++)
		v->offered |= (uint64_t)v->ops->features(v, half) << 32 * half;
	return add_status(v, VIRTIO_CONFIG_S_ACKNOWLEDGE) && add_status(v, VIRTIO_CONFIG_S_DRIVER);
}

static bool set_features(struct vdriver *v, uint64_t wanted)
{
	unsigned half;

	v->accepted = v->offered & wanted;
	for (half = 0; half < 2; half++)
		v->ops->set_features(v, half, v->accepted >> 32 * half);
	return add_status(v, VIRTIO_CONFIG_S_FEATURES_OK);
}

static bool set_up_queue(struct vdriver *v, unsigned q, uint16_t size)
{
	struct vdriver_queue *vq = &v->queue[q];
	uint32_t max = vdriver_queue_max(v, q);

	if (!max)
		return false;
	size = min_u64(size, max);
	vq->arena = testbed_alloc(v->tb, VDRIVER_ARENA, 4096);
	vq->table = testbed_alloc(v->tb, 16 * VDRIVER_PIECES, 16);
	driver_init(&vq->ring, &v->tb->mem, testbed_alloc(v->tb, driver_bytes(size), 16), size,
		    v->accepted & BIT(VIRTIO_RING_F_EVENT_IDX), 0);
	v->nqueues = q + 1;
	return v->ops->set_up_queue(v, q, &vq->ring);
}

bool vdriver_start(struct vdriver *v, uint64_t wanted, unsigned nqueues, uint16_t size)
{
	unsigned q;

	BUG_ON(nqueues > VDRIVER_QUEUES);
	if (!set_features(v, wanted | BIT(VIRTIO_F_VERSION_1)))
		return false;
	if (v->ops->set_up_config && !v->ops->set_up_config(v))
		return false;
	for (q = 0; q < nqueues; q++) {
		if (!set_up_queue(v, q, size))
			return false;
	}
	return add_status(v, VIRTIO_CONFIG_S_DRIVER_OK) &&
	       !(vdriver_status(v) & VIRTIO_CONFIG_S_NEEDS_RESET);
}

void vdriver_reset(struct vdriver *v)
{
	vdriver_set_status(v, 0);
	vdriver_irqs(v);
}

void vdriver_fini(struct vdriver *v)
{
	while (v->nqueues)
		driver_fini(&v->queue[--v->nqueues].ring);
}

void vdriver_notify(struct vdriver *v, unsigned q)
{
	v->ops->notify(v, q);
}

void vdriver_kick(struct vdriver *v, unsigned q)
{
	if (driver_publish(&v->queue[q].ring))
		vdriver_notify(v, q);
}

uint64_t vdriver_irqs(struct vdriver *v)
{
	uint64_t count = 0;
	unsigned i;

	for (i = 0; i < v->ngsis; i++)
		count += testbed_irqs(v->tb, v->gsi[i]);
	return count;
}

uint32_t vdriver_wait(struct vdriver *v, int timeout_ms)
{
	struct pollfd p[ARRAY_SIZE(v->gsi)];
	uint32_t fired = 0;
	unsigned i;

	for (i = 0; i < v->ngsis; i++)
		p[i] = (struct pollfd){ .fd = testbed_irq_fd(v->tb, v->gsi[i]), .events = POLLIN };
	poll(p, v->ngsis, timeout_ms);
	for (i = 0; i < v->ngsis; i++) {
		if (testbed_irqs(v->tb, v->gsi[i]))
			fired |= 1u << i;
	}
	return v->ops->interrupts(v, fired);
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int vdriver_wait_used(struct vdriver *v, unsigned q, uint16_t *head, uint32_t *len, int timeout_ms)
{
	int64_t end = now_ms() + timeout_ms, left = timeout_ms;
	struct driver *ring = &v->queue[q].ring;

	while (!driver_used(ring, head, len)) {
		if (vdriver_status(v) & VIRTIO_CONFIG_S_NEEDS_RESET)
			return -EIO;
		if (driver_rearm(ring))
			continue;
		if (left <= 0)
			return -ETIMEDOUT;
		vdriver_wait(v, left);
		left = end - now_ms();
	}
	return 0;
}

/* Places the caller's pieces one after the other into the arena. */
static unsigned place(struct vdriver_queue *vq, struct driver_buf *buf, const struct iovec *iov,
		      unsigned n, bool write, uint64_t *at)
{
	unsigned i;

	for (i = 0; i < n; i++) {
		buf[i] = (struct driver_buf){ .gpa = *at, .len = iov[i].iov_len, .write = write };
		BUG_ON(*at + iov[i].iov_len > vq->arena + VDRIVER_ARENA);
		if (!write)
			mem_write(vq->ring.mem, *at, iov[i].iov_base, iov[i].iov_len);
		*at += iov[i].iov_len;
	}
	return n;
}

int64_t vdriver_request(struct vdriver *v, unsigned q, const struct iovec *out, unsigned nout,
			const struct iovec *in, unsigned nin, int timeout_ms)
{
	struct driver_buf buf[VDRIVER_PIECES], cut[VDRIVER_PIECES], *use = buf;
	bool indirect = v->accepted & BIT(VIRTIO_RING_F_INDIRECT_DESC) && !v->direct;
	struct vdriver_queue *vq = &v->queue[q];
	unsigned i, n, room = indirect ? VDRIVER_PIECES : vq->ring.size;
	uint64_t at = vq->arena;
	uint16_t head;
	uint32_t len;
	int r;

	BUG_ON(nout + nin > VDRIVER_PIECES);
	n = place(vq, buf, out, nout, false, &at);
	n += place(vq, buf + n, in, nin, true, &at);
	if (v->shatter) {
		n = driver_shatter(buf, n, &v->shatter, cut, min_u64(room, 64));
		use = cut;
	}
	BUG_ON(driver_add(&vq->ring, use, n, indirect ? vq->table : 0) < 0);
	vdriver_kick(v, q);
	r = vdriver_wait_used(v, q, &head, &len, timeout_ms);
	if (r < 0)
		return r;
	for (i = 0; i < nin; i++)
		mem_read(vq->ring.mem, buf[nout + i].gpa, in[i].iov_base, in[i].iov_len);
	return len;
}
