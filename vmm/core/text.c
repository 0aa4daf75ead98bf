/* SPDX-License-Identifier: MIT */
#include "vmm/core/text.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/core/utf8.h"

static const char replacement[] = "\xef\xbf\xbd"; /* U+FFFD */

char *text_utf8(const char *text, size_t len, size_t *out)
{
	char *copy = len < SIZE_MAX / 4 ? malloc(len * 3 + 1) : NULL, *to = copy;
	unsigned n;

	if (!copy)
		return NULL;
	while (len) {
		n = utf8_char(text, len);
		to = n ? mempcpy(to, text, n) : mempcpy(to, replacement, 3);
		text += n ? n : 1;
		len -= n ? n : 1;
	}
	*to = 0;
	*out = to - copy;
	return copy;
}

json_t *text_json_bytes(const char *text, size_t len)
{
	json_t *value = json_stringn(text, len);
	char *copy;

	if (value)
		return value;
	copy = text_utf8(text, len, &len);
	value = copy ? json_stringn(copy, len) : NULL;
	free(copy);
	return value;
}

json_t *text_json(const char *text)
{
	return text_json_bytes(text, strlen(text));
}

static bool is_xml(const char *text, unsigned n)
{
	unsigned char c = *text;

	if (n == 1)
		return c >= ' ' || c == '\t' || c == '\n';
	return n != 3 || (memcmp(text, "\xef\xbf\xbe", 3) && memcmp(text, "\xef\xbf\xbf", 3));
}

static const char *entity(char c)
{
	switch (c) {
	case '&':
		return "&amp;";
	case '<':
		return "&lt;";
	case '>':
		return "&gt;";
	case '"':
		return "&quot;";
	case '\r': /* which would be read as a line feed */
		return "&#13;";
	}
	return NULL;
}

void text_xml(FILE *out, const char *text, size_t len)
{
	const char *name;
	unsigned n;

	for (; len; text += n, len -= n) {
		n = utf8_char(text, len);
		name = n == 1 ? entity(*text) : NULL;
		if (name)
			fputs(name, out);
		else if (n && is_xml(text, n))
			fwrite(text, 1, n, out);
		else
			fputs(replacement, out);
		if (!n)
			n = 1;
	}
}
