/* SPDX-License-Identifier: MIT */
/*
 * kept_server.h - a vhost-user server in a process of its own, which may be killed at any moment.
 *
 * It has nothing of ours in it but the messages: a ring of its own, and an account of the requests
 * that it has, in memory that outlives it, as the protocol's document lays it out for split rings
 * ("Inflight I/O tracking"). The one that follows it goes on by that: what was shown as used is
 * used, and what was taken and is not is done once more, in the order in which it was taken.
 *
 * A request is a chain of two pieces of the same length. The second becomes the first, each byte
 * changed by KEPT_CHANGE. They are done in a random order, a few at a time.
 *
 * Who starts and kills it is a process that was made before this one had threads.
 */
#ifndef TESTS_KEPT_SERVER_H
#define TESTS_KEPT_SERVER_H

#include <stdatomic.h>
#include <stdint.h>
#include <sys/types.h>

#define KEPT_QUEUES 2
#define KEPT_CHANGE 0x5a
#define KEPT_LOG 64

/* Where it ends by itself, once: on the way of a request. */
enum kept_point {
	KEPT_NOWHERE,
	KEPT_NUMBERED, /* it is seen, and not taken yet */
	KEPT_TAKEN,
	KEPT_DONE,     /* its data is there */
	KEPT_LISTED,   /* it is in the list of the last batch */
	KEPT_ELEMENT,  /* it is in the used ring, whose index does not tell yet */
	KEPT_SHOWN,    /* the index tells */
	KEPT_CLEARED,  /* it is taken no longer, but the account's index does not tell */
	KEPT_UNTOLD,   /* all is written, but no interrupt is sent */
	KEPT_POINTS
};

/* What both sides know, whoever is alive. */
struct kept_shared {
	atomic_uint hold;   /* requests are taken and not done */
	atomic_uint dies;   /* enum kept_point */
	atomic_uint taken;  /* from the ring */
	atomic_uint lives;  /* how many of its lives have had rings */
	atomic_uint again;  /* requests that were done once more, ... */
	uint32_t order[KEPT_LOG]; /* ... and their first four bytes, of the last ones started */
};

struct kept_server {
	struct kept_shared *shared;
	char folder[40], path[60];
	pid_t keeper;
	int say, hear; /* to it, and from it */
};

/* Before this process has threads. Nobody serves yet. */
void kept_server_begin(struct kept_server *k);
/* A new one listens when this returns. */
void kept_server_live(struct kept_server *k);
/* SIGKILL, unless it has ended; it is gone when this returns. */
void kept_server_kill(struct kept_server *k);
void kept_server_end(struct kept_server *k);

#endif
