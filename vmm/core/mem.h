/* SPDX-License-Identifier: MIT */
/*
 * mem.h - guest memory.
 *
 * A few regions of guest-physical addresses, each backed by one mapping of
 * ours. Everything a guest says about its memory is an (address, length) pair,
 * and this is the only place that turns such a pair into a pointer: bounds and
 * overflow are checked here, and nowhere else.
 *
 * The rule for devices: copy what you will look at (mem_read), then check it,
 * then use the copy. Another vCPU may change the original at any moment. Only
 * payload is touched in place, through the iovec of mem_iov().
 *
 * Memory is anonymous, unless another process is to serve a device: then it is
 * a memfd, which is sent there, and which nobody can make shorter.
 *
 * The map is fixed before the first vCPU runs; all functions but mem_add() and
 * mem_free() may then be called from any thread.
 */
#ifndef CORE_MEM_H
#define CORE_MEM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define MEM_REGIONS 4

struct mem_region {
	uint64_t gpa, size; /* bytes, multiples of the page size */
	uint8_t *hva;
	int fd;          /* -1: nobody else can map it */
	uint64_t fd_off; /* where in @fd it begins */
};

struct mem {
	struct mem_region region[MEM_REGIONS]; /* ascending, not touching each other's bytes */
	unsigned nregions;
	bool shared; /* regions are of a memfd, one for all. Set before the first one is added */
	atomic_bool pinned; /* the kernel has been given its pages, and keeps them */
};

/*
 * Maps @size fresh zero bytes at guest-physical @gpa, above all earlier regions. The mapping is
 * aligned to 2 MiB as guest addresses are, so that KVM can use huge pages on both levels. -ENOMEM,
 * -ENOSPC (no free region), -EINVAL; those of a memfd. [setup]
 */
int mem_add(struct mem *mem, uint64_t gpa, uint64_t size);
void mem_free(struct mem *mem);
/* All of it is zero again, and the host has back what it can have. Nobody uses it meanwhile. */
void mem_clear(struct mem *mem);
/*
 * The host has back whole pages of its own in the @len bytes that @at, of an element of mem_iov(),
 * begins: whoever looks there next finds zeroes. Returns how many bytes; 0, too, where the kernel
 * keeps them. Any thread, whoever uses them meanwhile.
 */
uint64_t mem_drop(const struct mem *mem, const void *at, uint64_t len);

/* Bytes in all regions together. */
uint64_t mem_size(const struct mem *mem);

/* Copy between the guest and us; may cross from a region into the next. -EFAULT: not all memory. */
int mem_read(const struct mem *mem, uint64_t gpa, void *dst, size_t len);
int mem_write(struct mem *mem, uint64_t gpa, const void *src, size_t len);

/*
 * Translates [gpa, gpa + len) to at most @max elements. Returns how many (0 for @len 0), -EFAULT
 * where there is no memory, -E2BIG when @max is too small.
 */
int mem_iov(const struct mem *mem, uint64_t gpa, uint64_t len, struct iovec *iov, unsigned max);

/*
 * A pointer to @len bytes that lie in one region, @align (a power of two) being kept on both
 * sides; NULL otherwise. For rings and boot images only: see the rule above.
 */
void *mem_ptr(const struct mem *mem, uint64_t gpa, uint64_t len, uint64_t align);

#endif
