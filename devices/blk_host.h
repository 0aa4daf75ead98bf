/* SPDX-License-Identifier: MIT */
/*
 * blk_host.h - the queues of a virtio-blk device, served by our own I/O threads:
 * each request becomes one or more requests to a store (virtio 1.3 §5.2.6).
 *
 * A queue has a channel of its own to the store, between its start and its stop.
 * So nothing of what a request touches is shared with other threads, but for the
 * store, the size in it, and whether writes are to be durable at once.
 */
#ifndef DEVICES_BLK_HOST_H
#define DEVICES_BLK_HOST_H

#include <linux/virtio_blk.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "devices/block/block.h"
#include "devices/block/count.h"

struct blk_queue;
struct loop;
struct virtio_device;

#define BLK_HOST_CHAIN_MAX 128                     /* pieces of a request, */
#define BLK_HOST_SEG_MAX (BLK_HOST_CHAIN_MAX - 2)  /* ... without header and status */
#define BLK_HOST_SEGMENTS_MAX 64                   /* of a discard, of a write zeroes */
#define BLK_HOST_DISCARD_MAX (1u << 30)            /* bytes of a segment; a store may */
#define BLK_HOST_ZEROES_MAX (64u << 20)            /* ... have to write the zeroes */
#define BLK_HOST_THREADS_MAX 16

struct blk_host {
	struct virtio_device *vdev;
	struct block *_Atomic block;
	uint32_t block_size;            /* bytes: requests are multiples of it */
	bool discard;                   /* space may be given back */
	char serial[VIRTIO_BLK_ID_BYTES + 1];
	atomic_bool writeback;          /* as the driver has it in config space */
	atomic_uint resets;             /* while in service */
	unsigned nqueues;               /* 0: it has not been opened */
	struct blk_queue *queue;
};

/*
 * Queue q will be served on loop[q % nloops]. The first part of @h has been set, and the rest is
 * zero. -ENOMEM. [setup]
 */
int blk_host_open(struct blk_host *h, struct virtio_device *vdev, unsigned nqueues,
		  struct loop *const *loop, unsigned nloops);
/* The queues have stopped. One that has not been opened: nothing to do. */
void blk_host_close(struct blk_host *h);
/* Bytes that @queues queues of @entries may take at most. */
uint64_t blk_host_memory(unsigned queues, unsigned entries);

/* Is the driver promised no more than that its writes will last once it has flushed? Any thread. */
bool blk_host_has_cache(const struct blk_host *h);

/* Hooks of struct virtio_class. [iothread of q] */
int blk_host_start(struct blk_host *h, unsigned q, struct loop *loop);
void blk_host_stop(struct blk_host *h, unsigned q);
void blk_host_kick(struct blk_host *h, unsigned q);

/* Any thread but an I/O thread. */

/* Waits until all requests in flight have ended. */
void blk_host_settle(struct blk_host *h);
/*
 * @block has the same bytes, and is used from now on; the old one is not used any more when this
 * returns. -errno: a thread has no channel for it, and goes on with the old.
 */
int blk_host_swap(struct blk_host *h, struct block *block);
void blk_host_count(struct blk_host *h, struct block_counters *sum);

#endif
