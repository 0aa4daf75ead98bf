/* SPDX-License-Identifier: MIT */
#include "vmm/run/report/tap_level.h"

#include <stdio.h>
#include <string.h>

struct tap_level *tap_top(struct tap_levels *s)
{
	return &s->level[s->depth - 1];
}

struct tap_level *tap_program(struct tap_levels *s, struct tap_level *l)
{
	while (l > s->level && l[-1].hashes == l->hashes)
		l--;
	return l;
}

struct tap_level *tap_level_of(struct tap_levels *s, unsigned hashes, unsigned column)
{
	struct tap_level *l, *found = NULL;

	for (l = s->level; l < s->level + s->depth; l++) {
		if (l->hashes == hashes && (!found || l->column <= column))
			found = l;
	}
	return found;
}

void tap_level_say(struct tap_levels *s, struct tap_level *l, const char *line)
{
	size_t len = strlen(line) + 1;
	char text[TAP_MORE_MAX + 1];

	if (len > TAP_MORE_MAX)
		return;
	snprintf(text, sizeof(text), "%s\n", line);
	tap_guess_comment(&tap_program(s, l)->guess, line);
	l->block = true;
	if (l->open)
		tap_keep_tell(&s->keep, l->last_kept, TAP_AFTER, text, len);
	if (l->said_len + len > TAP_MORE_MAX)
		return;
	memcpy(l->said + l->said_len, text, len);
	l->said_len += len;
}

static void check_plan(struct tap_levels *s, struct tap_level *l)
{
	const char *of = *l->name ? " of " : "";
	const struct tap_level *p = tap_program(s, l);

	if (p->bailed)
		return;
	if (l->planned && l->seen != l->plan)
		tap_keep_problem(&s->keep, "%lu of %lu planned tests%s%s came", l->seen, l->plan,
				 of, l->name);
	else if (l->planned && l->highest > l->plan)
		tap_keep_problem(&s->keep, "test number %lu%s%s is not in its plan of %lu",
				 l->highest, of, l->name, l->plan);
	else if (!l->planned && l->versioned && l == s->level && !p->kernel)
		tap_keep_problem(&s->keep, "there is no plan, so tests may be missing");
}

/* No more tests of its document come. */
static void finish(struct tap_levels *s, struct tap_level *l)
{
	struct tap_level *p = tap_program(s, l);

	check_plan(s, l);
	if (l->block)
		tap_guess_block(&p->guess, l->last, (struct tap_neighbour){ false, false });
	if (p == l)
		tap_keep_settle(&s->keep, l->first, tap_guess_side(&l->guess));
}

/* What is left to be said may tell why there was no more of it, and so is of the test around it. */
static void close_top(struct tap_levels *s)
{
	struct tap_level *l = tap_top(s), *around = l - 1;

	finish(s, l);
	if (around->said_len + l->said_len <= TAP_MORE_MAX) {
		memcpy(around->said + around->said_len, l->said, l->said_len);
		around->said_len += l->said_len;
	}
	s->depth--;
}

unsigned tap_level_close(struct tap_levels *s, const struct tap_place *at)
{
	unsigned first = s->keep.tests;

	while (s->depth > 1 &&
	       (tap_top(s)->column > at->column || tap_top(s)->hashes > at->hashes)) {
		first = tap_top(s)->first;
		close_top(s);
	}
	return first;
}

static void begin(struct tap_levels *s, struct tap_level *l, const struct tap_place *at,
		  unsigned first)
{
	memset(l, 0, sizeof(*l));
	l->column = at->column;
	l->hashes = at->hashes;
	l->first = first;
	l->last_kept = -1;
	l->guess.side = TAP_UNKNOWN;
	snprintf(l->name, sizeof(l->name), "%s", s->next_name);
	*s->next_name = 0;
}

struct tap_level *tap_level_at(struct tap_levels *s, const struct tap_place *at)
{
	if (s->depth && tap_top(s)->column >= at->column && tap_top(s)->hashes == at->hashes) {
		tap_top(s)->column = at->column;
		return tap_top(s);
	}
	if (s->depth == TAP_LEVELS_MAX)
		return NULL;
	if (s->depth)
		tap_top(s)->open = false; /* what comes is about the parts of the next one */
	s->depth++;
	begin(s, tap_top(s), at, s->keep.tests);
	return tap_top(s);
}

void tap_level_restart(struct tap_levels *s, struct tap_level *l)
{
	struct tap_place at = { .column = l->column, .hashes = l->hashes };
	bool kernel = l->kernel, any_order = l->any_order, runner = l->runner;
	unsigned first = l == s->level ? s->keep.tests : l->first;

	finish(s, l);
	begin(s, l, &at, first);
	l->kernel = kernel;
	l->any_order = any_order;
	l->runner = runner;
	l->guess.side = kernel || runner ? TAP_BEFORE : TAP_UNKNOWN;
}

void tap_levels_end(struct tap_levels *s)
{
	while (s->depth > 1) {
		if (!s->level->bailed)
			tap_keep_problem(&s->keep, "the test%s%s that has subtests did not end",
					 *tap_top(s)->name ? " " : "", tap_top(s)->name);
		close_top(s);
	}
	if (s->depth)
		finish(s, s->level);
	s->depth = 0;
}
