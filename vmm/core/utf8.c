/* SPDX-License-Identifier: MIT */
#include "vmm/core/utf8.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static bool continues(unsigned char c)
{
	return (c & 0xc0) == 0x80;
}

/* Lengths, and the bounds of the second byte, by the first one (Unicode, table 3-7). */
unsigned utf8_char(const char *text, size_t len)
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

/* C0, DEL, and C1 in its two bytes, which terminals obey, too; the separators of lines. */
static bool is_control(const char *c, unsigned n)
{
	if (n == 1)
		return (unsigned char)*c < ' ' || *c == 0x7f;
	return (n == 2 && c[0] == '\xc2' && (unsigned char)c[1] < 0xa0) ||
	       (n == 3 && (!memcmp(c, "\xe2\x80\xa8", 3) || !memcmp(c, "\xe2\x80\xa9", 3)));
}

/* As C writes the byte. Returns the length. */
static unsigned escape(char to[5], unsigned char c)
{
	static const char names[] = "\aa\bb\tt\nn\vv\ff\rr";
	const char *name = c ? strchr(names, c) : NULL;

	if (c < ' ' && name)
		return snprintf(to, 5, "\\%c", name[1]);
	return snprintf(to, 5, "\\x%02x", c);
}

size_t utf8_plain(char *to, size_t size, const char *text, size_t len)
{
	size_t at = 0;
	char piece[5];
	unsigned n, out;

	for (; len; text += n, len -= n) {
		const char *from = text;

		n = out = utf8_char(text, len);
		if (!n || is_control(text, n)) {
			n = 1;
			out = escape(piece, *text);
			from = piece;
		}
		if (out >= size - at)
			break;
		memcpy(to + at, from, out);
		at += out;
	}
	to[at] = 0;
	return at;
}

size_t utf8_fit(char *to, size_t size, const char *text, size_t len)
{
	static const char gap[] = " ... ";
	size_t room = size > sizeof(gap) ? size - sizeof(gap) : 0, head = room - room / 3, tail;

	if (len < size) {
		memcpy(to, text, len);
		to[len] = 0;
		return len;
	}
	for (tail = len - room / 3; tail < len && continues(text[tail]);)
		tail++;
	while (head && continues(text[head]))
		head--;
	return snprintf(to, size, "%.*s%s%.*s", (int)head, text, room ? gap : "",
			(int)(len - tail), text + tail);
}

void utf8_line(FILE *out, const char *fmt, ...)
{
	char *text = NULL, *plain;
	va_list ap;
	int len;

	va_start(ap, fmt);
	len = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (len < 0)
		return;
	plain = malloc(4 * (size_t)len + 1);
	if (plain) {
		utf8_plain(plain, 4 * (size_t)len + 1, text, len);
		fprintf(out, "%s\n", plain);
	}
	free(plain);
	free(text);
}
