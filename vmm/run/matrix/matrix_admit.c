/* SPDX-License-Identifier: MIT */
#include "vmm/run/matrix/matrix_admit.h"

#include <sched.h>

#include "vmm/core/util.h"

void matrix_host_find(struct matrix_host *h, unsigned slots)
{
	cpu_set_t set;

	*h = (struct matrix_host){ .cpus = 1, .slots = slots };
	h->memory = memlimit_left("", h->where);
	if (sched_getaffinity(0, sizeof(set), &set) == 0)
		h->cpus = CPU_COUNT(&set);
}

bool matrix_never_fits(const struct matrix_host *h, const struct matrix_need *need)
{
	return need->memory > h->memory;
}

bool matrix_fits(const struct matrix_host *h, const struct matrix_need *need)
{
	if (need->memory > h->memory - h->used.memory)
		return false;
	if (h->slots)
		return h->running < h->slots;
	return !h->running || h->used.cpus + need->cpus <= h->cpus;
}

void matrix_take(struct matrix_host *h, const struct matrix_need *need)
{
	h->used.memory += need->memory;
	h->used.cpus += need->cpus;
	h->running++;
}

void matrix_give_back(struct matrix_host *h, const struct matrix_need *need)
{
	h->used.memory -= need->memory;
	h->used.cpus -= need->cpus;
	h->running--;
}
