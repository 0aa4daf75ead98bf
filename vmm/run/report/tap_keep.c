/* SPDX-License-Identifier: MIT */
#include "vmm/run/report/tap_keep.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/core/util.h"

/* What only one kind of program says in its comments. */
static const struct {
	const char *text;
	bool anywhere; /* or at the beginning */
	enum tap_side side;
} marks[] = {
	{ "Failed test", false, TAP_AFTER },
	{ "Failed (TODO) test", false, TAP_AFTER },
	{ "selftests: ", false, TAP_BEFORE },     /* run_kselftest.sh */
	{ "Totals: pass:", false, TAP_BEFORE },   /* kselftest.h, KUnit */
	{ "RUN   ", false, TAP_BEFORE },          /* kselftest_harness.h */
	{ "TION FAILED at ", true, TAP_BEFORE },  /* KUnit before it called itself KTAP */
};

void tap_guess_comment(struct tap_guess *g, const char *text)
{
	const char *at;
	unsigned i;

	text += strspn(text, "# ");
	for (i = 0; i < ARRAY_SIZE(marks) && g->side == TAP_UNKNOWN; i++) {
		at = strstr(text, marks[i].text);
		if (at && (at == text || marks[i].anywhere))
			g->side = marks[i].side;
	}
}

/*
 * A block beside a bad result may be about that. One before the first result is about that, or it
 * greets; the one behind the last result is about that, or it sums up.
 */
void tap_guess_block(struct tap_guess *g, struct tap_neighbour before, struct tap_neighbour after)
{
	g->votes[TAP_BEFORE] += after.bad + !before.there;
	g->votes[TAP_AFTER] += before.bad + !after.there;
}

enum tap_side tap_guess_side(const struct tap_guess *g)
{
	if (g->side != TAP_UNKNOWN)
		return g->side;
	return g->votes[TAP_BEFORE] > g->votes[TAP_AFTER] ? TAP_BEFORE : TAP_AFTER;
}

void tap_keep_fini(struct tap_keep *k)
{
	unsigned i, side;

	for (i = 0; i < k->tests; i++) {
		free(k->kept[i].test.name);
		free(k->kept[i].test.why);
		free(k->kept[i].test.more);
		for (side = 0; side < TAP_SIDES; side++)
			free(k->kept[i].said[side]);
	}
	for (i = 0; i < k->problems; i++)
		free(k->problem[i]);
	free(k->kept);
}

/* A copy; NULL: there is nothing, or no room. */
static char *copy(struct tap_keep *k, const char *text, size_t len)
{
	char *copied;

	if (!len || k->text + len > TAP_TEXT_MAX)
		return NULL;
	copied = strndup(text, len);
	if (copied)
		k->text += len;
	return copied;
}

static bool have_room(struct tap_keep *k)
{
	unsigned room = k->room ? k->room * 2 : 64;
	struct tap_kept *more;

	if (k->tests == TAP_TESTS_MAX)
		return false;
	if (k->tests < k->room)
		return true;
	more = realloc(k->kept, room * sizeof(*more));
	if (!more)
		return false;
	k->kept = more;
	k->room = room;
	return true;
}

int tap_keep_add(struct tap_keep *k, const struct tap_test *test, const char *name, size_t name_len,
		 const char *why)
{
	struct tap_kept *new;

	if (k->text + name_len > TAP_TEXT_MAX || !have_room(k))
		return -1;
	new = &k->kept[k->tests];
	*new = (struct tap_kept){ .test = *test };
	new->test.name = copy(k, name, name_len);
	if (!new->test.name)
		return -1;
	new->test.why = copy(k, why, strnlen(why, TAP_NAME_MAX));
	return (int)k->tests++;
}

void tap_keep_tell(struct tap_keep *k, int n, enum tap_side side, const char *lines, size_t len)
{
	char **said, *more;
	size_t had;

	if (n < 0 || k->kept[n].test.result != TAP_NOT_OK)
		return;
	said = &k->kept[n].said[side];
	had = *said ? strlen(*said) : 0;
	if (had + len > TAP_MORE_MAX || k->text + len > TAP_TEXT_MAX)
		return;
	more = realloc(*said, had + len + 1);
	if (!more)
		return;
	memcpy(more + had, lines, len);
	more[had + len] = 0;
	*said = more;
	k->text += len;
}

static void settle(struct tap_keep *k, struct tap_kept *one, enum tap_side side)
{
	const char *said = one->said[side] ? one->said[side] : "";
	const char *below = one->said[TAP_BELOW] ? one->said[TAP_BELOW] : "";
	unsigned i;

	if ((*said || *below) && asprintf(&one->test.more, "%s%s", said, below) < 0)
		one->test.more = NULL;
	if (one->test.more && strlen(one->test.more) > TAP_MORE_MAX)
		one->test.more[TAP_MORE_MAX] = 0;
	k->text += one->test.more ? strlen(one->test.more) : 0;
	for (i = 0; i < TAP_SIDES; i++) {
		k->text -= one->said[i] ? strlen(one->said[i]) : 0;
		free(one->said[i]);
		one->said[i] = NULL;
	}
}

void tap_keep_settle(struct tap_keep *k, unsigned first, enum tap_side side)
{
	for (; first < k->tests; first++) {
		if (!k->kept[first].settled)
			settle(k, &k->kept[first], side);
		k->kept[first].settled = true;
	}
}

void tap_keep_problem(struct tap_keep *k, const char *fmt, ...)
{
	va_list ap;

	if (k->problems == TAP_PROBLEMS_MAX)
		return;
	va_start(ap, fmt);
	if (vasprintf(&k->problem[k->problems], fmt, ap) >= 0)
		k->problems++;
	va_end(ap);
}
