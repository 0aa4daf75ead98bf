/* SPDX-License-Identifier: MIT */
/*
 * net_tap.h - an interface of the host's, by /dev/net/tun.
 *
 * What the guest would have had to do to frames (checksums, segments of a large packet) the host's
 * kernel does, and the other way round: headers travel with the frames. Which of it this kernel
 * can do is asked for, each by itself, and the rest is not offered to the guest.
 */
#ifndef DEVICES_NET_TAP_H
#define DEVICES_NET_TAP_H

#include <stdint.h>

struct net_link;

/*
 * Opens interface @name, which is there already or is made, and gives its MTU. NULL after one line
 * that begins with @id. [setup]
 */
struct net_link *net_tap_open(const char *id, const char *name, uint16_t *mtu);

/*
 * A link over @fd, which is taken over in every case: a read or a write is a frame and its header.
 * @features are what it can do. NULL: errno tells. [setup]
 */
struct net_link *net_tap_create(int fd, uint64_t features);

#endif
