/* SPDX-License-Identifier: MIT */
/*
 * unpack.h - packed data in a kernel file, in the formats that Linux's build
 * makes: gzip, xz, lzma, zstd, and lz4 in its legacy frame.
 *
 * The file is the user's and may be damaged in any way; nothing is written but
 * to the buffer given.
 */
#ifndef MACHINE_UNPACK_H
#define MACHINE_UNPACK_H

#include <stddef.h>

#include "vmm/core/util.h"

#define UNPACK_MAX GIB(1) /* for both sizes */

/* The format's name by the first bytes, "lz4"; NULL when it is none of the above. */
const char *unpack_format(const void *packed, size_t len);

/*
 * How much zstd's @packed unpacks to, all of it: that is said at its beginning, or counted, as what
 * is packed from a pipe does not say it. 0: it is another format's, is damaged or too large.
 */
size_t unpack_size(const void *packed, size_t len);

/*
 * Fills @out with the @size bytes that @packed unpacks to. -ENOTSUP: a format without a name,
 * -EBADMSG: the data is damaged, or is too little; -E2BIG: a size above UNPACK_MAX, -ENOMEM. No
 * line is written. After an error @out may have anything.
 */
int unpack(const void *packed, size_t len, void *out, size_t size);

#endif
