/* SPDX-License-Identifier: MIT */
#include "vmm/run/report/junit_names.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/core/utf8.h"

#define COMMAND_MAX 100

/* One that is taken. */
struct name {
	int parent;
	char *text;
	unsigned times;
};

struct junit_names {
	void *taken; /* a tree of struct name */
	const char **of;
};

static int compare(const void *a, const void *b)
{
	const struct name *x = a, *y = b;

	return x->parent != y->parent ? (x->parent > y->parent) - (x->parent < y->parent) :
	       strcmp(x->text, y->text);
}

static void free_name(void *name)
{
	free(((struct name *)name)->text);
	free(name);
}

void junit_names_destroy(struct junit_names *n)
{
	if (!n)
		return;
	tdestroy(n->taken, free_name);
	free(n->of);
	free(n);
}

/* The one that has this name, which may be new; NULL: no memory. @text becomes its, or is freed. */
static struct name *take(struct junit_names *n, int parent, char *text)
{
	struct name *new = malloc(sizeof(*new));
	struct name **found = NULL;

	if (new && text) {
		*new = (struct name){ .parent = parent, .text = text };
		found = tsearch(new, &n->taken, compare);
	}
	if (!found || *found != new) {
		free(new);
		free(text);
	}
	if (!found)
		return NULL;
	(*found)->times++;
	return *found;
}

static const char *choose(struct junit_names *n, const struct tap_test *test)
{
	struct name *first = take(n, test->parent, strdup(test->name)), *next = first;
	char *text;

	while (next && next->times > 1) {
		if (asprintf(&text, "%s (%u)", test->name, first->times) < 0)
			return NULL;
		next = take(n, test->parent, text);
		first->times += next && next->times > 1;
	}
	return next ? next->text : NULL;
}

struct junit_names *junit_names_create(const struct tap *t)
{
	struct junit_names *n = calloc(1, sizeof(*n));
	unsigned i;

	if (!n)
		return NULL;
	n->of = calloc(tap_tests(t) + 1, sizeof(*n->of));
	for (i = 0; n->of && i < tap_tests(t); i++) {
		n->of[i] = choose(n, tap_test(t, i));
		if (!n->of[i])
			break;
	}
	if (!n->of || i < tap_tests(t)) {
		junit_names_destroy(n);
		return NULL;
	}
	return n;
}

const char *junit_name(const struct junit_names *n, unsigned test)
{
	return n->of[test];
}

/* The run. */

/* The bytes of @text that fit, in whole characters. */
static size_t fitting(const char *text, size_t len)
{
	size_t at = 0, next;

	while (at < len) {
		next = utf8_char(text + at, len - at);
		next = next ? next : 1;
		if (at + next > COMMAND_MAX)
			break;
		at += next;
	}
	return at;
}

char *junit_command(char *const *argv)
{
	char *all = NULL, *name = NULL;
	char *const *word;
	size_t len, line;
	FILE *out = open_memstream(&all, &len);

	if (!out)
		return NULL;
	for (word = argv; *word; word++)
		fprintf(out, "%s%s", word == argv ? "" : " ",
			*word + (word == argv ? 0 : strspn(*word, "\n\r\t ")));
	if (fclose(out))
		return NULL;
	line = fitting(all, strcspn(all, "\r\n"));
	while (line < len && line > 0 && all[line - 1] == ' ')
		line--;
	if (asprintf(&name, "%.*s%s", (int)line, all, line < len ? " ..." : "") < 0)
		name = NULL;
	free(all);
	return name;
}
