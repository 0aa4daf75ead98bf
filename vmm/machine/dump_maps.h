/* SPDX-License-Identifier: MIT */
/*
 * dump_maps.h - where a guest's kernel has its memory: GDB knows a core by these addresses.
 *
 * A kernel has itself at one distance from where it lies, and all of memory at another one. A
 * symbol of each is in VMCOREINFO. What is as far away as the symbol is, by the tables of pages,
 * belongs to it. The guest may lie in all of this: then GDB sees what it lies.
 */
#ifndef MACHINE_DUMP_MAPS_H
#define MACHINE_DUMP_MAPS_H

#include <stddef.h>
#include <stdint.h>

struct mem;

#define DUMP_MAPS_MAX 16

struct dump_map {
	uint64_t gpa, size; /* bytes, within one region of memory */
	uint64_t vaddr;
};

struct dump_look {
	const struct mem *mem;
	/* Where the kernel's @addr lies. -errno: nowhere. */
	int (*translate)(void *arg, uint64_t addr, uint64_t *gpa);
	void *arg;
};

/*
 * By the text of VMCOREINFO, @len bytes. Returns how many there are; what is more than
 * DUMP_MAPS_MAX is left out. Takes a microsecond for each MiB of memory, or two. [main]
 */
unsigned dump_maps(const struct dump_look *look, const char *info, size_t len,
		   struct dump_map map[DUMP_MAPS_MAX]);

#endif
