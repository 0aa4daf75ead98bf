/* SPDX-License-Identifier: MIT */
#include "vmm/run/matrix/matrix_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/core/fail.h"
#include "vmm/core/log.h"
#include "vmm/run/matrix/matrix_lines.h"

#define FILE_MAX (1 << 20)

void *matrix_grow(void *array, unsigned *count, size_t size)
{
	char *list;

	memcpy(&list, array, sizeof(list));
	list = realloc(list, (*count + 1) * size);
	if (!list)
		return NULL;
	memcpy(array, &list, sizeof(list));
	return memset(list + (*count)++ * size, 0, size);
}

int matrix_no_memory(const struct matrix *m)
{
	log_err("%s: out of memory", m->path);
	return -ENOMEM;
}

/* The file's lines. */

/* It becomes a part of a file's name. */
static bool is_name(const char *text, size_t len)
{
	static const char chars[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789_-.+";

	return len && len <= 64 && *text != '-' && *text != '.' && strspn(text, chars) >= len;
}

static struct axis *find_axis(const struct matrix_lines *l, const char *name, size_t len)
{
	unsigned i;

	for (i = 0; i < l->axes; i++) {
		if (!strncmp(l->axis[i].name, name, len) && !l->axis[i].name[len])
			return &l->axis[i];
	}
	return NULL;
}

static struct value *find_value(const struct axis *a, const char *name)
{
	unsigned i;

	for (i = 0; i < a->values; i++) {
		if (!strcmp(a->value[i]->name, name))
			return a->value[i];
	}
	return NULL;
}

static struct value *add_value(struct axis *a, char *name)
{
	struct value **place = matrix_grow(&a->value, &a->values, sizeof(*place));

	if (!place)
		return NULL;
	*place = calloc(1, sizeof(**place));
	if (*place)
		(*place)->name = name;
	else
		a->values--;
	return *place;
}

static int parse_value(struct matrix *m, const struct words_line *w)
{
	struct axis *a = find_axis(m->lines, w->word[0], strlen(w->word[0]));
	struct value *v;

	if (w->count < 2 || !is_name(w->word[0], strlen(w->word[0])) ||
	    !is_name(w->word[1], strlen(w->word[1])))
		return matrix_bad(m, w->number, "'%s%s%s': an axis and a value's name are wanted, "
				  "of letters, digits and _-.+, then options for lunette run",
				  w->word[0], w->count < 2 ? "" : " ",
				  w->count < 2 ? "" : w->word[1]);
	if (w->count > 2 && *w->word[2] != '-')
		return matrix_bad(m, w->number, "'%s' is no option for lunette run", w->word[2]);
	if (!a) {
		a = matrix_grow(&m->lines->axis, &m->lines->axes, sizeof(*a));
		if (!a)
			return matrix_no_memory(m);
		a->name = w->word[0];
	}
	if (find_value(a, w->word[1]))
		return matrix_bad(m, w->number, "%s has a value '%s' already", a->name, w->word[1]);
	v = add_value(a, w->word[1]);
	if (!v)
		return matrix_no_memory(m);
	a->listed++;
	v->part = (struct part){ .word = w->word + 2, .line = w->number };
	return 0;
}

static int parse_common(struct matrix *m, const struct words_line *w)
{
	struct part *p;

	if (w->count < 2 || *w->word[1] != '-')
		return matrix_bad(m, w->number, "run: options for lunette run are wanted");
	p = matrix_grow(&m->lines->common, &m->lines->commons, sizeof(*p));
	if (!p)
		return matrix_no_memory(m);
	*p = (struct part){ .word = w->word + 1, .line = w->number };
	return 0;
}

/* Its pairs are looked at when all axes are known. */
static int parse_rule(struct matrix *m, const struct words_line *w)
{
	bool include = !strcmp(w->word[0], "include");
	struct rule *r = matrix_grow(&m->lines->rule, &m->lines->rules, sizeof(*r));

	if (!r)
		return matrix_no_memory(m);
	*r = (struct rule){ .include = include, .line = w->number, .pair = w->word + 1 };
	while (r->pair[r->pairs] && *r->pair[r->pairs] != '-')
		r->pairs++;
	r->part = (struct part){ .word = r->pair + r->pairs, .line = w->number };
	if (!r->pairs)
		return matrix_bad(m, w->number, "%s: AXIS=NAME is wanted", w->word[0]);
	if (!include && *r->part.word)
		return matrix_bad(m, w->number, "exclude: it takes no options, as '%s'",
				  *r->part.word);
	return 0;
}

static int parse_line(struct matrix *m, const struct words_line *w)
{
	if (!strcmp(w->word[0], "run"))
		return parse_common(m, w);
	if (!strcmp(w->word[0], "include") || !strcmp(w->word[0], "exclude"))
		return parse_rule(m, w);
	return parse_value(m, w);
}

static int parse_lines(struct matrix *m)
{
	struct matrix_lines *l = m->lines;
	struct words_line line;
	char ***place;
	int r, err = 0;

	while (!err && (r = words_next(&m->words, &line)) > 0) {
		place = matrix_grow(&l->word, &l->words, sizeof(*place));
		if (!place) {
			free(line.word);
			return matrix_no_memory(m);
		}
		*place = line.word;
		err = parse_line(m, &line);
	}
	if (err)
		return err;
	if (r == -EBADMSG)
		return matrix_bad(m, line.number, "a quote is not closed");
	return r < 0 ? matrix_no_memory(m) : 0;
}

/* AXIS=NAME */
static int resolve_pair(struct matrix *m, struct rule *r, char *pair)
{
	const char *what = r->include ? "include" : "exclude", *equals = strchr(pair, '=');
	struct axis *a = equals ? find_axis(m->lines, pair, equals - pair) : NULL;
	struct value *v;

	if (!equals)
		return matrix_bad(m, r->line, "%s: '%s' is not AXIS=NAME", what, pair);
	if (!a)
		return matrix_bad(m, r->line, "%s: '%s': there is no such axis", what, pair);
	if (r->want[a - m->lines->axis])
		return matrix_bad(m, r->line, "%s: %s is named twice", what, a->name);
	v = find_value(a, equals + 1);
	if (!v && (!r->include || !*r->part.word))
		return matrix_bad(m, r->line, "%s: '%s': %s has no such value%s", what, pair,
				  a->name, r->include ? ", and no options say what it is" : "");
	if (!v && !is_name(equals + 1, strlen(equals + 1)))
		return matrix_bad(m, r->line, "include: '%s': names are of letters, digits and "
				  "_-.+", pair);
	if (!v)
		v = add_value(a, pair + (equals - pair) + 1);
	if (!v)
		return matrix_no_memory(m);
	r->want[a - m->lines->axis] = v;
	return 0;
}

static int resolve_rules(struct matrix *m)
{
	struct rule *r = m->lines->rule;
	unsigned i, n;
	int err = 0;

	for (i = 0; i < m->lines->rules; i++, r++) {
		r->want = calloc(m->lines->axes + 1, sizeof(*r->want));
		if (!r->want)
			return matrix_no_memory(m);
		for (n = 0; n < r->pairs && !err; n++)
			err = resolve_pair(m, r, r->pair[n]);
		if (err)
			return err;
	}
	return 0;
}

int matrix_parse(struct matrix *m, const char *path, const char *text)
{
	int err;

	*m = (struct matrix){ .path = path, .lines = calloc(1, sizeof(*m->lines)) };
	if (!m->lines || words_open(&m->words, text) < 0)
		err = matrix_no_memory(m);
	else
		err = parse_lines(m);
	if (!err)
		err = resolve_rules(m);
	if (!err)
		err = matrix_combine(m);
	if (err)
		matrix_free(m);
	return err;
}

int matrix_read(struct matrix *m, const char *path)
{
	FILE *f = fopen(path, "re");
	char *text = malloc(FILE_MAX + 1);
	size_t len;
	int err = f && text ? 0 : -errno;

	*m = (struct matrix){ 0 };
	len = err ? 0 : fread(text, 1, FILE_MAX + 1, f);
	if (!err && ferror(f))
		err = -errno;
	if (err) {
		log_err("%s: %s", path, strerror(-err));
		err = err == -ENOMEM ? err : -EUSAGE;
	} else if (len > FILE_MAX || memchr(text, 0, len)) {
		log_err("%s: not a matrix: %s", path, len > FILE_MAX ? "larger than 1 MiB" :
			"it has bytes that are no text");
		err = -EUSAGE;
	} else {
		text[len] = 0;
		err = matrix_parse(m, path, text);
	}
	if (f)
		fclose(f);
	free(text);
	return err;
}

static void free_lines(struct matrix_lines *l)
{
	unsigned i, n;

	for (i = 0; i < l->words; i++)
		free(l->word[i]);
	for (i = 0; i < l->axes; i++) {
		for (n = 0; n < l->axis[i].values; n++)
			free(l->axis[i].value[n]);
		free(l->axis[i].value);
	}
	for (i = 0; i < l->rules; i++)
		free(l->rule[i].want);
	free(l->word);
	free(l->axis);
	free(l->rule);
	free(l->common);
	free(l);
}

void matrix_free(struct matrix *m)
{
	unsigned i, n;

	for (i = 0; i < m->runs; i++) {
		for (n = 0; n < m->run[i].argc; n++)
			free(m->run[i].argv[n]);
		free(m->run[i].argv);
		free(m->run[i].name);
		free(m->run[i].value);
	}
	free(m->run);
	free(m->axis);
	if (m->lines)
		free_lines(m->lines);
	words_close(&m->words);
	*m = (struct matrix){ 0 };
}
