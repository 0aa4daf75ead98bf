/* SPDX-License-Identifier: MIT */
/*
 * util.h - arithmetic and byte order, nothing else.
 *
 * Guest-visible structures are read and written field by field with the le and
 * be helpers, which have no alignment demand; no C struct is ever laid over
 * guest memory.
 */
#ifndef CORE_UTIL_H
#define CORE_UTIL_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define container_of(ptr, type, member) \
	((type *)(void *)((char *)(ptr) - offsetof(type, member)))

#define KIB(n) ((uint64_t)(n) << 10)
#define MIB(n) ((uint64_t)(n) << 20)
#define GIB(n) ((uint64_t)(n) << 30)

static inline uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline bool is_power_of_2(uint64_t v)
{
	return v && !(v & (v - 1));
}

/* Up to the next multiple of @to, a power of two. */
static inline uint64_t align_up(uint64_t v, uint64_t to)
{
	return (v + to - 1) & ~(to - 1);
}

/* False when the result does not fit; *@sum is then not to be used. */
static inline bool add_u64(uint64_t a, uint64_t b, uint64_t *sum)
{
	return !__builtin_add_overflow(a, b, sum);
}

static inline bool mul_u64(uint64_t a, uint64_t b, uint64_t *product)
{
	return !__builtin_mul_overflow(a, b, product);
}

/* FNV-1a: the same at every start, and no secret. */
static inline uint64_t hash_u64(const void *data, size_t len)
{
	const uint8_t *byte = (const uint8_t *)data;
	uint64_t hash = 0xcbf29ce484222325;

	while (len--)
		hash = (hash ^ *byte++) * 0x100000001b3;
	return hash;
}

/* Replaces the low (@half 0) or the high (1) half of *@v. */
static inline void set_half_u64(uint64_t *v, unsigned half, uint32_t bits)
{
	*v &= ~((uint64_t)UINT32_MAX << 32 * half);
	*v |= (uint64_t)bits << 32 * half;
}

/* Is [off, off + len) inside [0, size)? An empty range at the end is. */
static inline bool range_ok(uint64_t off, uint64_t len, uint64_t size)
{
	return off <= size && len <= size - off;
}

#define DEFINE_BYTE_ORDER(order, bits)                                  \
	static inline uint##bits##_t order##bits##_get(const void *p)   \
	{                                                               \
		uint##bits##_t v;                                       \
		memcpy(&v, p, sizeof(v));                               \
		return order##bits##toh(v);                             \
	}                                                               \
	static inline void order##bits##_put(void *p, uint##bits##_t v) \
	{                                                               \
		v = hto##order##bits(v);                                \
		memcpy(p, &v, sizeof(v));                               \
	}

DEFINE_BYTE_ORDER(le, 16)
DEFINE_BYTE_ORDER(le, 32)
DEFINE_BYTE_ORDER(le, 64)
DEFINE_BYTE_ORDER(be, 16)
DEFINE_BYTE_ORDER(be, 32)
DEFINE_BYTE_ORDER(be, 64)

static inline uint32_t be24_get(const void *p)
{
	const uint8_t *b = p;

	return (uint32_t)b[0] << 16 | (uint32_t)b[1] << 8 | b[2];
}

#endif
