/* SPDX-License-Identifier: MIT */
#include "tests/lib/ramstore.h"

#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vmm/core/loop.h"
#include "vmm/core/util.h"

struct ram_chan {
	struct block_chan chan;
	struct loop_source bell;
	struct block_queue queue;
};

static struct ramstore *ram_of(struct block *block)
{
	return container_of(block, struct ramstore, block);
}

static void move(struct ramstore *ram, const struct block_req *req)
{
	uint8_t *at = ram->bytes + req->off;
	unsigned i;

	for (i = 0; i < req->niov; at += req->iov[i].iov_len, i++) {
		if (req->io == BLOCK_READ)
			memcpy(req->iov[i].iov_base, at, req->iov[i].iov_len);
		else
			memcpy(at, req->iov[i].iov_base, req->iov[i].iov_len);
	}
}

static void perform(struct ramstore *ram, const struct block_req *req)
{
	bool zeroes = req->io == BLOCK_ZERO ||
		      (req->io == BLOCK_DISCARD && ram->block.discard_zeroes);

	if (zeroes)
		memset(ram->bytes + req->off, 0, req->len);
	else if (req->io == BLOCK_READ || req->io == BLOCK_WRITE)
		move(ram, req);
}

bool ramstore_step(struct block_chan *chan)
{
	struct ram_chan *rc = container_of(chan, struct ram_chan, chan);
	struct ramstore *ram = ram_of(chan->block);
	struct block_req *req = STAILQ_FIRST(&rc->queue);
	int err = 0;

	if (!req)
		return false;
	STAILQ_REMOVE_HEAD(&rc->queue, link);
	pthread_mutex_lock(&ram->lock);
	if (ram->nlog < RAMSTORE_LOG)
		ram->log[ram->nlog] = (struct ramstore_io){ req->io, req->flags, req->off,
							     req->len };
	ram->nlog++;
	if (ram->fail_at && !--ram->fail_at)
		err = ram->fail_with;
	else
		perform(ram, req);
	pthread_mutex_unlock(&ram->lock);
	block_done(chan, req, err);
	return true;
}

static void ram_submit(struct block_chan *chan, struct block_req *req)
{
	struct ram_chan *rc = container_of(chan, struct ram_chan, chan);

	STAILQ_INSERT_TAIL(&rc->queue, req, link);
	if (!ram_of(chan->block)->hold)
		eventfd_write(rc->bell.fd, 1);
}

static bool ram_drain(struct block_chan *chan, int ms)
{
	struct ramstore *ram = ram_of(chan->block);

	ram->waited = ms;
	while (!ram->stuck && ramstore_step(chan))
		;
	return !chan->inflight;
}

static void ram_ring(void *arg)
{
	struct ram_chan *rc = arg;
	eventfd_t count;

	eventfd_read(rc->bell.fd, &count);
	ram_drain(&rc->chan, 0);
}

static struct block_chan *ram_chan_open(struct block *block, struct loop *loop)
{
	struct ram_chan *rc = calloc(1, sizeof(*rc));

	rc->chan = (struct block_chan){ .block = block, .loop = loop };
	STAILQ_INIT(&rc->queue);
	rc->bell = (struct loop_source){
		.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC),
		.fn = ram_ring,
		.arg = rc,
	};
	loop_add(loop, &rc->bell);
	return &rc->chan;
}

static void ram_chan_close(struct block_chan *chan)
{
	struct ram_chan *rc = container_of(chan, struct ram_chan, chan);

	loop_del(chan->loop, &rc->bell);
	close(rc->bell.fd);
	free(rc);
}

static bool ram_is_mapped(struct block *block, uint64_t off, uint64_t *end)
{
	const struct ramstore *ram = ram_of(block);
	unsigned i = 0;

	while (i < ram->nedges && ram->edges[i] <= off)
		i++;
	if (i < ram->nedges)
		*end = ram->edges[i];
	return i % 2 == 0;
}

static void ram_close(struct block *block)
{
	ramstore_close(ram_of(block));
}

static const struct block_ops ram_ops = {
	.name = "ram",
	.close = ram_close,
	.chan_open = ram_chan_open,
	.is_mapped = ram_is_mapped,
	.chan_close = ram_chan_close,
	.submit = ram_submit,
	.drain = ram_drain,
};

struct ramstore *ramstore_open(uint64_t size)
{
	struct ramstore *ram = calloc(1, sizeof(*ram));

	pthread_mutex_init(&ram->lock, NULL);
	ram->bytes = calloc(1, size);
	ram->block = (struct block){
		.ops = &ram_ops,
		.size = size,
		.can_discard = true,
		.discard_zeroes = true,
		.discard_granularity = 4096,
		.physical_block = 4096,
		.atomic_max = 65536,
		.atomic_align = 1024,
		.atomic_granularity = 1024,
	};
	return ram;
}

void ramstore_close(struct ramstore *ram)
{
	pthread_mutex_destroy(&ram->lock);
	free(ram->bytes);
	free(ram);
}
