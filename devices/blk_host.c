/* SPDX-License-Identifier: MIT */
#include "devices/blk_host.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "virtio/virtio.h"
#include "vmm/core/iov.h"
#include "vmm/core/loop.h"
#include "vmm/core/util.h"

#define SECTOR 512
#define PIECE (32u << 20) /* bytes; a store may take no more at a time */
#define PENDING 0xff      /* no status yet */

/* Of a discard, or a write zeroes. */
struct segment {
	uint64_t off, len; /* bytes */
	unsigned flags;    /* of its request to the store */
};

/*
 * A request between pop and push. A queue has as many as its ring has entries, and they are big,
 * for the worst chain; so they are a mapping that is not touched before it is needed, and the one
 * used last is used next.
 */
struct slot {
	struct block_req req;
	struct blk_queue *bq;
	uint16_t head;
	uint64_t began;           /* ns */
	uint32_t type;
	uint64_t sector;
	struct iovcur out, in;    /* data that the driver has written, that it wants */
	struct iovcur status;
	struct iovcur left;       /* data that has not begun to move, */
	uint64_t off;             /* ... and where it goes to, or comes from */
	uint32_t filled;          /* bytes of @in, if all goes well */
	unsigned nsegments, next; /* the first that has not begun */
	struct slot *next_free;
	struct iovec chain[BLK_HOST_CHAIN_MAX];
	union {
		struct iovec data[BLK_HOST_CHAIN_MAX];
		struct segment segment[BLK_HOST_SEGMENTS_MAX];
	};
};

struct blk_queue {
	struct blk_host *host;
	struct loop *loop;
	unsigned q;
	struct block_chan *chan; /* NULL: it is not in service */
	struct loop_task show;
	struct block_counters counters;
	unsigned nslots, nfresh;
	struct slot *slots;
	struct slot *free; /* used before; behind them come those from slots[nfresh] on */
};

/* Slots. */

static struct slot *slot_peek(struct blk_queue *bq)
{
	return bq->free ? bq->free : &bq->slots[bq->nfresh];
}

static void slot_take(struct blk_queue *bq, struct slot *s)
{
	if (s == bq->free)
		bq->free = s->next_free;
	else
		bq->nfresh++;
}

static void slot_give(struct blk_queue *bq, struct slot *s)
{
	s->next_free = bq->free;
	bq->free = s;
}

/* The end of a request. */

/* At the end of a round of the loop: one index and one interrupt for all that it has done. */
static void show(void *arg)
{
	struct blk_queue *bq = arg;

	virtio_complete(bq->host->vdev, bq->q);
}

/* Of a read that has failed nobody knows how much there is, so no more than a byte is promised. */
static void request_end(struct slot *s, uint8_t status)
{
	struct blk_queue *bq = s->bq;

	iov_put(&s->status, &status, 1);
	block_count_end(&bq->counters, s->began, block_count_now(), status != VIRTIO_BLK_S_OK);
	vq_push(&bq->host->vdev->vq[bq->q], s->head,
		1 + (status == VIRTIO_BLK_S_OK ? s->filled : 0));
	slot_give(bq, s);
	loop_defer(bq->loop, &bq->show);
}

static uint8_t go_on(struct slot *s);

static void io_done(struct block_req *req, int err)
{
	struct slot *s = container_of(req, struct slot, req);
	uint8_t status = VIRTIO_BLK_S_IOERR;

	if (!err) {
		block_count_io(&s->bq->counters, req);
		status = go_on(s);
	}
	if (status != PENDING)
		request_end(s, status);
}

static uint8_t io_start(struct slot *s, enum block_io io, unsigned flags, uint64_t off,
			uint64_t len)
{
	s->req.io = io;
	s->req.flags = flags;
	s->req.off = off;
	s->req.len = len;
	s->req.done = io_done;
	block_submit(s->bq->chan, &s->req);
	return PENDING;
}

/* What requests ask for, each by its row. They return a status, or PENDING. */

bool blk_host_has_cache(const struct blk_host *h)
{
	uint64_t accepted = h->vdev->accepted;

	if (!(accepted & VIRTIO_BIT(VIRTIO_BLK_F_FLUSH)))
		return false;
	return !(accepted & VIRTIO_BIT(VIRTIO_BLK_F_CONFIG_WCE)) || atomic_load(&h->writeback);
}

static unsigned write_flags(const struct slot *s)
{
	return blk_host_has_cache(s->bq->host) ? 0 : BLOCK_FUA;
}

static bool extent_ok(const struct slot *s, uint64_t sector, uint64_t len)
{
	uint32_t bs = s->bq->host->block_size;

	return sector <= UINT64_MAX / SECTOR && sector * SECTOR % bs == 0 && len % bs == 0 &&
	       range_ok(sector * SECTOR, len, s->bq->chan->block->size);
}

static uint8_t piece_start(struct slot *s)
{
	bool reads = s->type == VIRTIO_BLK_T_IN;
	struct iovcur piece = iov_split(&s->left, PIECE);
	uint64_t off = s->off;

	s->off += piece.left;
	s->req.iov = s->data;
	s->req.niov = iov_export(&piece, s->data, BLK_HOST_CHAIN_MAX);
	return io_start(s, reads ? BLOCK_READ : BLOCK_WRITE, reads ? 0 : write_flags(s), off,
			piece.left);
}

static uint8_t move(struct slot *s, const struct iovcur *data, const struct iovcur *other)
{
	if (other->left || !extent_ok(s, s->sector, data->left))
		return VIRTIO_BLK_S_IOERR;
	s->left = *data;
	s->off = s->sector * SECTOR;
	return go_on(s);
}

static uint8_t run_read(struct slot *s)
{
	s->filled = (uint32_t)s->in.left;
	return move(s, &s->in, &s->out);
}

static uint8_t run_write(struct slot *s)
{
	if (s->bq->chan->block->readonly)
		return VIRTIO_BLK_S_IOERR;
	return move(s, &s->out, &s->in);
}

static uint8_t run_flush(struct slot *s)
{
	return io_start(s, BLOCK_FLUSH, 0, 0, 0);
}

static uint8_t run_get_id(struct slot *s)
{
	if (s->in.left != VIRTIO_BLK_ID_BYTES || s->out.left)
		return VIRTIO_BLK_S_IOERR;
	iov_put(&s->in, s->bq->host->serial, VIRTIO_BLK_ID_BYTES);
	s->filled = VIRTIO_BLK_ID_BYTES;
	return VIRTIO_BLK_S_OK;
}

static uint8_t segment_start(struct slot *s)
{
	const struct segment *g = &s->segment[s->next++];
	bool discard = s->type == VIRTIO_BLK_T_DISCARD;

	return io_start(s, discard ? BLOCK_DISCARD : BLOCK_ZERO, g->flags, g->off, g->len);
}

/* An unknown flag, whatever else is wrong, is unsupported (§5.2.6.2). */
static uint8_t segment_take(struct slot *s, struct segment *g, uint32_t may, uint32_t max)
{
	uint8_t raw[sizeof(struct virtio_blk_discard_write_zeroes)];
	uint32_t flags;
	uint64_t sector;

	iov_pull(&s->out, raw, sizeof(raw));
	sector = le64_get(raw);
	g->len = (uint64_t)le32_get(raw + 8) * SECTOR;
	flags = le32_get(raw + 12);
	if (flags & ~may)
		return VIRTIO_BLK_S_UNSUPP;
	if (g->len > max || !extent_ok(s, sector, g->len))
		return VIRTIO_BLK_S_IOERR;
	g->off = sector * SECTOR;
	g->flags = write_flags(s);
	if (flags && s->bq->host->discard)
		g->flags |= BLOCK_MAY_UNMAP;
	return VIRTIO_BLK_S_OK;
}

/* All are looked at before the first one is done. */
static uint8_t run_segments(struct slot *s, uint32_t may, uint32_t max)
{
	size_t n = s->out.left / sizeof(struct virtio_blk_discard_write_zeroes);
	uint8_t status = VIRTIO_BLK_S_OK, one;
	size_t i;

	if (s->in.left || s->out.left % sizeof(struct virtio_blk_discard_write_zeroes) || !n ||
	    n > BLK_HOST_SEGMENTS_MAX)
		return VIRTIO_BLK_S_IOERR;
	for (i = 0; i < n; i++) {
		one = segment_take(s, &s->segment[i], may, max);
		if (one > status) /* UNSUPP after IOERR */
			status = one;
	}
	if (status != VIRTIO_BLK_S_OK)
		return status;
	s->nsegments = (unsigned)n;
	return go_on(s);
}

/* With what has not begun; there is no more of a flush. */
static uint8_t go_on(struct slot *s)
{
	if (s->left.left)
		return piece_start(s);
	while (s->next < s->nsegments && !s->segment[s->next].len)
		s->next++;
	return s->next < s->nsegments ? segment_start(s) : VIRTIO_BLK_S_OK;
}

static uint8_t run_discard(struct slot *s)
{
	return run_segments(s, 0, BLK_HOST_DISCARD_MAX);
}

static uint8_t run_write_zeroes(struct slot *s)
{
	return run_segments(s, VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP, BLK_HOST_ZEROES_MAX);
}

static const struct {
	uint32_t type;
	uint64_t feature; /* which the driver has to have accepted; 0: none */
	uint8_t (*run)(struct slot *s);
} requests[] = {
	{ VIRTIO_BLK_T_IN, 0, run_read },
	{ VIRTIO_BLK_T_OUT, 0, run_write },
	{ VIRTIO_BLK_T_FLUSH, VIRTIO_BIT(VIRTIO_BLK_F_FLUSH), run_flush },
	{ VIRTIO_BLK_T_GET_ID, 0, run_get_id },
	{ VIRTIO_BLK_T_DISCARD, VIRTIO_BIT(VIRTIO_BLK_F_DISCARD), run_discard },
	{ VIRTIO_BLK_T_WRITE_ZEROES, VIRTIO_BIT(VIRTIO_BLK_F_WRITE_ZEROES), run_write_zeroes },
};

static uint8_t run(struct slot *s)
{
	uint64_t accepted = s->bq->host->vdev->accepted;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(requests); i++) {
		if (requests[i].type == s->type &&
		    (accepted & requests[i].feature) == requests[i].feature)
			return requests[i].run(s);
	}
	return VIRTIO_BLK_S_UNSUPP;
}

/* The beginning of a request. */

/* Takes header and status out of the chain; what is left is data. False: they are not there. */
static bool request_parse(struct slot *s, const struct vq_chain *chain)
{
	uint8_t raw[sizeof(struct virtio_blk_outhdr)];
	struct iovcur in = iov_cursor(chain->in, chain->nin);

	s->out = iov_cursor(chain->out, chain->nout);
	if (!in.left || !iov_pull(&s->out, raw, sizeof(raw)))
		return false;
	s->in = iov_split(&in, in.left - 1);
	s->status = in;
	s->type = le32_get(raw + offsetof(struct virtio_blk_outhdr, type));
	s->sector = le64_get(raw + offsetof(struct virtio_blk_outhdr, sector));
	return true;
}

static bool request_start(struct blk_queue *bq, struct slot *s, const struct vq_chain *chain)
{
	uint8_t status;

	s->bq = bq;
	s->head = chain->head;
	s->filled = 0;
	s->left = (struct iovcur){ 0 };
	s->nsegments = s->next = 0;
	if (!request_parse(s, chain)) {
		virtio_refuse(bq->host->vdev, bq->q, s->head);
		slot_give(bq, s);
		return false;
	}
	s->began = block_count_now();
	status = run(s);
	if (status != PENDING)
		request_end(s, status);
	return true;
}

void blk_host_kick(struct blk_host *h, unsigned q)
{
	struct blk_queue *bq = &h->queue[q];
	struct virtqueue *vq = &h->vdev->vq[q];
	struct vq_chain chain;
	int r;

	for (;;) {
		struct slot *s = slot_peek(bq);

		r = vq_pop(vq, &chain, s->chain, BLK_HOST_CHAIN_MAX);
		if (r <= 0)
			break;
		slot_take(bq, s);
		if (!request_start(bq, s, &chain))
			break;
	}
	if (r < 0)
		virtio_queue_fault(h->vdev, q);
	virtio_kick_end(h->vdev, q);
}

/* Start and stop. */

static size_t slots_size(const struct blk_queue *bq)
{
	return bq->nslots * sizeof(struct slot);
}

uint64_t blk_host_memory(unsigned queues, unsigned entries)
{
	return (uint64_t)queues * (entries + 1) * sizeof(struct slot);
}

/* -errno, and nothing is left. */
static int queue_open(struct blk_queue *bq, unsigned ring_size)
{
	void *slots;
	int r;

	bq->chan = block_chan_open(bq->host->block, bq->loop);
	if (!bq->chan)
		return -errno;
	/* One more: the pop that finds nothing needs a place, too. */
	bq->nslots = ring_size + 1;
	slots = mmap(NULL, slots_size(bq), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		     0);
	if (slots == MAP_FAILED) {
		r = -errno;
		block_chan_close(bq->chan);
		bq->chan = NULL;
		return r;
	}
	bq->slots = slots;
	bq->nfresh = 0;
	bq->free = NULL;
	return 0;
}

int blk_host_start(struct blk_host *h, unsigned q, struct loop *loop)
{
	struct blk_queue *bq = &h->queue[q];
	int r;

	BUG_ON(loop != bq->loop);
	r = queue_open(bq, h->vdev->vq[q].s.size);
	if (r < 0)
		log_guest(&h->vdev->limit, "%s: queue %u: %s", h->vdev->name, q, strerror(-r));
	return r;
}

void blk_host_stop(struct blk_host *h, unsigned q)
{
	struct blk_queue *bq = &h->queue[q];

	block_chan_close(bq->chan);
	bq->chan = NULL;
	loop_cancel(bq->loop, &bq->show);
	munmap(bq->slots, slots_size(bq));
	bq->slots = NULL;
}

int blk_host_open(struct blk_host *h, struct virtio_device *vdev, unsigned nqueues,
		  struct loop *const *loop, unsigned nloops)
{
	unsigned q;

	h->queue = calloc(nqueues, sizeof(*h->queue));
	if (!h->queue)
		return -ENOMEM;
	h->vdev = vdev;
	h->nqueues = nqueues;
	atomic_store(&h->writeback, true);
	for (q = 0; q < nqueues; q++) {
		struct blk_queue *bq = &h->queue[q];

		bq->host = h;
		bq->q = q;
		bq->loop = loop[q % nloops];
		bq->show = (struct loop_task){ .fn = show, .arg = bq };
	}
	return 0;
}

void blk_host_close(struct blk_host *h)
{
	free(h->queue);
	h->queue = NULL;
	h->nqueues = 0;
}

/* While the guest runs: each queue's thread does it to its own. */

struct asking {
	struct blk_queue *bq;
	struct block *block;
	struct block_counters *sum;
};

static int ask(struct blk_host *h, int (*fn)(void *asking), struct asking a)
{
	int r = 0, err;
	unsigned q;

	for (q = 0; q < h->nqueues; q++) {
		a.bq = &h->queue[q];
		err = loop_call(a.bq->loop, fn, &a);
		r = r ? r : err;
	}
	return r;
}

static int settle(void *arg)
{
	struct blk_queue *bq = ((struct asking *)arg)->bq;

	if (bq->chan)
		block_drain(bq->chan);
	return 0;
}

void blk_host_settle(struct blk_host *h)
{
	ask(h, settle, (struct asking){ .bq = NULL });
}

/* The new channel comes first, as requests that end while the old one drains may bring others. */
static int swap(void *arg)
{
	const struct asking *a = arg;
	struct block_chan *old = a->bq->chan, *chan;

	if (!old || old->block == a->block)
		return 0;
	chan = block_chan_open(a->block, a->bq->loop);
	if (!chan)
		return -errno;
	a->bq->chan = chan;
	block_chan_close(old);
	return 0;
}

int blk_host_swap(struct blk_host *h, struct block *block)
{
	h->block = block;
	return ask(h, swap, (struct asking){ .block = block });
}

static int count(void *arg)
{
	const struct asking *a = arg;

	block_count_add(a->sum, &a->bq->counters);
	return 0;
}

void blk_host_count(struct blk_host *h, struct block_counters *sum)
{
	ask(h, count, (struct asking){ .sum = sum });
	sum->resets += atomic_load(&h->resets);
}
