/* SPDX-License-Identifier: MIT */
#include "virtio/queue.h"

#include <endian.h>
#include <errno.h>
#include <linux/virtio_ring.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

#include "vmm/core/log.h"
#include "vmm/core/mem.h"
#include "vmm/core/util.h"

/* Both rings: flags, idx, entries, and behind them the event index. */
#define RING_FLAGS 0
#define RING_IDX 2
#define RING_ENTRY 4
#define AVAIL_ENTRY_LEN 2
#define USED_ENTRY_LEN 8
#define DESC_LEN 16

#define CHAIN_BYTES_MAX (1ull << 32) /* virtio 1.3 §2.7.4.2 */

struct desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags, next;
};

/*
 * All loads and stores of 16 bits are sequentially consistent: an index has to be acquired or
 * released anyway, and "store the event index, then look at the other side's index" needs the full
 * order on either side. On the usual processors the loads cost no more than plain ones.
 */
static uint16_t load16(const uint8_t *p)
{
	return le16toh(__atomic_load_n((const uint16_t *)(const void *)p, __ATOMIC_SEQ_CST));
}

static void store16(uint8_t *p, uint16_t v)
{
	__atomic_store_n((uint16_t *)(void *)p, htole16(v), __ATOMIC_SEQ_CST);
}

static size_t ring_len(uint16_t size, size_t entry_len)
{
	return RING_ENTRY + size * entry_len + sizeof(uint16_t);
}

static uint8_t *avail_entry(const struct virtqueue *vq, uint16_t idx)
{
	return vq->driver + RING_ENTRY + AVAIL_ENTRY_LEN * (size_t)(idx & (vq->s.size - 1));
}

static uint8_t *used_entry(const struct virtqueue *vq, uint16_t idx)
{
	return vq->device + RING_ENTRY + USED_ENTRY_LEN * (size_t)(idx & (vq->s.size - 1));
}

static const uint8_t *used_event(const struct virtqueue *vq)
{
	return vq->driver + RING_ENTRY + AVAIL_ENTRY_LEN * (size_t)vq->s.size;
}

static uint8_t *avail_event(const struct virtqueue *vq)
{
	return vq->device + RING_ENTRY + USED_ENTRY_LEN * (size_t)vq->s.size;
}

int vq_view(struct virtqueue *vq, const struct mem *mem)
{
	const struct vq_state *s = &vq->s;

	if (!is_power_of_2(s->size) || s->size > s->max_size)
		return -EINVAL;
	vq->desc = mem_ptr(mem, s->desc, (uint64_t)s->size * DESC_LEN, DESC_LEN);
	vq->driver = mem_ptr(mem, s->driver, ring_len(s->size, AVAIL_ENTRY_LEN), 2);
	vq->device = mem_ptr(mem, s->device, ring_len(s->size, USED_ENTRY_LEN), 4);
	return vq->desc && vq->driver && vq->device ? 0 : -EINVAL;
}

int vq_start(struct virtqueue *vq, struct mem *mem)
{
	int r;

	BUG_ON(vq_started(vq));
	r = vq_view(vq, mem);
	if (r < 0)
		return r;
	vq->mem = mem;
	vq->inflight = 0;
	vq->published = vq->s.next_used;
	vq->broken = NULL;
	/* Kicks are wanted, whatever an earlier back end has left here. */
	store16(vq->device + RING_FLAGS, 0);
	return 0;
}

void vq_stop(struct virtqueue *vq)
{
	vq_flush(vq);
	vq->mem = NULL;
	vq->desc = NULL;
	vq->driver = vq->device = NULL;
}

/* A chain on the way: the table its next descriptor is in, and what came of it so far. */
struct walk {
	const struct virtqueue *vq;
	bool indirect;
	const uint8_t *table;
	uint32_t count; /* descriptors in the table */
	unsigned left;  /* how many more may follow */
	bool writing;   /* we are past the readable part */
	uint64_t bytes;
	struct iovec *iov;
	unsigned max;
	struct vq_chain *chain;
};

/* The only look at a descriptor in guest memory; an indirect table may lie at any address. */
static void desc_load(const struct walk *w, unsigned i, struct desc *d)
{
	uint64_t raw[2];

	memcpy(raw, w->table + (size_t)i * DESC_LEN, sizeof(raw));
	/* From here on raw is all there is: no load may be done again from where it came. */
	atomic_signal_fence(memory_order_seq_cst);
	d->addr = le64toh(raw[0]);
	d->len = le64toh(raw[1]) & 0xffffffff;
	d->flags = le64toh(raw[1]) >> 32 & 0xffff;
	d->next = le64toh(raw[1]) >> 48;
}

/* Goes on in the table that @d points to (§2.7.5.3). Returns the rule that this breaks, or NULL. */
static const char *walk_into(struct walk *w, const struct desc *d)
{
	if (!w->vq->s.indirect)
		return "indirect descriptor, which was not negotiated";
	if (w->indirect)
		return "indirect descriptor in an indirect table";
	if (d->flags & VRING_DESC_F_NEXT)
		return "indirect descriptor that is not the last";
	if (!d->len || d->len % DESC_LEN)
		return "length of an indirect table";
	w->table = mem_ptr(w->vq->mem, d->addr, d->len, 1);
	if (!w->table)
		return "indirect table outside of memory";
	w->indirect = true;
	w->count = d->len / DESC_LEN;
	/* What the driver may put here depends on what the device takes, not on the ring. */
	w->left = w->max;
	return NULL;
}

/* Adds the bytes of @d to the chain. Returns the rule that this breaks, or NULL. */
static const char *walk_gather(struct walk *w, const struct desc *d)
{
	struct vq_chain *c = w->chain;
	unsigned used = c->nout + c->nin;
	bool write = d->flags & VRING_DESC_F_WRITE;
	int n;

	if (w->writing && !write)
		return "readable descriptor after a writable one";
	w->writing = write;
	w->bytes += d->len;
	if (w->bytes > CHAIN_BYTES_MAX)
		return "chain of more than 4 GiB";
	n = mem_iov(w->vq->mem, d->addr, d->len, w->iov + used, w->max - used);
	if (n == -E2BIG)
		return "chain of more pieces than the device takes";
	if (n < 0)
		return "buffer outside of memory";
	*(write ? &c->nin : &c->nout) += n;
	return NULL;
}

static const char *walk_chain(struct walk *w)
{
	unsigned i = w->chain->head;
	const char *rule;
	struct desc d;

	for (;;) {
		if (i >= w->count)
			return "descriptor number out of range";
		if (!w->left--)
			return "chain too long";
		desc_load(w, i, &d);
		if (d.flags & VRING_DESC_F_INDIRECT) {
			rule = walk_into(w, &d);
			i = 0;
		} else {
			rule = walk_gather(w, &d);
			if (!rule && !(d.flags & VRING_DESC_F_NEXT))
				return NULL;
			i = d.next;
		}
		if (rule)
			return rule;
	}
}

/* Chains that the driver cannot have back yet. */
static unsigned outstanding(const struct virtqueue *vq)
{
	return vq->inflight + (uint16_t)(vq->s.next_used - vq->published);
}

int vq_pop(struct virtqueue *vq, struct vq_chain *chain, struct iovec *iov, unsigned max)
{
	struct walk w = { .vq = vq, .table = vq->desc, .count = vq->s.size, .left = vq->s.size,
			  .iov = iov, .max = max, .chain = chain };
	uint16_t pending;

	if (vq->broken)
		return -EPROTO;
	pending = load16(vq->driver + RING_IDX) - vq->s.next_avail;
	if (!pending)
		return 0;
	if (pending + outstanding(vq) > vq->s.size) {
		vq->broken = "more chains than the ring holds";
		return -EPROTO;
	}
	*chain = (struct vq_chain){ .head = load16(avail_entry(vq, vq->s.next_avail)), .out = iov };
	vq->broken = walk_chain(&w);
	if (vq->broken)
		return -EPROTO;
	chain->in = iov + chain->nout;
	vq->s.next_avail++;
	vq->inflight++;
	return 1;
}

void vq_push(struct virtqueue *vq, uint16_t head, uint32_t written)
{
	uint32_t *entry = (void *)used_entry(vq, vq->s.next_used);

	BUG_ON(!vq->inflight);
	__atomic_store_n(&entry[0], htole32(head), __ATOMIC_RELAXED);
	__atomic_store_n(&entry[1], htole32(written), __ATOMIC_RELAXED);
	vq->s.next_used++;
	vq->inflight--;
}

void vq_unpop(struct virtqueue *vq, uint16_t n)
{
	BUG_ON(n > vq->inflight);
	vq->s.next_avail -= n;
	vq->inflight -= n;
}

bool vq_flush(struct virtqueue *vq)
{
	uint16_t from = vq->published, to = vq->s.next_used;

	if (from == to)
		return false;
	store16(vq->device + RING_IDX, to);
	vq->published = to;
	if (!vq->s.event_idx)
		return !(load16(vq->driver + RING_FLAGS) & VRING_AVAIL_F_NO_INTERRUPT);
	return vring_need_event(load16(used_event(vq)), to, from);
}

uint16_t vq_ahead(const struct virtqueue *vq)
{
	return load16(vq->driver + RING_IDX) - vq->s.next_avail;
}

uint16_t vq_left(const struct virtqueue *vq)
{
	return load16(vq->driver + RING_IDX) - load16(vq->device + RING_IDX);
}

bool vq_rearm_beyond(struct virtqueue *vq, uint16_t ahead)
{
	if (vq->broken)
		return false;
	if (vq->s.event_idx)
		store16(avail_event(vq), vq->s.next_avail + ahead);
	return vq_ahead(vq) > ahead;
}

bool vq_rearm(struct virtqueue *vq)
{
	return vq_rearm_beyond(vq, 0);
}
