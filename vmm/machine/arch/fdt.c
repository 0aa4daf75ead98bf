/* SPDX-License-Identifier: MIT */
#include "vmm/machine/arch/fdt.h"

#include <errno.h>
#include <libfdt.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "vmm/core/bus.h"
#include "vmm/core/log.h"
#include "vmm/core/mem.h"
#include "vmm/core/pci.h"
#include "vmm/core/platform.h"
#include "vmm/core/util.h"
#include "vmm/machine/arch/arch.h"
#include "vmm/machine/machine.h"

#define NAME_MAX_LEN 40
#define CELLS_MAX (2 * MACHINE_CPUS_MAX)

#define SERIAL_SIZE 8
#define SERIAL_SCRATCH 7 /* a register that only keeps what is written to it */
#define SERIAL_CLOCK 1843200
#define ECAM_SIZE MIB(1)
#define FUNCTIONS 0x10000 /* of all buses */
#define PCI_MEMORY_32 0x02000000 /* of "ranges": 32-bit memory that may not be prefetched */

static void check(struct dt *dt, int err)
{
	if (!dt->err)
		dt->err = err;
}

void dt_begin(struct dt *dt, void *blob, size_t room)
{
	dt->blob = blob;
	dt->err = fdt_create(blob, room);
	if (!dt->err)
		check(dt, fdt_finish_reservemap(blob));
}

int dt_finish(struct dt *dt)
{
	if (!dt->err)
		check(dt, fdt_finish(dt->blob));
	if (!dt->err)
		check(dt, fdt_check_full(dt->blob, fdt_totalsize(dt->blob)));
	if (!dt->err)
		return 0;
	log_err("the guest's device tree: %s", fdt_strerror(dt->err));
	return dt->err == -FDT_ERR_NOSPACE ? -ENOSPC : -EIO;
}

void dt_node(struct dt *dt, const char *fmt, ...)
{
	char name[NAME_MAX_LEN];
	va_list list;

	va_start(list, fmt);
	vsnprintf(name, sizeof(name), fmt, list);
	va_end(list);
	if (!dt->err)
		check(dt, fdt_begin_node(dt->blob, name));
}

void dt_end(struct dt *dt)
{
	if (!dt->err)
		check(dt, fdt_end_node(dt->blob));
}

void dt_strings(struct dt *dt, const char *name, const char *value, size_t len)
{
	if (!dt->err)
		check(dt, fdt_property(dt->blob, name, value, len));
}

void dt_flag(struct dt *dt, const char *name)
{
	dt_strings(dt, name, NULL, 0);
}

void dt_string(struct dt *dt, const char *name, const char *value)
{
	dt_strings(dt, name, value, strlen(value) + 1);
}

void dt_cells(struct dt *dt, const char *name, const uint32_t *value, unsigned n)
{
	fdt32_t cell[CELLS_MAX];
	unsigned i;

	BUG_ON(n > CELLS_MAX);
	for (i = 0; i < n; i++)
		cell[i] = cpu_to_fdt32(value[i]);
	dt_strings(dt, name, (const char *)cell, n * sizeof(cell[0]));
}

void dt_cell(struct dt *dt, const char *name, uint32_t value)
{
	dt_cells(dt, name, &value, 1);
}

void dt_wide(struct dt *dt, const char *name, const uint64_t *value, unsigned n)
{
	uint32_t cell[CELLS_MAX];
	unsigned i;

	BUG_ON(2 * n > CELLS_MAX);
	for (i = 0; i < n; i++) {
		cell[2 * i] = value[i] >> 32;
		cell[2 * i + 1] = value[i];
	}
	dt_cells(dt, name, cell, 2 * n);
}

void dt_reg(struct dt *dt, uint64_t base, uint64_t size)
{
	dt_wide(dt, "reg", (const uint64_t[]){ base, size }, 2);
}

void dt_interrupt(struct dt *dt, uint32_t gsi)
{
	uint32_t cell[DT_INTERRUPT_CELLS];

	if (dt->controller)
		dt_cell(dt, "interrupt-parent", dt->controller);
	dt_cells(dt, "interrupts", cell, dt->interrupt(gsi, cell));
}

/* The nodes of all architectures. */

void dt_chosen(struct dt *dt, const struct platform *p, const struct arch_entry *entry)
{
	char console[NAME_MAX_LEN];

	dt_node(dt, "chosen");
	dt_string(dt, "bootargs", entry->cmdline);
	snprintf(console, sizeof(console), "/serial@%llx",
		 (unsigned long long)p->place[PLATFORM_SERIAL0].base);
	dt_string(dt, "stdout-path", console);
	if (entry->initrd_size) {
		uint64_t end = entry->initrd_at + entry->initrd_size;

		dt_wide(dt, "linux,initrd-start", &entry->initrd_at, 1);
		dt_wide(dt, "linux,initrd-end", &end, 1);
	}
	dt_end(dt);
}

void dt_memory(struct dt *dt, const struct mem *mem)
{
	unsigned i;

	for (i = 0; i < mem->nregions; i++) {
		dt_node(dt, "memory@%llx", (unsigned long long)mem->region[i].gpa);
		dt_string(dt, "device_type", "memory");
		dt_reg(dt, mem->region[i].gpa, mem->region[i].size);
		dt_end(dt);
	}
}

static void add_serial(struct dt *dt, const struct platform_place *place)
{
	uint8_t value;

	if (!place->bus || !bus_read(place->bus, place->base + SERIAL_SCRATCH, &value, 1))
		return; /* nobody has made it */
	dt_node(dt, "serial@%llx", (unsigned long long)place->base);
	dt_string(dt, "compatible", "ns16550a");
	dt_reg(dt, place->base, SERIAL_SIZE);
	dt_interrupt(dt, place->gsi);
	dt_cell(dt, "clock-frequency", SERIAL_CLOCK);
	dt_end(dt);
}

static void add_virtio(struct dt *dt, const struct mmio_slot *slot)
{
	dt_node(dt, "virtio_mmio@%llx", (unsigned long long)slot->base);
	dt_string(dt, "compatible", "virtio,mmio");
	dt_reg(dt, slot->base, slot->size);
	dt_interrupt(dt, slot->gsi);
	dt_flag(dt, "dma-coherent");
	dt_end(dt);
}

/* One bus; what is on it the guest finds itself. There is no INTx. */
static void add_pci(struct dt *dt, const struct platform *p)
{
	const struct pci_bus *bus = p->pci;
	uint64_t size = bus->window_end - bus->window, ecam = p->place[PLATFORM_ECAM].base;

	dt_node(dt, "pci@%llx", (unsigned long long)ecam);
	dt_string(dt, "compatible", "pci-host-ecam-generic");
	dt_string(dt, "device_type", "pci");
	dt_reg(dt, ecam, ECAM_SIZE);
	dt_cells(dt, "bus-range", (const uint32_t[]){ 0, 0 }, 2);
	dt_cell(dt, "#address-cells", 3);
	dt_cell(dt, "#size-cells", 2);
	dt_cells(dt, "ranges",
		 (const uint32_t[]){ PCI_MEMORY_32, bus->window >> 32, bus->window,
				     bus->window >> 32, bus->window, size >> 32, size }, 7);
	if (dt->msi_sender) /* any function's, by its own number */
		dt_cells(dt, "msi-map", (const uint32_t[]){ 0, dt->msi, 0, FUNCTIONS }, 4);
	else
		dt_cell(dt, "msi-parent", dt->msi);
	dt_flag(dt, "dma-coherent");
	dt_end(dt);
}

void dt_devices(struct dt *dt, const struct platform *p)
{
	unsigned i;

	add_serial(dt, &p->place[PLATFORM_SERIAL0]);
	add_serial(dt, &p->place[PLATFORM_SERIAL1]);
	for (i = 0; i < p->nslots; i++)
		add_virtio(dt, &p->slot[i]);
	if (p->pci)
		add_pci(dt, p);
}
