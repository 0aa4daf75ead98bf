/* SPDX-License-Identifier: MIT */
/*
 * halt.h - notices a guest that has halted for good: each of its vCPUs waits for an
 * interrupt and takes none. Linux does so after "System halted".
 *
 * KVM keeps halted vCPUs to itself, whatever could still wake them. So a timer looks
 * whether the vCPUs use processors at all, which costs a guest nothing; only when
 * they hardly do are they asked what they wait for, and brought out of KVM for that.
 *
 * They answer one after the other, and one that takes no interrupts may still be
 * woken by another one that has not been asked yet (Linux's locks of paravirtualized
 * guests do so). So all have to say it twice, and hardly to run in between.
 */
#ifndef MACHINE_HALT_H
#define MACHINE_HALT_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/core/loop.h"

/* All are called by the loop's thread. */
struct halt_ops {
	uint64_t (*used)(void *host); /* ns that vCPUs have had of processors */
	void (*ask)(void *host);
	bool (*halted)(void *host);   /* has each of them answered, that nothing wakes it? */
	void (*end)(void *host);
};

struct halt {
	const struct halt_ops *ops;
	void *host;
	struct loop *loop;
	struct loop_source timer;
	uint64_t used;  /* when it was looked last */
	unsigned asked; /* so often in a row; all answers but the last one's were that they have */
};

/* For halt_stop(), which may come without halt_start(). */
#define HALT_NONE { .timer.fd = -1 }

/* -errno after one line. [main] */
int halt_start(struct halt *h, const struct halt_ops *ops, void *host, struct loop *loop);
void halt_stop(struct halt *h);

/* What the timer does. For tests. */
void halt_look(struct halt *h);

#endif
