/* SPDX-License-Identifier: MIT */
/*
 * utf8.h - bytes of whatever origin as text: characters, and lines for people.
 *
 * Names of files, and what guests send, may have line ends in them, and what
 * makes a terminal do other things. A line shows such bytes as C writes them:
 * \n, \x1b. What is shown so already stays as it is.
 */
#ifndef CORE_UTF8_H
#define CORE_UTF8_H

#include <stddef.h>
#include <stdio.h>

/*
 * The length of the UTF-8 character that @text of @len bytes begins with; 0: it begins with none.
 * No surrogates, nothing longer than need be, nothing above U+10FFFF.
 */
unsigned utf8_char(const char *text, size_t len);

/*
 * @text of @len bytes with nothing in it but characters that can be shown. Cut between them where
 * @size bytes, at least 1, are too few. Returns the length of what is in @to.
 */
size_t utf8_plain(char *to, size_t size, const char *text, size_t len);

/*
 * @text of @len bytes, which can be shown, in at most @size - 1 of them. What has no room is
 * missing between its beginning, which says what it is about, and its end, which says why.
 * Returns the length of what is in @to.
 */
size_t utf8_fit(char *to, size_t size, const char *text, size_t len);

/* A line of that, of any length; without its end in @fmt. */
void utf8_line(FILE *out, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
