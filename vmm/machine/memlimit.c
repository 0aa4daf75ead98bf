/* SPDX-License-Identifier: MIT */
#include "vmm/machine/memlimit.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "vmm/core/fail.h"
#include "vmm/core/log.h"
#include "vmm/core/util.h"

/* Version 1 says "no limit" by a number near 2^63. */
#define NO_LIMIT (1ull << 62)

/*
 * What lunette itself takes, and KVM for the VM and for each vCPU: 1.6 MiB were measured with two,
 * with room for disks and threads. Page tables, the process's and KVM's: 8 bytes each for 4 KiB.
 */
#define OVERHEAD MIB(6)
#define OVERHEAD_CPU KIB(512)
#define PAGE_TABLES(ram) ((ram) / 256)

static const struct version {
	const char *type;     /* of file system */
	bool shared;          /* one hierarchy for all controllers, not one that has "memory" */
	const char *limit, *used;
	const char *cache[4]; /* lines of memory.stat: counted as used, but given back when asked */
} versions[] = {
	{ "cgroup2", true, "memory.max", "memory.current",
	  { "inactive_file ", "active_file ", "slab_reclaimable " } },
	{ "cgroup", false, "memory.limit_in_bytes", "memory.usage_in_bytes",
	  { "total_inactive_file ", "total_active_file " } },
};

static FILE *open_in(const char *dir, const char *file)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", dir, file);
	return fopen(path, "re");
}

/* The number in a file, or on the line of it that begins with @key. False: there is none. */
static bool read_number(const char *dir, const char *file, const char *key, uint64_t *v)
{
	FILE *f = open_in(dir, file);
	size_t len = strlen(key);
	char line[128];
	bool found = false;

	while (f && !found && fgets(line, sizeof(line), f))
		found = !strncmp(line, key, len) && sscanf(line + len, "%ju", (uintmax_t *)v) == 1;
	if (f)
		fclose(f);
	return found;
}

static uint64_t left(const struct memlimit *m)
{
	return m->limit > m->used ? m->limit - m->used : 0;
}

static void take_tighter(struct memlimit *tightest, const struct memlimit *m)
{
	if (left(m) < left(tightest))
		*tightest = *m;
}

static void look_at_group(const struct version *v, const char *dir, struct memlimit *tightest)
{
	struct memlimit m;
	uint64_t cache;
	unsigned i;

	if (!read_number(dir, v->limit, "", &m.limit) || m.limit >= NO_LIMIT ||
	    !read_number(dir, v->used, "", &m.used))
		return;
	for (i = 0; v->cache[i]; i++) {
		if (read_number(dir, "memory.stat", v->cache[i], &cache))
			m.used -= min_u64(m.used, cache);
	}
	if (snprintf(m.where, sizeof(m.where), "%s/%s", dir, v->limit) >= (int)sizeof(m.where))
		snprintf(m.where, sizeof(m.where), "%s", v->limit);
	take_tighter(tightest, &m);
}

/* Is @word one of those in @list? Commas stand between them, and a colon may end it. */
static bool has_word(const char *list, const char *word)
{
	size_t len = strlen(word);

	for (; list; list = strchr(list, ',') ? strchr(list, ',') + 1 : NULL) {
		if (!strncmp(list, word, len) && strchr(",:", list[len]))
			return true;
	}
	return false;
}

/* Our group in this hierarchy. proc/self/cgroup has "0::/path", or "4:memory,x:/path". */
static bool find_group(const char *root, const struct version *v, char path[PATH_MAX])
{
	FILE *f = open_in(root, "proc/self/cgroup");
	char *line = NULL, *names, *at;
	bool found = false;
	size_t size = 0;

	while (f && !found && getline(&line, &size, f) > 0) {
		names = strchr(line, ':');
		at = names ? strchr(names + 1, ':') : NULL;
		if (!at)
			continue;
		found = v->shared ? !strncmp(line, "0::", 3) : has_word(names + 1, "memory");
		snprintf(path, PATH_MAX, "%.*s", (int)strcspn(at + 1, "\n"), at + 1);
	}
	free(line);
	if (f)
		fclose(f);
	return found;
}

struct mount {
	char from[PATH_MAX]; /* the group that is seen at ... */
	char at[PATH_MAX];   /* ... this folder */
};

/* proc/self/mountinfo has "36 35 0:33 /from /at options - type source options". */
static bool find_mount(const char *root, const struct version *v, struct mount *m)
{
	FILE *f = open_in(root, "proc/self/mountinfo");
	char *line = NULL, *rest, type[32], options[256];
	bool found = false;
	size_t size = 0;

	while (f && !found && getline(&line, &size, f) > 0) {
		rest = strstr(line, " - ");
		if (!rest || sscanf(rest, " - %31s %*s %255s", type, options) != 2 ||
		    strcmp(type, v->type))
			continue;
		found = (v->shared || has_word(options, "memory")) &&
			sscanf(line, "%*s %*s %*s %4095s %4095s", m->from, m->at) == 2;
	}
	free(line);
	if (f)
		fclose(f);
	return found;
}

/* The part of @path below @from; "": none, or it is not below. */
static const char *below(const char *path, const char *from)
{
	size_t len = strlen(from);

	if (!strcmp(from, "/"))
		len = 0;
	return strncmp(path, from, len) || (path[len] != '/' && path[len]) || strstr(path, "/..") ||
	       !strcmp(path + len, "/") ? "" : path + len;
}

/* Our group and all above it, as far as they are seen here. */
static void look_at_groups(const char *root, const struct version *v, struct memlimit *tightest)
{
	char group[PATH_MAX], dir[3 * PATH_MAX];
	struct mount m;
	size_t top;

	if (!find_group(root, v, group) || !find_mount(root, v, &m))
		return;
	top = snprintf(dir, sizeof(dir), "%s%s", root, m.at);
	snprintf(dir + top, sizeof(dir) - top, "%s", below(group, m.from));
	for (;;) {
		look_at_group(v, dir, tightest);
		if (strlen(dir) <= top)
			return;
		*strrchr(dir, '/') = 0;
	}
}

static void look_at_address_space(struct memlimit *tightest)
{
	struct memlimit m = { .where = "RLIMIT_AS (ulimit -v)" };
	struct rlimit as;
	uint64_t pages;

	if (getrlimit(RLIMIT_AS, &as) < 0 || as.rlim_cur == RLIM_INFINITY ||
	    !read_number("/proc/self", "statm", "", &pages))
		return;
	m.limit = as.rlim_cur;
	m.used = pages * sysconf(_SC_PAGESIZE);
	take_tighter(tightest, &m);
}

bool memlimit_find(const char *root, struct memlimit *tightest)
{
	unsigned i;

	*tightest = (struct memlimit){ .limit = UINT64_MAX };
	for (i = 0; i < ARRAY_SIZE(versions); i++)
		look_at_groups(root, &versions[i], tightest);
	if (!*root)
		look_at_address_space(tightest);
	return tightest->limit != UINT64_MAX;
}

uint64_t memlimit_left(const char *root, char where[MEMLIMIT_WHERE])
{
	uint64_t kib = UINT64_MAX >> 10;
	char proc[PATH_MAX];
	struct memlimit m;

	snprintf(proc, sizeof(proc), "%s/proc", root);
	read_number(proc, "meminfo", "MemAvailable:", &kib);
	snprintf(where, MEMLIMIT_WHERE, "this machine");
	if (!memlimit_find(root, &m) || left(&m) >= kib << 10)
		return kib << 10;
	snprintf(where, MEMLIMIT_WHERE, "%s", m.where);
	return left(&m);
}

uint64_t memlimit_need(uint64_t ram, unsigned cpus, uint64_t devices)
{
	return ram + PAGE_TABLES(ram) + OVERHEAD + cpus * OVERHEAD_CPU + devices;
}

int memlimit_check(const char *root, uint64_t ram, unsigned cpus, uint64_t devices)
{
	uint64_t need = memlimit_need(ram, cpus, devices);
	struct memlimit m;

	if (!memlimit_find(root, &m) || need <= left(&m))
		return 0;
	log_err("--memory %lluM: guest and overhead (%lluM) do not fit: %s is %lluM, of which "
		"%lluM are in use; give less --memory, or raise that limit",
		(unsigned long long)ram >> 20, (unsigned long long)(need - ram) >> 20, m.where,
		(unsigned long long)m.limit >> 20, (unsigned long long)m.used >> 20);
	return -EOVERLIMIT;
}
