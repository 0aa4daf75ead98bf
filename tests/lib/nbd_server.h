/* SPDX-License-Identifier: MIT */
/*
 * nbd_server.h - an NBD server that keeps an image in memory, and does wrong as it is told to.
 */
#ifndef TESTS_NBD_SERVER_H
#define TESTS_NBD_SERVER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define NBD_SERVER_BLOCK 4096 /* of which it knows what has room */
#define NBD_SERVER_CONNS 8

enum nbd_lie {
	NBD_HONEST,
	NBD_LIES_GREETING,  /* is no such server */
	NBD_LIES_ANSWER,    /* answers another option than was asked */
	NBD_LIES_LENGTH,    /* says that megabytes of an answer follow */
	NBD_LIES_NO_EXPORT, /* has nothing of that name */
	NBD_LIES_NO_FLUSH,  /* cannot flush */
	NBD_LIES_NO_STATUS, /* knows no structured replies */
	NBD_LIES_OTHER_SIZE, /* has another size at each connection */
	NBD_LIES_COOKIE,    /* replies to a request that was not made */
	NBD_LIES_MAGIC,     /* a reply that is none */
	NBD_LIES_STATUS,    /* of block status: for another question */
	NBD_LIES_TWICE,     /* replies to the same request twice */
	NBD_LIES
};

struct nbd_server {
	int listening;
	uint8_t *data;
	uint64_t size;
	uint16_t flags;
	enum nbd_lie lie;
	bool *mapped; /* of each block */
	atomic_uint calls[8], fua, no_hole; /* by the protocol's numbers */
	atomic_uint fail; /* the error of the next read or write; 0: none */
	atomic_uint hold; /* so many requests are kept, and then answered in opposite order */

	/* Its own. */
	pthread_t thread, conn[NBD_SERVER_CONNS];
	int fd[NBD_SERVER_CONNS];
	unsigned nconns;
	pthread_mutex_t lock;
};

/* Serves @listening, which is its own from now on, in threads. */
void nbd_server_start(struct nbd_server *s, int listening, uint64_t size);
/* All connections end. */
void nbd_server_stop(struct nbd_server *s);

/* A socket that listens, and a descriptor of its file, which has no name any more. */
int nbd_server_listen(int *at);

#endif
