/* SPDX-License-Identifier: MIT */
#include "vmm/machine/gdb_packet.h"

#include <string.h>

enum { OUTSIDE, TEXT, ESCAPED, FIRST, SECOND };

#define BREAK 0x03
#define ESCAPE 0x20

static const char digits[] = "0123456789abcdef";

/* -1: it is no digit. */
static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static enum gdb_got outside(struct gdb_packet *p, uint8_t byte)
{
	if (byte == '$') {
		p->at = TEXT;
		p->sum = 0;
		p->len = 0;
		p->too_long = false;
	}
	switch (byte) {
	case '$':
	case '+':
		return GDB_MORE;
	case '-':
		return GDB_AGAIN;
	case BREAK:
		return GDB_BREAK;
	default:
		return GDB_NOISE;
	}
}

static void add(struct gdb_packet *p, uint8_t byte)
{
	if (p->len < GDB_TEXT_MAX)
		p->text[p->len++] = (char)byte;
	else
		p->too_long = true;
}

static enum gdb_got in_text(struct gdb_packet *p, uint8_t byte)
{
	if (byte == '$') /* the one before has been given up */
		return outside(p, byte);
	if (byte == '#') {
		p->at = FIRST;
		return GDB_MORE;
	}
	p->sum += byte;
	if (p->at == ESCAPED) {
		add(p, byte ^ ESCAPE);
		p->at = TEXT;
	} else if (byte == '}') {
		p->at = ESCAPED;
	} else {
		add(p, byte);
	}
	return GDB_MORE;
}

enum gdb_got gdb_packet_take(struct gdb_packet *p, uint8_t byte)
{
	int high, low;

	if (p->at == OUTSIDE)
		return outside(p, byte);
	if (p->at < FIRST)
		return in_text(p, byte);
	if (p->at == FIRST) {
		p->said = byte;
		p->at = SECOND;
		return GDB_MORE;
	}
	p->at = OUTSIDE;
	p->text[p->len] = 0;
	high = digit((char)p->said);
	low = digit((char)byte);
	return !p->too_long && high >= 0 && low >= 0 && (high << 4 | low) == p->sum ? GDB_PACKET :
										     GDB_BROKEN;
}

size_t gdb_packet_put(char *wire, const char *text, size_t len)
{
	uint8_t sum = 0;
	size_t n = 0;
	char c;

	wire[n++] = '$';
	for (; len--; text++) {
		c = *text;
		if (c && strchr("}$#*", c)) {
			wire[n++] = '}';
			sum += '}';
			c ^= ESCAPE;
		}
		wire[n++] = c;
		sum += (uint8_t)c;
	}
	wire[n++] = '#';
	wire[n++] = digits[sum >> 4];
	wire[n++] = digits[sum & 15];
	return n;
}

size_t gdb_put_hex(char *to, const uint8_t *from, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++) {
		to[2 * i] = digits[from[i] >> 4];
		to[2 * i + 1] = digits[from[i] & 15];
	}
	to[2 * len] = 0;
	return 2 * len;
}

bool gdb_get_hex(const char *from, uint8_t *to, size_t len)
{
	size_t i;
	int high, low;

	for (i = 0; i < len; i++) {
		high = digit(from[2 * i]);
		low = high < 0 ? -1 : digit(from[2 * i + 1]);
		if (low < 0)
			return false;
		to[i] = high << 4 | low;
	}
	return true;
}

bool gdb_number(const char **text, uint64_t *value)
{
	const char *at = *text;

	for (*value = 0; digit(*at) >= 0; at++) {
		if (*value >> 60)
			return false;
		*value = *value << 4 | (unsigned)digit(*at);
	}
	if (at == *text)
		return false;
	*text = at;
	return true;
}
