/* SPDX-License-Identifier: MIT */
/*
 * guard.h - requests that the host could not do: a line for the user, and what
 * is to happen when its disk is full.
 *
 * block_done() shows each failed request of a guarded channel to guard_take().
 * A request that is held is in flight all the while; it is tried again every
 * second, and block_drain() ends it with its error, so that a reset, an abort
 * and the end of the machine do not wait for room. A flush is not held, as a
 * second one may hide what the first one has lost.
 */
#ifndef DEVICES_BLOCK_GUARD_H
#define DEVICES_BLOCK_GUARD_H

#include "devices/block/block.h"

/* NULL: errno tells. [channel's thread] */
struct guard *guard_open(struct block_chan *chan);
/* Nothing is held any more. */
void guard_close(struct guard *guard);

/* True: the request is held. False: it ends as it did. */
bool guard_take(struct guard *guard, struct block_req *req, int err);
/* A request has been done: so there is room again. */
void guard_success(struct guard *guard);
/* While @draining, nothing is held; what was is ended. */
void guard_drain(struct guard *guard, bool draining);

#endif
