/* SPDX-License-Identifier: MIT */
/*
 * gdb_stub.h - what GDB asks of a target, without sockets and without KVM: texts of packets come
 * in, texts go out. Each vCPU is a thread, number 1 the first one.
 *
 * All of them stop and go together, but that one may be stepped, or go, while others stand. The
 * debugger is trusted with the guest; what it sends is checked all the same, as it may be broken.
 */
#ifndef MACHINE_GDB_STUB_H
#define MACHINE_GDB_STUB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/machine/gdb_packet.h"

#define GDB_CPUS_MAX 64
#define GDB_REGS_MAX 2048 /* bytes of all registers */
#define GDB_POINTS_MAX 64

/* As the protocol numbers them (Z0 to Z4). */
enum gdb_kind { GDB_SOFT, GDB_HARD, GDB_WRITE, GDB_READ, GDB_ACCESS, GDB_KINDS };

/* A place to stop at. */
struct gdb_point {
	enum gdb_kind kind;
	uint64_t addr; /* as the guest's program sees it */
	unsigned len;  /* bytes, of those that watch */
	uint8_t was[4]; /* GDB_SOFT: what is there without it */
};

/* A register. Ends with one without a name. */
struct gdb_reg {
	const char *name, *type, *feature; /* as in a target's description */
	unsigned bits;
};

enum gdb_go { GDB_STAND, GDB_RUN, GDB_STEP };

/* Functions return -errno; those that take a cpu get one that there is, while it stands. */
struct gdb_target {
	const char *arch; /* as GDB calls it */
	const struct gdb_reg *reg;
	const uint8_t *trap; /* the instruction of a software breakpoint */
	unsigned trap_len;
	unsigned cpus;
	void *arg;
	/* All of them, one after the other, each in whole bytes. */
	int (*get_regs)(void *arg, unsigned cpu, uint8_t *regs);
	int (*set_regs)(void *arg, unsigned cpu, const uint8_t *regs);
	/* Addresses are those of the program that the vCPU runs. */
	int (*read)(void *arg, unsigned cpu, uint64_t addr, void *to, size_t len);
	int (*write)(void *arg, unsigned cpu, uint64_t addr, const void *from, size_t len);
	/* Can so many points, without the soft ones, be had? */
	int (*check)(void *arg, const struct gdb_point *point, unsigned count);
	/* They run as @how says, one for each; @point: all there are. */
	int (*go)(void *arg, const enum gdb_go *how, const struct gdb_point *point, unsigned count);
	/* They stand, all of them; gdb_stub_stopped() is not called for that. */
	int (*stop)(void *arg);
	void (*kill)(void *arg);
};

struct gdb_stub {
	const struct gdb_target *target;
	unsigned cpu;   /* what is asked is about this one */
	unsigned stopped_by; /* the vCPU that has stopped the others */
	bool runs, acks; /* acks: each packet is confirmed */
	bool left;      /* the debugger has detached, or ended the guest */
	struct gdb_point point[GDB_POINTS_MAX];
	unsigned points;
	char last[64];  /* why it stands */
	char answer[GDB_TEXT_MAX + 1];
	size_t len;     /* of the answer; no_answer: there is none */
	bool no_answer;
};

/* The target's registers, as a document. (gdb_xml.c) */
#define GDB_XML_MAX 16384
void gdb_describe(const struct gdb_target *t, char *xml);

/* A debugger has come; the guest stands. */
void gdb_stub_begin(struct gdb_stub *s, const struct gdb_target *target);
/* A packet's text. The answer, if any, is in @answer. */
void gdb_stub_packet(struct gdb_stub *s, const char *text, size_t len);
/* The debugger interrupts. */
void gdb_stub_break(struct gdb_stub *s);
/*
 * vCPU @cpu has come to a point, or has made its step, and all stand now. @watched: the address, of
 * a point that watches, of kind @kind; otherwise GDB_SOFT.
 */
void gdb_stub_stopped(struct gdb_stub *s, unsigned cpu, enum gdb_kind kind, uint64_t watched);
/* Is there a software breakpoint of ours? */
bool gdb_stub_is_ours(struct gdb_stub *s, uint64_t addr);
/* It has gone: what it has changed in the guest's code is as before, which runs. */
void gdb_stub_end(struct gdb_stub *s);

#endif
