/* SPDX-License-Identifier: MIT */
/*
 * words.h - a file's lines as words, by the rules that people know from shells.
 *
 * Blanks stand between words, and a # where one could begin starts a comment.
 * '...' is taken as it is, "..." too but for a backslash before one of "\$`; a
 * backslash elsewhere takes the next character as it is. Before a line's end it
 * joins two lines, and what is in quotes may have several. Nothing is expanded:
 * $, * and ~ are characters like others.
 */
#ifndef CORE_WORDS_H
#define CORE_WORDS_H

#include <stdio.h>

struct words {
	const char *at; /* borrowed; the next character */
	unsigned line;  /* its number, from 1 */
	char *buf, *out; /* the words so far: the whole, and its end */
};

struct words_line {
	char **word; /* malloc()ed, ends with NULL; the words live until words_close() */
	unsigned count, number;
};

/* @text ends with a 0. -ENOMEM. */
int words_open(struct words *w, const char *text);
void words_close(struct words *w);

/*
 * The next line that has words. 1; 0: there is none; -EBADMSG: a quote is not closed, in line
 * @line->number; -ENOMEM.
 */
int words_next(struct words *w, struct words_line *line);

/* A blank and the word, as a shell would take it. */
void words_print(FILE *out, const char *word);

#endif
