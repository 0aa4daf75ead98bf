/* SPDX-License-Identifier: MIT */
/*
 * block.h - where bytes are kept.
 *
 * A store keeps a row of bytes and knows five verbs; it never sees a SCSI
 * command, a sector number or guest memory as such. A new kind of store is one
 * file and one row in the table of block.c.
 *
 * A block is opened once. Each thread that wants to do I/O makes a channel of
 * its own, with its loop; requests are submitted on that thread and complete on
 * that thread, through the request's own function, never inside block_submit().
 * So no lock is seen here.
 *
 * Promises: requests in flight at the same time may be done in any order. A
 * FLUSH makes durable everything whose completion came before the FLUSH was
 * submitted; a WRITE, ZERO or DISCARD with BLOCK_FUA is durable when it
 * completes. A failed request may have been done in part.
 */
#ifndef DEVICES_BLOCK_BLOCK_H
#define DEVICES_BLOCK_BLOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/uio.h>

#include "vmm/core/policy.h"

struct claims;
struct loop;
struct mem;

enum block_io { BLOCK_READ, BLOCK_WRITE, BLOCK_FLUSH, BLOCK_DISCARD, BLOCK_ZERO };

/*
 * Beyond the errors of system calls: what the rules of fault.h say to who asks, in 24 bits whose
 * meaning the store does not know. The error is -(BLOCK_ERR_TOLD | bits).
 */
#define BLOCK_ERR_TOLD (1 << 24)

/* Flags of a request. */
#define BLOCK_FUA 1       /* durable on completion */
#define BLOCK_MAY_UNMAP 2 /* ZERO: the space may be given back, as long as it reads as zeroes */
/*
 * WRITE: all of it is done, or nothing: whatever fails, the power included. For a block that says
 * so (atomic_max), within its limits, while no other change of these bytes is under way.
 */
#define BLOCK_ATOMIC 4

struct block_req {
	enum block_io io;
	unsigned flags;
	uint64_t off, len;       /* bytes, inside the block; FLUSH: not used */
	const struct iovec *iov; /* READ, WRITE: @len bytes; lives until done */
	unsigned niov;
	/* Exactly once; @err is 0, -errno (-EIO, -ENOSPC, ...) or told. [channel's thread] */
	void (*done)(struct block_req *req, int err);
	/* The store's, between submit and done. */
	struct block_chan *chan;
	int err;
	STAILQ_ENTRY(block_req) link;
};

STAILQ_HEAD(block_queue, block_req);

struct block {
	const struct block_ops *ops;
	char *path;          /* for messages */
	int fd;              /* the file or block device, for who serves it without us; 0: none, */
	const char *ours;    /* ... for this reason; NULL: it is no file */
	const char *by;      /* the program that serves it to us, in words; NULL: none does */
	_Atomic uint64_t size; /* bytes; may change while it is open: block_resize() */
	_Atomic uint64_t before; /* while it is made smaller: its size before; else 0 */
	bool readonly;       /* opened so; writes are never submitted */
	bool rotational;
	bool can_discard;    /* DISCARD gives space back */
	bool discard_zeroes; /* and a discarded range reads as zeroes, always */
	uint32_t discard_granularity; /* bytes, a power of two; 0: not known */
	uint32_t physical_block;      /* bytes, a power of two: smaller writes read first */
	uint32_t atomic_max;          /* of BLOCK_ATOMIC: bytes; 0: there is no such thing, */
	uint32_t atomic_align;        /* ... bytes, a power of two: of the offset, */
	uint32_t atomic_granularity;  /* ... and of the length, */
	bool atomic_natural; /* ... which is a power of two, and the offset a multiple of it */

	bool outermost; /* not a part of another store: guard.c looks at what fails */
	enum full_policy full;
	void (*on_full)(void *arg); /* of FAIL; any thread, perhaps often. NULL: nobody hears */
	void *on_full_arg;
	/* Something has waited for BLOCK_PATIENCE, and goes on waiting when it returns. Any thread.
	 * NULL: nobody hears. */
	void (*on_hang)(void *arg);
	void *on_hang_arg;
	atomic_long spoke; /* when the user was last told of an error */
};

/* Of one thread. */
struct block_chan {
	struct block *block;
	struct loop *loop;
	const struct block_ops *ops; /* who serves it; by default, as for its block */
	struct guard *guard;         /* NULL: its block is not the outermost */
	unsigned inflight;
	uint64_t ended; /* how many have come back; a store may hold one and have it tried again */
	bool late;      /* block_try_drain() has failed, and none has come back since */
};

/*
 * What the host's kernel has begun cannot be taken back. Whoever has to wait for it waits so many
 * milliseconds from the last request that came back: task management, which can answer without; and
 * all others, who cannot.
 */
#define BLOCK_PATIENCE_TMF 10000
#define BLOCK_PATIENCE 60000

/* By what calls a file is read and written. */
enum block_engine {
	BLOCK_ENGINE_AUTO,  /* io_uring where it can be had */
	BLOCK_ENGINE_URING, /* or the file is not opened */
	BLOCK_ENGINE_THREADS,
};

/* What the bytes of a file are. */
enum block_format {
	BLOCK_FORMAT_AUTO, /* what its name and its first bytes say, or the disk; else refused */
	BLOCK_FORMAT_RAW,  /* the disk, whatever they look like */
	BLOCK_FORMAT_QCOW2, /* from here on: what disk_image.c has served by another program */
	BLOCK_FORMAT_VMDK,
	BLOCK_FORMAT_VHDX,
	BLOCK_FORMAT_VDI,
};

extern const char *const block_format_words[]; /* end with NULL */

/* Are changes kept beside the image (overlay.h), and what becomes of them? */
enum block_overlay {
	BLOCK_OVERLAY_NONE,
	BLOCK_OVERLAY_DROP,   /* they vanish; the image may be shared */
	BLOCK_OVERLAY_COMMIT, /* block_commit() brings them into the image */
	BLOCK_OVERLAY_CACHE,  /* and so does a FLUSH */
};

struct block_open {
	const char *path;  /* null: for messages only, may be NULL */
	const char *store; /* name of a row; NULL: the first one */
	bool readonly;
	uint64_t size; /* null: bytes; others: 0 */
	uint32_t block_size; /* offsets and lengths of requests are multiples of it; 0: of 1 */
	enum block_overlay overlay;
	const char *fault; /* rules (fault.h); NULL: it does what it can */
	/* The rest is for files. */
	enum block_format format;
	bool backing_anywhere; /* an image's backing files need not be in its own folder */
	enum block_engine engine;
	bool direct; /* past the page cache of the host */
	struct mem *mem; /* where the memory of most requests is; NULL: not known */
	struct claims *claims; /* the file is one of these; NULL: of none */
	const char *option;    /* that names it, with @claims */
};

struct block_ops {
	const char *name;
	const char *help; /* a few words: what it keeps bytes in */
	/* Opens; sets all but ops. -errno after one line with path, cause and cure. [setup] */
	int (*open)(const struct block_open *how, struct block **block);
	void (*close)(struct block *block);
	/* NULL: errno tells. [the channel's thread, or before it runs] */
	struct block_chan *(*chan_open)(struct block *block, struct loop *loop);
	/* Of a channel, unless chan_open has given it other ops. */
	void (*chan_close)(struct block_chan *chan); /* nothing is in flight any more */
	void (*submit)(struct block_chan *chan, struct block_req *req);
	/* As block_try_drain(). */
	bool (*drain)(struct block_chan *chan, int ms);
	/* As block_commit(); NULL: nothing to do. */
	int (*commit)(struct block *block);
	/* It is to have @size bytes, and its file with it; block->size is not touched. NULL: that
	 * cannot be. -errno after one line. */
	int (*resize)(struct block *block, uint64_t size);
	/* As block_is_mapped(); NULL: all is. */
	bool (*is_mapped)(struct block *block, uint64_t off, uint64_t *end);
	/* A few words that may explain an error, -errno. NULL, or returns NULL: there are none. */
	const char *(*hint)(struct block *block, int err);
};

/* THE TABLE of stores; the first is for files and block devices. Ends with NULL. */
extern const struct block_ops *const block_stores[];

/* Not from inside a done function: close, chan_close and drain. */

/* What a full disk is to lead to may be changed before channels are made. */
int block_open(const struct block_open *how, struct block **block);
/* After its channels. NULL: nothing to do. */
void block_close(struct block *block);

/*
 * All is well, so what is kept beside the image goes into it, if that was asked for. -errno after
 * one line. Without channels. [any thread]
 */
int block_commit(struct block *block);

/*
 * Makes it longer, with zeroes, or shorter, and its file with it. settle(arg) is called when it is
 * to be shorter: it returns when all requests that may have been made by the old size have ended.
 * -errno after one line, and the size is what it was. One thread at a time.
 */
int block_resize(struct block *block, uint64_t size, void (*settle)(void *arg), void *arg);

/*
 * Has the byte at @off, inside the block, room on the medium? @end: how far the answer holds, at
 * most to the end of the block. What is not mapped reads as zeroes; where a store cannot tell, all
 * is mapped. Writes that are in flight may change it. The file system is asked, which may have to
 * look into its own maps on the disk. [any thread]
 */
bool block_is_mapped(struct block *block, uint64_t off, uint64_t *end);

/* Who hears of @outer's waiting hears of that of @inner, a part of it. [as block_commit()] */
void block_hangs_as(struct block *inner, const struct block *outer);

/* As the hint of its store. */
const char *block_hint(struct block *block, int err);

struct block_chan *block_chan_open(struct block *block, struct loop *loop);
void block_chan_close(struct block_chan *chan);
/* Takes a request that is inside the block, and no write for one opened read-only. */
void block_submit(struct block_chan *chan, struct block_req *req);
/* Waits here until nothing is in flight; done functions run meanwhile, and may submit more. */
void block_drain(struct block_chan *chan);
/* Likewise. False: for @ms nothing has come back. */
bool block_try_drain(struct block_chan *chan, int ms);

/* What stores call to complete a request. [channel's thread] */
void block_done(struct block_chan *chan, struct block_req *req, int err);

/* How long a store's drain may still wait. */
struct block_wait {
	const struct block_chan *chan;
	uint64_t ended, since;
	int ms;
};

struct block_wait block_wait_begin(const struct block_chan *chan, int ms);
/* Milliseconds, anew after each request that has come back; 0: no longer. */
int block_wait_left(struct block_wait *w);

#endif
