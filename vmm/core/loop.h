/* SPDX-License-Identifier: MIT */
/*
 * loop.h - an epoll loop, one thread each.
 *
 * What a loop's thread owns (a virtqueue in service, a task set) is touched by
 * that thread alone. Another thread that needs something done there uses
 * loop_call(), which runs a function on the loop's thread and waits for it.
 *
 * A loop is made in set-up and gets its thread later, by loop_start() or by a
 * thread that calls loop_run(): between the two, privileges are dropped, and
 * capabilities belong to threads. Until then loop_call() runs in the caller.
 */
#ifndef CORE_LOOP_H
#define CORE_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct loop;

struct loop_source {
	int fd; /* borrowed; readable or hung up: fn is called until that is no longer so */
	bool write; /* writable, in place of readable */
	void (*fn)(void *arg);
	void *arg;
};

/* Something to do once a round of events has been served. All zero but for fn and arg. */
struct loop_task {
	void (*fn)(void *arg);
	void *arg;
	/* The loop's. */
	bool queued;
	uint64_t round;
	TAILQ_ENTRY(loop_task) link;
};

/* @name is for the thread and for messages, at most 15 characters. NULL: errno tells. [setup] */
struct loop *loop_create(const char *name);
/* After its thread has ended. */
void loop_destroy(struct loop *loop);

/* Gives the loop a thread of its own. -errno. */
int loop_start(struct loop *loop);
/* Runs the loop in this thread until loop_stop(). */
void loop_run(struct loop *loop);
/* Ends loop_run() after the callback under way; any thread, and a signal handler. */
void loop_stop(struct loop *loop);
/* One round of what there is to do, without waiting; between two loop_run(), too. [its thread] */
void loop_round(struct loop *loop);
/* What loop_stop() has said until now no longer counts: loop_run() may follow. [its thread] */
void loop_again(struct loop *loop);
/* loop_stop(), and waits for the thread of loop_start(). Not from that thread. */
void loop_join(struct loop *loop);

/*
 * Adds, removes. -EPERM: a descriptor that cannot be polled (a regular file). Removing from the
 * loop's own thread is final: @fn is not called after it. From elsewhere use loop_call().
 */
int loop_add(struct loop *loop, struct loop_source *src);
void loop_del(struct loop *loop, struct loop_source *src);

/*
 * Stops and takes up again the calls of @fn for a source that has been added. Any thread; from
 * another than the loop's own, one call that was on its way may still come after loop_pause().
 */
void loop_pause(struct loop *loop, struct loop_source *src);
void loop_resume(struct loop *loop, struct loop_source *src);

/*
 * Runs the task after the events of this round, before the loop waits for others: what the events
 * have gathered can then be dealt with in one go. A task that is queued is not queued again; one
 * that queues itself while it runs has its turn in the next round, which then does not wait.
 * loop_cancel() takes it back. [the loop's thread]
 */
void loop_defer(struct loop *loop, struct loop_task *task);
void loop_cancel(struct loop *loop, struct loop_task *task);

/* A place for what the users of one loop share; NULL at first. [the loop's thread] */
void **loop_shared(struct loop *loop);
const char *loop_name(const struct loop *loop);

/* Runs fn(arg) on the loop's thread and returns its result. Callable from that thread too. */
int loop_call(struct loop *loop, int (*fn)(void *arg), void *arg);

/* Answers those who wait in loop_call(), for a callback that waits for them. [the loop's thread] */
void loop_serve(struct loop *loop);

/* Is this the loop's thread (or has it none yet)? For assertions of ownership. */
bool loop_is_current(const struct loop *loop);

#endif
