/* SPDX-License-Identifier: MIT */
/*
 * null.c - a store that drops what is written and reads as zeroes: for figures
 * without a disk, and for tests. Its requests complete after the round of events
 * that has brought them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "devices/block/block.h"
#include "vmm/core/fail.h"
#include "vmm/core/iov.h"
#include "vmm/core/log.h"
#include "vmm/core/loop.h"
#include "vmm/core/util.h"

struct null_chan {
	struct block_chan chan;
	struct loop_task finish;
	struct block_queue queue;
};

static void null_read(const struct block_req *req)
{
	struct iovcur cur = iov_cursor(req->iov, req->niov);

	iov_zero(&cur, req->len);
}

/* A done function may submit more; that is done in the same go. */
static void null_finish(void *arg)
{
	struct null_chan *nc = arg;
	struct block_req *req;

	while ((req = STAILQ_FIRST(&nc->queue))) {
		STAILQ_REMOVE_HEAD(&nc->queue, link);
		if (req->io == BLOCK_READ)
			null_read(req);
		block_done(&nc->chan, req, 0);
	}
}

static void null_submit(struct block_chan *chan, struct block_req *req)
{
	struct null_chan *nc = container_of(chan, struct null_chan, chan);

	loop_defer(chan->loop, &nc->finish);
	STAILQ_INSERT_TAIL(&nc->queue, req, link);
}

static bool null_drain(struct block_chan *chan, int ms)
{
	(void)ms;
	null_finish(container_of(chan, struct null_chan, chan));
	return true;
}

static struct block_chan *null_chan_open(struct block *block, struct loop *loop)
{
	struct null_chan *nc = calloc(1, sizeof(*nc));

	if (!nc)
		return NULL;
	nc->chan = (struct block_chan){ .block = block, .loop = loop };
	nc->finish = (struct loop_task){ .fn = null_finish, .arg = nc };
	STAILQ_INIT(&nc->queue);
	return &nc->chan;
}

static void null_chan_close(struct block_chan *chan)
{
	struct null_chan *nc = container_of(chan, struct null_chan, chan);

	loop_cancel(chan->loop, &nc->finish);
	free(nc);
}

static void null_close(struct block *block)
{
	free(block->path);
	free(block);
}

static int null_open(const struct block_open *how, struct block **block)
{
	const char *path = how->path ? how->path : "null";
	struct block *b;

	if (!how->size) {
		log_err("%s: the null store needs a size; add size=1G", path);
		return -EUSAGE;
	}
	if (how->direct || how->engine != BLOCK_ENGINE_AUTO) {
		log_err("%s: %s is about files, and store=null has none", path,
			how->direct ? "direct=on" : "io=");
		return -EUSAGE;
	}
	b = calloc(1, sizeof(*b));
	if (!b)
		return -ENOMEM;
	b->path = strdup(path);
	if (!b->path) {
		free(b);
		return -ENOMEM;
	}
	b->size = how->size;
	b->readonly = how->readonly;
	b->can_discard = b->discard_zeroes = true;
	b->physical_block = 512;
	*block = b;
	return 0;
}

static int null_resize(struct block *block, uint64_t size)
{
	(void)block;
	(void)size;
	return 0;
}

const struct block_ops block_null = {
	.name = "null",
	.help = "nothing: drops writes, reads zeroes",
	.open = null_open,
	.close = null_close,
	.chan_open = null_chan_open,
	.chan_close = null_chan_close,
	.submit = null_submit,
	.drain = null_drain,
	.resize = null_resize,
};
