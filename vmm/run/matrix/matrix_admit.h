/* SPDX-License-Identifier: MIT */
/*
 * matrix_admit.h - may one more run start beside those that are running?
 *
 * Plain numbers. Memory is never promised twice, though guests may use less of
 * theirs: a host that runs out of it kills, and then no result can be trusted.
 */
#ifndef RUN_MATRIX_ADMIT_H
#define RUN_MATRIX_ADMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/machine/memlimit.h"

/* What a run takes, from its start to its end. */
struct matrix_need {
	uint64_t memory; /* bytes, with what lunette and KVM need for it */
	unsigned cpus;
};

struct matrix_host {
	uint64_t memory;
	char where[MEMLIMIT_WHERE]; /* what says so */
	unsigned cpus;
	unsigned slots;  /* so many runs at once, whatever CPUs they have; 0: as many as have a CPU
			    each, and one in any case */
	struct matrix_need used;
	unsigned running;
};

/* What there is now: the tightest limit on memory, or what is available; CPUs that we may use. */
void matrix_host_find(struct matrix_host *h, unsigned slots);

/* Not even alone. */
bool matrix_never_fits(const struct matrix_host *h, const struct matrix_need *need);
bool matrix_fits(const struct matrix_host *h, const struct matrix_need *need);
void matrix_take(struct matrix_host *h, const struct matrix_need *need);
void matrix_give_back(struct matrix_host *h, const struct matrix_need *need);

#endif
