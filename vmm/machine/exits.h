/* SPDX-License-Identifier: MIT */
/*
 * exits.h - what a vCPU has left its guest for lately.
 *
 * Accesses to the same address, of the same kind, are one entry with their number and
 * the newest value: otherwise a line on a serial port would be all that is left. When a
 * guest has come to a bad end these may be the last that is known of it.
 */
#ifndef MACHINE_EXITS_H
#define MACHINE_EXITS_H

#include <stdint.h>

#define EXITS 12
#define EXITS_TEXT 500 /* bytes */

enum exit_kind { EXIT_NONE, EXIT_IN, EXIT_OUT, EXIT_READ, EXIT_WRITE, EXIT_OTHER };

struct exit_entry {
	uint64_t addr; /* a port, an address in memory, or, of other exits, KVM's number */
	uint64_t data;
	uint64_t last; /* its number among all exits */
	uint32_t times;
	uint8_t kind, size; /* bytes; 0: none */
};

/* All zero: none yet. */
struct exits {
	struct exit_entry entry[EXITS];
	uint64_t count;
	char text[EXITS_TEXT]; /* exits_text() */
};

/* The entry of one that begins; the caller adds the data, of a read once it is known. */
struct exit_entry *exits_note(struct exits *x, enum exit_kind kind, uint64_t addr, unsigned size);

/* "out1 3f8=41 (17 times), in1 3fd=60 ...", the newest first, as far as it fits; into @x->text. */
const char *exits_text(struct exits *x);

#endif
