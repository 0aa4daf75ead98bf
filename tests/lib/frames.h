/* SPDX-License-Identifier: MIT */
/*
 * frames.h - frames of guest/exec.h on a socket, as a client or lunette has them.
 */
#ifndef TESTS_FRAMES_H
#define TESTS_FRAMES_H

#include <stdbool.h>
#include <stddef.h>

#include "guest/exec.h"

struct frame {
	struct exec_head head;
	uint8_t data[EXEC_DATA_MAX + 1]; /* and a NUL behind it */
};

/* False: the other end does not take it. */
bool frame_say(int fd, enum exec_kind kind, uint32_t id, const void *data, size_t len);
/* Waits for one, as long as the socket's limit is. False: there is none. */
bool frame_hear(int fd, struct frame *f);
/* A pair of sockets whose reads end after 20 s. */
void frame_pair(int fd[2]);

#endif
