/* SPDX-License-Identifier: MIT */
#include "vmm/core/near.h"

#include <ctype.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* So many slips are a slip; more are another word. */
static unsigned slips(size_t len)
{
	return len < 3 ? 1 : 1 + (unsigned)len / 5;
}

void near_begin(struct near *n, const char *typed)
{
	*n = (struct near){ .typed = typed, .distance = UINT_MAX };
	if (strlen(typed) <= NEAR_MAX)
		n->distance = 2 * slips(strlen(typed)) + 2;
}

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
	a = a < b ? a : b;
	return a < c ? a : c;
}

static bool same(char a, char b)
{
	return tolower((unsigned char)a) == tolower((unsigned char)b);
}

/*
 * How many letters are wrong, missing, too many or have changed places (optimal string alignment):
 * the table's rows i - 2 to i are kept.
 */
static unsigned distance(const char *a, const char *b)
{
	unsigned row[3][NEAR_MAX + 1], i, j, la = strlen(a), lb = strlen(b);

	for (j = 0; j <= lb; j++)
		row[0][j] = j;
	for (i = 1; i <= la; i++) {
		unsigned *now = row[i % 3], *last = row[(i + 2) % 3], *before = row[(i + 1) % 3];

		now[0] = i;
		for (j = 1; j <= lb; j++) {
			now[j] = min3(last[j] + 1, now[j - 1] + 1,
				      last[j - 1] + !same(a[i - 1], b[j - 1]));
			if (i > 1 && j > 1 && same(a[i - 1], b[j - 2]) &&
			    same(a[i - 2], b[j - 1]) && before[j - 2] + 1 < now[j])
				now[j] = before[j - 2] + 1;
		}
	}
	return row[la % 3][lb];
}

/* In half slips: the beginning of a word is a little more than one. */
static unsigned how_far(const char *typed, const char *word)
{
	unsigned d = 2 * distance(typed, word);
	size_t len = strlen(typed);

	return len > 2 && d > 2 && !strncasecmp(typed, word, len) ? 3 : d;
}

void near_try(struct near *n, const char *word)
{
	unsigned d;

	if (!*n->typed || n->distance == UINT_MAX || strlen(word) > NEAR_MAX)
		return;
	d = how_far(n->typed, word);
	if (d < n->distance && d < 2 * strlen(word)) {
		n->distance = d;
		n->best = word;
	}
}

const char *near_text(const struct near *n, const char *mark, char buf[NEAR_TEXT])
{
	buf[0] = 0;
	if (n->best)
		snprintf(buf, NEAR_TEXT, "; did you mean %s%s?", mark, n->best);
	return buf;
}
