/* SPDX-License-Identifier: MIT */
#include "devices/block/step.h"

#include <errno.h>
#include <limits.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdlib.h>

#include "vmm/core/iov.h"
#include "vmm/core/util.h"

#define PAGE 4096u

static bool finish(struct step *s, int err)
{
	s->err = err;
	return false;
}

/* Does the kernel take the request's memory as it is? */
static bool is_aligned(const struct step *s)
{
	const struct block_req *req = s->req;
	unsigned i;

	if (req->flags & BLOCK_ATOMIC && req->niov > 1)
		return false; /* the kernel takes such a write from one piece of memory only */
	if (s->align.mem == 1 && s->align.len == 1)
		return true;
	for (i = 0; i < req->niov; i++) {
		if ((uintptr_t)req->iov[i].iov_base & (s->align.mem - 1) ||
		    req->iov[i].iov_len & (s->align.len - 1))
			return false;
	}
	return true;
}

/* The request's memory from @done on. */
static struct iovcur rest_of(const struct step *s)
{
	struct iovcur cur = iov_cursor(s->req->iov, s->req->niov);

	iov_split(&cur, s->done);
	return cur;
}

/* What is left, as far as it fits into one call. */
static void plan_direct(struct step *s)
{
	const struct block_req *req = s->req;
	struct iovcur rest;
	unsigned i;

	s->len = req->len - s->done;
	if (!s->done && req->niov <= IOV_MAX) {
		s->iov = req->iov;
		s->niov = req->niov;
		return;
	}
	rest = rest_of(s);
	s->iov = s->piece;
	s->niov = min_u64(iov_export(&rest, s->piece, STEP_PIECES), STEP_PIECES);
	for (s->len = 0, i = 0; i < s->niov; i++)
		s->len += s->piece[i].iov_len;
}

static void plan_bounce(struct step *s)
{
	struct iovcur from;

	s->len = min_u64(STEP_BOUNCE, s->req->len - s->done);
	s->piece[0] = (struct iovec){ s->bounce, s->len };
	s->iov = s->piece;
	s->niov = 1;
	if (s->call == STEP_WRITE) {
		from = rest_of(s);
		iov_pull(&from, s->bounce, s->len);
	}
}

/* Where the file system has no call for zeroes. */
static void plan_fill(struct step *s)
{
	static const uint8_t zeroes[16 * PAGE] __attribute__((aligned(PAGE)));

	s->iov = s->piece;
	s->len = s->niov = 0;
	while (s->niov < STEP_PIECES && s->done + s->len < s->req->len) {
		struct iovec *v = &s->piece[s->niov++];

		v->iov_base = (void *)zeroes;
		v->iov_len = min_u64(sizeof(zeroes), s->req->len - s->done - s->len);
		s->len += v->iov_len;
	}
}

static int write_flags(const struct step *s)
{
	return (s->req->flags & BLOCK_FUA && !s->sync_after ? RWF_DSYNC : 0) |
	       (s->req->flags & BLOCK_ATOMIC ? RWF_ATOMIC : 0);
}

static void plan_move(struct step *s)
{
	s->call = s->req->io == BLOCK_READ ? STEP_READ : STEP_WRITE;
	s->flags = s->call == STEP_WRITE ? write_flags(s) : 0;
	s->off = s->req->off + s->done;
	if (s->phase == STEP_FILL)
		plan_fill(s);
	else if (s->bounce)
		plan_bounce(s);
	else
		plan_direct(s);
}

static bool enter(struct step *s, unsigned phase)
{
	static const int mode[] = {
		[STEP_PUNCH] = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		[STEP_ZERO_RANGE] = FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
	};

	s->phase = phase;
	switch (phase) {
	case STEP_MOVE:
	case STEP_FILL:
		plan_move(s);
		break;
	case STEP_PUNCH:
	case STEP_ZERO_RANGE:
		s->call = STEP_FALLOCATE;
		s->flags = mode[phase];
		s->off = s->req->off;
		s->len = s->req->len;
		break;
	default:
		s->call = STEP_FDATASYNC;
	}
	return true;
}

static bool begin_move(struct step *s)
{
	if (!is_aligned(s)) {
		s->bounce = aligned_alloc(PAGE, STEP_BOUNCE);
		if (!s->bounce)
			return finish(s, -ENOMEM);
	}
	return enter(s, STEP_MOVE);
}

bool step_begin(struct step *s, const struct block_req *req, struct step_align align)
{
	s->req = req;
	s->align = align;
	s->done = 0;
	s->bounce = NULL;
	s->sync_after = false;
	s->err = 0;
	if (req->io == BLOCK_FLUSH)
		return enter(s, STEP_SYNC);
	if (!req->len)
		return false;
	if (req->io == BLOCK_READ || req->io == BLOCK_WRITE)
		return begin_move(s);
	s->sync_after = req->flags & BLOCK_FUA;
	return enter(s, req->io == BLOCK_DISCARD || req->flags & BLOCK_MAY_UNMAP ? STEP_PUNCH
										 : STEP_ZERO_RANGE);
}

/* All is where it should be: on its way, or on the medium too. */
static bool settled(struct step *s)
{
	return s->sync_after ? enter(s, STEP_SYNC) : finish(s, 0);
}

/* Calls come back short at signals, at the end of a medium, and when it is full. */
static bool moved(struct step *s, int result)
{
	struct iovcur to;

	if (result == -EOPNOTSUPP && s->flags & RWF_DSYNC) {
		s->sync_after = true; /* no RWF_DSYNC here: in two steps then */
		return enter(s, s->phase);
	}
	if (result <= 0)
		return finish(s, result ? result : -EIO); /* 0: somebody has cut the file off */
	if (s->flags & RWF_ATOMIC && (uint64_t)result < s->len)
		return finish(s, -EIO); /* which the kernel never does */
	if (s->bounce && s->call == STEP_READ) {
		to = rest_of(s);
		iov_put(&to, s->bounce, result);
	}
	s->done += result;
	return s->done < s->req->len ? enter(s, s->phase) : settled(s);
}

/* A call may be unknown to the file system, or want other bounds than ours on a device. */
static bool cannot(int result)
{
	return result == -EOPNOTSUPP || result == -EINVAL;
}

bool step_next(struct step *s, int result)
{
	if (result == -EINTR)
		return enter(s, s->phase);
	switch (s->phase) {
	case STEP_MOVE:
	case STEP_FILL:
		return moved(s, result);
	case STEP_PUNCH:
		if (cannot(result))
			return enter(s, STEP_ZERO_RANGE);
		break;
	case STEP_ZERO_RANGE:
		if (cannot(result))
			return enter(s, STEP_FILL);
		break;
	case STEP_SYNC:
		return finish(s, result);
	}
	return result < 0 ? finish(s, result) : settled(s);
}

void step_end(struct step *s)
{
	if (s->bounce)
		free(s->bounce);
	s->bounce = NULL;
}
