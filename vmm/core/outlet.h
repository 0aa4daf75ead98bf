/* SPDX-License-Identifier: MIT */
/*
 * outlet.h - somebody else's descriptor, written to without ever waiting.
 *
 * The descriptor may be a terminal, a pipe or a socket that other processes share
 * with us. O_NONBLOCK is theirs too, so it cannot simply be set: a pipe or a
 * terminal is opened once more, a socket is asked not to wait for each message.
 */
#ifndef CORE_OUTLET_H
#define CORE_OUTLET_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct outlet {
	int fd; /* of our own; to be polled for room. -1: closed */
	bool socket, terminal;
	bool shared; /* it cannot be opened again: only so much is written as will not wait */
};

/* @fd is borrowed for the call. -errno. [setup] */
int outlet_open(struct outlet *o, int fd);
void outlet_close(struct outlet *o);

/*
 * Writes what there is room for. Returns how many bytes, at least 1 for @len >= 1; -EAGAIN: none,
 * wait until it is writable; -EPIPE: its reader has left; other -errno: it cannot be written.
 */
ssize_t outlet_write(struct outlet *o, const void *data, size_t len);

/* What outlet_write() would make of the error of a write to the same file: EPIPE, or itself. */
int outlet_error(const struct outlet *o, int err);

#endif
