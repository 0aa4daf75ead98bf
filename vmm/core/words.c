/* SPDX-License-Identifier: MIT */
#include "vmm/core/words.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/core/utf8.h"

int words_open(struct words *w, const char *text)
{
	*w = (struct words){ .at = text, .line = 1 };
	/* A word's 0 has the place of what is behind it. */
	w->buf = w->out = malloc(strlen(text) + 2);
	return w->buf ? 0 : -ENOMEM;
}

void words_close(struct words *w)
{
	free(w->buf);
	*w = (struct words){ 0 };
}

static char take(struct words *w)
{
	char c = *w->at++;

	w->line += c == '\n';
	return c;
}

static bool joins_lines(const struct words *w)
{
	return w->at[0] == '\\' && w->at[1] == '\n';
}

/* Behind the opening quote. False: it is not closed. */
static bool take_quoted(struct words *w, char quote)
{
	char c;

	while (*w->at && *w->at != quote) {
		if (quote == '"' && joins_lines(w)) {
			take(w);
			take(w);
			continue;
		}
		c = take(w);
		if (quote == '"' && c == '\\' && *w->at && strchr("\"\\$`", *w->at))
			c = take(w);
		*w->out++ = c;
	}
	return *w->at && take(w);
}

static bool ends_word(char c)
{
	return !c || strchr(" \t\r\n", c);
}

/* False: it does not end. */
static bool take_word(struct words *w)
{
	char c;

	while (!ends_word(*w->at)) {
		c = take(w);
		if (c == '\'' || c == '"') {
			if (!take_quoted(w, c))
				return false;
			continue;
		}
		if (c == '\\' && !*w->at)
			return false;
		if (c == '\\' && *w->at == '\n') {
			take(w);
			continue;
		}
		*w->out++ = c == '\\' ? take(w) : c;
	}
	*w->out++ = 0;
	return true;
}

static void skip_blanks(struct words *w)
{
	while ((*w->at && strchr(" \t\r", *w->at)) || joins_lines(w)) {
		if (joins_lines(w))
			take(w);
		take(w);
	}
	if (*w->at == '#')
		w->at += strcspn(w->at, "\n");
}

static int add_word(struct words *w, struct words_line *line)
{
	char **list = realloc(line->word, (line->count + 2) * sizeof(*list));

	if (!list)
		return -ENOMEM;
	line->word = list;
	if (!line->count)
		line->number = w->line;
	list[line->count++] = w->out;
	list[line->count] = NULL;
	return take_word(w) ? 0 : -EBADMSG;
}

int words_next(struct words *w, struct words_line *line)
{
	int err;

	*line = (struct words_line){ 0 };
	for (;;) {
		skip_blanks(w);
		if (*w->at && *w->at != '\n') {
			err = add_word(w, line);
			if (!err)
				continue;
			free(line->word);
			line->word = NULL;
			return err;
		}
		if (*w->at)
			take(w);
		else if (!line->count)
			return 0;
		if (line->count)
			return 1;
	}
}

static bool has_controls(const char *word)
{
	while (*word && (unsigned char)*word >= ' ' && *word != 0x7f)
		word++;
	return *word;
}

/* What cannot be shown, as bash and zsh take it: $'\n'. */
static void print_escaped(FILE *out, const char *word)
{
	char text[8];

	fputs(" $'", out);
	for (; *word; word++) {
		if (*word == '\'' || *word == '\\')
			snprintf(text, sizeof(text), "\\%c", *word);
		else if ((unsigned char)*word < 0x80)
			utf8_plain(text, sizeof(text), word, 1);
		else
			snprintf(text, sizeof(text), "%c", *word);
		fputs(text, out);
	}
	fputc('\'', out);
}

void words_print(FILE *out, const char *word)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789_-.+,=/:@%";

	if (*word && !word[strspn(word, plain)]) {
		fprintf(out, " %s", word);
		return;
	}
	if (has_controls(word)) {
		print_escaped(out, word);
		return;
	}
	fputs(" '", out);
	for (; *word; word++) {
		if (*word == '\'')
			fputs("'\\''", out);
		else
			fputc(*word, out);
	}
	fputc('\'', out);
}
