/* SPDX-License-Identifier: MIT */
/*
 * x86.h - between the files of this folder.
 */
#ifndef ARCH_X86_64_X86_H
#define ARCH_X86_64_X86_H

#include <stdint.h>

struct arch_entry;
struct mem;
struct vm;

/* How a kernel wants to be entered: arch_entry.mode. */
enum x86_mode {
	X86_LONG, /* 64 bits, paging, identity-mapped; Linux's 64-bit boot protocol */
	X86_PVH,  /* 32 bits, no paging; Xen's PVH boot protocol */
};

/* GDT and page tables for X86_LONG: the first 4 GiB mapped one to one. -errno. (boot.c) */
int x86_write_long_mode_tables(struct mem *mem);

/* Registers with which a kernel is entered. -errno. (vcpu.c) */
int x86_set_entry(int vcpu_fd, const struct arch_entry *entry);

#endif
