/* SPDX-License-Identifier: MIT */
/*
 * vsock_host.h - the queues of a socket device that we serve ourselves: packets of connections
 * between the guest's sockets and Unix sockets of the host (virtio 1.3 §5.10.6).
 *
 * What the guest is to be sent is not kept as packets: a connection owes some (enum vsock_owed),
 * and they are made when the guest has given a buffer. So a guest that gives none costs nothing.
 * Refusals of what is no connection do have to be kept: of those there are VSOCK_REFUSALS_MAX, and
 * then no more of what the guest sends is looked at.
 */
#ifndef DEVICES_VSOCK_HOST_H
#define DEVICES_VSOCK_HOST_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "devices/vsock_conn.h"
#include "devices/vsock_unix.h"

struct virtio_device;

enum { VSOCK_RX, VSOCK_TX, VSOCK_EVENT, VSOCK_QUEUES };

#define VSOCK_HOST_CID 2
#define VSOCK_QUEUE_SIZE 128
#define VSOCK_REFUSALS_MAX 64
#define VSOCK_HASHES 1024

/* A packet for the guest, but for what is the same in all; from @cid. */
struct vsock_answer {
	uint64_t cid;
	uint32_t host_port, guest_port;
	uint16_t type, op;
	uint32_t len, flags, forwarded;
};

struct vsock_host {
	struct virtio_device *vdev;
	struct loop *loop;
	uint64_t guest_cid;
	struct vsock_unix unix_side;
	unsigned max, count; /* connections */
	uint32_t next_port;  /* for who connects to the guest */
	bool rx_started;
	bool tx_waits; /* there was no room for refusals */
	struct loop_task pump;
	LIST_HEAD(vsock_list, vsock_conn) hash[VSOCK_HASHES], all;
	TAILQ_HEAD(, vsock_conn) ready; /* those that owe something */
	struct vsock_answer refusal[VSOCK_REFUSALS_MAX]; /* to what is no connection */
	unsigned first_refusal, refusals;
};

/* All zero before, but for vdev, loop, guest_cid and max. @path as vsock_unix_open(). [setup] */
int vsock_host_open(struct vsock_host *h, const char *id, const char *path);
/* The queues have stopped, and the loop's thread has ended or has never been. */
void vsock_host_close(struct vsock_host *h);
/* Bytes that @max connections may take. */
uint64_t vsock_host_memory(unsigned max);

/* Hooks of struct virtio_class, for VSOCK_RX and VSOCK_TX. [loop] */
int vsock_host_start(struct vsock_host *h, unsigned q);
void vsock_host_stop(struct vsock_host *h, unsigned q);
void vsock_host_kick(struct vsock_host *h, unsigned q);
/* All connections end, as the guest does not know them any more. Any thread. */
void vsock_host_reset(struct vsock_host *h);

#endif
