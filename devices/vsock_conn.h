/* SPDX-License-Identifier: MIT */
/*
 * vsock_conn.h - a connection between a guest's socket and one of the host's: bytes both ways, the
 * credit that each side gives the other (virtio 1.3 §5.10.6.3), and how either of them ends.
 *
 *	            the guest's driver                      the host's socket
 *	to the guest     <- peer_alloc, peer_forwarded  <-       read
 *	from the guest   -> VSOCK_BUFFER               ->       written; what does not fit is kept
 *
 * The driver may have so many bytes under way as we have said that there is room for, and they are
 * kept until the host's socket takes them. So nothing waits for a reader that is slow, and no guest
 * makes us keep more than VSOCK_BUFFER for a connection.
 *
 * All of it belongs to the I/O thread of its device.
 */
#ifndef DEVICES_VSOCK_CONN_H
#define DEVICES_VSOCK_CONN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "vmm/core/iov.h"
#include "vmm/core/loop.h"

#define VSOCK_BUFFER 65536u  /* bytes of a guest's that are kept; a power of two */
#define VSOCK_PIECES_MAX 128 /* of guest memory, in one packet */

/* What the guest is to be sent about a connection; those that are first come first. */
enum vsock_owed {
	VSOCK_OWED_RST = 1,
	VSOCK_OWED_REQUEST = 2,
	VSOCK_OWED_RESPONSE = 4,
	VSOCK_OWED_DATA = 8, /* the host's socket may have some */
	VSOCK_OWED_SHUTDOWN = 16,
	VSOCK_OWED_CREDIT = 32,
	VSOCK_OWED_ASK = 64, /* a credit request */
};

enum vsock_state {
	VSOCK_ASKED, /* a program of the host's has connected, and the guest has not answered */
	VSOCK_OPEN,
	VSOCK_OVER,  /* the guest is told so; nothing else is of interest */
	VSOCK_LEFT,  /* the guest has gone, and what it said before is still to be written */
};

struct vsock_conn {
	uint32_t host_port, guest_port;
	enum vsock_state state;
	int fd; /* of the host's socket */
	struct loop *loop;

	/* For who has them in lists. */
	void *owner;
	LIST_ENTRY(vsock_conn) same_hash;
	LIST_ENTRY(vsock_conn) all;
	TAILQ_ENTRY(vsock_conn) ready;
	bool is_ready, is_known;
	unsigned owed; /* bits of enum vsock_owed */
	uint8_t shut_told, shut_by_guest; /* bits of enum virtio_vsock_shutdown */

	/* To the guest: bytes that have been sent; how many it has done with, and room for. */
	uint32_t sent, peer_forwarded, peer_alloc;
	struct loop_source readable;
	bool reads; /* readable is in the loop */
	bool ended; /* the host has no more */

	/* From the guest: bytes that have come; that the host has taken; of which it was told. */
	uint32_t received, forwarded, told;
	struct loop_source writable; /* a descriptor of its own, while something is kept; or -1 */
	uint8_t *kept; /* a ring of VSOCK_BUFFER bytes, from the first time that it is needed */
};

/*
 * @fd is taken over, in every case. @readable and @writable are called with the connection. NULL:
 * no memory.
 */
struct vsock_conn *vsock_conn_new(struct loop *loop, int fd, void (*readable)(void *conn),
				  void (*writable)(void *conn));
void vsock_conn_free(struct vsock_conn *c);

/* How many bytes the guest takes now. Of what it says no more than that is believed. */
uint32_t vsock_conn_credit(const struct vsock_conn *c);
/* The guest ought to hear how much more it may send. */
bool vsock_conn_owes_credit(const struct vsock_conn *c);

/* Is the host's socket looked at: is there something to read? -errno: it cannot be. */
int vsock_conn_watch(struct vsock_conn *c, bool on);
/*
 * Reads for the guest, at most vsock_conn_credit() bytes, and counts them as sent. 0: there are
 * none and will be none; -EAGAIN: none yet; other -errno: the connection is broken.
 */
ssize_t vsock_conn_read(struct vsock_conn *c, struct iovcur to);
/* The host's side has closed its socket, and not just said that it will send no more. */
bool vsock_conn_is_left(const struct vsock_conn *c);

/*
 * Takes what the guest has sent. -EPROTO: that was more than it may send; other -errno: the
 * host's side takes no more.
 */
int vsock_conn_give(struct vsock_conn *c, struct iovcur data);
/* Writes what is kept. 0; -errno as above. */
int vsock_conn_flush(struct vsock_conn *c);
/* Bytes that are kept. */
uint32_t vsock_conn_kept(const struct vsock_conn *c);
/* The guest will not send more, or not receive (enum virtio_vsock_shutdown). Nothing is kept. */
void vsock_conn_shut(const struct vsock_conn *c, unsigned how);

#endif
