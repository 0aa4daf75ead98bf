/* SPDX-License-Identifier: MIT */
#include "devices/block/block.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "devices/block/fault.h"
#include "devices/block/guard.h"
#include "devices/block/disk_image.h"
#include "devices/block/overlay.h"
#include "vmm/core/clock.h"
#include "vmm/core/fail.h"
#include "vmm/core/log.h"
#include "vmm/core/loop.h"
#include "vmm/core/util.h"

extern const struct block_ops block_file, block_null;

const struct block_ops *const block_stores[] = {
	&block_file,
	&block_null,
	NULL,
};

const char *const block_format_words[] = {
	[BLOCK_FORMAT_AUTO] = "auto", [BLOCK_FORMAT_RAW] = "raw", [BLOCK_FORMAT_QCOW2] = "qcow2",
	[BLOCK_FORMAT_VMDK] = "vmdk", [BLOCK_FORMAT_VHDX] = "vhdx", [BLOCK_FORMAT_VDI] = "vdi", NULL
};

static const struct block_ops *store_find(const char *name)
{
	char names[256] = "";
	size_t i, at = 0;

	for (i = 0; block_stores[i]; i++) {
		if (!strcmp(block_stores[i]->name, name))
			return block_stores[i];
		if (at < sizeof(names))
			at += snprintf(names + at, sizeof(names) - at, "%s%s (%s)",
				       i ? ", " : "", block_stores[i]->name, block_stores[i]->help);
	}
	log_err("store=%s: is none of: %s", name, names);
	return NULL;
}

/* Some stores are around others; only the others have a name for the user. */
static const struct block_ops *choose_store(const struct block_open *how)
{
	const struct block_ops *ops;

	if (how->fault)
		return &block_fault;
	if (how->overlay)
		return &block_overlay;
	ops = how->store ? store_find(how->store) : block_stores[0];
	return ops == &block_file && image_is_one(how) ? &block_image : ops;
}

int block_open(const struct block_open *how, struct block **block)
{
	const struct block_ops *ops = choose_store(how);
	int r;

	if (!ops)
		return -EUSAGE;
	r = ops->open(how, block);
	if (r < 0)
		return r;
	(*block)->ops = ops;
	(*block)->outermost = true;
	return 0;
}

void block_close(struct block *block)
{
	if (block)
		block->ops->close(block);
}

int block_commit(struct block *block)
{
	return block->ops->commit ? block->ops->commit(block) : 0;
}

int block_resize(struct block *block, uint64_t size, void (*settle)(void *arg), void *arg)
{
	uint64_t old = block->size;
	int r;

	if (!block->ops->resize) {
		log_err("%s: cannot be resized: a store of the kind %s keeps its size", block->path,
			block->ops->name);
		return -EOPNOTSUPP;
	}
	if (size < old) {
		/* In this order: who sees the new size must find the old one (block_req_ok). */
		block->before = old;
		block->size = size;
		settle(arg);
	}
	r = block->ops->resize(block, size);
	block->size = r < 0 ? old : size;
	block->before = 0;
	return r;
}

bool block_is_mapped(struct block *block, uint64_t off, uint64_t *end)
{
	*end = block->size;
	return !block->ops->is_mapped || block->ops->is_mapped(block, off, end);
}

void block_hangs_as(struct block *inner, const struct block *outer)
{
	inner->on_hang = outer->on_hang;
	inner->on_hang_arg = outer->on_hang_arg;
}

const char *block_hint(struct block *block, int err)
{
	return block->ops->hint ? block->ops->hint(block, err) : NULL;
}

struct block_chan *block_chan_open(struct block *block, struct loop *loop)
{
	struct block_chan *chan = block->ops->chan_open(block, loop);

	if (!chan)
		return NULL;
	if (!chan->ops)
		chan->ops = block->ops;
	if (!block->outermost)
		return chan;
	chan->guard = guard_open(chan);
	if (chan->guard)
		return chan;
	chan->ops->chan_close(chan);
	errno = ENOMEM;
	return NULL;
}

void block_chan_close(struct block_chan *chan)
{
	if (!chan)
		return;
	block_drain(chan);
	if (chan->guard)
		guard_close(chan->guard);
	chan->ops->chan_close(chan);
}

static bool block_req_ok(const struct block *block, const struct block_req *req)
{
	uint64_t size;

	if (req->io == BLOCK_FLUSH)
		return true;
	if (req->io != BLOCK_READ && block->readonly)
		return false;
	size = block->size;
	return range_ok(req->off, req->len, max_u64(size, block->before));
}

void block_submit(struct block_chan *chan, struct block_req *req)
{
	BUG_ON(!loop_is_current(chan->loop));
	BUG_ON(!block_req_ok(chan->block, req));
	chan->inflight++;
	req->chan = chan;
	chan->ops->submit(chan, req);
}

void block_done(struct block_chan *chan, struct block_req *req, int err)
{
	BUG_ON(!chan->inflight);
	if (chan->guard && err && guard_take(chan->guard, req, err))
		return;
	if (chan->guard && !err)
		guard_success(chan->guard);
	chan->inflight--;
	chan->ended++;
	chan->late = false;
	req->done(req, err);
}

struct block_wait block_wait_begin(const struct block_chan *chan, int ms)
{
	return (struct block_wait){ chan, chan->ended, now_ms(), ms };
}

int block_wait_left(struct block_wait *w)
{
	uint64_t now = now_ms();

	if (w->ended != w->chan->ended) {
		w->ended = w->chan->ended;
		w->since = now;
	}
	return now - w->since >= (uint64_t)w->ms ? 0 : (int)(w->since + w->ms - now);
}

bool block_try_drain(struct block_chan *chan, int ms)
{
	bool all = true;

	if (!chan->inflight)
		return true;
	if (chan->guard)
		guard_drain(chan->guard, true);
	if (chan->inflight)
		all = chan->ops->drain(chan, ms);
	if (chan->guard)
		guard_drain(chan->guard, false);
	chan->late = !all;
	return all;
}

void block_drain(struct block_chan *chan)
{
	const struct block *block = chan->block;

	while (!block_try_drain(chan, BLOCK_PATIENCE)) {
		log_err("%s: the host's disk hangs: %u request%s not come back for %d s; %s",
			block->path, chan->inflight, chan->inflight == 1 ? " has" : "s have",
			BLOCK_PATIENCE / 1000,
			block->on_hang ? "the run ends without" : "waiting");
		if (block->on_hang)
			block->on_hang(block->on_hang_arg);
	}
}
