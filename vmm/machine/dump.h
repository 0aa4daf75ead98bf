/* SPDX-License-Identifier: MIT */
/*
 * dump.h - a guest's memory and registers as an ELF core, which crash and gdb open.
 *
 * Its notes are an NT_PRSTATUS for each vCPU and, where the guest's kernel has one, VMCOREINFO, by
 * which tools find out where that kernel is. It is looked for in memory, at the beginning of a
 * page, so nothing has to be agreed upon with the guest; one that lies hurts its reader alone.
 * Segments have physical addresses, also as virtual ones; behind them stand those that the kernel
 * has for the same memory, where VMCOREINFO tells (dump_maps.h). What is zero is a hole.
 */
#ifndef MACHINE_DUMP_H
#define MACHINE_DUMP_H

struct machine;

/*
 * Into the new file @name in @folder, or AT_FDCWD. No vCPU runs, and nothing is in flight. Takes
 * some time, which the memory's size bounds. -EEXIST and other -errno after one line: there is no
 * file then. [main]
 */
int dump_guest(struct machine *m, int folder, const char *name);
/*
 * Of a run that has failed: into a file in @folder with the first free of some names. A line says
 * which; @path is what the user calls the folder. [main]
 */
void dump_failed(struct machine *m, int folder, const char *path);

#endif
