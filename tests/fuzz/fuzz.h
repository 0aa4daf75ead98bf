/* SPDX-License-Identifier: MIT */
/*
 * fuzz.h - the entry of a fuzz target, and how it takes its input apart.
 *
 * libFuzzer calls fuzz_queue and its like again and again (make fuzz);
 * replay.c calls them with what is in tests/fuzz/corpus (make check).
 */
#ifndef TESTS_FUZZ_H
#define TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct fuzz_input {
	const uint8_t *at;
	size_t left;
};

/* The next @len bytes; zeroes where there are no more. */
static inline void fuzz_bytes(struct fuzz_input *in, void *to, size_t len)
{
	size_t n = len < in->left ? len : in->left;

	memset(to, 0, len);
	if (n)
		memcpy(to, in->at, n);
	in->at += n;
	in->left -= n;
}

static inline uint8_t fuzz_u8(struct fuzz_input *in)
{
	uint8_t v;

	fuzz_bytes(in, &v, sizeof(v));
	return v;
}

#endif
