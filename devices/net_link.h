/* SPDX-License-Identifier: MIT */
/*
 * net_link.h - the far end of a network device: who takes the guest's frames, and has some for it.
 *
 *	stream   a socket, and passt or another program at its end (net_stream.h)
 *	tap      an interface of the host's (net_tap.h)
 *
 * A frame is an Ethernet frame without its checksum. It travels with a header, which says what is
 * still to be done to it: struct virtio_net_hdr_v1, little-endian (virtio 1.3 §5.1.6). In that of
 * a frame from the guest there is nothing but what the driver has negotiated, and its offsets are
 * inside the frame: net_host.c has checked it.
 *
 * A link belongs to the I/O thread of its device, and never waits. @in and @out are polled: is
 * there a frame, is there room again.
 */
#ifndef DEVICES_NET_LINK_H
#define DEVICES_NET_LINK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "vmm/core/iov.h"

#define NET_HDR_LEN 12
#define NET_ETH_LEN 14
/* The largest there is: an IP packet of 64 KiB, in segments only later, and a VLAN's tag. */
#define NET_FRAME_MAX (NET_ETH_LEN + 4 + 65535)
/* Pieces of guest memory that a frame may lie in; the kernel takes 1024 in one call. */
#define NET_PIECES_MAX 1000

struct net_link;

struct net_link_ops {
	/*
	 * How long the next frame is at most: > 0. -EAGAIN: there is none yet; other -errno: there
	 * never will be.
	 */
	ssize_t (*next)(struct net_link *link);
	/*
	 * Puts the frame that next() has announced, or the rest of it, into @to, which is the same
	 * as long as it is the same frame. Returns the frame's length once all of it is there.
	 * -EAGAIN: not yet; -EMSGSIZE: it is too large for @to, and lost; other -errno as above.
	 */
	ssize_t (*receive)(struct net_link *link, uint8_t hdr[NET_HDR_LEN], struct iovcur to);
	/* Where receive() has put a part of a frame is no longer: its rest is lost. */
	void (*forget)(struct net_link *link);
	/*
	 * Takes a frame, after flush() has returned 0. -EPIPE: nobody will ever take one; other
	 * -errno: this one is lost.
	 */
	int (*send)(struct net_link *link, const uint8_t hdr[NET_HDR_LEN], struct iovcur frame);
	/* Gets rid of what send() has taken. -EAGAIN: when @out is writable; 0: there is none. */
	int (*flush)(struct net_link *link);
	/* The driver has chosen these features of the device type. -errno. */
	int (*set_features)(struct net_link *link, uint64_t features);
	void (*destroy)(struct net_link *link);
};

struct net_link {
	const struct net_link_ops *ops;
	int in, out;       /* two descriptors of the same file */
	uint64_t features; /* of the device type: what it can have done to frames, or do itself */
	bool patient;      /* a frame waits for room in the guest; otherwise it is lost */
};

#endif
