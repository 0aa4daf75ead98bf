/* SPDX-License-Identifier: MIT */
#include "vmm/run/report/tap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/core/util.h"
#include "vmm/run/report/tap_level.h"
#include "vmm/run/report/tap_line.h"

#define LINE_MAX_LEN 1000
#define PLAN_MAX 1000000000ul

struct tap {
	char line[LINE_MAX_LEN + 1];
	size_t len;
	char cut[LINE_MAX_LEN + 1]; /* the kernel wrote in the middle of it; "": nothing is */

	struct tap_levels open;
	int last; /* the last test, if it is kept; or -1 */
	bool yaml_fits; /* it may begin here */
	bool in_yaml;
	unsigned yaml_column;

	unsigned long count[TAP_RESULTS];
};

struct tap *tap_create(void)
{
	struct tap *t = calloc(1, sizeof(*t));

	if (t)
		t->last = -1;
	return t;
}

void tap_destroy(struct tap *t)
{
	if (t)
		tap_keep_fini(&t->open.keep);
	free(t);
}

/* The lines of a document. */

static void take_version(struct tap *t, const struct tap_place *at, const struct tap_line *line)
{
	struct tap_level *l, *p;

	tap_level_close(&t->open, at);
	l = tap_level_at(&t->open, at);
	if (!l)
		return;
	if (l->seen || l->planned)
		tap_level_restart(&t->open, l);
	l->versioned = true;
	p = tap_program(&t->open, l);
	p->stamped = at->stamped;
	p->kernel = line->kernel || at->stamped;
	p->any_order = !p->kernel && line->number >= 14;
	if (p->kernel)
		p->guess.side = TAP_BEFORE;
}

static void add(struct tap *t, struct tap_level *l, const struct tap_test *test, const char *name,
		size_t name_len, const char *why)
{
	struct tap_neighbour now = { true, test->result == TAP_NOT_OK };

	t->count[test->result]++;
	if (l->block)
		tap_guess_block(&tap_program(&t->open, l)->guess, l->last, now);
	t->last = l->last_kept = tap_keep_add(&t->open.keep, test, name, name_len, why);
	tap_keep_tell(&t->open.keep, t->last, TAP_BEFORE, l->said, l->said_len);
	l->last = now;
	l->said_len = 0;
	l->block = false;
	l->open = t->yaml_fits = true;
}

/* A plan of none says that, and why, all tests were skipped. */
static void take_plan(struct tap *t, const struct tap_place *at, const struct tap_line *line)
{
	struct tap_test all = { .parent = -1, .seconds = -1, .result = TAP_SKIP };
	char why[TAP_NAME_MAX + 1];
	struct tap_level *l;

	tap_level_close(&t->open, at);
	l = tap_level_at(&t->open, at);
	if (!l)
		return;
	if (l->planned && l->seen >= l->plan)
		tap_level_restart(&t->open, l);
	tap_program(&t->open, l)->stamped = at->stamped;
	l->planned = true;
	l->complete = l->seen > 0;
	l->plan = line->number < PLAN_MAX ? line->number : PLAN_MAX;
	tap_unescape(why, line->why, strlen(line->why));
	if (l == t->open.level && !line->number && !l->seen)
		add(t, l, &all, "all", 3, why);
}

/* Tests since @first that are no part of one yet are parts of @whole. */
static void adopt(struct tap *t, unsigned first, int whole)
{
	for (; whole >= 0 && first < (unsigned)whole; first++) {
		if (t->open.keep.kept[first].test.parent < 0) {
			t->open.keep.kept[first].test.parent = whole;
			t->open.keep.kept[whole].test.has_parts = true;
		}
	}
}

static void check_number(struct tap *t, struct tap_level *l, unsigned long number)
{
	const struct tap_level *p;

	if (l->complete && number == 1)
		tap_level_restart(&t->open, l);
	p = tap_program(&t->open, l);
	l->seen++;
	l->numbered = number > 0;
	l->highest = p->any_order && number > l->highest ? number : l->highest;
	if (number && number != l->seen && !p->any_order && !p->bailed)
		tap_keep_problem(&t->open.keep, "test number %lu%s%s came where %lu was due",
				 number, *l->name ? " of " : "", l->name, l->seen);
}

/* TAP 14 has no words behind "#" but its own: others are part of the name. */
static void take_test(struct tap *t, const struct tap_place *at, const struct tap_line *line)
{
	struct tap_test test = { .parent = -1, .seconds = -1, .result = line->result };
	char name[TAP_NAME_MAX + 1], why[TAP_NAME_MAX + 1];
	unsigned first = tap_level_close(&t->open, at);
	struct tap_level *l = tap_level_at(&t->open, at);
	bool whole;
	size_t len;

	if (!l) {
		t->count[test.result]++;
		return;
	}
	check_number(t, l, line->number);
	tap_program(&t->open, l)->stamped = at->stamped;
	whole = tap_program(&t->open, l)->any_order && !line->directive;
	len = tap_unescape(name, line->name, whole ? strlen(line->name) : line->name_len);
	if (!len)
		len = sprintf(name, "test %lu", line->number ? line->number : l->seen);
	tap_unescape(why, whole ? "" : line->why, whole ? 0 : strlen(line->why));
	add(t, l, &test, name, len, why);
	adopt(t, first, t->last);
}

static void (*const takers[])(struct tap *, const struct tap_place *, const struct tap_line *) = {
	[TAP_VERSION] = take_version,
	[TAP_PLAN] = take_plan,
	[TAP_TEST] = take_test,
};

/* "ok" alone, behind a program's last test, is the word of "prove -v" on all of it. */
static bool is_verdict(const struct tap_level *l, const struct tap_line *line)
{
	return l->planned && l->seen >= l->plan && l->numbered && !line->number &&
	       !line->name_len && !*line->why;
}

/*
 * A document's first line is its version, its plan or its first test; within comments only that of
 * a version, unless there are programs behind them. The kernel numbers its tests, and prints much
 * else.
 */
static bool belongs(struct tap *t, const struct tap_place *at, const struct tap_line *line)
{
	struct tap_level *l = tap_level_of(&t->open, at->hashes, at->column);
	struct tap_level *around = !at->hashes ? NULL :
				   tap_level_of(&t->open, at->hashes - 1, at->column);

	if (line->kind == TAP_VERSION)
		return true;
	if (line->kind != TAP_PLAN && line->kind != TAP_TEST)
		return false;
	if (!l && at->hashes && (!around || !tap_program(&t->open, around)->runner))
		return false;
	if (line->kind == TAP_PLAN)
		return true;
	if (!l)
		return line->number == 1;
	return line->number || (!tap_program(&t->open, l)->kernel && !is_verdict(l, line));
}

/* Other lines. */

/* It is above the lines of a subtest, or the first of them, behind KTAP's version. */
static void take_subtest(struct tap *t, const struct tap_place *at, const struct tap_line *line)
{
	struct tap_level *l = tap_level_of(&t->open, at->hashes, at->column);
	bool own = l && l->versioned && !l->seen && !l->planned && l->column == at->column &&
		   tap_program(&t->open, l)->kernel;

	if (l)
		tap_unescape(own ? l->name : t->open.next_name, line->name, line->name_len);
}

/* Of a program that another one runs it is no more than what is said of that test. */
static void take_bail_out(struct tap *t, const struct tap_place *at, const struct tap_line *line)
{
	struct tap_level *l = tap_level_of(&t->open, at->hashes, at->column);
	char why[TAP_NAME_MAX + 1];

	if (!l)
		return;
	l = tap_program(&t->open, l);
	l->bailed = true;
	tap_unescape(why, line->body, strlen(line->body));
	if (at->hashes)
		tap_level_say(&t->open, l - 1, why);
	else
		tap_keep_problem(&t->open.keep, "%s", why);
}

/*
 * A line that something else was written before, without a newline, has the result that is due in
 * one of the open levels. Returns whether it has.
 */
static bool take_glued(struct tap *t, const struct tap_place *at, const char *body)
{
	struct tap_level *l;
	struct tap_line line;
	struct tap_place place;
	const char *found;
	bool spaced;

	for (l = t->open.level + t->open.depth; l-- > t->open.level;) {
		spaced = at->stamped && !tap_program(&t->open, l)->stamped;
		found = l->hashes > at->hashes || (l->planned && l->seen >= l->plan) ? NULL :
			tap_find_glued(body, l->seen + 1, spaced);
		if (!found)
			continue;
		tap_line_parse(&line, found);
		place = (struct tap_place){ l->column, l->hashes,
					    tap_program(&t->open, l)->stamped };
		take_test(t, &place, &line);
		return true;
	}
	return false;
}

static void take_comment(struct tap *t, const struct tap_place *at, const char *line,
			 const char *body)
{
	size_t skip = 1 + strspn(body + 1, " ");
	struct tap_place in = { at->column + skip, at->hashes + 1, at->stamped };
	struct tap_level *l = tap_level_of(&t->open, at->hashes, at->column), *inner;
	struct tap_line parsed;

	if (!l)
		return;
	tap_line_parse(&parsed, body + skip);
	if (belongs(t, &in, &parsed)) {
		takers[parsed.kind](t, &in, &parsed);
		return;
	}
	inner = tap_level_of(&t->open, in.hashes, in.column);
	if (inner && parsed.kind == TAP_COMMENT)
		take_comment(t, &in, line, body + skip);
	else if (inner && parsed.kind == TAP_SUBTEST)
		take_subtest(t, &in, &parsed);
	else if (inner && parsed.kind == TAP_BAIL_OUT)
		take_bail_out(t, &in, &parsed);
	else if (!take_glued(t, &in, body + skip))
		tap_level_say(&t->open, inner ? inner : l, line);
	tap_program(&t->open, l)->runner |= !strncmp(body + skip, "selftests: ", 11);
}

static void take_text(struct tap *t, const struct tap_place *at, const char *line, const char *body)
{
	struct tap_level *l = tap_top(&t->open);

	if (!take_glued(t, at, body) && tap_program(&t->open, l)->kernel)
		tap_level_say(&t->open, l, line); /* what the kernel said of it, an oops maybe */
}

static void take_yaml(struct tap *t, unsigned column, const char *line)
{
	static const char duration[] = "duration_ms:";
	const char *body = line + strspn(line, " \t");
	struct tap_test *test = t->last >= 0 ? &t->open.keep.kept[t->last].test : NULL;
	char text[LINE_MAX_LEN + 2];

	if (*body && (column < t->yaml_column || (column == t->yaml_column &&
						  !strcmp(body, "...")))) {
		t->in_yaml = tap_top(&t->open)->open = false;
		return;
	}
	if (!test)
		return;
	if (!strncmp(body, duration, sizeof(duration) - 1))
		test->seconds = strtod(body + sizeof(duration) - 1, NULL) / 1000;
	if (!(test->seconds >= 0 && test->seconds < 1e9))
		test->seconds = -1;
	snprintf(text, sizeof(text), "%s\n", line);
	tap_keep_tell(&t->open.keep, t->last, TAP_BELOW, text, strlen(text));
}

static void take_other(struct tap *t, const struct tap_place *at, const char *line,
		       const struct tap_line *parsed)
{
	t->yaml_fits &= parsed->kind == TAP_COMMENT || parsed->kind == TAP_BLANK ||
			parsed->kind == TAP_YAML;
	if (parsed->kind == TAP_SUBTEST) {
		take_subtest(t, at, parsed);
	} else if (parsed->kind == TAP_COMMENT) {
		take_comment(t, at, line, parsed->body);
	} else if (parsed->kind == TAP_BAIL_OUT) {
		take_bail_out(t, at, parsed);
	} else if (parsed->kind == TAP_YAML && t->yaml_fits &&
		   at->column > tap_top(&t->open)->column) {
		t->in_yaml = true;
		t->yaml_column = at->column;
		t->yaml_fits = false;
	} else if (parsed->kind == TAP_TEST && is_verdict(tap_top(&t->open), parsed)) {
		tap_top(&t->open)->complete = true;
	} else if (parsed->kind != TAP_BLANK && parsed->kind != TAP_PRAGMA) {
		take_text(t, at, line, parsed->body);
	}
}

static void take_whole(struct tap *t, const char *line)
{
	const char *at = tap_skip_stamp(line), *body = at + strspn(at, " \t");
	struct tap_place place = { .column = body - at, .stamped = at > line };
	struct tap_line parsed;

	if (t->in_yaml) {
		take_yaml(t, place.column, at);
		if (t->in_yaml || !strcmp(body, "..."))
			return;
	}
	tap_line_parse(&parsed, body);
	if (belongs(t, &place, &parsed)) {
		t->yaml_fits = false;
		takers[parsed.kind](t, &place, &parsed);
	} else if (t->open.depth) {
		take_other(t, &place, at, &parsed);
	}
}

/* The stream. */

/* The line that was cut, with the rest of it where @rest is that. Returns whether it is. */
static bool take_cut(struct tap *t, const char *rest)
{
	char joined[2 * LINE_MAX_LEN + 1];
	struct tap_line line;
	bool is_rest;

	snprintf(joined, sizeof(joined), "%s%s", t->cut, rest);
	tap_line_parse(&line, rest);
	is_rest = line.kind == TAP_TEXT;
	tap_line_parse(&line, joined + strspn(joined, " \t"));
	is_rest &= line.kind == TAP_TEST && line.number;
	joined[is_rest ? LINE_MAX_LEN : strlen(t->cut)] = 0;
	*t->cut = 0;
	take_whole(t, joined);
	return is_rest;
}

/* A line that ends before what is behind it. */
static void take_part(struct tap *t, const char *line, size_t len)
{
	char *part = strndup(line, len);

	if (part)
		take_whole(t, part);
	free(part);
}

/* The kernel writes its lines into the middle of others on the console. */
static void take_line(struct tap *t, char *line)
{
	bool stamped = tap_skip_stamp(line) > line;
	char *stamp = tap_find_stamp(line);

	if (!stamped && *t->cut && take_cut(t, line))
		return;
	if (!stamp) {
		take_whole(t, line);
		return;
	}
	if (stamped)
		take_part(t, line, stamp - line);
	else
		snprintf(t->cut, sizeof(t->cut), "%.*s", (int)(stamp - line), line);
	take_line(t, stamp);
}

static void end_line(struct tap *t)
{
	size_t i;

	while (t->len && t->line[t->len - 1] == '\r')
		t->len--;
	for (i = 0; i < t->len; i++) {
		if (!t->line[i])
			t->line[i] = '?';
	}
	t->line[t->len] = 0;
	take_line(t, t->line);
	t->len = 0;
}

void tap_feed(struct tap *t, const void *data, size_t len)
{
	const char *at = data, *stop;
	size_t n;

	while (len) {
		stop = memchr(at, '\n', len);
		n = stop ? (size_t)(stop - at) : len;
		if (t->len + n > LINE_MAX_LEN) { /* the rest of it is not kept */
			memcpy(t->line + t->len, at, LINE_MAX_LEN - t->len);
			t->len = LINE_MAX_LEN;
		} else {
			memcpy(t->line + t->len, at, n);
			t->len += n;
		}
		if (stop)
			end_line(t);
		n += !!stop;
		at += n;
		len -= n;
	}
}

void tap_end(struct tap *t)
{
	if (t->len)
		end_line(t);
	if (*t->cut)
		take_cut(t, "");
	tap_levels_end(&t->open);
}

unsigned tap_tests(const struct tap *t)
{
	return t->open.keep.tests;
}

const struct tap_test *tap_test(const struct tap *t, unsigned n)
{
	return &t->open.keep.kept[n].test;
}

unsigned long tap_count(const struct tap *t, enum tap_result result)
{
	return t->count[result];
}

unsigned tap_problems(const struct tap *t)
{
	return t->open.keep.problems;
}

const char *tap_problem(const struct tap *t, unsigned n)
{
	return t->open.keep.problem[n];
}
