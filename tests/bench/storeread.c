/* SPDX-License-Identifier: MIT */
/*
 * storeread.c - reads from a file by a store alone, without a SCSI target and a driver in front of
 * it; and by io_uring alone, without lunette: what a store can be compared to.
 *
 *	usage: storeread uring|threads|auto|raw BYTES DEPTH COUNT FILE
 *
 * COUNT reads of BYTES, DEPTH at a time, of the first blocks of FILE, which the page cache has. In
 * a round DEPTH reads are submitted, and the next one begins when the last of them is done: for raw
 * that is one system call.
 * An image that another program serves has auto alone. Prints nanoseconds per read; a failed read
 * is fatal.
 */
#include <fcntl.h>
#include <liburing.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "devices/block/block.h"
#include "vmm/core/compat.h"
#include "vmm/core/log.h"
#include "vmm/core/loop.h"
#include "vmm/core/util.h"

#define DEPTH_MAX 128
#define BYTES_MAX (1u << 20)
#define PAGE 4096

static uint8_t *data; /* depth blocks */
static unsigned bytes, depth, count;

/* By io_uring alone. */

static void raw_round(struct io_uring *ring)
{
	struct io_uring_cqe *cqe[DEPTH_MAX];
	unsigned i, n;

	for (i = 0; i < depth; i++) {
		struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

		io_uring_prep_read(sqe, 0, data + i * bytes, bytes, (uint64_t)i * bytes);
		sqe->flags |= IOSQE_FIXED_FILE;
	}
	BUG_ON(io_uring_submit_and_wait(ring, depth) != (int)depth);
	n = io_uring_peek_batch_cqe(ring, cqe, DEPTH_MAX);
	BUG_ON(n != depth);
	for (i = 0; i < n; i++)
		BUG_ON(cqe[i]->res != (int)bytes);
	io_uring_cq_advance(ring, n);
}

static void run_raw(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct io_uring ring;
	unsigned i;

	BUG_ON(fd < 0 || io_uring_queue_init(DEPTH_MAX, &ring, IORING_SETUP_COOP_TASKRUN) < 0);
	BUG_ON(io_uring_register_files(&ring, &fd, 1) < 0);
	for (i = 0; i < count; i += depth)
		raw_round(&ring);
	io_uring_queue_exit(&ring);
	close(fd);
}

/* By a store. */

static struct loop *loop;
static struct block_chan *chan;
static struct block_req req[DEPTH_MAX];
static struct iovec iov[DEPTH_MAX];
static unsigned flying, left;

static void submit_round(void);

static void on_done(struct block_req *r, int err)
{
	(void)r;
	BUG_ON(err);
	if (--flying)
		return;
	left -= depth;
	if (left)
		submit_round();
	else
		loop_stop(loop);
}

static void submit_round(void)
{
	unsigned i;

	flying = depth;
	for (i = 0; i < depth; i++) {
		iov[i] = (struct iovec){ data + i * bytes, bytes };
		req[i] = (struct block_req){ .io = BLOCK_READ, .off = (uint64_t)i * bytes,
					     .len = bytes, .iov = &iov[i], .niov = 1,
					     .done = on_done };
		block_submit(chan, &req[i]);
	}
}

static void run_store(const char *path, enum block_engine engine)
{
	struct block_open how = { .path = path, .readonly = true, .engine = engine };
	struct block *block;

	loop = loop_create("storeread");
	BUG_ON(!loop || block_open(&how, &block) < 0);
	chan = block_chan_open(block, loop);
	BUG_ON(!chan);
	left = count;
	submit_round();
	loop_run(loop);
	block_chan_close(chan);
	block_close(block);
	loop_destroy(loop);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

int main(int argc, char **argv)
{
	const char *how = argc == 6 ? argv[1] : "";
	uint64_t start;

	if (argc == 6) {
		bytes = atoi(argv[2]);
		depth = atoi(argv[3]);
		count = atoi(argv[4]);
	}
	if (!bytes || bytes > BYTES_MAX || !depth || depth > DEPTH_MAX || !count || count % depth) {
		fprintf(stderr, "usage: storeread uring|threads|auto|raw BYTES DEPTH COUNT "
			"FILE, "
			"BYTES up to %u, DEPTH up to %d, COUNT a multiple\n", BYTES_MAX, DEPTH_MAX);
		return 2;
	}
	data = aligned_alloc(PAGE, ((size_t)depth * bytes + PAGE - 1) / PAGE * PAGE);
	BUG_ON(!data);
	memset(data, 0, (size_t)depth * bytes);
	start = now_ns();
	if (!strcmp(how, "raw"))
		run_raw(argv[5]);
	else
		run_store(argv[5], !strcmp(how, "threads") ? BLOCK_ENGINE_THREADS :
				   !strcmp(how, "auto") ? BLOCK_ENGINE_AUTO : BLOCK_ENGINE_URING);
	printf("%llu\n", (unsigned long long)(now_ns() - start) / count);
	free(data);
	return 0;
}
