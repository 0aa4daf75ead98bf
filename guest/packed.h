/* SPDX-License-Identifier: MIT */
/*
 * packed.h - files that gzip, xz or zstd have packed: modules, as distributions have them.
 */
#ifndef GUEST_PACKED_H
#define GUEST_PACKED_H

#include <stddef.h>

/*
 * What @in unpacks to: *@out, to be free()d, and its *@size. -ENOTSUP: it is not packed, by its
 * first bytes; -EBADMSG: it is damaged, or not whole, or too large.
 */
int packed_unpack(const void *in, size_t len, void **out, size_t *size);

#endif
