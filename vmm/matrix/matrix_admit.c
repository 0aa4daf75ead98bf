#include "vmm/matrix/matrix_admit.h"

#include <sched.h>
#include <stdio.h>

#include "vmm/core/util.h"
#include "vmm/memlimit.h"

static uint64_t memory_available(void)
{
	FILE *f = fopen("/proc/meminfo", "re");
	uint64_t kib = UINT64_MAX >> 10;
	char line[128];

	while (f && fgets(line, sizeof(line), f) &&
	       sscanf(line, "MemAvailable: %ju", (uintmax_t *)&kib) != 1)
		;
	if (f)
		fclose(f);
	return kib << 10;
}

void matrix_host_find(struct matrix_host *h, unsigned slots)
{
	struct memlimit m;
	uint64_t left;
	cpu_set_t set;

	*h = (struct matrix_host){ .memory = memory_available(), .where = "/proc/meminfo",
				   .cpus = 1, .slots = slots };
	if (memlimit_find("", &m)) {
		left = m.limit - min_u64(m.limit, m.used);
		if (left < h->memory)
			snprintf(h->where, sizeof(h->where), "%s", m.where);
		h->memory = min_u64(h->memory, left);
	}
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
