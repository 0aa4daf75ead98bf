/* SPDX-License-Identifier: MIT */
#include "vmm/core/loop.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <unistd.h>

#include "vmm/core/log.h"
#include "vmm/core/thread.h"

#define EVENTS 16

struct call {
	int (*fn)(void *arg);
	void *arg;
	int result;
	bool done;
	STAILQ_ENTRY(call) link;
};

struct loop {
	char name[16];
	int epfd;
	struct loop_source wake; /* an eventfd: there are calls, or it is time to stop */
	atomic_bool stop;

	pthread_mutex_t lock; /* of the following */
	pthread_cond_t done;
	STAILQ_HEAD(, call) calls;
	atomic_bool running; /* there is a thread, and it is ... */
	pthread_t thread;    /* ... this one, which is written first */

	struct thread own; /* made by loop_start() ... */
	bool own_thread;   /* ... if it has been called */
	/* The events of the round under way: loop_pause() takes its source out of them. */
	struct epoll_event event[EVENTS];
	int nevents;

	TAILQ_HEAD(, loop_task) tasks;
	uint64_t round;
	void *shared;
};

/* With the lock held; it is free while a call runs. */
static void run_calls(struct loop *loop)
{
	struct call *c;

	while ((c = STAILQ_FIRST(&loop->calls))) {
		STAILQ_REMOVE_HEAD(&loop->calls, link);
		pthread_mutex_unlock(&loop->lock);
		c->result = c->fn(c->arg);
		pthread_mutex_lock(&loop->lock);
		c->done = true;
		pthread_cond_broadcast(&loop->done);
	}
}

static void woken(void *arg)
{
	struct loop *loop = arg;
	eventfd_t count;

	eventfd_read(loop->wake.fd, &count);
	pthread_mutex_lock(&loop->lock);
	run_calls(loop);
	pthread_mutex_unlock(&loop->lock);
}

void loop_serve(struct loop *loop)
{
	BUG_ON(!loop_is_current(loop));
	woken(loop);
}

struct loop *loop_create(const char *name)
{
	struct loop *loop = calloc(1, sizeof(*loop));

	if (!loop)
		return NULL;
	snprintf(loop->name, sizeof(loop->name), "%s", name);
	pthread_mutex_init(&loop->lock, NULL);
	pthread_cond_init(&loop->done, NULL);
	STAILQ_INIT(&loop->calls);
	TAILQ_INIT(&loop->tasks);
	loop->epfd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epfd < 0)
		goto free;
	loop->wake = (struct loop_source){ .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
					   .fn = woken, .arg = loop };
	if (loop->wake.fd < 0)
		goto close_epoll;
	if (loop_add(loop, &loop->wake) < 0)
		goto close_wake;
	return loop;

close_wake:
	close(loop->wake.fd);
close_epoll:
	close(loop->epfd);
free:
	free(loop);
	return NULL;
}

void loop_destroy(struct loop *loop)
{
	if (!loop)
		return;
	BUG_ON(loop->running);
	close(loop->wake.fd);
	close(loop->epfd);
	pthread_cond_destroy(&loop->done);
	pthread_mutex_destroy(&loop->lock);
	free(loop);
}

static void run_tasks(struct loop *loop)
{
	struct loop_task *task;

	loop->round++;
	while ((task = TAILQ_FIRST(&loop->tasks)) && task->round != loop->round) {
		loop_cancel(loop, task);
		task->round = loop->round;
		task->fn(task->arg);
	}
}

static void round_of(struct loop *loop, int timeout)
{
	int i;

	loop->nevents = epoll_wait(loop->epfd, loop->event, EVENTS, timeout);
	for (i = 0; i < loop->nevents; i++) {
		struct loop_source *src = loop->event[i].data.ptr;

		if (src)
			src->fn(src->arg);
	}
	loop->nevents = 0;
	run_tasks(loop);
}

void loop_run(struct loop *loop)
{
	pthread_mutex_lock(&loop->lock);
	if (!loop->own_thread) { /* else loop_start() has said so */
		loop->thread = pthread_self();
		loop->running = true;
	}
	pthread_mutex_unlock(&loop->lock);

	while (!atomic_load(&loop->stop))
		round_of(loop, TAILQ_EMPTY(&loop->tasks) ? -1 : 0);

	/* Those who ask from now on serve themselves; those who have asked still count on us. */
	pthread_mutex_lock(&loop->lock);
	run_calls(loop);
	loop->running = false;
	pthread_mutex_unlock(&loop->lock);
}

static void run_own(void *arg)
{
	loop_run(arg);
}

int loop_start(struct loop *loop)
{
	int r;

	/* Under the lock, so that the thread cannot end before it counts as running. */
	pthread_mutex_lock(&loop->lock);
	r = thread_start(&loop->own, THREAD_IO, loop->name, run_own, loop);
	if (r == 0)
		loop->thread = loop->own.id;
	loop->running = loop->own_thread = r == 0;
	pthread_mutex_unlock(&loop->lock);
	return r;
}

void loop_stop(struct loop *loop)
{
	atomic_store(&loop->stop, true);
	eventfd_write(loop->wake.fd, 1);
}

void loop_round(struct loop *loop)
{
	BUG_ON(!loop_is_current(loop));
	round_of(loop, 0);
}

void loop_again(struct loop *loop)
{
	atomic_store(&loop->stop, false);
}

void loop_join(struct loop *loop)
{
	if (!loop->own_thread)
		return;
	loop_stop(loop);
	thread_join(&loop->own);
	loop->own_thread = false;
}

int loop_add(struct loop *loop, struct loop_source *src)
{
	struct epoll_event e = { .events = src->write ? EPOLLOUT : EPOLLIN, .data.ptr = src };

	return epoll_ctl(loop->epfd, EPOLL_CTL_ADD, src->fd, &e) < 0 ? -errno : 0;
}

void loop_del(struct loop *loop, struct loop_source *src)
{
	BUG_ON(!loop_is_current(loop));
	loop_pause(loop, src);
}

void loop_pause(struct loop *loop, struct loop_source *src)
{
	int i;

	/* Out of the epoll set, as one that is left in without events still reports hang-ups. */
	epoll_ctl(loop->epfd, EPOLL_CTL_DEL, src->fd, NULL);
	if (!loop_is_current(loop))
		return;
	for (i = 0; i < loop->nevents; i++) {
		if (loop->event[i].data.ptr == src)
			loop->event[i].data.ptr = NULL;
	}
}

void loop_resume(struct loop *loop, struct loop_source *src)
{
	loop_add(loop, src);
}

bool loop_is_current(const struct loop *loop)
{
	/* Without the lock, as every request asks. */
	return !atomic_load(&loop->running) || pthread_equal(loop->thread, pthread_self());
}

void loop_defer(struct loop *loop, struct loop_task *task)
{
	if (task->queued)
		return;
	task->queued = true;
	TAILQ_INSERT_TAIL(&loop->tasks, task, link);
}

void loop_cancel(struct loop *loop, struct loop_task *task)
{
	if (!task->queued)
		return;
	task->queued = false;
	TAILQ_REMOVE(&loop->tasks, task, link);
}

void **loop_shared(struct loop *loop)
{
	return &loop->shared;
}

const char *loop_name(const struct loop *loop)
{
	return loop->name;
}

int loop_call(struct loop *loop, int (*fn)(void *arg), void *arg)
{
	struct call c = { .fn = fn, .arg = arg };

	pthread_mutex_lock(&loop->lock);
	if (!loop->running || pthread_equal(loop->thread, pthread_self())) {
		pthread_mutex_unlock(&loop->lock);
		return fn(arg);
	}
	STAILQ_INSERT_TAIL(&loop->calls, &c, link);
	eventfd_write(loop->wake.fd, 1);
	while (!c.done)
		pthread_cond_wait(&loop->done, &loop->lock);
	pthread_mutex_unlock(&loop->lock);
	return c.result;
}
