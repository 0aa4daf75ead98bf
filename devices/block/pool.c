/* SPDX-License-Identifier: MIT */
#include "devices/block/pool.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vmm/core/loop.h"
#include "vmm/core/thread.h"
#include "vmm/core/util.h"

/* Enough to keep a disk's queue from running dry, few enough to be cheap where nothing is done. */
#define WORKERS 4

struct pool {
	struct block_chan chan;
	pool_run_fn *run;
	struct loop_source wake; /* something was put into @finished */

	/* The loop's. */
	struct thread worker[WORKERS];
	unsigned nworkers;

	pthread_mutex_t lock; /* of the following */
	pthread_cond_t work;  /* @todo is not empty, or it is time to quit */
	struct block_queue todo, finished;
	unsigned idle;    /* workers without a request ... */
	unsigned waiting; /* ... and requests without a worker */
	bool quit;
};

static void worker_main(void *arg)
{
	struct pool *pool = arg;
	struct block_req *req;
	bool first;

	pthread_mutex_lock(&pool->lock);
	for (;;) {
		while (STAILQ_EMPTY(&pool->todo) && !pool->quit)
			pthread_cond_wait(&pool->work, &pool->lock);
		if (pool->quit)
			break;
		req = STAILQ_FIRST(&pool->todo);
		STAILQ_REMOVE_HEAD(&pool->todo, link);
		pool->waiting--;
		pool->idle--;
		pthread_mutex_unlock(&pool->lock);

		req->err = pool->run(pool->chan.block, req);

		pthread_mutex_lock(&pool->lock);
		pool->idle++;
		first = STAILQ_EMPTY(&pool->finished);
		STAILQ_INSERT_TAIL(&pool->finished, req, link);
		if (first)
			eventfd_write(pool->wake.fd, 1);
	}
	pthread_mutex_unlock(&pool->lock);
}

/* -errno. */
static int worker_start(struct pool *pool)
{
	int r;

	/* It counts as idle from its birth: under the lock, as it may find work at once. */
	pthread_mutex_lock(&pool->lock);
	r = thread_start(&pool->worker[pool->nworkers], THREAD_STORE, "block-worker", worker_main,
			 pool);
	if (!r) {
		pool->nworkers++;
		pool->idle++;
	}
	pthread_mutex_unlock(&pool->lock);
	return r;
}

static struct block_req *take_finished(struct pool *pool)
{
	struct block_req *req;

	pthread_mutex_lock(&pool->lock);
	req = STAILQ_FIRST(&pool->finished);
	if (req)
		STAILQ_REMOVE_HEAD(&pool->finished, link);
	pthread_mutex_unlock(&pool->lock);
	return req;
}

static void finish(void *arg)
{
	struct pool *pool = arg;
	struct block_req *req;
	eventfd_t count;

	/* The count first: what is put in after the list was seen empty counts anew. */
	eventfd_read(pool->wake.fd, &count);
	while ((req = take_finished(pool)))
		block_done(&pool->chan, req, req->err);
}

static void pool_submit(struct block_chan *chan, struct block_req *req)
{
	struct pool *pool = container_of(chan, struct pool, chan);
	bool busy;

	pthread_mutex_lock(&pool->lock);
	STAILQ_INSERT_TAIL(&pool->todo, req, link);
	busy = ++pool->waiting > pool->idle;
	pthread_cond_signal(&pool->work);
	pthread_mutex_unlock(&pool->lock);
	/* That there is no thread to be had does not matter: the first one does it all in time. */
	if (busy && pool->nworkers < WORKERS)
		worker_start(pool);
}

static bool pool_drain(struct block_chan *chan, int ms)
{
	struct pool *pool = container_of(chan, struct pool, chan);
	struct pollfd fd = { .fd = pool->wake.fd, .events = POLLIN };
	struct block_wait wait = block_wait_begin(chan, ms);
	int left;

	while (chan->inflight) {
		left = block_wait_left(&wait);
		poll(&fd, 1, left);
		finish(pool);
		if (chan->inflight && !left)
			return false;
	}
	return true;
}

static void pool_free(struct pool *pool)
{
	if (pool->wake.fd >= 0)
		close(pool->wake.fd);
	pthread_cond_destroy(&pool->work);
	pthread_mutex_destroy(&pool->lock);
	free(pool);
}

static void pool_close(struct block_chan *chan)
{
	struct pool *pool = container_of(chan, struct pool, chan);

	pthread_mutex_lock(&pool->lock);
	pool->quit = true;
	pthread_cond_broadcast(&pool->work);
	pthread_mutex_unlock(&pool->lock);
	while (pool->nworkers)
		thread_join(&pool->worker[--pool->nworkers]);
	loop_del(chan->loop, &pool->wake);
	pool_free(pool);
}

static const struct block_ops pool_ops = {
	.name = "threads",
	.chan_close = pool_close,
	.submit = pool_submit,
	.drain = pool_drain,
};

struct block_chan *pool_open(struct block *block, struct loop *loop, pool_run_fn *run)
{
	struct pool *pool = calloc(1, sizeof(*pool));
	int r;

	if (!pool)
		return NULL;
	pool->chan = (struct block_chan){ .block = block, .loop = loop, .ops = &pool_ops };
	pool->run = run;
	pthread_mutex_init(&pool->lock, NULL);
	pthread_cond_init(&pool->work, NULL);
	STAILQ_INIT(&pool->todo);
	STAILQ_INIT(&pool->finished);
	pool->wake = (struct loop_source){ .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
					   .fn = finish, .arg = pool };
	r = pool->wake.fd < 0 ? errno : -loop_add(loop, &pool->wake);
	if (r)
		goto free;
	r = -worker_start(pool);
	if (r)
		goto del;
	return &pool->chan;

del:
	loop_del(loop, &pool->wake);
free:
	pool_free(pool);
	errno = r;
	return NULL;
}
