/* SPDX-License-Identifier: MIT */
/*
 * user_watch.h - what a vhost-user server does of its own accord.
 *
 * On the loop of the device's I/O thread: the socket ends, or has bytes that nobody
 * asked for; the server asks something on its second socket; a server that has
 * gone comes back. All of that is about the device, and under its lock. But who
 * has the lock may wait for this thread: so it is tried only, and when it is taken
 * a timer brings the next try.
 */
#ifndef VIRTIO_USER_WATCH_H
#define VIRTIO_USER_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/core/loop.h"

struct vhost_user;

struct user_watch {
	struct loop_source sock, back, timer; /* fd -1: not watched */
	bool paused;    /* the first two rest until the lock has been had */
	uint64_t until; /* so long (user_now()) may a server that has gone come back; 0: none has */
};

/* Before the first connection. -errno. [setup] */
int user_watch_init(struct vhost_user *u);
/* Nothing comes any more. Any thread, once the I/O thread's loop has no other use of @u. */
void user_watch_fini(struct vhost_user *u);
/* A connection has been made, is to be forgotten and closed. From any thread, under the lock. */
int user_watch_begin(struct vhost_user *u);
void user_watch_end(struct vhost_user *u);

#endif
