/* SPDX-License-Identifier: MIT */
/*
 * balloon_pages.h - the pages of a balloon, and the pages of the host that they are.
 *
 * A balloon's pages have 4096 bytes whatever the machine (virtio 1.3 §5.5.6). A page of the host's
 * may be larger: it is given back once all its parts are in the balloon, so these are remembered, a
 * bit for each. Where it has 4096 bytes, nothing is remembered.
 *
 * One thread, but for init and fini.
 */
#ifndef DEVICES_BALLOON_PAGES_H
#define DEVICES_BALLOON_PAGES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mem;

#define BALLOON_PAGE 4096

struct balloon_pages {
	const struct mem *mem;
	unsigned parts;   /* of a page of the host's */
	uint8_t *inside;  /* a bit for each page; NULL: the host's are as large */
	uint64_t count;   /* bits */
	uint8_t *run;     /* pages side by side that are not given back yet, ... */
	size_t run_len;   /* ... in bytes */
	atomic_ullong dropped; /* bytes that the host has been given. Any thread may read it */
};

/* @host_page: bytes, a power of two, at least BALLOON_PAGE. -ENOMEM. [setup] */
int balloon_pages_init(struct balloon_pages *p, const struct mem *mem, uint64_t host_page);
void balloon_pages_fini(struct balloon_pages *p);
/* Bytes that it takes. */
uint64_t balloon_pages_memory(const struct balloon_pages *p);

/*
 * Page @pfn goes into the balloon, or comes out. False: there is no memory. What has gone in is
 * given back at the latest by balloon_pages_flush(), which has to follow before another's turn.
 */
bool balloon_pages_put(struct balloon_pages *p, uint32_t pfn);
bool balloon_pages_take(struct balloon_pages *p, uint32_t pfn);
void balloon_pages_flush(struct balloon_pages *p);
/* The balloon is empty. */
void balloon_pages_reset(struct balloon_pages *p);

#endif
