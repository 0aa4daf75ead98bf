/*
 * unpack.h - packed data in a kernel file, in the formats that Linux's build
 * makes: gzip, xz, lzma, zstd, and lz4 in its legacy frame.
 *
 * The unpacked bytes come in order, and the caller says where each of them
 * belongs: they are written there, in guest memory as a rule, and nowhere else
 * where the format allows it. (An lz4 block, 8 MiB, has to be in one piece
 * while it is unpacked.)
 *
 * The file is the user's and may be damaged in any way; nothing is written but
 * to the places given.
 */
#ifndef VMM_UNPACK_H
#define VMM_UNPACK_H

#include <stddef.h>
#include <stdint.h>

/*
 * Where the unpacked byte @at belongs. *@len: in, how many are to follow from there; out, how many
 * of them the place has room for, 1 at least. NULL: nobody wants these *@len bytes.
 */
typedef void *unpack_place(void *arg, uint64_t at, uint64_t *len);

/* The format's name by the first bytes, "lz4"; NULL when it is none of the above. */
const char *unpack_format(const void *packed, size_t len);

/*
 * Unpacks the first @end bytes; what follows is not looked at. -ENOTSUP: a format without a name,
 * -EBADMSG: the data is damaged or ends before, -ENOMEM. No line is written.
 */
int unpack(const void *packed, size_t len, uint64_t end, unpack_place *place, void *arg);

#endif
