/* SPDX-License-Identifier: MIT */
#include "vmm/core/help.h"

#include <string.h>

bool help_wanted(const char *word)
{
	return word && (!strcmp(word, "--help") || !strcmp(word, "-h"));
}

/* What of @text fits into @room columns, if possible up to a blank. */
static size_t piece(const char *text, size_t room)
{
	size_t len = strlen(text), at;

	if (len <= room)
		return len;
	for (at = room; at && text[at] != ' '; at--)
		;
	return at ? at : strcspn(text, " ");
}

void help_row(FILE *out, unsigned column, const char *left, const char *text)
{
	size_t len = strlen(left) + 2, n;

	fprintf(out, "  %s", left);
	if (len + 2 > column) { /* two blanks end it, as one may be part of it */
		fputc('\n', out);
		len = 0;
	}
	do {
		n = piece(text, HELP_COLUMNS - column);
		fprintf(out, "%*s%.*s\n", (int)(column - len), "", (int)n, text);
		len = 0;
		text += n;
		text += strspn(text, " ");
	} while (*text);
}
