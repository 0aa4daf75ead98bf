/* SPDX-License-Identifier: MIT */
#include "vmm/machine/dump_maps.h"

#include <stdbool.h>
#include <string.h>

#include "vmm/core/mem.h"
#include "vmm/core/util.h"

#define STEP MIB(2) /* is looked at as a whole: its first and its last page */
#define PAGE 4096
#define KERNELS (1ull << 63) /* its addresses have this bit */

/* Of the kernel itself; of all memory, where it is allocated. */
static const char *const symbols[] = { "SYMBOL(_stext)=", "SYMBOL(mem_section)=" };

/* Sixteen digits at most. False: it is not there, or no kernel's. */
static bool find_symbol(const char *info, size_t len, const char *name, uint64_t *value)
{
	static const char digits[] = "0123456789abcdef";
	const char *at = memmem(info, len, name, strlen(name)), *end = info + len, *digit;
	unsigned n;

	*value = 0;
	if (!at)
		return false;
	for (at += strlen(name), n = 0; at < end && *at && n < 16; at++, n++) {
		digit = strchr(digits, *at);
		if (!digit)
			break;
		*value = *value << 4 | (uint64_t)(digit - digits);
	}
	return *value & KERNELS;
}

static bool lies_at(const struct dump_look *look, uint64_t addr, uint64_t gpa)
{
	uint64_t found;

	return addr & KERNELS && look->translate(look->arg, addr, &found) == 0 && found == gpa;
}

/* What of memory is @far behind where it lies. */
static unsigned add_maps(const struct dump_look *look, uint64_t far, struct dump_map *map,
			 unsigned n)
{
	const struct mem_region *r = look->mem->region, *end = r + look->mem->nregions;
	struct dump_map *last = NULL;
	uint64_t gpa, size;

	for (; r < end; r++, last = NULL) {
		for (gpa = r->gpa; gpa < r->gpa + r->size; gpa += size) {
			size = min_u64(align_up(gpa + 1, STEP), r->gpa + r->size) - gpa;
			if (!lies_at(look, gpa + far, gpa) &&
			    !lies_at(look, gpa + size - PAGE + far, gpa + size - PAGE)) {
				last = NULL;
			} else if (last) {
				last->size += size;
			} else if (n < DUMP_MAPS_MAX) {
				last = &map[n++];
				*last = (struct dump_map){ gpa, size, gpa + far };
			}
		}
	}
	return n;
}

unsigned dump_maps(const struct dump_look *look, const char *info, size_t len,
		   struct dump_map map[DUMP_MAPS_MAX])
{
	uint64_t addr, gpa, far[ARRAY_SIZE(symbols)];
	unsigned i, j, n = 0, known = 0;

	for (i = 0; i < ARRAY_SIZE(symbols); i++) {
		if (!find_symbol(info, len, symbols[i], &addr) ||
		    look->translate(look->arg, addr, &gpa) < 0)
			continue;
		far[known] = addr - gpa;
		for (j = 0; far[j] != far[known]; j++)
			;
		if (j < known)
			continue;
		n = add_maps(look, far[known++], map, n);
	}
	return n;
}
