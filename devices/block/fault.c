/* SPDX-License-Identifier: MIT */
#include "devices/block/fault.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "devices/block/fault_rule.h"
#include "vmm/core/clock.h"
#include "vmm/core/iov.h"
#include "vmm/core/log.h"
#include "vmm/core/loop.h"
#include "vmm/core/util.h"

#define OPS 64
#define PIECES 128

STAILQ_HEAD(fault_queue, fault_op);

struct fault_op {
	struct block_req sub;
	struct fault_chan *fc;
	struct block_req *req;
	struct fault_effect effect;
	uint64_t due; /* ms */
	struct iovec piece[PIECES];
	STAILQ_ENTRY(fault_op) link;
};

struct fault_chan {
	struct block_chan chan, *inner;
	struct loop_source timer;   /* something is due, or new rules are in force */
	struct loop_task end;       /* of those in @ended */
	struct fault_queue delayed, hung, ended, free;
	struct block_queue waiting; /* requests without an op */
	unsigned generation;        /* of the rules when those in @hung were hung */
	bool draining;
	LIST_ENTRY(fault_chan) link;
	struct fault_op op[OPS];
};

struct fault {
	struct block block, *inner;
	bool cached;                /* the inner one forgets what is not flushed */
	bool late;                  /* it was in use before: there can be no such cache */
	pthread_mutex_t lock;       /* of the following */
	struct fault_rules rules;
	unsigned generation;
	bool cut;
	LIST_HEAD(, fault_chan) chans;
};

static struct fault *fault_of(struct block *block)
{
	return container_of(block, struct fault, block);
}

static struct fault_op *take(struct fault_queue *queue)
{
	struct fault_op *op = STAILQ_FIRST(queue);

	if (op)
		STAILQ_REMOVE_HEAD(queue, link);
	return op;
}

/* Ends. */

static void op_start(struct fault_op *op, struct block_req *req);

static void op_end(struct fault_op *op, int err)
{
	struct fault_chan *fc = op->fc;
	struct block_req *req = op->req, *next = STAILQ_FIRST(&fc->waiting);

	if (next) {
		STAILQ_REMOVE_HEAD(&fc->waiting, link);
		op_start(op, next);
	} else {
		STAILQ_INSERT_TAIL(&fc->free, op, link);
	}
	block_done(&fc->chan, req, err);
}

/* Without the inner store, but not before submit has returned. */
static void end_later(struct fault_op *op, int err)
{
	op->effect.err = err;
	STAILQ_INSERT_TAIL(&op->fc->ended, op, link);
	loop_defer(op->fc->chan.loop, &op->fc->end);
}

static void end_all(void *arg)
{
	struct fault_chan *fc = arg;
	struct fault_op *op;

	while ((op = take(&fc->ended)))
		op_end(op, op->effect.err);
}

static void sub_done(struct block_req *sub, int err)
{
	struct fault_op *op = container_of(sub, struct fault_op, sub);

	op_end(op, err ? err : op->effect.err);
}

/* Effects. */

/* Of a write, only so much as the rule says, if it is not more than there is. */
static void tear(struct fault_op *op)
{
	struct iovcur cur = iov_cursor(op->req->iov, op->req->niov);
	struct iovcur part = iov_split(&cur, op->effect.torn_at);
	unsigned i, n = min_u64(iov_export(&part, op->piece, PIECES), PIECES);

	op->sub.iov = op->piece;
	op->sub.niov = n;
	for (op->sub.len = 0, i = 0; i < n; i++)
		op->sub.len += op->piece[i].iov_len;
}

static void pass_on(struct fault_op *op)
{
	const struct block_req *req = op->req;

	op->sub = (struct block_req){ .io = req->io, .flags = req->flags, .off = req->off,
				      .len = req->len, .iov = req->iov, .niov = req->niov,
				      .done = sub_done };
	if (op->effect.torn && req->io == BLOCK_WRITE)
		tear(op);
	block_submit(op->fc->inner, &op->sub);
}

static void power_fails(struct fault *f)
{
	pthread_mutex_lock(&f->lock);
	f->cut = true;
	pthread_mutex_unlock(&f->lock);
}

/* Of what is all or nothing, it is nothing. */
static bool tears_atomic(const struct fault_op *op)
{
	return op->effect.torn && op->req->io == BLOCK_WRITE && op->req->flags & BLOCK_ATOMIC;
}

/* What the rule says, but for the delay, which is over. */
static void act(struct fault_op *op)
{
	struct fault_chan *fc = op->fc;
	const struct fault_effect *e = &op->effect;

	if (e->hang && !fc->draining) {
		STAILQ_INSERT_TAIL(&fc->hung, op, link);
	} else if (e->hang) {
		end_later(op, -ETIMEDOUT);
	} else if (e->cut) {
		power_fails(fault_of(fc->chan.block));
		end_later(op, -EIO);
	} else if (e->lost || (e->err && !e->torn && !e->done) || tears_atomic(op)) {
		end_later(op, e->err);
	} else {
		pass_on(op);
	}
}

static void set_timer(struct fault_chan *fc, uint64_t ms)
{
	struct itimerspec in = { .it_value = { .tv_sec = ms / 1000,
					       .tv_nsec = ms % 1000 * 1000000 + 1 } };

	timerfd_settime(fc->timer.fd, 0, &in, NULL);
}

/* Unless new rules have set it to be heard at once. */
static void set_next(struct fault_chan *fc, uint64_t ms)
{
	struct fault *f = fault_of(fc->chan.block);

	pthread_mutex_lock(&f->lock);
	if (fc->generation == f->generation)
		set_timer(fc, ms);
	pthread_mutex_unlock(&f->lock);
}

/* Those that are due; with @all, every one. The timer is set for the next. */
static void end_delays(struct fault_chan *fc, bool all)
{
	struct fault_queue waiting = STAILQ_HEAD_INITIALIZER(waiting);
	uint64_t now = now_ms(), next = UINT64_MAX;
	struct fault_op *op;

	STAILQ_CONCAT(&waiting, &fc->delayed);
	while ((op = take(&waiting))) {
		if (all || op->due <= now) {
			act(op);
		} else {
			next = min_u64(next, op->due);
			STAILQ_INSERT_TAIL(&fc->delayed, op, link);
		}
	}
	if (next != UINT64_MAX)
		set_next(fc, next - now);
}

/* What hangs goes on, or, with @err, ends. */
static void release(struct fault_chan *fc, int err)
{
	struct fault_queue hung = STAILQ_HEAD_INITIALIZER(hung);
	struct fault_op *op;

	STAILQ_CONCAT(&hung, &fc->hung);
	while ((op = take(&hung))) {
		op->effect.hang = false;
		if (err)
			end_later(op, err);
		else
			act(op);
	}
}

static void on_timer(void *arg)
{
	struct fault_chan *fc = arg;
	struct fault *f = fault_of(fc->chan.block);
	unsigned generation;
	uint64_t count;

	if (read(fc->timer.fd, &count, sizeof(count)) < 0)
		return;
	pthread_mutex_lock(&f->lock);
	generation = f->generation;
	pthread_mutex_unlock(&f->lock);
	if (generation != fc->generation)
		release(fc, 0);
	fc->generation = generation;
	end_delays(fc, false);
}

/* Requests. */

static void op_start(struct fault_op *op, struct block_req *req)
{
	struct fault_chan *fc = op->fc;
	struct fault *f = fault_of(fc->chan.block);
	bool cut;

	op->req = req;
	pthread_mutex_lock(&f->lock);
	cut = f->cut;
	op->effect = fault_rules_match(&f->rules, req);
	pthread_mutex_unlock(&f->lock);
	if (cut) {
		end_later(op, -EIO);
	} else if (op->effect.delay) {
		op->due = now_ms() + op->effect.delay;
		STAILQ_INSERT_TAIL(&fc->delayed, op, link);
		end_delays(fc, false);
	} else {
		act(op);
	}
}

static void fault_submit(struct block_chan *chan, struct block_req *req)
{
	struct fault_chan *fc = container_of(chan, struct fault_chan, chan);
	struct fault_op *op = take(&fc->free);

	if (op)
		op_start(op, req);
	else
		STAILQ_INSERT_TAIL(&fc->waiting, req, link);
}

static bool fault_drain(struct block_chan *chan, int ms)
{
	struct fault_chan *fc = container_of(chan, struct fault_chan, chan);
	bool all = true;

	fc->draining = true;
	while (chan->inflight && all) {
		end_delays(fc, true);
		release(fc, -ETIMEDOUT);
		end_all(fc);
		all = block_try_drain(fc->inner, ms);
	}
	fc->draining = false;
	return all;
}

/* Channels. */

static void chan_free(struct fault_chan *fc)
{
	block_chan_close(fc->inner);
	if (fc->timer.fd >= 0)
		close(fc->timer.fd);
	free(fc);
}

static void fault_chan_close(struct block_chan *chan)
{
	struct fault_chan *fc = container_of(chan, struct fault_chan, chan);
	struct fault *f = fault_of(chan->block);

	pthread_mutex_lock(&f->lock);
	LIST_REMOVE(fc, link);
	pthread_mutex_unlock(&f->lock);
	loop_cancel(chan->loop, &fc->end);
	loop_del(chan->loop, &fc->timer);
	chan_free(fc);
}

static struct fault_chan *chan_alloc(struct block *block, struct loop *loop)
{
	struct fault_chan *fc = calloc(1, sizeof(*fc));
	unsigned i;

	if (!fc)
		return NULL;
	fc->chan = (struct block_chan){ .block = block, .loop = loop };
	fc->end = (struct loop_task){ .fn = end_all, .arg = fc };
	fc->timer = (struct loop_source){ .fd = timerfd_create(CLOCK_MONOTONIC,
							       TFD_CLOEXEC | TFD_NONBLOCK),
					  .fn = on_timer, .arg = fc };
	STAILQ_INIT(&fc->delayed);
	STAILQ_INIT(&fc->hung);
	STAILQ_INIT(&fc->ended);
	STAILQ_INIT(&fc->free);
	STAILQ_INIT(&fc->waiting);
	for (i = 0; i < OPS; i++) {
		fc->op[i].fc = fc;
		STAILQ_INSERT_TAIL(&fc->free, &fc->op[i], link);
	}
	return fc;
}

static struct block_chan *fault_chan_open(struct block *block, struct loop *loop)
{
	struct fault *f = fault_of(block);
	struct fault_chan *fc = chan_alloc(block, loop);

	if (!fc)
		return NULL;
	fc->inner = block_chan_open(f->inner, loop);
	if (!fc->inner || fc->timer.fd < 0 || loop_add(loop, &fc->timer) < 0) {
		chan_free(fc);
		return NULL;
	}
	pthread_mutex_lock(&f->lock);
	fc->generation = f->generation;
	LIST_INSERT_HEAD(&f->chans, fc, link);
	pthread_mutex_unlock(&f->lock);
	return &fc->chan;
}

static int parse(const struct fault *f, const char *who, struct fault_rules *rules,
		 const char *text)
{
	int r = fault_rules_parse(rules, who, text);
	unsigned i;

	for (i = 0; !r && f->late && i < rules->count; i++) {
		if (!rules->rule[i].effect.cut)
			continue;
		log_err("%s: fault=: what a power cut takes away has to be in a cache from the "
			"start; start the disk with fault=, which needs no rules", who);
		r = -EOPNOTSUPP;
	}
	return r;
}

int fault_set(struct block *block, const char *text)
{
	struct fault *f = fault_of(block);
	struct fault_rules rules = { .block_size = f->rules.block_size };
	struct fault_chan *fc;
	int r;

	BUG_ON(block->ops != &block_fault);
	r = parse(f, block->path, &rules, text);
	if (r < 0)
		return r;
	pthread_mutex_lock(&f->lock);
	f->rules = rules;
	f->generation++;
	LIST_FOREACH(fc, &f->chans, link)
		set_timer(fc, 0);
	pthread_mutex_unlock(&f->lock);
	return 0;
}

/* Opening. */

static int commit_inner(const struct fault *f)
{
	block_hangs_as(f->inner, &f->block);
	return block_commit(f->inner);
}

/* The power has not failed, so the cache has all the time that it wants. */
static void fault_close(struct block *block)
{
	struct fault *f = fault_of(block);

	if (f->cached && !f->cut)
		commit_inner(f);
	block_close(f->inner);
	pthread_mutex_destroy(&f->lock);
	free(f);
}

/* The facts are those of @inner, whose channels may be in use. */
static void surround(struct fault *f, struct block *inner)
{
	pthread_mutex_init(&f->lock, NULL);
	LIST_INIT(&f->chans);
	inner->outermost = false;
	f->inner = inner;
	f->block = (struct block){
		.path = inner->path,
		.ours = "fault= is given",
		.by = inner->by,
		.size = inner->size,
		.readonly = inner->readonly,
		.rotational = inner->rotational,
		.can_discard = inner->can_discard,
		.discard_zeroes = inner->discard_zeroes,
		.discard_granularity = inner->discard_granularity,
		.physical_block = inner->physical_block,
		.atomic_max = inner->atomic_max,
		.atomic_align = inner->atomic_align,
		.atomic_granularity = inner->atomic_granularity,
		.atomic_natural = inner->atomic_natural,
		.full = inner->full,
		.on_full = inner->on_full,
		.on_full_arg = inner->on_full_arg,
	};
}

int fault_insert(struct block *inner, uint32_t block_size, const char *rules, struct block **block)
{
	struct fault *f = calloc(1, sizeof(*f));
	int r;

	if (!f)
		return -ENOMEM;
	f->late = true;
	f->rules.block_size = block_size;
	r = parse(f, inner->path, &f->rules, rules);
	if (r < 0) {
		free(f);
		return r;
	}
	surround(f, inner);
	f->block.ops = &block_fault;
	f->block.outermost = true;
	*block = &f->block;
	return 0;
}

static int fault_open(const struct block_open *how, struct block **block)
{
	struct fault *f = calloc(1, sizeof(*f));
	struct block_open inner = *how;
	struct block *around = NULL;
	int r;

	if (!f)
		return -ENOMEM;
	inner.fault = NULL;
	f->cached = !how->readonly && !how->overlay;
	if (f->cached)
		inner.overlay = BLOCK_OVERLAY_CACHE;
	f->rules.block_size = how->block_size ? how->block_size : 512;
	r = parse(f, how->path ? how->path : "disk", &f->rules, how->fault);
	if (!r)
		r = block_open(&inner, &around);
	if (r < 0) {
		free(f);
		return r;
	}
	surround(f, around);
	*block = &f->block;
	return 0;
}

static void settled(void *arg)
{
	(void)arg; /* nobody uses the inner one but this one, which has settled */
}

static int fault_resize(struct block *block, uint64_t size)
{
	return block_resize(fault_of(block)->inner, size, settled, NULL);
}

static bool fault_is_mapped(struct block *block, uint64_t off, uint64_t *end)
{
	return block_is_mapped(fault_of(block)->inner, off, end);
}

static int fault_commit(struct block *block)
{
	const struct fault *f = fault_of(block);

	return f->cached || f->cut ? 0 : commit_inner(f);
}

static const char *fault_hint(struct block *block, int err)
{
	return block_hint(fault_of(block)->inner, err);
}

const struct block_ops block_fault = {
	.name = "fault",
	.open = fault_open,
	.close = fault_close,
	.chan_open = fault_chan_open,
	.chan_close = fault_chan_close,
	.submit = fault_submit,
	.drain = fault_drain,
	.commit = fault_commit,
	.resize = fault_resize,
	.is_mapped = fault_is_mapped,
	.hint = fault_hint,
};
