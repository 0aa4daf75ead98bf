/* SPDX-License-Identifier: MIT */
#include "devices/balloon_pages.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/core/mem.h"
#include "vmm/core/util.h"

int balloon_pages_init(struct balloon_pages *p, const struct mem *mem, uint64_t host_page)
{
	const struct mem_region *last;

	*p = (struct balloon_pages){ .mem = mem, .parts = host_page / BALLOON_PAGE };
	if (p->parts == 1)
		return 0;
	last = &mem->region[mem->nregions - 1];
	p->count = (last->gpa + last->size) / BALLOON_PAGE;
	p->inside = calloc(1, p->count / 8 + 1);
	return p->inside ? 0 : -ENOMEM;
}

void balloon_pages_fini(struct balloon_pages *p)
{
	free(p->inside);
	p->inside = NULL;
}

uint64_t balloon_pages_memory(const struct balloon_pages *p)
{
	return p->count / 8;
}

void balloon_pages_reset(struct balloon_pages *p)
{
	if (p->inside)
		memset(p->inside, 0, p->count / 8 + 1);
}

/* NULL: there is no memory. */
static uint8_t *page_at(const struct balloon_pages *p, uint64_t pfn)
{
	struct iovec iov;

	return mem_iov(p->mem, pfn * BALLOON_PAGE, BALLOON_PAGE, &iov, 1) == 1 ? iov.iov_base :
									     NULL;
}

static bool has(const struct balloon_pages *p, uint64_t pfn)
{
	return p->inside[pfn / 8] & 1u << pfn % 8;
}

/* The last part of a page of the host's has gone in. */
static void put_part(struct balloon_pages *p, uint64_t pfn, uint8_t *at)
{
	unsigned part = pfn % p->parts, i;
	uint64_t first = pfn - part;

	if (has(p, pfn))
		return;
	p->inside[pfn / 8] |= 1u << pfn % 8;
	for (i = 0; i < p->parts; i++) {
		if (first + i >= p->count || !has(p, first + i))
			return;
	}
	atomic_fetch_add(&p->dropped, mem_drop(p->mem, at - (size_t)part * BALLOON_PAGE,
						(uint64_t)p->parts * BALLOON_PAGE));
}

/* Drivers tend to name neighbours, one way or the other: they cost one call. */
static void put_whole(struct balloon_pages *p, uint8_t *at)
{
	if (p->run_len && at == p->run + p->run_len) {
		p->run_len += BALLOON_PAGE;
	} else if (p->run_len && at + BALLOON_PAGE == p->run) {
		p->run = at;
		p->run_len += BALLOON_PAGE;
	} else {
		balloon_pages_flush(p);
		p->run = at;
		p->run_len = BALLOON_PAGE;
	}
}

bool balloon_pages_put(struct balloon_pages *p, uint32_t pfn)
{
	uint8_t *at = page_at(p, pfn);

	if (!at)
		return false;
	if (p->inside)
		put_part(p, pfn, at);
	else
		put_whole(p, at);
	return true;
}

bool balloon_pages_take(struct balloon_pages *p, uint32_t pfn)
{
	if (!page_at(p, pfn))
		return false;
	if (p->inside)
		p->inside[pfn / 8] &= ~(1u << pfn % 8);
	return true;
}

void balloon_pages_flush(struct balloon_pages *p)
{
	if (p->run_len)
		atomic_fetch_add(&p->dropped, mem_drop(p->mem, p->run, p->run_len));
	p->run_len = 0;
}
