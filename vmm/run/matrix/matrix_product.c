/* SPDX-License-Identifier: MIT */
/*
 * matrix_product.c - runs from the values of axes.
 */
#include "vmm/run/matrix/matrix_lines.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/core/fail.h"
#include "vmm/core/log.h"
#include "vmm/core/util.h"
#include "vmm/run/matrix/matrix_file.h"

#define PRODUCT_MAX (100ul * MATRIX_RUNS_MAX) /* as much may be excluded */

/* A run that is being made. */
struct draft {
	struct value **value; /* of each axis */
	struct part **more;   /* of rules */
	unsigned mores;
};

struct drafts {
	struct draft *draft;
	unsigned count, product; /* of them, the first ones are the product's */
};

/* The product. */

static bool matches(const struct matrix_lines *l, const struct rule *r, struct value **value)
{
	unsigned i;

	for (i = 0; i < l->axes; i++) {
		if (r->want[i] && r->want[i] != value[i])
			return false;
	}
	return true;
}

static bool is_excluded(const struct matrix_lines *l, struct value **value)
{
	unsigned i;

	for (i = 0; i < l->rules; i++) {
		if (!l->rule[i].include && matches(l, &l->rule[i], value))
			return true;
	}
	return false;
}

static int too_many(const struct matrix *m)
{
	log_err("%s: more than %u runs", m->path, MATRIX_RUNS_MAX);
	return -EUSAGE;
}

static int add_draft(struct matrix *m, struct drafts *d, struct value **value)
{
	size_t size = m->lines->axes * sizeof(*value);
	struct draft *draft;

	if (d->count == MATRIX_RUNS_MAX)
		return too_many(m);
	draft = matrix_grow(&d->draft, &d->count, sizeof(*draft));
	if (draft)
		draft->value = malloc(size);
	if (!draft || !draft->value)
		return matrix_no_memory(m);
	memcpy(draft->value, value, size);
	return 0;
}

/* @n is a number whose digits, one for each axis, say which value it is. */
static void pick_values(const struct matrix_lines *l, unsigned long n, struct value **value)
{
	unsigned i;

	for (i = l->axes; i--; n /= l->axis[i].listed)
		value[i] = l->axis[i].value[n % l->axis[i].listed];
}

static int make_product(struct matrix *m, struct drafts *d)
{
	struct matrix_lines *l = m->lines;
	struct value **value = calloc(l->axes + 1, sizeof(*value));
	unsigned long n, total = l->axes > 0;
	unsigned i;
	int err = value ? 0 : matrix_no_memory(m);

	for (i = 0; i < l->axes && !err; i++) {
		total *= l->axis[i].listed;
		if (total > PRODUCT_MAX)
			err = too_many(m);
	}
	for (n = 0; n < total && !err; n++) {
		pick_values(l, n, value);
		if (!is_excluded(l, value))
			err = add_draft(m, d, value);
	}
	d->product = d->count;
	free(value);
	return err;
}

static int extend(struct matrix *m, struct draft *d, struct rule *r)
{
	struct part **more = matrix_grow(&d->more, &d->mores, sizeof(*more));

	if (!more)
		return matrix_no_memory(m);
	*more = &r->part;
	return 0;
}

static int include(struct matrix *m, struct drafts *d, struct rule *r)
{
	bool found = false;
	unsigned i;
	int err = 0;

	for (i = 0; i < d->product && !err; i++) {
		if (!matches(m->lines, r, d->draft[i].value))
			continue;
		found = true;
		err = extend(m, &d->draft[i], r);
	}
	if (!found)
		err = add_draft(m, d, r->want);
	if (!found && !err)
		err = extend(m, &d->draft[d->count - 1], r);
	return err;
}

/* Runs. */

static char *name_of(const struct matrix *m, const struct draft *d)
{
	char *name = NULL;
	size_t len;
	FILE *out = open_memstream(&name, &len);
	const char *comma = "";
	unsigned i;

	for (i = 0; out && i < m->lines->axes; i++) {
		if (!d->value[i])
			continue;
		fprintf(out, "%s%s", comma, d->value[i]->name);
		comma = ",";
	}
	return out && !fclose(out) ? name : NULL;
}

/* What is a list with commas, so that one in a name is written twice. */
static const char *const lists[] = { "--device", "--disk", "--cdrom" };

/* Is @word the value of such an option, which stands before it or begins it? */
static bool is_list(const char *word, const char *before)
{
	unsigned i;
	size_t len;

	for (i = 0; i < ARRAY_SIZE(lists); i++) {
		len = strlen(lists[i]);
		if (!strcmp(before, lists[i]) || (!strncmp(word, lists[i], len) &&
						  word[len] == '='))
			return true;
	}
	return false;
}

static void put_name(FILE *out, const char *name, bool commas)
{
	for (; *name; name++) {
		fputc(*name, out);
		if (*name == ',' && commas)
			fputc(',', out);
	}
}

/* A copy, with the run's name in place of each {run}. */
static char *fill_in(const char *word, const char *name, bool commas)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	const char *at;

	if (!out)
		return NULL;
	for (; (at = strstr(word, "{run}")); word = at + strlen("{run}")) {
		fprintf(out, "%.*s", (int)(at - word), word);
		put_name(out, name, commas);
	}
	fputs(word, out);
	return fclose(out) ? NULL : text;
}

static int add_words(struct matrix *m, struct matrix_run *run, char *const *word)
{
	const char *before = "";
	char **place, *text;
	bool options = true;

	for (; *word; before = *word++) {
		options = options && strcmp(*word, "--");
		place = realloc(run->argv, (run->argc + 2) * sizeof(*place));
		if (place)
			run->argv = place;
		text = place ? fill_in(*word, run->name, options && is_list(*word, before)) : NULL;
		if (!text)
			return matrix_no_memory(m);
		place[run->argc++] = text;
		place[run->argc] = NULL;
	}
	return 0;
}

/* Its options; a command must wait, as it is the last. */
static int add_part(struct matrix *m, struct matrix_run *run, const struct part *p,
		    const struct part **command)
{
	char **end = p->word, *dashes;
	int err;

	while (*end && strcmp(*end, "--"))
		end++;
	if (!*end)
		return add_words(m, run, p->word);
	if (*command)
		return matrix_bad(m, p->line, "%s has a command already, of line %u", run->name,
				  (*command)->line);
	*command = p;
	dashes = *end;
	*end = NULL;
	err = add_words(m, run, p->word);
	*end = dashes;
	return err;
}

static int add_command(struct matrix *m, struct matrix_run *run, const struct part *p)
{
	char **word = p->word;

	while (strcmp(*word, "--"))
		word++;
	return add_words(m, run, word);
}

static int make_argv(struct matrix *m, struct matrix_run *run, const struct draft *d)
{
	const struct part *command = NULL;
	unsigned i;
	int err = 0;

	for (i = 0; i < m->lines->commons && !err; i++)
		err = add_part(m, run, &m->lines->common[i], &command);
	for (i = 0; i < m->lines->axes && !err; i++) {
		if (d->value[i] && d->value[i]->part.word)
			err = add_part(m, run, &d->value[i]->part, &command);
	}
	for (i = 0; i < d->mores && !err; i++)
		err = add_part(m, run, d->more[i], &command);
	return err || !command ? err : add_command(m, run, command);
}

static int check_name(const struct matrix *m, const struct matrix_run *run)
{
	const struct matrix_run *other;

	for (other = m->run; other < run; other++) {
		if (!strcmp(other->name, run->name)) {
			log_err("%s: two runs are %s", m->path, run->name);
			return -EUSAGE;
		}
	}
	if (strlen(run->name) <= MATRIX_NAME_MAX)
		return 0;
	log_err("%s: the name %s is longer than %d bytes", m->path, run->name, MATRIX_NAME_MAX);
	return -EUSAGE;
}

static int make_run(struct matrix *m, struct matrix_run *run, const struct draft *d)
{
	unsigned i;
	int err;

	run->name = name_of(m, d);
	run->value = calloc(m->lines->axes, sizeof(*run->value));
	if (!run->name || !run->value)
		return matrix_no_memory(m);
	for (i = 0; i < m->lines->axes; i++)
		run->value[i] = d->value[i] ? d->value[i]->name : NULL;
	err = check_name(m, run);
	return err ? err : make_argv(m, run, d);
}

static int make_runs(struct matrix *m, const struct drafts *d)
{
	unsigned i;
	int err = 0;

	m->run = calloc(d->count, sizeof(*m->run));
	m->axis = calloc(m->lines->axes, sizeof(*m->axis));
	if (!m->run || !m->axis)
		return matrix_no_memory(m);
	m->axes = m->lines->axes;
	for (i = 0; i < m->axes; i++)
		m->axis[i] = m->lines->axis[i].name;
	for (i = 0; i < d->count && !err; i++) {
		m->runs++;
		err = make_run(m, &m->run[i], &d->draft[i]);
	}
	return err;
}

int matrix_combine(struct matrix *m)
{
	struct drafts d = { 0 };
	unsigned i;
	int err = make_product(m, &d);

	for (i = 0; i < m->lines->rules && !err; i++) {
		if (m->lines->rule[i].include)
			err = include(m, &d, &m->lines->rule[i]);
	}
	if (!err && !d.count) {
		log_err("%s: no runs: %s", m->path, m->lines->axes ? "all are excluded" :
			"there is no axis, as with a line 'cpus two --cpus 2'");
		err = -EUSAGE;
	}
	if (!err)
		err = make_runs(m, &d);
	for (i = 0; i < d.count; i++) {
		free(d.draft[i].value);
		free(d.draft[i].more);
	}
	free(d.draft);
	return err;
}
