/* SPDX-License-Identifier: MIT */
#include "devices/block/overlay.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "devices/block/bitmap.h"
#include "devices/block/pool.h"
#include "vmm/core/fail.h"
#include "vmm/core/iov.h"
#include "vmm/core/log.h"
#include "vmm/core/loop.h"
#include "vmm/core/nameless.h"
#include "vmm/core/util.h"

#define OPS 64    /* requests under way at a time, of one channel */
#define PIECES 128
#define ATOMIC_MAX MIB(1)
#define PAGE 4096u        /* of a call that a signal ends, whole pages have been written */

struct overlay_op {
	struct block_req sub; /* the part that is under way */
	struct overlay_chan *oc;
	struct block_req *req;
	struct iovcur rest; /* of the request's memory, behind the part */
	uint64_t done;      /* bytes before it */
	struct iovec piece[PIECES];
	struct overlay_op *next_free;
};

struct overlay_chan {
	struct block_chan chan;
	struct block_chan *base, *top;
	struct block_chan *committer; /* a thread for what FLUSH does; NULL: it does nothing */
	struct loop_task end;         /* of requests in @ended: they need nothing done */
	struct block_queue ended;
	struct block_queue waiting; /* requests without an op */
	struct overlay_op *free;
	struct overlay_op op[OPS];
};

/* The maps. */

static void mark_changed(struct overlay *o, uint64_t off, uint64_t len)
{
	uint64_t i;

	bitmap_mark(o->written, off, len);
	if (!o->dirty)
		return;
	bitmap_mark(o->dirty, off, len);
	for (i = off / OVERLAY_SPAN; i <= (off + len - 1) / OVERLAY_SPAN; i++)
		o->span_dirty[i] = true;
}

uint64_t overlay_top_run(struct overlay *o, uint64_t off, uint64_t len, uint64_t *where)
{
	bool second = false;

	if (o->second_used)
		len = bitmap_run(o->in_second, off, len, &second);
	*where = off + (second ? o->second : 0);
	return len;
}

/* Requests. */

static void op_start(struct overlay_op *op, struct block_req *req);

static void op_end(struct overlay_op *op, int err)
{
	struct overlay_chan *oc = op->oc;
	struct block_req *req = op->req, *next = STAILQ_FIRST(&oc->waiting);

	if (next) {
		STAILQ_REMOVE_HEAD(&oc->waiting, link);
		op_start(op, next);
	} else {
		op->next_free = oc->free;
		oc->free = op;
	}
	block_done(&oc->chan, req, err);
}

/* The memory for the next @len bytes; less, if they are in too many pieces. */
static uint64_t take_memory(struct overlay_op *op, uint64_t len)
{
	struct iovcur rest = op->rest, part = iov_split(&rest, len);
	unsigned i, n = min_u64(iov_export(&part, op->piece, PIECES), PIECES);

	for (len = 0, i = 0; i < n; i++)
		len += op->piece[i].iov_len;
	iov_split(&op->rest, len);
	op->sub.iov = op->piece;
	op->sub.niov = n;
	return len;
}

static void read_part(struct overlay_op *op)
{
	struct overlay_chan *oc = op->oc;
	struct overlay *o = overlay_of(oc->chan.block);
	const struct block_req *req = op->req;
	uint64_t off = req->off + op->done, len;
	bool written;

	len = bitmap_run(o->written, off, req->len - op->done, &written);
	op->sub.io = BLOCK_READ;
	op->sub.off = off;
	if (written)
		len = overlay_top_run(o, off, len, &op->sub.off);
	if (len == req->len) {
		op->sub.iov = req->iov;
		op->sub.niov = req->niov;
	} else {
		len = take_memory(op, len);
	}
	op->sub.len = len;
	block_submit(written ? oc->top : oc->base, &op->sub);
}

static void change(struct overlay_op *op)
{
	const struct block_req *req = op->req;

	op->sub.io = req->io == BLOCK_WRITE ? BLOCK_WRITE : BLOCK_ZERO;
	op->sub.flags = req->io == BLOCK_WRITE ? 0 : BLOCK_MAY_UNMAP;
	op->sub.off = req->off;
	op->sub.len = req->len;
	op->sub.iov = req->iov;
	op->sub.niov = req->niov;
	block_submit(op->oc->top, &op->sub);
}

/* To where it is not: what is there now is read until all of the request is written. */
static void write_part(struct overlay_op *op)
{
	struct overlay *o = overlay_of(op->oc->chan.block);
	const struct block_req *req = op->req;
	uint64_t off = req->off + op->done;
	bool second;
	uint64_t len = bitmap_run(o->in_second, off, req->len - op->done, &second);

	o->second_used = true;
	op->sub.io = BLOCK_WRITE;
	op->sub.off = off + (second ? 0 : o->second);
	op->sub.len = take_memory(op, len);
	block_submit(op->oc->top, &op->sub);
}

/* A commit sees all of the change, or nothing: with a cache it happens where commits do. */
static void switch_place(struct overlay_op *op)
{
	op->sub.io = BLOCK_WRITE;
	op->sub.off = op->req->off;
	op->sub.len = op->req->len;
	block_submit(op->oc->committer, &op->sub);
}

static void do_switch(struct overlay *o, const struct block_req *req)
{
	bitmap_flip(o->in_second, req->off, req->len);
	mark_changed(o, req->off, req->len);
}

static void commit(struct overlay_op *op)
{
	op->sub.io = BLOCK_FLUSH;
	op->sub.flags = 0;
	block_submit(op->oc->committer, &op->sub);
}

static void change_ends(struct overlay_op *op)
{
	if (op->req->flags & BLOCK_FUA && op->oc->committer)
		commit(op);
	else
		op_end(op, 0);
}

static void changed(struct overlay_op *op)
{
	struct overlay *o = overlay_of(op->oc->chan.block);
	const struct block_req *req = op->req;

	if (o->second_used)
		bitmap_clear(o->in_second, req->off, req->len);
	mark_changed(o, req->off, req->len);
	change_ends(op);
}

/* A part is written, or, behind them, the place is switched. */
static void atomic_part_done(struct overlay_op *op)
{
	const struct block_req *req = op->req;

	if (op->done == req->len) {
		change_ends(op);
		return;
	}
	op->done += op->sub.len;
	if (op->done < req->len) {
		write_part(op);
	} else if (op->oc->committer) {
		switch_place(op);
	} else {
		do_switch(overlay_of(op->oc->chan.block), req);
		change_ends(op);
	}
}

static void part_done(struct block_req *sub, int err)
{
	struct overlay_op *op = container_of(sub, struct overlay_op, sub);

	if (err || sub->io == BLOCK_FLUSH) {
		op_end(op, err);
	} else if (op->req->flags & BLOCK_ATOMIC) {
		atomic_part_done(op);
	} else if (sub->io != BLOCK_READ) {
		changed(op);
	} else {
		op->done += sub->len;
		if (op->done < op->req->len)
			read_part(op);
		else
			op_end(op, 0);
	}
}

static void op_start(struct overlay_op *op, struct block_req *req)
{
	op->req = req;
	op->done = 0;
	op->sub = (struct block_req){ .done = part_done };
	if (req->io == BLOCK_FLUSH) {
		commit(op);
	} else if (req->io == BLOCK_READ) {
		op->rest = iov_cursor(req->iov, req->niov);
		read_part(op);
	} else if (req->flags & BLOCK_ATOMIC) {
		op->rest = iov_cursor(req->iov, req->niov);
		write_part(op);
	} else {
		change(op);
	}
}

static void end_all(void *arg)
{
	struct overlay_chan *oc = arg;
	struct block_req *req;

	while ((req = STAILQ_FIRST(&oc->ended))) {
		STAILQ_REMOVE_HEAD(&oc->ended, link);
		block_done(&oc->chan, req, 0);
	}
}

static void overlay_submit(struct block_chan *chan, struct block_req *req)
{
	struct overlay_chan *oc = container_of(chan, struct overlay_chan, chan);
	struct overlay_op *op = oc->free;

	if (req->io == BLOCK_FLUSH ? !oc->committer : !req->len) {
		STAILQ_INSERT_TAIL(&oc->ended, req, link);
		loop_defer(chan->loop, &oc->end);
	} else if (op) {
		oc->free = op->next_free;
		op_start(op, req);
	} else {
		STAILQ_INSERT_TAIL(&oc->waiting, req, link);
	}
}

static bool overlay_drain(struct block_chan *chan, int ms)
{
	struct overlay_chan *oc = container_of(chan, struct overlay_chan, chan);

	while (chan->inflight) {
		end_all(oc);
		if (!block_try_drain(oc->base, ms) || !block_try_drain(oc->top, ms) ||
		    (oc->committer && !block_try_drain(oc->committer, ms)))
			return false;
	}
	return true;
}

/* Channels. */

static int run_commit(struct block *block, const struct block_req *req)
{
	struct overlay *o = overlay_of(block);

	if (req->io == BLOCK_FLUSH)
		return overlay_commit(block);
	pthread_mutex_lock(&o->commit);
	do_switch(o, req);
	pthread_mutex_unlock(&o->commit);
	return 0;
}

static void overlay_chan_close(struct block_chan *chan)
{
	struct overlay_chan *oc = container_of(chan, struct overlay_chan, chan);

	loop_cancel(chan->loop, &oc->end);
	block_chan_close(oc->committer);
	block_chan_close(oc->top);
	block_chan_close(oc->base);
	free(oc);
}

static struct block_chan *overlay_chan_open(struct block *block, struct loop *loop)
{
	struct overlay *o = overlay_of(block);
	struct overlay_chan *oc = calloc(1, sizeof(*oc));
	unsigned i;

	if (!oc)
		return NULL;
	oc->chan = (struct block_chan){ .block = block, .loop = loop };
	oc->end = (struct loop_task){ .fn = end_all, .arg = oc };
	STAILQ_INIT(&oc->ended);
	STAILQ_INIT(&oc->waiting);
	for (i = 0; i < OPS; i++) {
		oc->op[i].oc = oc;
		oc->op[i].next_free = oc->free;
		oc->free = &oc->op[i];
	}
	oc->base = block_chan_open(o->base, loop);
	oc->top = block_chan_open(o->top, loop);
	if (o->kind == BLOCK_OVERLAY_CACHE)
		oc->committer = pool_open(block, loop, run_commit);
	if (oc->base && oc->top && (oc->committer || o->kind != BLOCK_OVERLAY_CACHE))
		return &oc->chan;
	overlay_chan_close(&oc->chan);
	return NULL;
}

/* Opening. [setup] */

static void overlay_close(struct block *block)
{
	struct overlay *o = overlay_of(block);

	if (o->written)
		munmap(o->written, o->map_size);
	if (o->dirty)
		munmap(o->dirty, o->map_size);
	if (o->in_second)
		munmap(o->in_second, o->map_size);
	free(o->span_dirty);
	block_close(o->top);
	block_close(o->base);
	pthread_mutex_destroy(&o->commit);
	free(o);
}

/* A file that nobody can open by name, of @size or, better, @twice as much. */
static int temporary_file(uint64_t size, uint64_t twice)
{
	const char *dir = nameless_folder();
	int fd = nameless_open(dir);
	int r = fd < 0 ? fd : 0;

	if (r == 0 && ftruncate(fd, twice) < 0 && ftruncate(fd, size) < 0)
		r = -errno;
	if (r == 0)
		return fd;
	log_err("overlay=on: %s: no file of %llu bytes can be made there: %s; set TMPDIR to "
		"another folder", dir, (unsigned long long)size, strerror(-r));
	if (fd >= 0)
		close(fd);
	return -EIO;
}

static int open_top(struct overlay *o, const struct block_open *how)
{
	struct block_open top = { .format = BLOCK_FORMAT_RAW,
				  .block_size = how->block_size, .engine = how->engine,
				  .direct = how->direct, .mem = how->mem };
	uint64_t size = o->base->size, second = align_up(size, PAGE);
	int fd = temporary_file(size, second + size), r;
	char path[32];

	if (fd < 0)
		return fd;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	top.path = path;
	r = block_open(&top, &o->top);
	close(fd);
	if (r < 0)
		return r;
	o->top->outermost = false;
	o->second = o->top->size > size ? second : 0;
	return 0;
}

static int open_base(struct overlay *o, const struct block_open *how)
{
	struct block_open base = *how;
	int r;

	base.overlay = BLOCK_OVERLAY_NONE;
	base.readonly = o->kind == BLOCK_OVERLAY_DROP;
	r = block_open(&base, &o->base);
	if (!r)
		o->base->outermost = false;
	return r;
}

static int make_maps(struct overlay *o)
{
	uint64_t size = o->base->size;

	o->map_size = bitmap_size(size);
	o->written = bitmap_create(o->map_size);
	if (o->second)
		o->in_second = bitmap_create(o->map_size);
	if (o->written && o->kind != BLOCK_OVERLAY_DROP) {
		o->dirty = bitmap_create(o->map_size);
		o->span_dirty = calloc(size / OVERLAY_SPAN + 1, sizeof(atomic_bool));
	}
	if (o->written && (o->kind == BLOCK_OVERLAY_DROP || (o->dirty && o->span_dirty)))
		return 0;
	log_err("%s: overlay=on: %zu MiB of addresses cannot be had: %s", o->base->path,
		o->map_size >> 20, strerror(errno));
	return -ENOMEM;
}

/* What a commit writes to the image, in place, is in whole pages when it is interrupted. */
static void atomic_facts(struct overlay *o)
{
	bool kept = o->kind != BLOCK_OVERLAY_DROP;
	struct block *b = &o->block;

	b->atomic_max = !o->in_second ? 0 : kept ? PAGE : ATOMIC_MAX;
	b->atomic_align = kept ? PAGE : BITMAP_UNIT;
	b->atomic_granularity = b->atomic_align;
	b->atomic_natural = false;
}

static int overlay_open(const struct block_open *how, struct block **block)
{
	struct overlay *o;
	int r;

	if (how->readonly) {
		log_err("%s: readonly=on: nothing is written then; leave overlay=on out",
			how->path ? how->path : "");
		return -EUSAGE;
	}
	o = calloc(1, sizeof(*o));
	if (!o)
		return -ENOMEM;
	o->kind = how->overlay;
	pthread_mutex_init(&o->commit, NULL);
	r = open_base(o, how);
	if (!r)
		r = open_top(o, how);
	if (!r)
		r = make_maps(o);
	if (r < 0) {
		overlay_close(&o->block);
		return r;
	}
	o->block = *o->base; /* the facts */
	o->block.readonly = false;
	o->block.fd = 0;
	o->block.ours = "overlay=on (run --overlay off)";
	o->block.can_discard = o->top->can_discard;
	o->block.discard_zeroes = true;
	o->block.discard_granularity = o->top->discard_granularity;
	atomic_facts(o);
	*block = &o->block;
	return 0;
}

static int commit_block(struct block *block)
{
	struct overlay *o = overlay_of(block);
	int r;

	if (o->kind == BLOCK_OVERLAY_DROP)
		return 0;
	block_hangs_as(o->base, block);
	block_hangs_as(o->top, block);
	r = overlay_commit(block);
	if (r < 0)
		log_err("%s: what the guest has changed is not written to it, or not all: %s",
			block->path, strerror(-r));
	return r;
}

/* The bits tell whose range it is; that one tells the rest. */
static bool overlay_is_mapped(struct block *block, uint64_t off, uint64_t *end)
{
	struct overlay *o = overlay_of(block);
	uint64_t len, where = off;
	bool written, mapped;

	len = bitmap_run(o->written, off, min_u64(OVERLAY_SPAN, block->size - off), &written);
	if (written)
		len = overlay_top_run(o, off, len, &where);
	mapped = block_is_mapped(written ? o->top : o->base, where, end);
	*end = off + min_u64(*end - where, len);
	return mapped;
}

static const char *overlay_hint(struct block *block, int err)
{
	if (err == -ENOSPC || err == -EDQUOT)
		return "its changes are kept in $TMPDIR, or /var/tmp";
	return block_hint(overlay_of(block)->base, err);
}

const struct block_ops block_overlay = {
	.name = "overlay",
	.open = overlay_open,
	.close = overlay_close,
	.chan_open = overlay_chan_open,
	.chan_close = overlay_chan_close,
	.submit = overlay_submit,
	.drain = overlay_drain,
	.commit = commit_block,
	.is_mapped = overlay_is_mapped,
	.hint = overlay_hint,
};
