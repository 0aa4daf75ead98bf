/* SPDX-License-Identifier: MIT */
/*
 * restart.h - a guest that resets itself begins again (--on-reboot restart), in the same VM.
 *
 * All that other processes, threads and the kernel have of a machine stays: its VM, memory map,
 * doorbells, interrupts, the devices with their disks, overlays and sockets. What the guest has
 * made of it goes: vCPUs and interrupt controllers are restored to what they were before the first
 * instruction, devices likewise, memory is zero, and the kernel is loaded once more. A new VM would
 * have needed each eventfd bound anew, and disks opened anew, which would lose overlays.
 *
 * A guest that does nothing else would go on for ever. So resets that come less than
 * RESTART_QUICK_MS after the guest has begun are counted while they follow each other; the run
 * ends with the one that is spec.reboot_limit.
 */
#ifndef MACHINE_RESTART_H
#define MACHINE_RESTART_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/machine/cause.h"

struct machine;

#define RESTART_QUICK_MS 10000

/* All zero: nothing is kept. */
struct restart {
	uint8_t *fresh; /* vCPUs and interrupt controllers before the first instruction */
	size_t len;
	uint64_t begun; /* CLOCK_MONOTONIC, in ms */
	unsigned quick; /* resets in a row that came soon, ... */
	atomic_bool given_up; /* ... and were too many: the next one ends the run */
};

/*
 * The machine is loaded, for the first time or again: what is to come back is kept, if the run is
 * to go on after a reset. -errno after one line. [setup, main]
 */
int restart_keep(struct machine *m);
/*
 * Is that how the run would end, and is the guest to come back? Then no vCPU goes on, the main loop
 * ends, and restart_guest() is next; an end that comes meanwhile is not taken, unless it is one of
 * those that a reset may look like. Any thread.
 */
bool restart_takes(struct machine *m, enum cause cause);
/* The main loop has ended. True: the guest runs again. False: the run is over. [main] */
bool restart_guest(struct machine *m);
void restart_free(struct restart *r);

#endif
