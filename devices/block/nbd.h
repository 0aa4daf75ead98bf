/* SPDX-License-Identifier: MIT */
/*
 * nbd.h - bytes that another process keeps, by the network block device protocol
 * (https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md).
 *
 * The server is a program that lunette itself has started for one image (disk_image.c), at a socket
 * that nobody else can reach. It is not trusted all the same: what it says is checked, and each
 * wait for it has an end.
 *
 * A connection is made for each channel, and one more for questions. Data travel by simple replies;
 * only the connection for questions has agreed on structured ones, which block status needs. The
 * server keeps one image for all its connections, so a flush by one of them is one for all.
 */
#ifndef DEVICES_BLOCK_NBD_H
#define DEVICES_BLOCK_NBD_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "devices/block/block.h"

#define NBD_MS 10000 /* for all of a handshake, or of a question */

/* Flags of an export (proto.md, "Transmission flags"). */
#define NBD_READ_ONLY 2u
#define NBD_HAS_FLUSH 4u
#define NBD_HAS_FUA 8u
#define NBD_HAS_TRIM 32u
#define NBD_HAS_ZEROES 64u

/* Requests and their flags, and what begins messages. */
enum nbd_call { NBD_READ, NBD_WRITE, NBD_FLUSH = 3, NBD_TRIM, NBD_ZEROES = 6, NBD_STATUS };
#define NBD_FUA 1u
#define NBD_NO_HOLE 2u
#define NBD_ONE 8u /* of NBD_STATUS: the first extent is enough */

#define NBD_REQUEST 0x25609513u
#define NBD_REPLY 0x67446698u
#define NBD_REQUEST_LEN 28
#define NBD_REPLY_LEN 16

/* Of a store, which has one in front of its channels. */
struct nbd {
	struct block block;
	int at;             /* where the server listens: a socket's file, open with O_PATH */
	int asks;           /* the connection for questions; -1: there is none */
	pthread_mutex_t lock; /* of it */
	uint64_t size;
	uint16_t flags;     /* of the export */
	bool tells;         /* block status can be asked for */
	uint32_t context;   /* by this number */
	uint64_t cookie;    /* of the last question */
};

/*
 * Makes the connection for questions, and learns size and flags; @nbd->at is set. -errno without a
 * line: -EPROTO, it is no such server, or lacks what a disk needs; -EPIPE: it has gone. [setup]
 */
int nbd_init(struct nbd *nbd);
void nbd_fini(struct nbd *nbd);

/* A connection for data, after a handshake that finds the same export. -errno. [any thread] */
int nbd_connect(const struct nbd *nbd);

/* As block_is_mapped(). */
bool nbd_is_mapped(struct nbd *nbd, uint64_t off, uint64_t *end);

/* The head of a request. */
void nbd_put_request(uint8_t head[NBD_REQUEST_LEN], enum nbd_call call, unsigned flags,
		     uint64_t cookie, uint64_t off, uint32_t len);

/* -errno of a reply's error: what the protocol does not name is -EIO. */
int nbd_error(uint32_t error);

/* As chan_open of a store. */
struct block_chan *nbd_chan_open(struct nbd *nbd, struct loop *loop);
/* Has the server gone? If not, that takes 100 ms. [any thread] */
bool nbd_is_lost(const struct nbd *nbd);

#endif
