/* SPDX-License-Identifier: MIT */
#include "devices/block/guard.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "vmm/core/log.h"
#include "vmm/core/loop.h"
#include "vmm/core/util.h"

#define LINE_SECONDS 10 /* between two lines about one block */

struct guard {
	struct block_chan *chan;
	struct loop_source retry; /* a timer; its fd is -1 until something is held */
	struct block_queue held;
	bool draining;
	bool was_full; /* the last time that something was tried again */
};

static bool is_full(int err)
{
	return err == -ENOSPC || err == -EDQUOT;
}

/* The lines. */

static bool may_speak(struct block *block)
{
	struct timespec now;
	long last = block->spoke;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (!last || now.tv_sec - last >= LINE_SECONDS) &&
	       atomic_compare_exchange_strong(&block->spoke, &last, now.tv_sec | 1);
}

static const char *outcome(const struct block *block, const struct block_req *req, int err)
{
	static const char *const full[] = {
		[FULL_REPORT] = "the guest is told; make room",
		[FULL_STOP] = "the guest's request waits until you make room",
		[FULL_FAIL] = "the run ends",
	};

	if (!is_full(err))
		return "the guest is told";
	if (block->full == FULL_STOP && req->io == BLOCK_FLUSH)
		return full[FULL_REPORT];
	return full[block->full];
}

static void report(struct block *block, const struct block_req *req, int err)
{
	static const char *const verb[] = {
		[BLOCK_READ] = "read",
		[BLOCK_WRITE] = "write",
		[BLOCK_FLUSH] = "flush",
		[BLOCK_DISCARD] = "discard",
		[BLOCK_ZERO] = "zeroing",
	};
	char where[64] = "";
	const char *hint;

	if (!may_speak(block))
		return;
	hint = block_hint(block, err);
	if (req->io != BLOCK_FLUSH)
		snprintf(where, sizeof(where), " of %llu bytes at %llu",
			 (unsigned long long)req->len, (unsigned long long)req->off);
	log_warn("%s: %s%s: %s%s%s; %s", block->path, verb[req->io], where,
		 -err & BLOCK_ERR_TOLD ? "fails as it is told to" : strerror(-err),
		 hint ? ": " : "", hint ? hint : "", outcome(block, req, err));
}

/* Holding. */

static void set_timer(struct guard *g)
{
	struct itimerspec second = { .it_value = { .tv_sec = 1 } };

	timerfd_settime(g->retry.fd, 0, &second, NULL);
}

/* Those that fail again are put behind, so each is tried once. */
static void on_retry(void *arg)
{
	struct guard *g = arg;
	struct block_queue again = STAILQ_HEAD_INITIALIZER(again);
	struct block_req *req;
	uint64_t count;

	if (read(g->retry.fd, &count, sizeof(count)) < 0)
		return;
	STAILQ_CONCAT(&again, &g->held);
	while ((req = STAILQ_FIRST(&again))) {
		STAILQ_REMOVE_HEAD(&again, link);
		g->chan->ops->submit(g->chan, req);
	}
}

static bool make_timer(struct guard *g)
{
	if (g->retry.fd >= 0)
		return true;
	g->retry.fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (g->retry.fd < 0)
		return false;
	if (loop_add(g->chan->loop, &g->retry) == 0)
		return true;
	close(g->retry.fd);
	g->retry.fd = -1;
	return false;
}

bool guard_take(struct guard *g, struct block_req *req, int err)
{
	struct block *block = g->chan->block;

	report(block, req, err);
	if (!is_full(err) || block->full == FULL_REPORT || g->draining)
		return false;
	if (block->full == FULL_FAIL && block->on_full)
		block->on_full(block->on_full_arg);
	/* A flush that failed once may succeed without what it has lost. */
	if (req->io == BLOCK_FLUSH || !make_timer(g))
		return false;
	g->was_full = true;
	req->err = err;
	STAILQ_INSERT_TAIL(&g->held, req, link);
	set_timer(g);
	return true;
}

void guard_success(struct guard *g)
{
	if (!g->was_full || !STAILQ_EMPTY(&g->held))
		return;
	g->was_full = false;
	log_note("%s: there is room again", g->chan->block->path);
}

void guard_drain(struct guard *g, bool draining)
{
	struct block_req *req;

	g->draining = draining;
	while (draining && (req = STAILQ_FIRST(&g->held))) {
		STAILQ_REMOVE_HEAD(&g->held, link);
		block_done(g->chan, req, req->err);
	}
}

struct guard *guard_open(struct block_chan *chan)
{
	struct guard *g = calloc(1, sizeof(*g));

	if (!g)
		return NULL;
	g->chan = chan;
	g->retry = (struct loop_source){ .fd = -1, .fn = on_retry, .arg = g };
	STAILQ_INIT(&g->held);
	return g;
}

void guard_close(struct guard *g)
{
	if (g->retry.fd >= 0) {
		loop_del(g->chan->loop, &g->retry);
		close(g->retry.fd);
	}
	free(g);
}
