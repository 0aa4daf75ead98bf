/* SPDX-License-Identifier: MIT */
/*
 * fdt.h - a device tree, written from its first node to its last, by libfdt.
 *
 * The format is that of the Devicetree Specification 0.4. All addresses and sizes below the root
 * have two cells. Errors are remembered: what comes after one does nothing, and dt_finish() tells.
 *
 * The functions at the end write the nodes that all architectures with a tree have.
 */
#ifndef MACHINE_FDT_H
#define MACHINE_FDT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DT_INTERRUPT_CELLS 3 /* at most */

struct arch_entry;
struct mem;
struct platform;

struct dt {
	void *blob;
	int err; /* libfdt's; 0: none yet */
	/* Says in *@to, by the controller's own cells, that @gsi is an edge; returns how many. */
	unsigned (*interrupt)(uint32_t gsi, uint32_t to[DT_INTERRUPT_CELLS]);
	uint32_t controller; /* the node of that; 0: the root's interrupt-parent says it */
	uint32_t msi;        /* the node that messages of the PCI bus go to */
	bool msi_sender;     /* they carry the number of who sends them */
};

/* An empty tree in @room bytes at @blob. */
void dt_begin(struct dt *dt, void *blob, size_t room);
/* It is whole, and libfdt finds nothing wrong with it. -ENOSPC; -EIO. After one line. */
int dt_finish(struct dt *dt);

/* A node below the one that is open; all are closed by dt_end(). "": the root. */
void dt_node(struct dt *dt, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void dt_end(struct dt *dt);

/* Properties, which come before nodes. */
void dt_flag(struct dt *dt, const char *name);
void dt_string(struct dt *dt, const char *name, const char *value);
/* @len bytes as they are: strings one behind the other, each with its zero. */
void dt_strings(struct dt *dt, const char *name, const char *value, size_t len);
void dt_cell(struct dt *dt, const char *name, uint32_t value);
void dt_cells(struct dt *dt, const char *name, const uint32_t *value, unsigned n);
/* Two cells each. */
void dt_wide(struct dt *dt, const char *name, const uint64_t *value, unsigned n);
void dt_reg(struct dt *dt, uint64_t base, uint64_t size);
void dt_interrupt(struct dt *dt, uint32_t gsi);

/* What the kernel is told: command line, initrd, console. */
void dt_chosen(struct dt *dt, const struct platform *p, const struct arch_entry *entry);
void dt_memory(struct dt *dt, const struct mem *mem);
/* Serial ports, virtio devices on the memory bus, and the PCI bus. */
void dt_devices(struct dt *dt, const struct platform *p);

#endif
