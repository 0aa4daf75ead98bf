/* SPDX-License-Identifier: MIT */
/*
 * limits.h - how long a run may take, and what happens when it takes longer.
 *
 * --timeout counts from the start of the guest to its end, --boot-timeout to
 * limits_up(). When one is over the run ends, but in steps, so that it can be
 * seen where the guest is:
 *
 *	look    vCPUs are asked where they are; one that cannot answer is not waited for
 *	show    that goes to stderr, and the guest gets an NMI, at which Linux panics
 *	        and prints where it hung
 *	end     once the console has been silent, or at the latest after some seconds
 *
 * The guest's own end, which a panic may bring, ends it too; whatever the reason
 * of that, the cause is that the time was over.
 */
#ifndef MACHINE_LIMITS_H
#define MACHINE_LIMITS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/core/loop.h"
#include "vmm/machine/cause.h"

/* What the steps are made of; all are called by the loop's thread. */
struct limits_ops {
	void (*look)(void *host);
	bool (*looked)(void *host); /* have all that were asked answered? */
	void (*show)(void *host);
	unsigned long (*printed)(void *host); /* bytes, by the guest's console */
	void (*end)(void *host, enum cause cause);
};

struct limits_cfg {
	uint64_t run, boot; /* ms; 0: no limit */
};

enum limits_step { LIMITS_WATCH, LIMITS_LOOK, LIMITS_SHOWN };

struct limits {
	const struct limits_ops *ops;
	void *host;
	struct loop *loop;
	struct limits_cfg cfg;
	struct loop_source run, boot; /* timers, */
	struct loop_source steps;     /* and the one that goes on once one of those is over */
	unsigned step_ms;
	enum limits_step step;
	unsigned ticks, silent;       /* in this step, of so many ms; in a row without output */
	unsigned long printed;
	uint64_t deadline;            /* of the whole run, CLOCK_MONOTONIC in ms; 0: none */
	atomic_uint over;             /* the cause; CAUSE_POWEROFF: no limit is over yet */
};

/* Without timers, for limits_stop(). */
#define LIMITS_NONE { .run.fd = -1, .boot.fd = -1, .steps.fd = -1 }

/* The time begins. -errno after one line. [main] */
int limits_start(struct limits *l, const struct limits_cfg *cfg, const struct limits_ops *ops,
		 void *host, struct loop *loop);
/* The guest has got to its command, and --boot-timeout is met. [main] */
void limits_up(struct limits *l);
/* Also what was never started. [main] */
void limits_stop(struct limits *l);

/* At the deadline there was output that nobody had read: the limit is over after all. [main] */
void limits_unread(struct limits *l);

/* What ends a run that would end by @cause: a limit that is over comes first. Any thread. */
enum cause limits_cause(const struct limits *l, enum cause cause);

#endif
