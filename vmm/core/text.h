/* SPDX-License-Identifier: MIT */
/*
 * text.h - bytes of whatever origin as the text that JSON and XML are made of.
 */
#ifndef CORE_TEXT_H
#define CORE_TEXT_H

#include <stddef.h>
#include <stdio.h>

struct json_t;

/*
 * A copy as valid UTF-8, malloc()ed, of *@out bytes and a 0 behind them: what is no character has
 * become U+FFFD. NULL: no memory.
 */
char *text_utf8(const char *text, size_t len, size_t *out);

/* The same as a JSON string. NULL: no memory. */
struct json_t *text_json(const char *text);
struct json_t *text_json_bytes(const char *text, size_t len);

/*
 * Writes it so that it may stand in an XML 1.0 element or, in double quotes, in an attribute. What
 * XML does not allow, most control characters among them, becomes U+FFFD.
 */
void text_xml(FILE *out, const char *text, size_t len);

#endif
