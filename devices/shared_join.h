/* SPDX-License-Identifier: MIT */
/*
 * shared_join.h - where guests that share a disk meet: a folder of the user's own
 * with a socket and a lock for each name.
 *
 *	${XDG_RUNTIME_DIR}/lunette/NAME        the server (shared_broker.h) listens
 *	${XDG_RUNTIME_DIR}/lunette/NAME.lock   who starts one, comes, or ends it
 *
 * Without such a folder it is a temporary one (own_folder.h). A lock on the second file
 * orders those who come and the server that is about to end: nobody comes to one that
 * ends, no two are started. It goes with its process, so files that
 * killed ones leave mean nothing; who comes next, or "lunette clean", takes them away.
 */
#ifndef DEVICES_SHARED_JOIN_H
#define DEVICES_SHARED_JOIN_H

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>

#include "devices/shared_lun.h"

#define SHARED_PROGRAM "shared-disk" /* the word by which lunette is the server */
#define SHARED_LISTENER 3            /* the socket at which it listens, when it begins */

struct shared_place {
	char socket[108], lock[120];
};

/* -EUSAGE after one line, of @id: @name is none. */
int shared_name_check(const char *id, const char *key, const char *name);

/* Where those who share @name meet, in a folder that is made, if need be. -errno after one line. */
int shared_place(const char *name, struct shared_place *place);

/* The same by the socket's path. False: it is too long. */
bool shared_place_of(const char *socket, struct shared_place *place);

/* The lock, or -1: another has it, after @ms. The descriptor goes with it. */
int shared_lock(const struct shared_place *place, int ms);

/* Does who is at the other end belong to the same user, or to root? */
bool shared_peer_ok(int sock);

/*
 * All of @len bytes within @ms; or at once. False: not. *@fd, the caller's: the one descriptor that
 * has come with them, or -1; NULL: none is wanted. @fd is sent with them; -1: none is.
 */
bool shared_get(int sock, void *data, size_t len, int *fd, int ms);
bool shared_put(int sock, const void *data, size_t len, int fd);

/*
 * Comes to the server of @name, at @place, which is started if there is none: a connection, at
 * which it serves. *@ear: a socket, the caller's, at which it says what it has to say about this
 * guest, a line in each message; -1: it cannot. -errno after one line; -EUSAGE: others mean another
 * disk by this name. [setup]
 */
int shared_join(const char *name, const struct shared_place *place,
		const struct shared_hello *hello, struct shared_answer *answer, int *ear);

/* As in struct device_class. */
int shared_clean(FILE *out);

#endif
