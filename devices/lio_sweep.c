/* SPDX-License-Identifier: MIT */
#include "devices/lio_sweep.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "devices/lio.h"
#include "vmm/core/util.h"

#define PREFIX "lunette-"

/* Owners. */

struct owner {
	long pid;
	unsigned long long start, space;
};

/* Of a process that has ended, whose parent has not asked how: it has nothing any more. */
#define ZOMBIE ULLONG_MAX

/* In ticks since boot, which tells a process from a later one with its number. 0: there is none. */
static unsigned long long start_of(long pid)
{
	unsigned long long start = 0;
	char path[32], line[1024], *behind_name, state = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%ld/stat", pid);
	f = fopen(path, "re");
	if (!f)
		return 0;
	behind_name = fgets(line, sizeof(line), f) ? strrchr(line, ')') : NULL;
	if (behind_name)
		sscanf(behind_name + 1, " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d"
		       " %*d %*d %*d %*d %*d %llu", &state, &start);
	fclose(f);
	return state == 'Z' ? ZOMBIE : start;
}

/* The number of our PID namespace; 0: not known. */
static unsigned long long our_space(void)
{
	unsigned long long space;
	char text[64];
	ssize_t len = readlink("/proc/self/ns/pid", text, sizeof(text) - 1);

	if (len < 0)
		return 0;
	text[len] = 0;
	return sscanf(text, "pid:[%llu]", &space) == 1 ? space : 0;
}

static bool owner_parse(const char *name, struct owner *o)
{
	int len = 0;

	return sscanf(name, PREFIX "%ld-%llu-%llu%n", &o->pid, &o->start, &o->space, &len) == 3 &&
	       name[len] == ':';
}

/* Is there certainly no such process? /proc may be mounted so that others' are not in it. */
static bool is_gone(long pid)
{
	return !start_of(pid) && kill((pid_t)pid, 0) < 0 && errno == ESRCH;
}

/* Only if that is certain. */
static bool owner_is_dead(const struct owner *o)
{
	unsigned long long space = our_space(), start = start_of(o->pid);

	if (!space || o->space != space)
		return false;
	return start ? start != o->start : is_gone(o->pid);
}

int lio_owner_name(char *name, size_t size, const char *id)
{
	unsigned long long start = start_of(getpid()), space = our_space();

	if (!start || !space)
		return -ENOENT;
	snprintf(name, size, PREFIX "%d-%llu-%llu:%s", getpid(), start, space, id);
	return 0;
}

/* Removal. */

struct sweep {
	const struct lio_tree *tree;
	const char *name; /* remove this and what begins with it and a colon; NULL: dead owners' */
	enum log_level level;
	FILE *out;
	int err;          /* the first one */
};

static bool sweeps_away(const struct sweep *s, const char *name)
{
	struct owner o;
	size_t len;

	if (!s->name)
		return owner_parse(name, &o) && owner_is_dead(&o);
	len = strlen(s->name);
	return !strncmp(name, s->name, len) && (!name[len] || name[len] == ':');
}

static void note(struct sweep *s, const char *path, int r)
{
	if (!r || r == -ENOENT)
		return;
	log_line(s->level, "%s: cannot be removed: %s; 'lunette clean' tries again", path,
		 strerror(-r));
	if (!s->err)
		s->err = r;
}

static void sweep_dir(struct sweep *s, const char *path)
{
	note(s, path, s->tree->remove(path));
}

typedef void sweep_fn(struct sweep *s, const char *path, const char *name);

/* Calls @fn for what is in a folder now; not from a walk through it, as it changes. */
static void each(struct sweep *s, const char *dir, const char *prefix, sweep_fn *fn)
{
	struct dirent **list;
	char path[LIO_PATH];
	int i, n;

	n = scandir(dir, &list, NULL, alphasort);
	for (i = 0; i < n; i++) {
		const char *name = list[i]->d_name;

		if (name[0] != '.' && !strncmp(name, prefix, strlen(prefix)) &&
		    snprintf(path, sizeof(path), "%s/%s", dir, name) < (int)sizeof(path))
			fn(s, path, name);
		free(list[i]);
	}
	if (n >= 0)
		free(list);
}

static void sweep_link(struct sweep *s, const char *path, const char *name)
{
	struct stat st;

	(void)name;
	if (!lstat(path, &st) && S_ISLNK(st.st_mode))
		note(s, path, s->tree->unlink(path));
}

/* LUNs that somebody else has added to our target go, too. */
static void sweep_lun(struct sweep *s, const char *path, const char *name)
{
	(void)name;
	each(s, path, "", sweep_link);
	sweep_dir(s, path);
}

/* The nexus is busy while there are LUNs. */
static void sweep_group(struct sweep *s, const char *path, const char *name)
{
	char below[LIO_PATH + 8];

	(void)name;
	snprintf(below, sizeof(below), "%s/lun", path);
	each(s, below, "lun_", sweep_lun);
	snprintf(below, sizeof(below), "%s/nexus", path);
	s->tree->write(below, "NULL"); /* there may be none yet */
	sweep_dir(s, path);
}

static void sweep_target(struct sweep *s, const char *path, const char *name)
{
	if (!sweeps_away(s, name + strlen(LIO_PORT)))
		return;
	each(s, path, "tpgt_", sweep_group);
	sweep_dir(s, path);
	if (s->out)
		fprintf(s->out, "removed %s\n", path);
}

static void sweep_store(struct sweep *s, const char *path, const char *name)
{
	if (!sweeps_away(s, name))
		return;
	sweep_dir(s, path);
	if (s->out)
		fprintf(s->out, "removed %s\n", path);
}

/* The folder around stores. One that is in use is not empty, and stays. */
static void sweep_hba(struct sweep *s, const char *path, const char *name)
{
	unsigned long number = strtoul(strchr(name, '_') + 1, NULL, 10);
	long pid = (long)(number - LIO_HBA_BASE);
	bool done_with = s->name ? pid == getpid() : is_gone(pid);

	each(s, path, PREFIX, sweep_store);
	if (number > LIO_HBA_BASE && done_with)
		s->tree->remove(path);
}

int lio_sweep_lun(const struct lio_tree *tree, const char *name, unsigned lun)
{
	static const char *const kinds[] = { "fileio", "iblock" };
	struct sweep s = { .tree = tree, .level = LOG_ERR };
	char path[LIO_PATH];
	struct owner owner = { 0 };
	unsigned i;

	owner_parse(name, &owner); /* who may have another process do this (bounded.h) */
	snprintf(path, sizeof(path), "%s/vhost/" LIO_PORT "%s/tpgt_0/lun/lun_%u", tree->root, name,
		 lun);
	sweep_lun(&s, path, NULL);
	for (i = 0; !s.err && i < ARRAY_SIZE(kinds); i++) {
		snprintf(path, sizeof(path), "%s/core/%s_%ld/%s:%u", tree->root, kinds[i],
			 LIO_HBA_BASE + owner.pid, name, lun);
		sweep_dir(&s, path);
	}
	return s.err;
}

int lio_sweep(const struct lio_tree *tree, const char *name, enum log_level level, FILE *out)
{
	struct sweep s = { .tree = tree, .name = name, .level = level, .out = out };
	char dir[LIO_PATH];

	snprintf(dir, sizeof(dir), "%s/vhost", tree->root);
	each(&s, dir, LIO_PORT PREFIX, sweep_target);
	snprintf(dir, sizeof(dir), "%s/core", tree->root);
	each(&s, dir, "fileio_", sweep_hba);
	each(&s, dir, "iblock_", sweep_hba);
	return s.err;
}
