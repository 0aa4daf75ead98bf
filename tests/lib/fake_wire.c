/* SPDX-License-Identifier: MIT */
#include "tests/lib/fake_wire.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include "vmm/core/bell.h"
#include "vmm/core/iov.h"
#include "vmm/core/log.h"
#include "vmm/core/util.h"

#define PIECES 64
#define NO_RING (-1)

static struct fake_wire *fake_of(struct vhost_wire *w)
{
	return container_of(w, struct fake_wire, wire);
}

static void write_down(struct fake_wire *f, const char *what, int q)
{
	size_t len = strlen(f->text);

	if (q == NO_RING)
		snprintf(f->text + len, sizeof(f->text) - len, "%s ", what);
	else
		snprintf(f->text + len, sizeof(f->text) - len, "%s%d ", what, q);
	BUG_ON(strlen(f->text) >= sizeof(f->text) - 16);
}

/* The message @what about ring @q. -errno: it is the one that fails. */
static int hear(struct fake_wire *f, const char *what, int q)
{
	BUG_ON(q >= FAKE_WIRE_RINGS);
	write_down(f, what, q);
	if (++f->said != f->fails_at)
		return 0;
	log_warn("fake: %s", what);
	return f->error;
}

static int fake_own(struct vhost_wire *w)
{
	struct fake_wire *f = fake_of(w);
	int r = hear(f, "own", NO_RING);

	BUG_ON(f->owned);
	f->owned = !r;
	return r;
}

static uint64_t fake_features(struct vhost_wire *w)
{
	return fake_of(w)->can;
}

static int fake_set_features(struct vhost_wire *w, uint64_t features)
{
	struct fake_wire *f = fake_of(w);

	BUG_ON(!f->owned || f->running || features & ~f->can);
	f->features = features;
	return hear(f, "features", NO_RING);
}

/* A region without a descriptor is seen where it is. */
static void map(struct fake_wire *f)
{
	unsigned i;

	f->seen = f->mem;
	for (i = 0; i < f->seen.nregions; i++) {
		struct mem_region *r = &f->seen.region[i];

		if (r->fd < 0)
			continue;
		r->hva = mmap(NULL, r->size, PROT_READ | PROT_WRITE, MAP_SHARED, r->fd, r->fd_off);
		BUG_ON(r->hva == MAP_FAILED || r->hva == f->mem.region[i].hva);
	}
}

static void unmap(struct fake_wire *f)
{
	unsigned i;

	for (i = 0; i < f->seen.nregions; i++) {
		if (f->seen.region[i].fd >= 0)
			munmap(f->seen.region[i].hva, f->seen.region[i].size);
	}
	f->seen.nregions = 0;
}

/* What is at @at in our memory, as the server sees it. */
static uint8_t *see(const struct fake_wire *f, const uint8_t *at)
{
	unsigned i;

	for (i = 0; i < f->mem.nregions; i++) {
		const struct mem_region *r = &f->mem.region[i];

		if (at >= r->hva && at < r->hva + r->size)
			return f->seen.region[i].hva + (at - r->hva);
	}
	BUG_ON(true);
}

static int fake_set_mem(struct vhost_wire *w, const struct mem *mem)
{
	struct fake_wire *f = fake_of(w);

	BUG_ON(!f->owned || f->running);
	unmap(f);
	f->mem = *mem;
	map(f);
	return hear(f, "mem", NO_RING);
}

/* Rings are set up while it does not run, and after the memory that they are in. */
static struct fake_ring *ring_of(struct fake_wire *f, unsigned q)
{
	BUG_ON(f->running || !f->mem.nregions || q >= FAKE_WIRE_RINGS);
	return &f->ring[q];
}

static int fake_ring_size(struct vhost_wire *w, unsigned q, uint16_t size)
{
	struct fake_ring *ring = ring_of(fake_of(w), q);

	BUG_ON(ring->open);
	*ring = (struct fake_ring){ .open = true, .size = size, .fd = { -1, -1, -1 } };
	return hear(fake_of(w), "size", q);
}

static int fake_ring_set_base(struct vhost_wire *w, unsigned q, uint32_t base)
{
	struct fake_ring *ring = ring_of(fake_of(w), q);

	BUG_ON(!ring->open);
	ring->base = base;
	return hear(fake_of(w), "base", q);
}

static int fake_ring_addr(struct vhost_wire *w, unsigned q, const struct virtqueue *vq)
{
	struct fake_ring *ring = ring_of(fake_of(w), q);

	BUG_ON(!ring->open || !vq->desc || !vq->driver || !vq->device);
	ring->at = (struct virtqueue){ .desc = vq->desc, .driver = vq->driver,
				       .device = vq->device };
	return hear(fake_of(w), "addr", q);
}

static int fake_ring_fd(struct vhost_wire *w, unsigned q, enum vhost_fd which, int fd)
{
	static const char *const names[] = { "kick", "call", "err" };
	struct fake_ring *ring = ring_of(fake_of(w), q);

	BUG_ON(!ring->open || fd < 0);
	ring->fd[which] = fd;
	return hear(fake_of(w), names[which], q);
}

static int fake_ring_enable(struct vhost_wire *w, unsigned q, bool on)
{
	struct fake_wire *f = fake_of(w);
	struct fake_ring *ring = &f->ring[q];

	BUG_ON(!ring->open || !ring->at.desc || on == f->running);
	BUG_ON(ring->fd[VHOST_FD_KICK] < 0 || ring->fd[VHOST_FD_CALL] < 0 ||
	       ring->fd[VHOST_FD_ERR] < 0);
	if (on && f->takes_kicks)
		bell_take(ring->fd[VHOST_FD_KICK]);
	ring->enabled = on;
	return hear(f, on ? "on" : "off", q);
}

static int fake_run(struct vhost_wire *w, bool on)
{
	struct fake_wire *f = fake_of(w);
	int r = hear(f, on ? "run" : "halt", NO_RING);

	BUG_ON(on && (!f->owned || f->running));
	if (!on && f->ends)
		f->ends(f->arg);
	f->running = on && !r;
	return r;
}

static int fake_ring_get_base(struct vhost_wire *w, unsigned q, uint32_t *base)
{
	struct fake_ring *ring = ring_of(fake_of(w), q);

	BUG_ON(!ring->open || ring->enabled);
	*base = ring->base;
	return hear(fake_of(w), "base?", q);
}

static void fake_ring_close(struct vhost_wire *w, unsigned q)
{
	write_down(fake_of(w), "close", q);
	*ring_of(fake_of(w), q) = (struct fake_ring){ 0 };
}

static void fake_close(struct vhost_wire *w)
{
	unmap(fake_of(w));
	*fake_of(w)->closed = true;
}

static const struct vhost_wire_ops fake_ops = {
	.server = "the fake",
	.own = fake_own,
	.features = fake_features,
	.set_features = fake_set_features,
	.set_mem = fake_set_mem,
	.ring_size = fake_ring_size,
	.ring_set_base = fake_ring_set_base,
	.ring_addr = fake_ring_addr,
	.ring_fd = fake_ring_fd,
	.ring_enable = fake_ring_enable,
	.run = fake_run,
	.ring_get_base = fake_ring_get_base,
	.ring_close = fake_ring_close,
	.close = fake_close,
};

void fake_wire_init(struct fake_wire *f, bool *closed)
{
	*closed = false;
	*f = (struct fake_wire){ .wire.ops = &fake_ops, .can = UINT64_MAX, .error = -EIO,
				 .closed = closed };
}

const char *fake_wire_heard(struct fake_wire *f)
{
	static char text[FAKE_WIRE_TEXT];

	memcpy(text, f->text, sizeof(text));
	*f->text = '\0';
	f->said = 0;
	return text;
}

bool fake_wire_is_idle(const struct fake_wire *f)
{
	unsigned q;

	for (q = 0; q < FAKE_WIRE_RINGS; q++) {
		if (f->ring[q].open)
			return false;
	}
	return !f->running;
}

static uint32_t echo(const struct vq_chain *c)
{
	struct iovcur out = iov_cursor(c->out, c->nout), in = iov_cursor(c->in, c->nin);
	uint32_t done;
	char byte;

	for (done = 0; out.left && in.left; done++) {
		iov_pull(&out, &byte, 1);
		iov_put(&in, &byte, 1);
	}
	return done;
}

unsigned fake_wire_serve(struct fake_wire *f, unsigned q)
{
	struct fake_ring *ring = &f->ring[q];
	struct virtqueue vq = { .mem = &f->seen };
	struct iovec iov[PIECES];
	struct vq_chain chain;
	unsigned n = 0;
	eventfd_t count;

	BUG_ON(!f->running || !ring->enabled);
	vq.desc = see(f, ring->at.desc);
	vq.driver = see(f, ring->at.driver);
	vq.device = see(f, ring->at.device);
	vq.s = (struct vq_state){ .size = ring->size, .max_size = ring->size, .ready = true,
				  .next_avail = ring->base, .next_used = ring->base,
				  .event_idx = f->features & VIRTIO_BIT(VIRTIO_RING_F_EVENT_IDX),
				  .indirect = f->features &
					      VIRTIO_BIT(VIRTIO_RING_F_INDIRECT_DESC) };
	vq.published = ring->base;
	eventfd_read(ring->fd[VHOST_FD_KICK], &count);
	do {
		for (; vq_pop(&vq, &chain, iov, PIECES) > 0; n++)
			vq_push(&vq, chain.head, echo(&chain));
	} while (vq_rearm(&vq));
	if (vq_flush(&vq))
		eventfd_write(ring->fd[VHOST_FD_CALL], 1);
	ring->base = vq.s.next_avail;
	return n;
}

void fake_wire_complain(struct fake_wire *f, unsigned q)
{
	eventfd_write(f->ring[q].fd[VHOST_FD_ERR], 1);
}
