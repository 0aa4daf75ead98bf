/* SPDX-License-Identifier: MIT */
/*
 * step.h - what a request means in system calls.
 *
 * A request is a sequence of calls, of which mostly the first is the only one:
 * a transfer may come back short, a file system may not know a call, a write
 * without RWF_DSYNC wants an fdatasync() behind it. This file knows the
 * sequence and makes no call itself; whoever does, on a thread that may wait
 * (file.c) or by io_uring (uring.c), asks for the next call with the result of
 * the last one.
 *
 *	for (more = step_begin(&s, req, align); more; )
 *		more = step_next(&s, make(s.call ...));
 *	step_end(&s); -> s.err
 */
#ifndef DEVICES_BLOCK_STEP_H
#define DEVICES_BLOCK_STEP_H

#include "devices/block/block.h"

enum step_call { STEP_READ, STEP_WRITE, STEP_FALLOCATE, STEP_FDATASYNC };

/* What O_DIRECT wants: powers of two, at most 4096; 1 without it. */
struct step_align {
	uint32_t mem;  /* of addresses */
	uint32_t len;  /* of lengths, and of offsets, which requests keep */
};

#define STEP_PIECES 16
/* What is copied at a time; the longest atomic write, which is one call. */
#define STEP_BOUNCE 65536u

#ifndef RWF_ATOMIC
#define RWF_ATOMIC 0x40 /* Linux 6.11 */
#endif

struct step {
	/* The call to make, between begin or next and the next next. */
	enum step_call call;
	int flags;               /* WRITE: RWF_...; FALLOCATE: its mode */
	uint64_t off, len;       /* FDATASYNC: not used */
	const struct iovec *iov; /* READ, WRITE: @len bytes in all */
	unsigned niov;
	int err;                 /* the request's result, when there is no call any more */

	/* Our own. */
	const struct block_req *req;
	struct step_align align;
	enum { STEP_MOVE, STEP_PUNCH, STEP_ZERO_RANGE, STEP_FILL, STEP_SYNC } phase;
	bool sync_after;
	uint64_t done;           /* bytes that have been moved */
	uint8_t *bounce;         /* one memory for all calls, when the request's is not aligned */
	struct iovec piece[STEP_PIECES];
};

/* True: make the first call. False: there is nothing to do, or @err tells why not. */
bool step_begin(struct step *s, const struct block_req *req, struct step_align align);
/* @result is the call's: bytes, 0 or -errno. True: make the next call. False: it is done, @err. */
bool step_next(struct step *s, int result);
/* Frees what the step has needed; also in its middle, when no call is under way. */
void step_end(struct step *s);

#endif
