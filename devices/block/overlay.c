#include "devices/block/overlay.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "devices/block/copy.h"
#include "devices/block/pool.h"
#include "vmm/core/iov.h"
#include "vmm/core/log.h"
#include "vmm/core/loop.h"
#include "vmm/core/util.h"

#define UNIT 512u /* bytes for a bit */
#define OPS 64    /* requests under way at a time, of one channel */
#define PIECES 128
#define WORD (64 * UNIT)  /* bytes for a word of bits */
#define SPAN (512 * WORD) /* bytes for 4096 bytes of bits, which are looked at together or not */

struct overlay {
	struct block block;
	struct block *base, *top;
	enum block_overlay kind;
	size_t map_size;            /* bytes, of each map */
	_Atomic(uint64_t) *written; /* is in the top */
	_Atomic(uint64_t) *dirty;   /* and not in the base yet; NULL: it will never be */
	atomic_bool *span_dirty;    /* something in a SPAN is */
	pthread_mutex_t commit;     /* one at a time */
};

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

static struct overlay *overlay_of(struct block *block)
{
	return container_of(block, struct overlay, block);
}

/* The maps. */

static void map_mark(_Atomic(uint64_t) *map, uint64_t off, uint64_t len)
{
	uint64_t i = off / UNIT, end = (off + len + UNIT - 1) / UNIT;

	while (i < end) {
		unsigned n = min_u64(64 - i % 64, end - i);

		atomic_fetch_or(&map[i / 64], (n == 64 ? ~0ull : (1ull << n) - 1) << i % 64);
		i += n;
	}
}

/* Bytes from @off on that are alike, at most @len. *@set: how they are. */
static uint64_t map_run(_Atomic(uint64_t) *map, uint64_t off, uint64_t len, bool *set)
{
	uint64_t first = off / UNIT, end = (off + len + UNIT - 1) / UNIT, i = first;

	*set = map[first / 64] >> first % 64 & 1;
	while (i < end) {
		uint64_t others = (*set ? ~map[i / 64] : map[i / 64]) >> i % 64;

		if (others) {
			i += __builtin_ctzll(others);
			break;
		}
		i = (i | 63) + 1;
	}
	return min_u64(i * UNIT - off, len);
}

static void mark_changed(struct overlay *o, uint64_t off, uint64_t len)
{
	uint64_t i;

	map_mark(o->written, off, len);
	if (!o->dirty)
		return;
	map_mark(o->dirty, off, len);
	for (i = off / SPAN; i <= (off + len - 1) / SPAN; i++)
		o->span_dirty[i] = true;
}

static _Atomic(uint64_t) *map_create(size_t size)
{
	void *map = mmap(NULL, size, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return map == MAP_FAILED ? NULL : map;
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

	len = map_run(o->written, off, req->len - op->done, &written);
	op->sub.io = BLOCK_READ;
	op->sub.off = off;
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

static void commit(struct overlay_op *op)
{
	op->sub.io = BLOCK_FLUSH;
	op->sub.flags = 0;
	block_submit(op->oc->committer, &op->sub);
}

static void changed(struct overlay_op *op)
{
	struct overlay *o = overlay_of(op->oc->chan.block);
	const struct block_req *req = op->req;

	mark_changed(o, req->off, req->len);
	if (req->flags & BLOCK_FUA && op->oc->committer)
		commit(op);
	else
		op_end(op, 0);
}

static void part_done(struct block_req *sub, int err)
{
	struct overlay_op *op = container_of(sub, struct overlay_op, sub);

	if (err || sub->io == BLOCK_FLUSH) {
		op_end(op, err);
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

static void overlay_drain(struct block_chan *chan)
{
	struct overlay_chan *oc = container_of(chan, struct overlay_chan, chan);

	while (chan->inflight) {
		end_all(oc);
		block_drain(oc->base);
		block_drain(oc->top);
		if (oc->committer)
			block_drain(oc->committer);
	}
}

/* Commit. [any thread] */

struct committing {
	struct overlay *o;
	struct block_chan *base, *top;
	uint8_t *buf; /* WORD bytes */
};

static int commit_chunk(struct committing *c, uint64_t off, uint64_t len)
{
	struct iovec iov = { c->buf, len };
	int r = block_now(c->top, BLOCK_READ, off, &iov);

	if (r < 0)
		return r;
	/* What has been given back in the one is given back in the other. */
	return block_now(c->base, block_is_zero(c->buf, len) ? BLOCK_ZERO : BLOCK_WRITE, off, &iov);
}

/*
 * Runs of set bits, one after the other. They are cleared before the data is read: what is written
 * meanwhile sets them anew.
 */
static int commit_word(struct committing *c, uint64_t word)
{
	uint64_t bits = atomic_exchange(&c->o->dirty[word], 0), from = word * WORD;
	_Atomic(uint64_t) left = bits;
	uint64_t at = 0, len;
	bool set;
	int r = 0;

	for (; bits && at < WORD && from + at < c->o->block.size && !r; at += len) {
		len = map_run(&left, at, min_u64(WORD, c->o->block.size - from) - at, &set);
		if (set)
			r = commit_chunk(c, from + at, len);
	}
	if (r < 0)
		atomic_fetch_or(&c->o->dirty[word], bits);
	return r;
}

static int commit_span(struct committing *c, uint64_t span)
{
	uint64_t word = span * (SPAN / WORD), end = word + SPAN / WORD;
	int r = 0;

	if (!atomic_exchange(&c->o->span_dirty[span], false))
		return 0;
	for (; word < end && word * WORD < c->o->block.size && !r; word++)
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

	for (span = 0; span * SPAN < c->o->block.size && !r; span++)
		r = commit_span(c, span);
	return r ? r : block_now(c->base, BLOCK_FLUSH, 0, &none);
}

int overlay_commit(struct block *block)
{
	struct overlay *o = overlay_of(block);
	struct committing c = { .o = o, .buf = aligned_alloc(4096, WORD) };
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

/* Channels. */

static int run_commit(struct block *block, const struct block_req *req)
{
	(void)req;
	return overlay_commit(block);
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
	free(o->span_dirty);
	block_close(o->top);
	block_close(o->base);
	pthread_mutex_destroy(&o->commit);
	free(o);
}

/* A file that nobody can open by name. */
static int temporary_file(uint64_t size)
{
	const char *dir = getenv("TMPDIR");
	char path[4096];
	int fd;

	if (!dir || !*dir)
		dir = "/var/tmp";
	fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR) &&
	    snprintf(path, sizeof(path), "%s/lunette-XXXXXX", dir) < (int)sizeof(path)) {
		fd = mkostemp(path, O_CLOEXEC);
		if (fd >= 0)
			unlink(path);
	}
	if (fd >= 0 && ftruncate(fd, size) == 0)
		return fd;
	log_err("overlay=on: %s: no file of %llu bytes can be made there: %s; set TMPDIR to "
		"another folder", dir, (unsigned long long)size, strerror(errno));
	if (fd >= 0)
		close(fd);
	return -EIO;
}

static int open_top(struct overlay *o, const struct block_open *how)
{
	struct block_open top = { .block_size = how->block_size, .engine = how->engine,
				  .direct = how->direct, .mem = how->mem };
	int fd = temporary_file(o->base->size), r;
	char path[32];

	if (fd < 0)
		return fd;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	top.path = path;
	r = block_open(&top, &o->top);
	close(fd);
	if (!r)
		o->top->outermost = false;
	return r;
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

	o->map_size = align_up((size + UNIT - 1) / UNIT, 4096 * 8) / 8;
	o->written = map_create(o->map_size);
	if (o->written && o->kind != BLOCK_OVERLAY_DROP) {
		o->dirty = map_create(o->map_size);
		o->span_dirty = calloc(size / SPAN + 1, sizeof(atomic_bool));
	}
	if (o->written && (o->kind == BLOCK_OVERLAY_DROP || (o->dirty && o->span_dirty)))
		return 0;
	log_err("%s: overlay=on: %zu MiB of addresses cannot be had: %s", o->base->path,
		o->map_size >> 20, strerror(errno));
	return -ENOMEM;
}

static int overlay_open(const struct block_open *how, struct block **block)
{
	struct overlay *o;
	int r;

	if (how->readonly) {
		log_err("%s: readonly=on: nothing is written then; leave overlay=on out",
			how->path ? how->path : "");
		return -EINVAL;
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
	*block = &o->block;
	return 0;
}

static int commit_block(struct block *block)
{
	struct overlay *o = overlay_of(block);
	int r;

	if (o->kind == BLOCK_OVERLAY_DROP)
		return 0;
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
	bool written, mapped;
	uint64_t len = map_run(o->written, off, min_u64(SPAN, block->size - off), &written);

	mapped = block_is_mapped(written ? o->top : o->base, off, end);
	*end = min_u64(*end, off + len);
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
