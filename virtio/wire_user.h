/* SPDX-License-Identifier: MIT */
/*
 * wire_user.h - the wire to a vhost server that is another process (vhost-user).
 *
 * Messages go over a Unix socket at which the server listens (user_call.h). Each has
 * an answer, or is made to have one, so that a server that does not do it is known
 * at once; and a start, or a stop, has one bound as a whole: @patience. What is wrong
 * with an answer is told in one line; the next start begins with a new connection.
 *
 * The device's I/O thread (user_watch.h) waits for what the server does of its
 * own accord: to go away, to ask for something. A server that keeps what it has
 * taken in memory of ours (INFLIGHT) may go and come back while the driver waits;
 * without that, nobody knows which requests are lost, and the driver has to reset.
 *
 * The socket is used under the device's lock, by whoever has it.
 */
#ifndef VIRTIO_WIRE_USER_H
#define VIRTIO_WIRE_USER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "virtio/user_msg.h"
#include "virtio/user_watch.h"
#include "virtio/wire.h"

struct loop;
struct mem;
struct virtio_backend;
struct virtio_device;

struct vhost_user_spec {
	const char *id;    /* the device's name, for messages. Strings are borrowed */
	const char *path;  /* where the server listens */
	bool watched;      /* somebody else says so when it goes away */
	struct loop *loop; /* of the device's I/O thread, borrowed */
	const struct mem *mem; /* of the guest, which is there; borrowed */
	/* How much of the device's config space the server has; 0: it is not the server's. */
	size_t config_len;
	int patience;      /* ms for all of a start, a stop, or an access to the config space */
	int comeback;      /* ms for a server that has gone to be there again; 0: none */
	bool in_order;     /* one that gives chains back in the order in which it takes them, and
			    * a chain may be done twice: nobody need know what it had begun */
	/* The server has a new config space, of config_len bytes. Under the device's lock.
	 * [iothread] */
	void (*config)(void *arg, const uint8_t *config);
	/* Connects in our place: a socket, ours from then on; -errno, after one line if this is the
	 * first time. NULL: @path is dialled. [setup]; later under the device's lock. */
	int (*dial)(void *arg);
	/* The connection has ended, and nobody is to wait for another: it knew what no other
	 * server can. NULL: of no interest. Under the device's lock. [iothread] */
	void (*gone)(void *arg);
	const char *lost;  /* what that means, behind a line's end; NULL: requests may be lost */
	void *arg;
};

struct vhost_user {
	struct vhost_wire wire;
	struct virtio_device *vdev;
	struct vhost_user_spec spec;
	struct virtio_backend *be; /* that uses this wire; NULL: not known yet */
	int sock;          /* -1: no connection */
	int back;          /* our end of the second socket; -1: none */
	uint64_t until;    /* user_now() by which what has begun has to be done */
	bool failed;       /* it is of no use any more, ... */
	bool lied;         /* ... and that was no accident */
	bool quiet;        /* what fails is tried again: no line */
	bool known;        /* there has been a connection: the next fields are of it */
	uint64_t can, first_protocol;
	uint64_t protocol; /* of this connection */
	unsigned queues;   /* that it serves at most; 0: it does not say */
	struct user_memory told; /* of this connection, if the server has slots for it */
	int inflight_fd;   /* -1: none */
	struct user_inflight inflight;
	bool resumes;      /* that has requests of a server that has gone */
	struct {
		const uint8_t *device; /* its area in the ring, as we see it */
		uint16_t size;
		bool told; /* the server knows it */
	} ring[USER_RINGS_MAX];
	struct user_watch watch;
};

/* Connects, for @vdev, which need not have been made yet. NULL after one line: errno tells.
 * [setup] */
struct vhost_user *vhost_user_connect(struct virtio_device *vdev,
				      const struct vhost_user_spec *spec);

/* Those that follow: [setup], or under the device's lock; -errno after one line. */

/* All of its config space. */
int vhost_user_config_get(struct vhost_user *u, uint8_t *config);
/* Writes to it; and then all of it is there as the server has it now. */
int vhost_user_config_set(struct vhost_user *u, size_t off, const void *data, size_t len,
			  uint8_t *config);
/* The driver has reset the device: the server is to do so, too, if it can. */
void vhost_user_reset(struct vhost_user *u);

/* For user_call.c and user_watch.c. */

/* There is a connection, a new one if need be. After user_call_begin(). */
int vhost_user_ready(struct vhost_user *u);
/* Do both have this feature of the protocol (enum user_protocol)? */
static inline bool user_has(const struct vhost_user *u, unsigned bit)
{
	return u->protocol >> bit & 1;
}
/* Can the server go and come back? */
static inline bool vhost_user_resumable(const struct vhost_user *u)
{
	return u->spec.comeback && (u->inflight_fd >= 0 || u->spec.in_order);
}

#endif
