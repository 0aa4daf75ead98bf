/* SPDX-License-Identifier: MIT */
/*
 * exec_client.h - one client that runs a command in the guest (exec.c): its socket, and what is on
 * its way to it. All belong to the thread of the clients.
 */
#ifndef RUN_EXEC_CLIENT_H
#define RUN_EXEC_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guest/exec.h"
#include "vmm/core/loop.h"

struct exec;

/* Toward a client: two streams, and what else is said of a command. */
#define CLIENT_MAX (2 * EXEC_WINDOW + 4096)

/* A descriptor that is watched in one direction, or not. */
struct watch {
	struct loop_source src; /* fd -1: closed */
	bool on;
};

struct client {
	struct exec *exec;
	struct loop *loop;
	struct client **place; /* where exec has it */
	uint32_t id;
	struct watch in, out; /* two descriptors of one socket */
	bool begun;           /* the guest has heard of it */
	bool over;            /* its last frame is in @to */
	bool gone;            /* it has left, which the guest has still to hear */
	size_t room[EXEC_STREAMS]; /* what the guest may send */
	size_t from_len, to_at, to_end;
	uint8_t from[EXEC_FRAME_MAX], to[CLIENT_MAX];
};

/* Does the head of a frame make sense, from a guest or from a client? */
bool exec_head_is_good(const struct exec_head *h, bool guest);

void watch(struct loop *loop, struct watch *w, bool on);
/* Also closes it. */
void watch_end(struct loop *loop, struct watch *w);
/* Takes @fd over, for both. -errno. */
int watch_both(struct watch *in, struct watch *out, int fd);

/* Writes what there is. False: it has left, or has had its last frame. */
bool client_flush(struct client *c);
/* A frame for it. False: there is no room, which its windows should have seen to. */
bool client_put(struct client *c, enum exec_kind kind, const void *data, size_t len);
/* The last that it hears, if there is room; else it hears the end of its socket. */
void client_ends(struct client *c, unsigned status, const char *text);
/* Closes it. */
void client_free(struct client *c);

#endif
