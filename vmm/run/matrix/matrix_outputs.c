/* SPDX-License-Identifier: MIT */
#include "vmm/run/matrix/matrix_outputs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/core/claim.h"
#include "vmm/core/fail.h"
#include "vmm/core/log.h"
#include "vmm/run/matrix/matrix_file.h"
#include "vmm/run/run.h"

/* Where it would be, below the first folder that is there. NULL: no memory. */
static char *would_be(const char *path)
{
	char *real = realpath(path, NULL), *parent, *slash, *place = NULL;

	if (real)
		return real;
	parent = strdup(path);
	slash = parent ? strrchr(parent, '/') : NULL;
	if (!slash) {
		free(parent);
		return strdup(path);
	}
	*slash = 0;
	real = would_be(slash > parent ? parent : "/.");
	if (real && asprintf(&place, "%s%s%s", real, slash[1] ? "/" : "", slash + 1) < 0)
		place = NULL;
	free(parent);
	free(real);
	return place;
}

/* "": of no interest. NULL: no memory. */
static char *place_of_file(const struct stat *st)
{
	char *place;
	int n;

	if (S_ISREG(st->st_mode) || S_ISDIR(st->st_mode))
		n = asprintf(&place, "%llx:%llx", (unsigned long long)st->st_dev,
			     (unsigned long long)st->st_ino);
	else if (S_ISBLK(st->st_mode))
		n = asprintf(&place, "device %llx", (unsigned long long)st->st_rdev);
	else
		return strdup("");
	return n < 0 ? NULL : place;
}

static char *place_of(const char *path)
{
	struct stat st;

	return stat(path, &st) < 0 ? would_be(path) : place_of_file(&st);
}

int matrix_outputs_add(struct matrix_outputs *o, unsigned run, const char *option,
		       const char *path)
{
	struct matrix_written *more, *one;
	char *full;

	if (claim_descriptor(path) >= 0)
		return 0;
	more = realloc(o->one, (o->count + 1) * sizeof(*more));
	if (!more)
		return -ENOMEM;
	o->one = more;
	one = &more[o->count++];
	*one = (struct matrix_written){ run, strdup(option), strdup(path), NULL };
	full = *path == '/' ? strdup(path) : NULL;
	if (!full && asprintf(&full, "%s/%s", o->dir, path) < 0)
		return -ENOMEM;
	one->place = place_of(full);
	free(full);
	return one->option && one->path && one->place ? 0 : -ENOMEM;
}

static int by_place(const void *a, const void *b)
{
	const struct matrix_written *x = a, *y = b;
	int order = strcmp(x->place, y->place);

	return order ? order : (x->run > y->run) - (x->run < y->run);
}

static bool clash(const struct matrix_written *a, const struct matrix_written *b)
{
	return *a->place && a->run != b->run && !strcmp(a->place, b->place);
}

static int check_each_other(const struct matrix_outputs *o, const struct matrix *m)
{
	const struct matrix_written *a, *b;

	for (a = o->one; a < o->one + o->count - 1 && !clash(a, a + 1);)
		a++;
	b = a + 1;
	if (b == o->one + o->count)
		return 0;
	log_err("%s: %s and %s would write to the same: %s %s, %s %s; {run} in a path makes it "
		"one of each run's own, as in %s/{run}", m->path, m->run[a->run].name,
		m->run[b->run].name, a->option, a->path, b->option, b->path, a->path);
	return -EUSAGE;
}

/* A run, and what the others write. */
struct reader {
	const struct matrix_outputs *o;
	const struct matrix *m;
	unsigned run;
};

static int only_by_place(const void *a, const void *b)
{
	return strcmp(((const struct matrix_written *)a)->place,
		      ((const struct matrix_written *)b)->place);
}

/* A folder may be one's results and another's source. */
static int check_name(void *arg, const char *name, int fd)
{
	const struct reader *r = arg;
	const struct matrix_written *other;
	struct matrix_written key;
	struct stat st;

	if (fstat(fd, &st) < 0 || (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode)))
		return 0;
	key.place = place_of_file(&st);
	if (!key.place)
		return 0;
	other = bsearch(&key, r->o->one, r->o->count, sizeof(key), only_by_place);
	free(key.place);
	if (!other || other->run == r->run)
		return 0;
	log_err("%s: %s %s of %s is the same file as %s of %s, which would be lost", r->m->path,
		other->option, other->path, r->m->run[other->run].name, name,
		r->m->run[r->run].name);
	return -EUSAGE;
}

int matrix_outputs_check(struct matrix_outputs *o, const struct matrix *m)
{
	int folder = open(o->dir, O_PATH | O_DIRECTORY | O_CLOEXEC), r = 0;
	struct reader reader = { o, m, 0 };

	if (o->count)
		qsort(o->one, o->count, sizeof(*o->one), by_place);
	if (o->count > 1)
		r = check_each_other(o, m);
	for (; r == 0 && o->count && reader.run < m->runs; reader.run++)
		r = run_each_name(folder, m->run[reader.run].argv, check_name, &reader);
	if (folder >= 0)
		close(folder);
	return r;
}

void matrix_outputs_free(struct matrix_outputs *o)
{
	while (o->count) {
		struct matrix_written *one = &o->one[--o->count];

		free(one->option);
		free(one->path);
		free(one->place);
	}
	free(o->one);
	o->one = NULL;
}
