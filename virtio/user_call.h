/* SPDX-License-Identifier: MIT */
/*
 * user_call.h - what a vhost-user server is asked, and how long it may take.
 *
 * A request has an answer, or is made to have one. What is wrong with an answer is told in one
 * line, and then the connection is of no use any more: every later call fails without a line.
 *
 * Who asks waits, with the device's lock, and a vCPU may wait for that. So there is one bound for
 * all that belongs together, a start or a stop as a whole, and not one for each answer: a server
 * that is slow each time would have some thirty of them.
 */
#ifndef VIRTIO_USER_CALL_H
#define VIRTIO_USER_CALL_H

#include <stddef.h>
#include <stdint.h>

#include "virtio/wire_user.h"

/* A request, and what its answer has to be. */
struct user_ask {
	uint32_t request;
	const void *out;
	size_t out_len;
	const int *fds; /* that go along */
	unsigned nfds;
	void *in;       /* of the answer, which has exactly that many bytes; NULL: it has none */
	size_t in_len;
	int *fd;        /* one descriptor comes with it, or none: -1. NULL: none */
};

/* What follows has @u->spec.patience together, until this is called again. */
void user_call_begin(struct vhost_user *u);
/* ms of that which are left; 0: none. */
int user_call_left(const struct vhost_user *u);

/* The connection is of no use any more, for the reason given; @err -EPIPE: it has ended. One line,
 * unless @u->quiet. Returns @err. */
int vhost_user_fail(struct vhost_user *u, int err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Those that follow: under the device's lock, or [setup]. -errno after one line, unless the
 * connection had failed before. */

int user_ask(struct vhost_user *u, const struct user_ask *a);
/* What is done, or refused. */
int user_tell(struct vhost_user *u, uint32_t request, const void *out, size_t len);
int user_tell_fd(struct vhost_user *u, uint32_t request, const void *out, size_t len, int fd);
/* A number about ring @q. */
int user_tell_ring(struct vhost_user *u, uint32_t request, unsigned q, uint32_t num);
int user_get_u64(struct vhost_user *u, uint32_t request, uint64_t *value);

#endif
