/* SPDX-License-Identifier: MIT */
/*
 * walk.h - a guest's tables of pages, where KVM does not walk them: what an address of the program
 * that runs means. The tables are the guest's, and hostile: each entry is copied, then looked at,
 * and there are never more than @levels of them.
 */
#ifndef MACHINE_ARCH_WALK_H
#define MACHINE_ARCH_WALK_H

#include <stdbool.h>
#include <stdint.h>

struct mem;

enum walk_entry { WALK_NOTHING, WALK_TABLE, WALK_PAGE };

struct walk {
	uint64_t table;      /* where the first one is */
	unsigned page_bits;  /* of an address, within a page */
	unsigned entry_bits; /* that choose an entry of a table */
	unsigned levels;     /* 0: addresses are those of the machine */
	unsigned bits;       /* that mean something; those above, but the top 8, are all the same */
	/* What an entry is, of the last level or of one before; *@at: the address in it. */
	enum walk_entry (*entry)(uint64_t entry, bool last, uint64_t *at);
};

/* -EFAULT: nothing is there, or the tables are not in memory. A vCPU that rests. [main] */
int walk_tables(const struct mem *mem, const struct walk *w, uint64_t addr, uint64_t *gpa);

/* By registers of arm64: those of EL1. */
struct walk walk_arm64(uint64_t sctlr, uint64_t tcr, uint64_t ttbr0, uint64_t ttbr1, uint64_t addr);
struct walk walk_riscv64(uint64_t satp);

#endif
