/* SPDX-License-Identifier: MIT */
/*
 * commit.c - what is kept beside an image goes into it. [any thread]
 */
#include <errno.h>
#include <stdlib.h>

#include "devices/block/copy.h"
#include "devices/block/overlay.h"
#include "vmm/core/loop.h"
#include "vmm/core/util.h"

struct committing {
	struct overlay *o;
	struct block_chan *base, *top;
	uint8_t *buf; /* OVERLAY_WORD bytes */
};

static int commit_chunk(struct committing *c, uint64_t off, uint64_t len)
{
	struct iovec iov = { c->buf, len };
	uint64_t at, n, where;
	int r;

	for (at = 0; at < len; at += n) {
		struct iovec part = { c->buf + at, len - at };

		n = part.iov_len = overlay_top_run(c->o, off + at, len - at, &where);
		r = block_now(c->top, BLOCK_READ, where, &part);
		if (r < 0)
			return r;
	}
	/* What has been given back in the one is given back in the other. */
	return block_now(c->base, block_is_zero(c->buf, len) ? BLOCK_ZERO : BLOCK_WRITE, off, &iov);
}

/*
 * Runs of set bits, one after the other. They are cleared before the data is read: what is written
 * meanwhile sets them anew.
 */
static int commit_word(struct committing *c, uint64_t word)
{
	uint64_t bits = atomic_exchange(&c->o->dirty[word], 0), from = word * OVERLAY_WORD;
	uint64_t end = min_u64(OVERLAY_WORD, c->o->block.size - from);
	bitmap_word left = bits;
	uint64_t at = 0, len;
	bool set;
	int r = 0;

	for (; bits && at < end && !r; at += len) {
		len = bitmap_run(&left, at, end - at, &set);
		if (set)
			r = commit_chunk(c, from + at, len);
	}
	if (r < 0)
		atomic_fetch_or(&c->o->dirty[word], bits);
	return r;
}

static int commit_span(struct committing *c, uint64_t span)
{
	uint64_t words = OVERLAY_SPAN / OVERLAY_WORD, word = span * words, end = word + words;
	int r = 0;

	if (!atomic_exchange(&c->o->span_dirty[span], false))
		return 0;
	for (; word < end && word * OVERLAY_WORD < c->o->block.size && !r; word++)
		r = commit_word(c, word);
	if (r < 0)
		c->o->span_dirty[span] = true;
	return r;
}

static int commit_all(struct committing *c)
{
	struct iovec none = { NULL, 0 };
	uint64_t span;
	int r = 0;

	for (span = 0; span * OVERLAY_SPAN < c->o->block.size && !r; span++)
		r = commit_span(c, span);
	return r ? r : block_now(c->base, BLOCK_FLUSH, 0, &none);
}

int overlay_commit(struct block *block)
{
	struct overlay *o = overlay_of(block);
	struct committing c = { .o = o, .buf = aligned_alloc(4096, OVERLAY_WORD) };
	struct loop *loop = loop_create("commit");
	int r = -ENOMEM;

	c.base = loop ? block_chan_open(o->base, loop) : NULL;
	c.top = loop ? block_chan_open(o->top, loop) : NULL;
	if (c.base && c.top && c.buf) {
		pthread_mutex_lock(&o->commit);
		r = commit_all(&c);
		pthread_mutex_unlock(&o->commit);
	}
	block_chan_close(c.top);
	block_chan_close(c.base);
	loop_destroy(loop);
	free(c.buf);
	return r;
}
