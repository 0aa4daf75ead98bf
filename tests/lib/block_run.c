/* SPDX-License-Identifier: MIT */
#include "tests/lib/block_run.h"

#include "vmm/core/log.h"
#include "vmm/core/util.h"

struct run {
	struct block_req req;
	int err;
	unsigned done;
};

static void on_done(struct block_req *req, int err)
{
	struct run *run = container_of(req, struct run, req);

	run->err = err;
	run->done++;
}

static int run_req(struct block_chan *chan, struct run *run)
{
	run->req.done = on_done;
	block_submit(chan, &run->req);
	BUG_ON(run->done); /* never inside submit */
	block_drain(chan);
	BUG_ON(run->done != 1);
	return run->err;
}

int block_run(struct block_chan *chan, enum block_io io, unsigned flags, uint64_t off, void *buf,
	      uint64_t len)
{
	struct iovec iov = { buf, len };
	struct run run = { .req = { .io = io, .flags = flags, .off = off, .len = len,
				    .iov = buf ? &iov : NULL, .niov = !!buf } };

	return run_req(chan, &run);
}

int block_run_iov(struct block_chan *chan, enum block_io io, unsigned flags, uint64_t off,
		  const struct iovec *iov, unsigned niov)
{
	struct run run = { .req = { .io = io, .flags = flags, .off = off, .iov = iov,
				    .niov = niov } };
	unsigned i;

	for (i = 0; i < niov; i++)
		run.req.len += iov[i].iov_len;
	return run_req(chan, &run);
}
