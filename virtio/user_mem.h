/* SPDX-License-Identifier: MIT */
/*
 * user_mem.h - what a vhost-user server knows of guest memory.
 *
 * A server hears of all regions in one message, at each start, and maps them anew. One that has
 * slots for them (CONFIGURE_MEM_SLOTS) hears of each region by itself, once for a connection: it
 * keeps its maps while the guest is paused, and over resets of the device.
 */
#ifndef VIRTIO_USER_MEM_H
#define VIRTIO_USER_MEM_H

struct mem;
struct vhost_user;

/* Both: after user_call_begin(), [setup] or under the device's lock. -errno after one line. */

/* A connection has begun, on which nothing is known yet. Has the server room for as many regions as
 * the guest has? */
int user_mem_greet(struct vhost_user *u);
/* The server knows @mem, each region of which has a descriptor, and nothing else. */
int user_mem_tell(struct vhost_user *u, const struct mem *mem);

#endif
