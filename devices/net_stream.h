/* SPDX-License-Identifier: MIT */
/*
 * net_stream.h - frames over a stream socket: passt's protocol, which QEMU has too.
 *
 * Before each frame stands its length, 32 bits, big-endian; nothing else is ever sent. So what has
 * been begun must be ended: the rest of a frame that the socket had no room for is copied and kept,
 * and of one that the guest does not want any more the rest is read and thrown away.
 */
#ifndef DEVICES_NET_STREAM_H
#define DEVICES_NET_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct net_link;

#define NET_HEAD_MAX 54 /* bytes: Ethernet's header, and IPv6's */

/* Is a frame that begins so, up to NET_HEAD_MAX, not to be sent? */
typedef bool net_refuse_fn(const uint8_t *head, size_t len);

/* Takes over @fd, in every case. @refuse NULL: all may be sent. NULL: errno tells. [setup] */
struct net_link *net_stream_create(int fd, net_refuse_fn *refuse);

#endif
