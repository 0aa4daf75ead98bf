/* SPDX-License-Identifier: MIT */
/*
 * net_host.h - the queues of a network device (virtio 1.3 §5.1.6).
 *
 * One I/O thread serves both. From the guest's memory to the socket or interface and back nothing
 * is copied but headers; what does not fit there is the link's affair (net_link.h). A link without
 * room stops the queue of frames to send, so that the driver runs out of descriptors.
 *
 * Frames are received into as many of the driver's buffers as one needs, which are taken from the
 * ring before it is read; those that a shorter frame leaves over wait here for the next one. A
 * frame for which the driver's buffers can never do is lost, as one with a wrong header is, and
 * counted.
 */
#ifndef DEVICES_NET_HOST_H
#define DEVICES_NET_HOST_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "devices/net_link.h"
#include "vmm/core/loop.h"

struct virtio_device;

#define NET_QUEUE_SIZE 256

enum { NET_RX, NET_TX, NET_QUEUES };

struct net_watch {
	struct loop_source src;
	bool on;
};

struct net_host {
	struct virtio_device *vdev;
	struct loop *loop; /* of both queues */
	struct net_link *link;
	atomic_bool down; /* the link has ended */
	/* Called then, once, with a negative errno; -EPIPE: the other side has. NULL: nobody.
	 * [iothread] */
	void (*gone)(void *arg, int err);
	void *arg;

	/* The I/O thread's. */
	struct net_watch readable, writable;
	struct {
		struct {
			uint16_t head;
			unsigned pieces;
			size_t room;
		} chain[NET_QUEUE_SIZE];
		unsigned nchains;
		struct iovec piece[NET_PIECES_MAX]; /* of all of them */
		unsigned npieces;
		size_t room;
	} rx;
	uint64_t received, sent, lost[NET_QUEUES];
};

/* All zero before, but gone and arg. Takes over @link. [setup] */
void net_host_init(struct net_host *h, struct virtio_device *vdev, struct net_link *link);
void net_host_fini(struct net_host *h);

/* What struct virtio_class says of them. */
void net_host_kick(struct net_host *h, unsigned q);
int net_host_start(struct net_host *h, unsigned q, struct loop *loop);
void net_host_stop(struct net_host *h, unsigned q);

#endif
