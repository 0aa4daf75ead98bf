#include "tests/lib/vdriver.h"

#include <errno.h>
#include <linux/virtio_ring.h>
#include <poll.h>
#include <string.h>
#include <time.h>

#include "vmm/core/log.h"
#include "vmm/core/util.h"

#define MAGIC 0x74726976
#define BIT(n) (1ull << (n))

uint32_t vdriver_read32(struct vdriver *v, uint64_t off)
{
	uint8_t raw[4];

	bus_read(&v->tb->mmio, v->base + off, raw, sizeof(raw));
	return le32_get(raw);
}

void vdriver_write32(struct vdriver *v, uint64_t off, uint32_t value)
{
	uint8_t raw[4];

	le32_put(raw, value);
	bus_write(&v->tb->mmio, v->base + off, raw, sizeof(raw));
}

void vdriver_config_read(struct vdriver *v, uint64_t off, void *data, unsigned len)
{
	uint8_t *to = data;

	while (len--)
		bus_read(&v->tb->mmio, v->base + VIRTIO_MMIO_CONFIG + off++, to++, 1);
}

uint8_t vdriver_status(struct vdriver *v)
{
	return vdriver_read32(v, VIRTIO_MMIO_STATUS);
}

static bool add_status(struct vdriver *v, uint8_t bit)
{
	vdriver_write32(v, VIRTIO_MMIO_STATUS, vdriver_status(v) | bit);
	return vdriver_status(v) & bit;
}

static void write_pair(struct vdriver *v, uint64_t off, uint64_t value)
{
	vdriver_write32(v, off, value);
	vdriver_write32(v, off + 4, value >> 32);
}

bool vdriver_probe(struct vdriver *v, struct testbed *tb, unsigned slot)
{
	unsigned half;

	memset(v, 0, sizeof(*v));
	if (slot >= tb->p.nslots)
		return false;
	v->tb = tb;
	v->base = tb->p.slot[slot].base;
	v->gsi = tb->p.slot[slot].gsi;
	if (vdriver_read32(v, VIRTIO_MMIO_MAGIC_VALUE) != MAGIC ||
	    vdriver_read32(v, VIRTIO_MMIO_VERSION) != 2)
		return false;
	vdriver_reset(v);
	v->device_id = vdriver_read32(v, VIRTIO_MMIO_DEVICE_ID);
	for (half = 0; half < 2; half++) {
		vdriver_write32(v, VIRTIO_MMIO_DEVICE_FEATURES_SEL, half);
		v->offered |= (uint64_t)vdriver_read32(v, VIRTIO_MMIO_DEVICE_FEATURES) << 32 * half;
	}
	return add_status(v, VIRTIO_CONFIG_S_ACKNOWLEDGE) && add_status(v, VIRTIO_CONFIG_S_DRIVER);
}

static bool set_features(struct vdriver *v, uint64_t wanted)
{
	unsigned half;

	v->accepted = v->offered & wanted;
	for (half = 0; half < 2; half++) {
		vdriver_write32(v, VIRTIO_MMIO_DRIVER_FEATURES_SEL, half);
		vdriver_write32(v, VIRTIO_MMIO_DRIVER_FEATURES, v->accepted >> 32 * half);
	}
	return add_status(v, VIRTIO_CONFIG_S_FEATURES_OK);
}

static bool set_up_queue(struct vdriver *v, unsigned q, uint16_t size)
{
	struct vdriver_queue *vq = &v->queue[q];
	uint32_t max;

	vdriver_write32(v, VIRTIO_MMIO_QUEUE_SEL, q);
	max = vdriver_read32(v, VIRTIO_MMIO_QUEUE_NUM_MAX);
	if (!max || vdriver_read32(v, VIRTIO_MMIO_QUEUE_READY))
		return false;
	size = min_u64(size, max);
	vq->arena = testbed_alloc(v->tb, VDRIVER_ARENA, 4096);
	vq->table = testbed_alloc(v->tb, 16 * VDRIVER_PIECES, 16);
	driver_init(&vq->ring, &v->tb->mem, testbed_alloc(v->tb, driver_bytes(size), 16), size,
		    v->accepted & BIT(VIRTIO_RING_F_EVENT_IDX), 0);
	v->nqueues = q + 1;
	vdriver_write32(v, VIRTIO_MMIO_QUEUE_NUM, size);
	write_pair(v, VIRTIO_MMIO_QUEUE_DESC_LOW, vq->ring.desc);
	write_pair(v, VIRTIO_MMIO_QUEUE_AVAIL_LOW, vq->ring.driver);
	write_pair(v, VIRTIO_MMIO_QUEUE_USED_LOW, vq->ring.device);
	vdriver_write32(v, VIRTIO_MMIO_QUEUE_READY, 1);
	return vdriver_read32(v, VIRTIO_MMIO_QUEUE_READY) == 1;
}

bool vdriver_start(struct vdriver *v, uint64_t wanted, unsigned nqueues, uint16_t size)
{
	unsigned q;

	BUG_ON(nqueues > VDRIVER_QUEUES);
	if (!set_features(v, wanted | BIT(VIRTIO_F_VERSION_1)))
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
	vdriver_write32(v, VIRTIO_MMIO_STATUS, 0);
	testbed_irqs(v->tb, v->gsi);
}

void vdriver_fini(struct vdriver *v)
{
	while (v->nqueues)
		driver_fini(&v->queue[--v->nqueues].ring);
}

void vdriver_notify(struct vdriver *v, unsigned q)
{
	vdriver_write32(v, VIRTIO_MMIO_QUEUE_NOTIFY, q);
}

void vdriver_kick(struct vdriver *v, unsigned q)
{
	if (driver_publish(&v->queue[q].ring))
		vdriver_notify(v, q);
}

uint32_t vdriver_wait(struct vdriver *v, int timeout_ms)
{
	struct pollfd p = { .fd = v->tb->irq_fd[v->gsi], .events = POLLIN };
	uint32_t bits;

	if (poll(&p, 1, timeout_ms) <= 0)
		return 0;
	testbed_irqs(v->tb, v->gsi);
	bits = vdriver_read32(v, VIRTIO_MMIO_INTERRUPT_STATUS);
	vdriver_write32(v, VIRTIO_MMIO_INTERRUPT_ACK, bits);
	return bits;
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
