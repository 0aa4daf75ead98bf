/*
 * text.h - bytes of whatever origin as the text that JSON and XML are made of.
 */
#ifndef VMM_TEXT_H
#define VMM_TEXT_H

#include <stddef.h>
#include <stdio.h>

struct json_t;

/*
 * The length of the UTF-8 character that @text of @len bytes begins with; 0: it begins with none.
 * No surrogates, nothing longer than need be, nothing above U+10FFFF.
 */
unsigned text_char(const char *text, size_t len);

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
