/* SPDX-License-Identifier: MIT */
#include "vmm/machine/arch/walk.h"

#include <errno.h>

#include "vmm/core/mem.h"

#define ENTRY 8 /* bytes */
#define LOW(bits) ((1ull << (bits)) - 1)

/* Addresses that no table is about: the bits above are a sign. */
static bool outside(const struct walk *w, uint64_t addr)
{
	int64_t above = (int64_t)(addr << 8) >> 8 >> w->bits;

	return above != 0 && above != -1;
}

int walk_tables(const struct mem *mem, const struct walk *w, uint64_t addr, uint64_t *gpa)
{
	uint64_t table = w->table, entry, at;
	unsigned level, shift;
	enum walk_entry what;

	*gpa = addr;
	if (!w->levels)
		return 0;
	if (outside(w, addr))
		return -EFAULT;
	for (level = w->levels; level--; table = at & ~LOW(w->page_bits)) {
		shift = w->page_bits + level * w->entry_bits;
		at = ((addr & LOW(w->bits)) >> shift & LOW(w->entry_bits)) * ENTRY;
		if (mem_read(mem, table + at, &entry, ENTRY) < 0)
			return -EFAULT;
		what = w->entry(entry, level == 0, &at);
		if (what == WALK_NOTHING)
			return -EFAULT;
		if (what == WALK_PAGE) {
			*gpa = (at & ~LOW(shift)) | (addr & LOW(shift));
			return 0;
		}
	}
	return -EFAULT;
}

/* Arm ARM, D8.3: bit 0, there; bit 1, a table or, of the last level, a page; 47:12, the address. */
static enum walk_entry arm64_entry(uint64_t entry, bool last, uint64_t *at)
{
	*at = entry & LOW(48) & ~LOW(12);
	if (!(entry & 1) || (last && !(entry & 2)))
		return WALK_NOTHING;
	return last || !(entry & 2) ? WALK_PAGE : WALK_TABLE;
}

static enum walk_entry no_entry(uint64_t entry, bool last, uint64_t *at)
{
	(void)entry;
	(void)last;
	(void)at;
	return WALK_NOTHING;
}

static const struct walk nowhere = { .levels = 1, .page_bits = 12, .bits = 12, .entry = no_entry };

/* Bit 55 of an address chooses the tables; their granule has another code in each half of TCR. */
struct walk walk_arm64(uint64_t sctlr, uint64_t tcr, uint64_t ttbr0, uint64_t ttbr1, uint64_t addr)
{
	static const uint8_t granule[2][4] = { { 12, 16, 14, 0 }, { 0, 14, 12, 16 } };
	bool high = addr >> 55 & 1;
	struct walk w = { .entry = arm64_entry };
	unsigned size = tcr >> (high ? 16 : 0) & 0x3f;

	w.page_bits = granule[high][tcr >> (high ? 30 : 14) & 3];
	if (!(sctlr & 1))
		return w;
	w.table = (high ? ttbr1 : ttbr0) & LOW(48) & ~1ull;
	w.entry_bits = w.page_bits - 3;
	w.bits = 64 - size;
	if (!w.page_bits || w.bits <= w.page_bits || w.bits > 48)
		return nowhere;
	w.levels = (w.bits - w.page_bits + w.entry_bits - 1) / w.entry_bits;
	return w;
}

/* Privileged architecture, 10.3 to 10.6: bit 0, there; read, write, execute: a page. */
static enum walk_entry riscv64_entry(uint64_t entry, bool last, uint64_t *at)
{
	*at = (entry >> 10 & LOW(44)) << 12;
	if (!(entry & 1))
		return WALK_NOTHING;
	if (entry & 0xe)
		return WALK_PAGE;
	return last ? WALK_NOTHING : WALK_TABLE;
}

/* The mode is 8 for three levels, 9 for four, 10 for five. */
struct walk walk_riscv64(uint64_t satp)
{
	unsigned mode = satp >> 60;
	struct walk w = { .table = (satp & LOW(44)) << 12, .page_bits = 12, .entry_bits = 9,
			  .entry = riscv64_entry };

	if (mode >= 8 && mode <= 10)
		w.levels = mode - 5;
	w.bits = 12 + 9 * w.levels;
	return w;
}
