/* SPDX-License-Identifier: MIT */
/*
 * gdb_packet.h - GDB's remote serial protocol, as bytes: "$text#sum", with "+" or "-" as an answer
 * until both sides agree to do without, and 0x03 in between, which interrupts.
 *
 * In a text "}" is before a byte that would mean something else, which is changed by 0x20.
 */
#ifndef MACHINE_GDB_PACKET_H
#define MACHINE_GDB_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GDB_TEXT_MAX 4096 /* bytes of a packet's text */
#define GDB_WIRE_MAX (2 * GDB_TEXT_MAX + 5) /* of what it may become on its way */

enum gdb_got {
	GDB_MORE,   /* nothing yet */
	GDB_PACKET, /* a text, in @text */
	GDB_BROKEN, /* one that is too long, or damaged: it is to come again */
	GDB_AGAIN,  /* the other side has not understood the last one */
	GDB_BREAK,  /* the guest is to be interrupted */
	GDB_NOISE,  /* GDB says no such thing: somebody else, a browser that was sent here */
};

/* All zero at first. */
struct gdb_packet {
	uint8_t at;   /* before "$", in the text, behind "}", first and second digit of the sum */
	uint8_t sum;  /* of the bytes until now */
	uint8_t said; /* the first digit */
	bool too_long;
	size_t len;
	char text[GDB_TEXT_MAX + 1]; /* what escapes stand for is in it; ends with NUL */
};

/* The next byte. */
enum gdb_got gdb_packet_take(struct gdb_packet *p, uint8_t byte);
/* @len bytes, at most GDB_TEXT_MAX, as a packet in @wire, of GDB_WIRE_MAX. Returns its length. */
size_t gdb_packet_put(char *wire, const char *text, size_t len);

/* Two digits of each byte; the number that @*text begins with, which is moved behind it. */
size_t gdb_put_hex(char *to, const uint8_t *from, size_t len);
/* False: these are no @len bytes. */
bool gdb_get_hex(const char *from, uint8_t *to, size_t len);
/* False: there is none, or it has more than 64 bits. */
bool gdb_number(const char **text, uint64_t *value);

#endif
