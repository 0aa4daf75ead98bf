/* SPDX-License-Identifier: MIT */
/*
 * bell.h - eventfds that another process has, too.
 *
 * Whether a read waits is a flag of the open file, which is one for all who have a descriptor of
 * it. So another process can have our reads wait, whatever flags the eventfd was made with; and
 * where it has filled the count, our writes. Any thread.
 */
#ifndef CORE_BELL_H
#define CORE_BELL_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/uio.h>

#include "vmm/core/libc.h"

/* Takes all that there is from the eventfd @fd, and never waits. Returns how much: 0: nothing. */
static inline uint64_t bell_take(int fd)
{
	eventfd_t count = 0;
	struct iovec iov = { &count, sizeof(count) };

	if (preadv2(fd, &iov, 1, -1, RWF_NOWAIT) < 0 && errno == EOPNOTSUPP)
		eventfd_read(fd, &count); /* Linux before 5.8 */
#ifdef __SANITIZE_THREAD__
	readv(fd, &iov, 0); /* it knows by this one that what came before a write is to be seen */
#endif
	return count;
}

/* Adds one, also to what is full. It could wait only for who fills it between its two calls. */
static inline void bell_ring(int fd)
{
	uint64_t count = bell_take(fd);

	eventfd_write(fd, count < UINT32_MAX ? count + 1 : 1);
}

#endif
