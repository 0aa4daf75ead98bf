/* SPDX-License-Identifier: MIT */
#include "devices/block/bitmap.h"

#include <stdatomic.h>
#include <sys/mman.h>

#include "vmm/core/util.h"

size_t bitmap_size(uint64_t bytes)
{
	return align_up((bytes + BITMAP_UNIT - 1) / BITMAP_UNIT, 4096 * 8) / 8;
}

bitmap_word *bitmap_create(size_t size)
{
	void *map = mmap(NULL, size, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return map == MAP_FAILED ? NULL : map;
}

enum change { MARK, CLEAR, FLIP };

static void change_word(bitmap_word *word, uint64_t bits, enum change how)
{
	if (how == MARK)
		atomic_fetch_or(word, bits);
	else if (how == CLEAR)
		atomic_fetch_and(word, ~bits);
	else
		atomic_fetch_xor(word, bits);
}

static void change(bitmap_word *map, uint64_t off, uint64_t len, enum change how)
{
	uint64_t i = off / BITMAP_UNIT, end = (off + len + BITMAP_UNIT - 1) / BITMAP_UNIT;

	while (i < end) {
		unsigned n = min_u64(64 - i % 64, end - i);

		change_word(&map[i / 64], (n == 64 ? ~0ull : (1ull << n) - 1) << i % 64, how);
		i += n;
	}
}

void bitmap_mark(bitmap_word *map, uint64_t off, uint64_t len)
{
	change(map, off, len, MARK);
}

void bitmap_clear(bitmap_word *map, uint64_t off, uint64_t len)
{
	change(map, off, len, CLEAR);
}

void bitmap_flip(bitmap_word *map, uint64_t off, uint64_t len)
{
	change(map, off, len, FLIP);
}

uint64_t bitmap_run(bitmap_word *map, uint64_t off, uint64_t len, bool *set)
{
	uint64_t first = off / BITMAP_UNIT, end = (off + len + BITMAP_UNIT - 1) / BITMAP_UNIT;
	uint64_t i = first;

	*set = map[first / 64] >> first % 64 & 1;
	while (i < end) {
		uint64_t others = (*set ? ~map[i / 64] : map[i / 64]) >> i % 64;

		if (others) {
			i += __builtin_ctzll(others);
			break;
		}
		i = (i | 63) + 1;
	}
	return min_u64(i * BITMAP_UNIT - off, len);
}
