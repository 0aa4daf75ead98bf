/* SPDX-License-Identifier: MIT */
/*
 * gdb.h - a debugger for the guest (--gdb PORT|PATH[,wait=on]): GDB connects to a port of
 * 127.0.0.1, or to a socket that is its owner's alone, and says which vCPUs run. One at a time.
 *
 * While it is there devices go on, and time does. When it goes, the guest runs. What it says is
 * gdb_stub.h's business; what becomes of that in KVM, the architecture's (debug.c).
 */
#ifndef MACHINE_GDB_H
#define MACHINE_GDB_H

struct gdb;
struct machine;

/* Does it make sense? -EUSAGE after one line. @text NULL: it was not asked for. */
int gdb_check(const char *text);
/*
 * Of a machine that has been built; with wait=on no vCPU runs before the debugger has them go on.
 * 0, and *@gdb NULL where @text is. -errno after one line. [setup]
 */
int gdb_create(struct gdb **gdb, struct machine *m, const char *text);
/* The loop runs no more. NULL: nothing to do. */
void gdb_destroy(struct gdb *gdb);

#endif
