#include "vmm/text.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static const char replacement[] = "\xef\xbf\xbd"; /* U+FFFD */

static bool continues(unsigned char c)
{
	return (c & 0xc0) == 0x80;
}

/* Lengths, and the bounds of the second byte, by the first one (Unicode, table 3-7). */
unsigned text_char(const char *text, size_t len)
{
	static const struct {
		unsigned char first, last, low, high, len;
	} rows[] = {
		{ 0x00, 0x7f, 0x00, 0x00, 1 }, { 0xc2, 0xdf, 0x80, 0xbf, 2 },
		{ 0xe0, 0xe0, 0xa0, 0xbf, 3 }, { 0xe1, 0xec, 0x80, 0xbf, 3 },
		{ 0xed, 0xed, 0x80, 0x9f, 3 }, { 0xee, 0xef, 0x80, 0xbf, 3 },
		{ 0xf0, 0xf0, 0x90, 0xbf, 4 }, { 0xf1, 0xf3, 0x80, 0xbf, 4 },
		{ 0xf4, 0xf4, 0x80, 0x8f, 4 },
	};
	const unsigned char *c = (const unsigned char *)text;
	unsigned n = 0;

	if (!len)
		return 0;
	while (n < sizeof(rows) / sizeof(rows[0]) && c[0] > rows[n].last)
		n++;
	if (n == sizeof(rows) / sizeof(rows[0]) || c[0] < rows[n].first || rows[n].len > len)
		return 0;
	if (rows[n].len > 1 && (c[1] < rows[n].low || c[1] > rows[n].high))
		return 0;
	if ((rows[n].len > 2 && !continues(c[2])) || (rows[n].len > 3 && !continues(c[3])))
		return 0;
	return rows[n].len;
}

char *text_utf8(const char *text, size_t len, size_t *out)
{
	char *copy = len < SIZE_MAX / 4 ? malloc(len * 3 + 1) : NULL, *to = copy;
	unsigned n;

	if (!copy)
		return NULL;
	while (len) {
		n = text_char(text, len);
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
		n = text_char(text, len);
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
