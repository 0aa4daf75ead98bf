/* SPDX-License-Identifier: MIT */
/*
 * queue.h - the split virtqueue, device side (virtio 1.3 §2.6, §2.7).
 *
 * A ring of @size descriptors lies in guest memory in three areas:
 *
 *	desc	size x { address 64, length 32, flags 16, next 16 }   written by the driver
 *	driver	flags 16, idx 16, ring size x 16, used_event 16       written by the driver
 *	device	flags 16, idx 16, ring size x { id 32, len 32 },      written by us
 *		avail_event 16
 *
 * The driver links descriptors into a chain (first the ones we read, then the
 * ones we write), puts the chain's head into the driver area and counts idx up.
 * We pop the head, do the work, push the head with the number of bytes written
 * into the device area, and count our idx up. Both indices run freely from 0 to
 * 65535 and are taken modulo size. With indirect descriptors a head points to a
 * table of its own with the chain. With the event index each side writes the
 * idx at which it wants to be told; without it, a flag says "not at all".
 *
 * The life of a queue: the transport fills in struct vq_state (plain numbers,
 * untrusted); vq_start() checks them and makes a view on guest memory; then
 *
 *	while ((r = vq_pop(vq, &chain, iov, max)) > 0)
 *		... vq_push(vq, chain.head, written) now or later
 *	virtio_complete(vdev, q);
 *	if (r < 0)
 *		virtio_queue_fault(vdev, q);
 *	else if (vq_rearm(vq))
 *		virtio_queue_again(vdev, q);
 *
 * and vq_stop() leaves a vq_state from which any back end can go on. Between
 * start and stop a queue belongs to one thread, and no function here locks.
 *
 * The driver may be hostile and other vCPUs run meanwhile: each descriptor and
 * index is loaded once and then checked; nothing here is ever read twice. The
 * inner loop above ends after at most size chains, however fast a driver adds
 * more, because it may not add before it has seen what was pushed; looping on
 * vq_rearm() instead of queueing again would have no such end.
 */
#ifndef VIRTIO_QUEUE_H
#define VIRTIO_QUEUE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

struct mem;

#define VQ_SIZE_MAX 32768

struct vq_state {
	uint16_t max_size; /* what the device offers; a power of two */
	uint16_t size;     /* what the driver chose */
	bool ready;        /* the driver wants it served */
	bool event_idx;    /* VIRTIO_F_EVENT_IDX was negotiated */
	bool indirect;     /* VIRTIO_F_INDIRECT_DESC was negotiated */
	uint64_t desc, driver, device; /* guest-physical addresses of the three areas */
	uint16_t next_avail;           /* the idx we will pop next */
	uint16_t next_used;            /* the idx we will push next */
};

struct virtqueue {
	struct vq_state s;
	struct mem *mem;         /* NULL: not started */
	const uint8_t *desc;     /* views, valid while started */
	uint8_t *driver, *device;
	uint16_t inflight;       /* popped and not yet pushed; never above size */
	uint16_t published;      /* next_used that the driver has been shown */
	const char *broken;      /* the rule that was broken: vq_pop() gives -EPROTO. NULL: none */
};

struct vq_chain {
	uint16_t head;
	unsigned nout, nin;
	struct iovec *out, *in; /* what the driver wrote; what we may write */
};

/*
 * Checks the state (size a power of two up to max_size, areas aligned to 16, 2, 4 and inside one
 * region each) and opens the queue. -EINVAL: the driver set up nonsense.
 */
int vq_start(struct virtqueue *vq, struct mem *mem);
/* The checks alone, and the views, for a back end whose queues are served elsewhere. */
int vq_view(struct virtqueue *vq, const struct mem *mem);
/* Everything popped has been pushed by now. What was pushed is shown to the driver. */
void vq_stop(struct virtqueue *vq);
static inline bool vq_started(const struct virtqueue *vq)
{
	return vq->mem;
}

/*
 * The next chain: 1; 0: there is none; -EPROTO: the driver broke a rule and the queue is broken.
 * @iov, room for @max elements, is the caller's and holds the chain's elements; a chain that needs
 * more breaks the queue, as does an indirect table that is not in one region. All elements together
 * are at most 4 GiB. Every popped head must be pushed once, in any order. A hostile driver may make
 * one head available twice, so a head must not be used as the number of anything but the chain that
 * is pushed.
 */
int vq_pop(struct virtqueue *vq, struct vq_chain *chain, struct iovec *iov, unsigned max);

/* Gives a chain back, @written bytes of its writable part being valid; the driver sees it later. */
void vq_push(struct virtqueue *vq, uint16_t head, uint32_t written);

/* The @n chains that were popped last, and have not been pushed, are as before that. */
void vq_unpop(struct virtqueue *vq, uint16_t n);

/* Shows all pushed chains to the driver. True: it wants to be notified (§2.7.7, §2.7.8). */
bool vq_flush(struct virtqueue *vq);

/* Asks the driver for kicks (§2.7.10). True: more has arrived meanwhile, pop again. */
bool vq_rearm(struct virtqueue *vq);
/* The same for what comes after the next @ahead chains, which need not be popped. */
bool vq_rearm_beyond(struct virtqueue *vq, uint16_t ahead);
/* How many chains could be popped, as the driver says. */
uint16_t vq_ahead(const struct virtqueue *vq);
/* How many the driver has added that have not been given back, whoever has them. */
uint16_t vq_left(const struct virtqueue *vq);

#endif
