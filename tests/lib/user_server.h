/* SPDX-License-Identifier: MIT */
/*
 * user_server.h - lunette's own vhost-user server (devices/user_serve.h) in this
 * process: any virtio device of ours behind a socket, with all that our client knows.
 *
 * The device has been made in a testbed of its own, for its threads.
 *
 * It can lie, at one message, in each way there is.
 */
#ifndef TESTS_USER_SERVER_H
#define TESTS_USER_SERVER_H

#include <pthread.h>
#include <stdatomic.h>

#include "devices/user_serve.h"
#include "tests/lib/testbed.h"
#include "virtio/user_msg.h"
#include "virtio/virtio.h"

#define USER_SERVER_SLOW 150
#define USER_SERVER_ANY 0 /* at each message */

enum user_lie {
	LIE_NONE,
	LIE_SILENT,      /* no answer */
	LIE_GONE,        /* the connection ends */
	LIE_SHORT,       /* an answer of one byte less than it should have */
	LIE_LONG,        /* of 8 bytes more */
	LIE_HUGE,        /* that says it has 4 GiB */
	LIE_OTHER,       /* to another request */
	LIE_NO_REPLY,    /* that is no answer, as its flags say */
	LIE_VERSION,     /* of version 2 */
	LIE_DESCRIPTORS, /* with two descriptors */
	LIE_REFUSES,     /* "this has failed", or for GET_... all ones */
	LIE_TWICE,       /* the right one, twice */
	LIE_HALF,        /* the header, and then nothing */
	LIE_SLOW,        /* the right one, after USER_SERVER_SLOW ms */
};

struct user_server {
	struct virtio_device *vdev;
	char folder[40], path[60];
	int listener;
	int conn, back; /* -1: none */
	pthread_t thread;
	pthread_mutex_t lock;  /* of the next three, and of conn and back */
	enum user_lie lie;
	uint32_t at;           /* the request at which it lies */
	enum user_lie now;     /* of the request that is being served */
	atomic_bool ends;
	atomic_uint heard[USER_REQUESTS], connections;
	struct user_serve serve;
	uint64_t slots;          /* for regions of memory; ... */
	struct user_memory known; /* ... what is in them, ... */
	int known_fd[USER_REGIONS_MAX]; /* ... and where */
	int inflight;            /* as it was given; -1: not */
	atomic_ulong inflight_node; /* of that */
	const struct virtio_transport_ops *own;
	void *own_data;
	struct mem *own_mem;
};

/* Serves at s->path, one connection after the other, until it is ended. */
void user_server_start(struct user_server *s, struct virtio_device *vdev);
/* The device has its own transport again. */
void user_server_end(struct user_server *s);
/* From the next such message on, or the next of any kind (USER_SERVER_ANY), it lies. */
void user_server_lie(struct user_server *s, enum user_lie lie, uint32_t at);
/* Nobody listens at the path any more; the connection ends. Or somebody does again. */
void user_server_die(struct user_server *s);
void user_server_live(struct user_server *s);
/* Says by itself that its config space has changed. */
void user_server_config_changed(struct user_server *s, bool wants_answer);
/* Sends @len bytes that nobody has asked for, on the first connection or the second. */
void user_server_babble(struct user_server *s, bool back, const void *bytes, size_t len);

#endif
