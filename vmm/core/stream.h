/* SPDX-License-Identifier: MIT */
/*
 * stream.h - what the guest says, on its way to a file, a pipe or a terminal.
 *
 * A reader may leave, and then what comes is lost, as it is for every program. Whatever else
 * keeps it from being written ends the run, as nobody could rely on what is there: the platform is
 * told once, and the user by a line with the stream's name and the error.
 */
#ifndef CORE_STREAM_H
#define CORE_STREAM_H

#include <stdatomic.h>
#include <stdint.h>
#include <sys/types.h>

#include "vmm/core/outlet.h"

struct platform;

struct stream {
	struct platform *p;
	char *what; /* its name in lines */
	struct outlet out;
	atomic_size_t late; /* bytes that were written when the run was about to end */
	uint64_t limit;     /* of all that is written to a file; 0: none */
	atomic_ullong written;
};

/* @fd is borrowed for the call, and @what copied. -errno after one line. [setup] */
int stream_open(struct stream *s, struct platform *p, const char *what, int fd);
/* A regular file gets no more than platform->file_limit: what is more cannot be written (EFBIG). */
void stream_limit(struct stream *s);
/* Also what is all zero. */
void stream_close(struct stream *s);

/*
 * As outlet_write(), but that an error other than -EAGAIN and -EPIPE has been told, and that what
 * is too much by platform_allows() counts as written.
 */
ssize_t stream_try(struct stream *s, const void *data, size_t len);
/*
 * All of it, however slow its reader is: until the run is to end at once, or a signal comes, which
 * tells a vCPU to stop. Then, and after an error, the rest is lost.
 */
void stream_put(struct stream *s, const void *data, size_t len);

#endif
