/* SPDX-License-Identifier: MIT */
/*
 * vsock_unix.h - how programs of the host reach a guest's sockets by Unix sockets, and a guest
 * theirs, in the form that Firecracker has made known:
 *
 *	host to guest	the program connects to PATH, writes "CONNECT PORT\n", and reads
 *			"OK PORT2\n" once a program of the guest has taken the connection; or end
 *			of file
 *	guest to host	a connection to port P of CID 2 is one to PATH_P, where a program listens
 */
#ifndef DEVICES_VSOCK_UNIX_H
#define DEVICES_VSOCK_UNIX_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "vmm/core/loop.h"

#define VSOCK_CALLERS_MAX 64 /* who have connected, and not said yet to which port */

struct vsock_caller;

struct vsock_unix {
	const char *path; /* borrowed */
	dev_t dev;        /* the socket's own file */
	ino_t ino;
	struct loop *loop;
	struct loop_source source; /* it listens; fd -1: not open */
	bool accepts;              /* it is in the loop */
	unsigned ncallers;
	LIST_HEAD(, vsock_caller) callers;
	/* The connection @fd, which is taken over, is to the guest's port @port. [loop] */
	void (*connect)(void *arg, int fd, uint32_t port);
	void *arg;
};

/* Makes the socket. connect, arg have been set, the rest is zero. -errno after one line, in which
 * @id is the device's name. [setup] */
int vsock_unix_open(struct vsock_unix *u, const char *id, const char *path);
/* Ends, and removes the socket. One that could not be opened: nothing to do. It is at rest. */
void vsock_unix_close(struct vsock_unix *u);

/* Takes connections from now on; or no longer. Callers that have not said all are let go. [loop] */
void vsock_unix_start(struct vsock_unix *u, struct loop *loop);
void vsock_unix_stop(struct vsock_unix *u);
/* Descriptors have become free, of which there may have been none left. [loop] */
void vsock_unix_again(struct vsock_unix *u);

/* A socket that is connected to who listens at the host's port @port; -errno. Any thread. */
int vsock_unix_dial(const struct vsock_unix *u, uint32_t port);

#endif
