/* SPDX-License-Identifier: MIT */
#include "devices/block/uring.h"

#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>

#include "devices/block/step.h"
#include "vmm/core/compat.h"
#include "vmm/core/log.h"
#include "vmm/core/loop.h"
#include "vmm/core/mem.h"
#include "vmm/core/util.h"

#define OPS 256      /* in the kernel's hands at a time; a power of two */
#define FILES 1024   /* registered; the others are used by their descriptors */
#define BUFFER_MAX GIB(1) /* the kernel registers no larger one */
#define BUFFERS 1024
#define BATCH 32 /* completions that are taken out of the ring together */
#define ROUNDS 8

/* A request on its way. It never has more than one call in the ring. */
struct op {
	struct step step;
	struct uring_chan *uc;
	struct block_req *req;
	bool empty; /* there is no call to make: req->err is known */
	bool waits; /* the call is made by a thread of the kernel's that may wait */
	struct op *next_free;
};

/* A region of guest memory, as buffers of the ring: pieces of BUFFER_MAX from number @first on. */
struct uring_region {
	uint8_t *at;
	uint64_t size;
	unsigned first;
};

struct uring {
	struct io_uring ring;
	struct loop *loop;
	struct loop_source ready; /* something has completed */
	struct loop_task submit;  /* there are calls in the ring that the kernel has not seen */
	unsigned users;
	uint64_t batch; /* counts those that went to the kernel */
	struct block_queue waiting; /* requests without an op */
	struct op *free;
	unsigned nfiles;
	bool file_used[FILES];
	bool regions_tried;
	unsigned nregions;
	struct uring_region region[MEM_REGIONS];
	struct op op[OPS];
};

struct uring_chan {
	struct block_chan chan;
	struct uring *u;
	struct file *file;
	int fixed;        /* the file's number in the ring, or -1 */
	uint64_t checked; /* the batch for whose writes the file's size has been looked at */
};

/* What *loop_shared() points to where there is no ring to be had. */
static const char refused;

/* Calls. */

/* The number of the registered buffer that holds all of @v; -1: none does. */
static int buffer_of(const struct uring *u, const struct iovec *v)
{
	unsigned i;

	for (i = 0; i < u->nregions; i++) {
		const struct uring_region *r = &u->region[i];
		uint64_t off = (uintptr_t)v->iov_base - (uintptr_t)r->at;

		if (range_ok(off, v->iov_len, r->size))
			return off % BUFFER_MAX + v->iov_len <= BUFFER_MAX ?
				       (int)(r->first + off / BUFFER_MAX) : -1;
	}
	return -1;
}

static void prepare_move(struct io_uring_sqe *sqe, const struct uring *u, const struct step *s,
			 int fd)
{
	static const uint8_t opcode[][3] = {
		[STEP_READ] = { IORING_OP_READV, IORING_OP_READ, IORING_OP_READ_FIXED },
		[STEP_WRITE] = { IORING_OP_WRITEV, IORING_OP_WRITE, IORING_OP_WRITE_FIXED },
	};
	const struct iovec *v = s->iov;
	bool fixed = s->niov == 1 && !(s->flags & RWF_ATOMIC); /* of which the kernel takes none */
	int buffer = fixed ? buffer_of(u, v) : -1;

	if (s->niov != 1) {
		io_uring_prep_rw(opcode[s->call][0], sqe, fd, v, s->niov, s->off);
	} else {
		io_uring_prep_rw(opcode[s->call][buffer < 0 ? 1 : 2], sqe, fd, v->iov_base,
				 v->iov_len, s->off);
		sqe->buf_index = buffer < 0 ? 0 : buffer;
	}
	sqe->rw_flags = s->flags;
}

/* The ring has a place for a call of every op. */
static void op_prepare(struct op *op)
{
	const struct uring_chan *uc = op->uc;
	struct uring *u = uc->u;
	const struct step *s = &op->step;
	struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);
	int fd = uc->fixed < 0 ? uc->file->fd : uc->fixed;

	BUG_ON(!sqe);
	switch (s->call) {
	case STEP_READ:
	case STEP_WRITE:
		prepare_move(sqe, u, s, fd);
		break;
	case STEP_FALLOCATE:
		io_uring_prep_fallocate(sqe, fd, s->flags, s->off, s->len);
		break;
	case STEP_FDATASYNC:
		io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
		break;
	}
	sqe->flags |= (uc->fixed < 0 ? 0 : IOSQE_FIXED_FILE) | (op->waits ? IOSQE_ASYNC : 0);
	io_uring_sqe_set_data(sqe, op);
	loop_defer(u->loop, &u->submit);
}

/* A request that needs no call, or may not make one, completes as all do: by the ring. */
static void op_prepare_nothing(struct op *op)
{
	struct uring *u = op->uc->u;
	struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);

	BUG_ON(!sqe);
	io_uring_prep_nop(sqe);
	io_uring_sqe_set_data(sqe, op);
	loop_defer(u->loop, &u->submit);
}

/* Once for a batch: it is a system call. */
static int check_file(struct uring_chan *uc)
{
	int r = uc->checked == uc->u->batch ? 0 : file_check(uc->file);

	if (!r)
		uc->checked = uc->u->batch;
	return r;
}

static void op_start(struct op *op, struct block_chan *chan, struct block_req *req)
{
	struct uring_chan *uc = container_of(chan, struct uring_chan, chan);
	bool writes = req->io != BLOCK_READ && req->io != BLOCK_FLUSH;

	op->uc = uc;
	op->req = req;
	op->waits = false;
	req->err = writes ? check_file(uc) : 0;
	op->empty = req->err || !step_begin(&op->step, req, uc->file->align);
	if (!op->empty) {
		op_prepare(op);
		return;
	}
	if (!req->err)
		req->err = op->step.err;
	op_prepare_nothing(op);
}

static void op_end(struct op *op, int err)
{
	struct block_chan *chan = &op->uc->chan;
	struct uring *u = op->uc->u;
	struct block_req *req = op->req, *next = STAILQ_FIRST(&u->waiting);

	step_end(&op->step);
	if (next) {
		STAILQ_REMOVE_HEAD(&u->waiting, link);
		op_start(op, next->chan, next);
	} else {
		op->next_free = u->free;
		u->free = op;
	}
	block_done(chan, req, err);
}

static void op_result(struct op *op, int result)
{
	if (op->empty) {
		op_end(op, op->req->err);
	} else if (result == -EAGAIN && !op->waits) {
		op->waits = true;
		op_prepare(op);
	} else if (step_next(&op->step, result)) {
		op_prepare(op);
	} else {
		op_end(op, op->step.err);
	}
}

/* The ring's entries are given back before done functions run, as these may use the ring. */
static void reap(struct uring *u)
{
	struct io_uring_cqe *cqe[BATCH];
	struct op *op[BATCH];
	int result[BATCH];
	unsigned i, n;

	do {
		n = io_uring_peek_batch_cqe(&u->ring, cqe, BATCH);
		for (i = 0; i < n; i++) {
			op[i] = io_uring_cqe_get_data(cqe[i]);
			result[i] = cqe[i]->res;
		}
		io_uring_cq_advance(&u->ring, n);
		for (i = 0; i < n; i++)
			op_result(op[i], result[i]);
	} while (n == BATCH);
}

static void on_ready(void *arg)
{
	reap(arg);
}

/*
 * What completes at once may lead to further calls; some rounds of that, then the loop's other
 * sources have their turn. The kernel may be short of memory, and what it has not taken stays in
 * the ring.
 */
static void submit_all(void *arg)
{
	struct uring *u = arg;
	unsigned i;

	for (i = 0; i < ROUNDS && io_uring_sq_ready(&u->ring); i++) {
		u->batch++;
		io_uring_submit(&u->ring);
		reap(u);
	}
	if (!io_uring_sq_ready(&u->ring))
		loop_cancel(u->loop, &u->submit);
	else
		loop_defer(u->loop, &u->submit);
}

static void uring_submit(struct block_chan *chan, struct block_req *req)
{
	struct uring *u = container_of(chan, struct uring_chan, chan)->u;
	struct op *op = u->free;

	if (op) {
		u->free = op->next_free;
		op_start(op, chan, req);
	} else {
		STAILQ_INSERT_TAIL(&u->waiting, req, link);
	}
}

static bool uring_drain(struct block_chan *chan, int ms)
{
	struct uring *u = container_of(chan, struct uring_chan, chan)->u;
	struct block_wait wait = block_wait_begin(chan, ms);
	struct __kernel_timespec t;
	struct io_uring_cqe *cqe;
	int left;

	while (chan->inflight) {
		left = block_wait_left(&wait);
		t.tv_sec = left / 1000;
		t.tv_nsec = left % 1000 * 1000000ll;
		u->batch++;
		io_uring_submit(&u->ring);
		io_uring_wait_cqe_timeout(&u->ring, &cqe, &t);
		reap(u);
		if (chan->inflight && !left)
			return false;
	}
	return true;
}

/* Making and ending. */

/*
 * COOP_TASKRUN: a thread that is busy is not interrupted for what it will see in its time. Kernels
 * before 5.19 do not know it.
 */
static int ring_init(struct io_uring *ring, unsigned entries)
{
	struct io_uring_params params = { .flags = IORING_SETUP_COOP_TASKRUN }, plain = { 0 };
	int r = io_uring_queue_init_params(entries, ring, &params);

	return r == -EINVAL ? io_uring_queue_init_params(entries, ring, &plain) : r;
}

/* Room for files that are registered later. (liburing has one call for that since 2.2.) */
static int register_room(struct io_uring *ring)
{
	int none[FILES];

	memset(none, -1, sizeof(none));
	return io_uring_register_files(ring, none, FILES);
}

int uring_probe(void)
{
	struct io_uring ring;
	int r = ring_init(&ring, 1);

	if (!r)
		io_uring_queue_exit(&ring);
	return r;
}

const char *uring_why(int err)
{
	switch (-err) {
	case ENOSYS:
		return "this kernel has no io_uring";
	case EPERM:
	case EACCES:
		return "io_uring is forbidden here (sysctl kernel.io_uring_disabled, or a sandbox)";
	case ENOMEM:
		return "io_uring finds no memory, or none that may be locked (ulimit -l)";
	case EINVAL:
		return "this kernel's io_uring is too old; Linux 6.1 will do";
	default:
		return strerror(-err);
	}
}

/* Without a place among the registered ones a file is used by its descriptor. */
static int file_register(struct uring *u, int fd)
{
	unsigned i;

	for (i = 0; i < u->nfiles; i++) {
		if (u->file_used[i])
			continue;
		if (io_uring_register_files_update(&u->ring, i, &fd, 1) != 1)
			return -1;
		u->file_used[i] = true;
		return i;
	}
	return -1;
}

static void file_unregister(struct uring *u, int fixed)
{
	int none = -1;

	if (fixed < 0)
		return;
	io_uring_register_files_update(&u->ring, fixed, &none, 1);
	u->file_used[fixed] = false;
}

/*
 * So that the kernel need not look up and pin the pages of each request. All of the memory is
 * pinned by it, which the user may not be allowed to; all works without it.
 */
static void memory_register(struct uring *u, struct mem *mem)
{
	struct iovec iov[BUFFERS];
	unsigned i, n = 0;
	uint64_t at;
	int r;

	u->regions_tried = true;
	for (i = 0; i < mem->nregions; i++) {
		const struct mem_region *m = &mem->region[i];

		u->region[i] = (struct uring_region){ m->hva, m->size, n };
		for (at = 0; at < m->size && n < BUFFERS; at += BUFFER_MAX)
			iov[n++] = (struct iovec){ m->hva + at, min_u64(BUFFER_MAX, m->size - at) };
	}
	r = io_uring_register_buffers(&u->ring, iov, n);
	if (!r) {
		atomic_store(&mem->pinned, true);
		u->nregions = mem->nregions;
		return;
	}
	log_info("%s: guest memory is not registered with io_uring: %s%s", loop_name(u->loop),
		 strerror(-r), r == -ENOMEM ? " (RLIMIT_MEMLOCK)" : "");
}

static struct uring *uring_create(struct loop *loop)
{
	struct uring *u = calloc(1, sizeof(*u));
	unsigned i;
	int r;

	if (!u) {
		errno = ENOMEM;
		return NULL;
	}
	r = ring_init(&u->ring, OPS);
	if (r < 0)
		goto free;
	u->loop = loop;
	u->batch = 1;
	STAILQ_INIT(&u->waiting);
	for (i = 0; i < OPS; i++) {
		u->op[i].next_free = u->free;
		u->free = &u->op[i];
	}
	u->submit = (struct loop_task){ .fn = submit_all, .arg = u };
	u->ready = (struct loop_source){ .fd = u->ring.ring_fd, .fn = on_ready, .arg = u };
	r = loop_add(loop, &u->ready);
	if (r < 0)
		goto exit;
	if (register_room(&u->ring) == 0)
		u->nfiles = FILES;
	return u;

exit:
	io_uring_queue_exit(&u->ring);
free:
	free(u);
	errno = -r;
	return NULL;
}

static void uring_put(struct uring *u)
{
	if (--u->users)
		return;
	*loop_shared(u->loop) = NULL;
	loop_cancel(u->loop, &u->submit);
	loop_del(u->loop, &u->ready);
	/* Else the kernel has them open for some time after the ring is gone, and the file system
	 * or loop device that an image is on stays busy. */
	if (u->nfiles)
		io_uring_unregister_files(&u->ring);
	io_uring_queue_exit(&u->ring);
	free(u);
}

static struct uring *uring_get(struct loop *loop, bool *first)
{
	void **shared = loop_shared(loop);
	struct uring *u = *shared;

	*first = !u;
	if (*shared == &refused) {
		errno = EPERM;
		return NULL;
	}
	if (!u)
		u = uring_create(loop);
	*shared = u ? u : (void *)&refused;
	if (u)
		u->users++;
	return u;
}

static void uring_close(struct block_chan *chan)
{
	struct uring_chan *uc = container_of(chan, struct uring_chan, chan);

	file_unregister(uc->u, uc->fixed);
	uring_put(uc->u);
	free(uc);
}

static const struct block_ops uring_ops = {
	.name = "io_uring",
	.chan_close = uring_close,
	.submit = uring_submit,
	.drain = uring_drain,
};

struct block_chan *uring_open(struct file *file, struct loop *loop, bool *first)
{
	struct uring *u = uring_get(loop, first);
	struct uring_chan *uc;

	if (!u)
		return NULL;
	uc = calloc(1, sizeof(*uc));
	if (!uc) {
		uring_put(u);
		errno = ENOMEM;
		return NULL;
	}
	uc->chan = (struct block_chan){ .block = &file->block, .loop = loop, .ops = &uring_ops };
	uc->u = u;
	uc->file = file;
	uc->fixed = file_register(u, file->fd);
	if (file->mem && !u->regions_tried)
		memory_register(u, file->mem);
	return &uc->chan;
}
