/* SPDX-License-Identifier: MIT */
/*
 * bitmap.h - a bit for each 512 bytes of a store.
 *
 * Bits are changed and read by several threads at once, each by itself. The map
 * is memory that takes room where bits are set. Ranges are bytes; a bit stands
 * for all of its 512.
 */
#ifndef DEVICES_BLOCK_BITMAP_H
#define DEVICES_BLOCK_BITMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BITMAP_UNIT 512u

typedef _Atomic(uint64_t) bitmap_word;

/* Bytes of a map for @bytes of a store. */
size_t bitmap_size(uint64_t bytes);
/* All bits are 0; munmap() ends it. NULL: errno tells. */
bitmap_word *bitmap_create(size_t size);
void bitmap_mark(bitmap_word *map, uint64_t off, uint64_t len);
void bitmap_clear(bitmap_word *map, uint64_t off, uint64_t len);
/* Each bit becomes the other one. */
void bitmap_flip(bitmap_word *map, uint64_t off, uint64_t len);
/* Bytes from @off on that are alike, at most @len. *@set: how they are. */
uint64_t bitmap_run(bitmap_word *map, uint64_t off, uint64_t len, bool *set);

#endif
