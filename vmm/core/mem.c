/* SPDX-License-Identifier: MIT */
#include "vmm/core/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/core/util.h"

#define HUGE_PAGE MIB(2)

/*
 * Who is handed it may write to it, and no more: if it became shorter, our next look at the guest's
 * memory would be the end of us.
 */
static int make_memfd(void)
{
	int err, fd = memfd_create("guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd >= 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_SEAL) < 0) {
		err = errno;
		close(fd);
		errno = err;
		fd = -1;
	}
	return fd;
}

/* The bytes of all regions are in one memfd, each at its guest address: the rest is a hole. */
static int put_memfd(const struct mem *mem, struct mem_region *r)
{
	int err, fd = mem->nregions ? mem->region[0].fd : make_memfd();

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, r->gpa + r->size) == 0 &&
	    mmap(r->hva, r->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_NORESERVE,
		 fd, r->gpa) != MAP_FAILED) {
		r->fd = fd;
		r->fd_off = r->gpa;
		return 0;
	}
	err = errno;
	if (!mem->nregions)
		close(fd);
	return -err;
}

int mem_add(struct mem *mem, uint64_t gpa, uint64_t size)
{
	struct mem_region *last = mem->nregions ? &mem->region[mem->nregions - 1] : NULL;
	uint64_t page = sysconf(_SC_PAGESIZE), end, room, skip;
	struct mem_region region = { .gpa = gpa, .size = size, .fd = -1 };
	uint8_t *map;
	int r;

	if (!size || gpa % page || size % page || !add_u64(gpa, size, &end) ||
	    !add_u64(size, HUGE_PAGE, &room) || (last && gpa < last->gpa + last->size))
		return -EINVAL;
	if (mem->nregions == MEM_REGIONS)
		return -ENOSPC;

	/* One huge page too much, of which the unaligned ends are given back. */
	map = mmap(NULL, room, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (map == MAP_FAILED)
		return -ENOMEM;
	skip = (gpa - (uintptr_t)map) % HUGE_PAGE;
	if (skip)
		munmap(map, skip);
	munmap(map + skip + size, HUGE_PAGE - skip);
	region.hva = map + skip;
	r = mem->shared ? put_memfd(mem, &region) : 0;
	if (r < 0) {
		munmap(region.hva, size);
		return r;
	}
	/* A wish: without huge pages in the kernel everything still works. */
	madvise(region.hva, size, MADV_HUGEPAGE);
	/* A core dump of ours should hold our state, not a guest's memory. */
	madvise(region.hva, size, MADV_DONTDUMP);
	mem->region[mem->nregions++] = region;
	return 0;
}

void mem_free(struct mem *mem)
{
	if (mem->nregions && mem->shared)
		close(mem->region[0].fd);
	while (mem->nregions) {
		struct mem_region *r = &mem->region[--mem->nregions];

		munmap(r->hva, r->size);
	}
}

/* Pages that the kernel was given for good would no longer be the guest's. */
static bool drop_pages(const struct mem *mem, const struct mem_region *r, uint64_t off,
		       uint64_t len)
{
	if (atomic_load(&mem->pinned))
		return false;
	if (r->fd < 0)
		return madvise(r->hva + off, len, MADV_DONTNEED) == 0;
	/* Others have mapped them, too, and a page that is mapped elsewhere would stay. */
	return fallocate(r->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			 (off_t)(r->fd_off + off), (off_t)len) == 0;
}

void mem_clear(struct mem *mem)
{
	unsigned i;

	for (i = 0; i < mem->nregions; i++) {
		struct mem_region *r = &mem->region[i];

		if (!drop_pages(mem, r, 0, r->size))
			memset(r->hva, 0, r->size);
	}
}

uint64_t mem_drop(const struct mem *mem, const void *at, uint64_t len)
{
	uint64_t page = sysconf(_SC_PAGESIZE), from, to;
	unsigned i;

	for (i = 0; i < mem->nregions; i++) {
		const struct mem_region *r = &mem->region[i];

		from = (uint64_t)((uintptr_t)at - (uintptr_t)r->hva);
		if (!range_ok(from, len, r->size))
			continue;
		to = (from + len) & ~(page - 1);
		from = align_up(from, page);
		return from < to && drop_pages(mem, r, from, to - from) ? to - from : 0;
	}
	return 0;
}

uint64_t mem_size(const struct mem *mem)
{
	uint64_t sum = 0;
	unsigned i;

	for (i = 0; i < mem->nregions; i++)
		sum += mem->region[i].size;
	return sum;
}

/* The one translation: up to *@len bytes from @gpa that lie in one region. NULL: no memory. */
static uint8_t *translate(const struct mem *mem, uint64_t gpa, uint64_t *len)
{
	unsigned i;

	for (i = 0; i < mem->nregions; i++) {
		const struct mem_region *r = &mem->region[i];

		if (gpa >= r->gpa && gpa - r->gpa < r->size) {
			*len = min_u64(*len, r->size - (gpa - r->gpa));
			return r->hva + (gpa - r->gpa);
		}
	}
	return NULL;
}

int mem_iov(const struct mem *mem, uint64_t gpa, uint64_t len, struct iovec *iov, unsigned max)
{
	unsigned n = 0;

	while (len) {
		uint64_t part = len;
		uint8_t *at = translate(mem, gpa, &part);

		if (!at)
			return -EFAULT;
		if (n == max)
			return -E2BIG;
		iov[n++] = (struct iovec){ .iov_base = at, .iov_len = part };
		len -= part;
		if (len && !add_u64(gpa, part, &gpa))
			return -EFAULT;
	}
	return n;
}

int mem_read(const struct mem *mem, uint64_t gpa, void *dst, size_t len)
{
	struct iovec iov[MEM_REGIONS];
	int i, n = mem_iov(mem, gpa, len, iov, MEM_REGIONS);
	uint8_t *to = dst;

	for (i = 0; i < n; i++) {
		memcpy(to, iov[i].iov_base, iov[i].iov_len);
		to += iov[i].iov_len;
	}
	return n < 0 ? n : 0;
}

int mem_write(struct mem *mem, uint64_t gpa, const void *src, size_t len)
{
	struct iovec iov[MEM_REGIONS];
	int i, n = mem_iov(mem, gpa, len, iov, MEM_REGIONS);
	const uint8_t *from = src;

	for (i = 0; i < n; i++) {
		memcpy(iov[i].iov_base, from, iov[i].iov_len);
		from += iov[i].iov_len;
	}
	return n < 0 ? n : 0;
}

void *mem_ptr(const struct mem *mem, uint64_t gpa, uint64_t len, uint64_t align)
{
	uint64_t part = len;
	uint8_t *at = translate(mem, gpa, &part);

	if (!at || part != len || gpa & (align - 1) || (uintptr_t)at & (align - 1))
		return NULL;
	return at;
}
