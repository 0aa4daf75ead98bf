/* SPDX-License-Identifier: MIT */
/*
 * iov.h - a cursor over an iovec.
 *
 * A driver may cut a request into descriptors wherever it likes (virtio 1.3
 * §2.7.4), so no device may assume that a field, a header or a sector begins
 * with a descriptor. Devices therefore never index an iovec: they pull fields
 * out of a cursor and put fields into one, and hand the rest on.
 *
 * A cursor borrows the iovec, which must outlive it. Cursors may be copied: the
 * copy moves independently. Any thread.
 */
#ifndef CORE_IOV_H
#define CORE_IOV_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

struct iovcur {
	const struct iovec *iov; /* the current element ... */
	unsigned cnt;            /* ... and how many are left, it included */
	size_t off;              /* into the current element */
	size_t left;             /* bytes from here to the end */
};

struct iovcur iov_cursor(const struct iovec *iov, unsigned cnt);

/* Copies @len bytes out and advances. False, with nothing done: fewer are left. */
bool iov_pull(struct iovcur *cur, void *dst, size_t len);

/* Copies @len bytes in and advances. False, with nothing done: fewer are left. */
bool iov_put(struct iovcur *cur, const void *src, size_t len);

/* Writes @len zero bytes and advances. False, with nothing done: fewer are left. */
bool iov_zero(struct iovcur *cur, size_t len);

/* Cuts off the first @len bytes (all, when fewer are left); @cur keeps the rest. */
struct iovcur iov_split(struct iovcur *cur, size_t len);

/*
 * Writes the cursor's bytes as a plain iovec to @out, which has room for @max elements. Returns how
 * many were needed; more than @max: @out holds the first @max. An empty element is left out.
 */
unsigned iov_export(const struct iovcur *cur, struct iovec *out, unsigned max);

#endif
