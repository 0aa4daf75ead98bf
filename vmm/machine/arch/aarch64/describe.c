/* SPDX-License-Identifier: MIT */
/*
 * describe.c - the device tree: what the guest's kernel finds, and where.
 *
 * The nodes are those of Linux's Documentation/devicetree/bindings. What belongs
 * to no architecture is fdt.c's.
 */
#include <errno.h>
#include <stdlib.h>

#include "devices/devices.h"
#include "vmm/core/bus.h"
#include "vmm/core/log.h"
#include "vmm/core/mem.h"
#include "vmm/core/platform.h"
#include "vmm/core/util.h"
#include "vmm/machine/arch/aarch64/arm.h"
#include "vmm/machine/arch/aarch64/layout.h"
#include "vmm/machine/arch/arch.h"
#include "vmm/machine/arch/fdt.h"
#include "vmm/machine/arch/linux_image.h"

/* Interrupts of the GIC: kind, number, trigger. */
#define GIC_SPI 0
#define GIC_PPI 1
#define EDGE_RISING 1
#define LEVEL_HIGH 4
#define LEVEL_LOW 8
#define PPI_CPUS(n) (((1u << (n)) - 1) << 8) /* GICv2: which CPUs have it */

/* Nodes that others point to. */
enum { GIC = 1, ITS, CLOCK };

const unsigned arch_irq_inputs = 64;

void arm_place_devices(struct platform *p, bool msi)
{
	p->place[PLATFORM_SERIAL0] = (struct platform_place){ p->mmio, SERIAL0_AT, 0 };
	p->place[PLATFORM_SERIAL1] = (struct platform_place){ p->mmio, SERIAL1_AT, 1 };
	p->place[PLATFORM_PL031] = (struct platform_place){ p->mmio, PL031_AT, 0 };
	p->gsi_next = 2;
	p->gsi_end = p->msi_next = p->msi_end = arch_irq_inputs;
	p->mmio_next = VIRTIO_MMIO_AT;
	p->mmio_end = VIRTIO_MMIO_END;
	if (!msi)
		return;
	p->place[PLATFORM_ECAM] = (struct platform_place){ p->mmio, ECAM_AT, 0 };
	p->msi_end = p->msi_next + PLATFORM_MSI_GSIS;
	p->pci_next = PCI_BARS_AT;
	p->pci_end = PCI_BARS_END;
}

int arch_platform_devices(struct platform *p, struct device_list *list)
{
	static const char *const always[] = { "pci-host", "pvpanic", "pl031",
					      "serial,port=0,file=-" };
	unsigned i = p->no_pci ? 2 : 0; /* the first two are PCI's */
	int r = 0;

	for (; r == 0 && i < ARRAY_SIZE(always); i++)
		r = device_create(p, list, always[i]);
	return r;
}

static unsigned interrupt(uint32_t gsi, uint32_t to[DT_INTERRUPT_CELLS])
{
	to[0] = GIC_SPI;
	to[1] = gsi;
	to[2] = EDGE_RISING;
	return 3;
}

static void add_cpus(struct dt *dt, const struct arch_vm *arm, unsigned n)
{
	unsigned i;

	dt_node(dt, "cpus");
	dt_cell(dt, "#address-cells", 1);
	dt_cell(dt, "#size-cells", 0);
	for (i = 0; i < n; i++) {
		dt_node(dt, "cpu@%llx", (unsigned long long)arm->mpidr[i]);
		dt_string(dt, "device_type", "cpu");
		dt_string(dt, "compatible", "arm,armv8");
		dt_cell(dt, "reg", arm->mpidr[i]);
		dt_string(dt, "enable-method", "psci");
		dt_end(dt);
	}
	dt_end(dt);
	dt_node(dt, "psci");
	dt_strings(dt, "compatible", "arm,psci-1.0\0arm,psci-0.2", 26);
	dt_string(dt, "method", "hvc");
	dt_end(dt);
}

static void add_timer(struct dt *dt, uint32_t cpus)
{
	const uint32_t cells[] = {
		GIC_PPI, PPI_TIMER_SECURE, LEVEL_LOW | cpus,
		GIC_PPI, PPI_TIMER, LEVEL_LOW | cpus,
		GIC_PPI, PPI_TIMER_VIRTUAL, LEVEL_LOW | cpus,
		GIC_PPI, PPI_TIMER_HYP, LEVEL_LOW | cpus,
	};

	dt_node(dt, "timer");
	dt_string(dt, "compatible", "arm,armv8-timer");
	dt_cells(dt, "interrupts", cells, ARRAY_SIZE(cells));
	dt_flag(dt, "always-on");
	dt_end(dt);
}

static void add_pmu(struct dt *dt, uint32_t cpus)
{
	dt_node(dt, "pmu");
	dt_string(dt, "compatible", "arm,armv8-pmuv3");
	dt_cells(dt, "interrupts", (const uint32_t[]){ GIC_PPI, PPI_PMU, LEVEL_HIGH | cpus }, 3);
	dt_end(dt);
}

static void add_its(struct dt *dt)
{
	dt_node(dt, "msi-controller@%llx", GIC_ITS_AT);
	dt_string(dt, "compatible", "arm,gic-v3-its");
	dt_flag(dt, "msi-controller");
	dt_cell(dt, "#msi-cells", 1);
	dt_reg(dt, GIC_ITS_AT, GIC_ITS_SIZE);
	dt_cell(dt, "phandle", ITS);
	dt_end(dt);
}

static void add_gic(struct dt *dt, const struct arch_vm *arm, unsigned cpus)
{
	const uint64_t v3[] = { GIC_DIST_AT, GIC_DIST_SIZE,
				GIC_REDIST_AT, (uint64_t)cpus * GIC_REDIST_SIZE };
	const uint64_t v2[] = { GIC_DIST_AT, GIC_V2_DIST_SIZE, GIC_CPU_AT, GIC_V2_CPU_SIZE };

	dt_node(dt, "interrupt-controller@%llx", GIC_DIST_AT);
	dt_string(dt, "compatible", arm->v3 ? "arm,gic-v3" : "arm,cortex-a15-gic");
	dt_flag(dt, "interrupt-controller");
	dt_cell(dt, "#interrupt-cells", 3);
	dt_cell(dt, "#address-cells", 2);
	dt_cell(dt, "#size-cells", 2);
	dt_flag(dt, "ranges");
	dt_wide(dt, "reg", arm->v3 ? v3 : v2, 4);
	dt_cell(dt, "phandle", GIC);
	if (arm->its >= 0)
		add_its(dt);
	dt_end(dt);
}

/* The clock of day; and the clock that drives it, of which nothing else is known. */
static void add_pl031(struct dt *dt, uint64_t at)
{
	dt_node(dt, "clock");
	dt_string(dt, "compatible", "fixed-clock");
	dt_cell(dt, "#clock-cells", 0);
	dt_cell(dt, "clock-frequency", 24000000);
	dt_cell(dt, "phandle", CLOCK);
	dt_end(dt);
	dt_node(dt, "rtc@%llx", (unsigned long long)at);
	dt_strings(dt, "compatible", "arm,pl031\0arm,primecell", 24);
	dt_reg(dt, at, PL031_SIZE);
	dt_cell(dt, "clocks", CLOCK);
	dt_string(dt, "clock-names", "apb_pclk");
	dt_end(dt);
}

static int write_tree(void *blob, const struct platform *p, const struct arch_entry *entry)
{
	const struct vm *vm = p->chip;
	const struct arch_vm *arm = vm->arch;
	uint32_t cpus = arm->v3 ? 0 : PPI_CPUS(p->cpus);
	struct dt dt = { .interrupt = interrupt, .msi = ITS, .msi_sender = true };

	dt_begin(&dt, blob, TREE_ROOM);
	dt_node(&dt, "%s", "");
	dt_string(&dt, "compatible", "linux,dummy-virt");
	dt_string(&dt, "model", "lunette");
	dt_cell(&dt, "#address-cells", 2);
	dt_cell(&dt, "#size-cells", 2);
	dt_cell(&dt, "interrupt-parent", GIC);
	dt_chosen(&dt, p, entry);
	dt_memory(&dt, p->mem);
	add_cpus(&dt, arm, p->cpus);
	add_timer(&dt, cpus);
	if (arm->pmu)
		add_pmu(&dt, cpus);
	add_gic(&dt, arm, p->cpus);
	add_pl031(&dt, p->place[PLATFORM_PL031].base);
	dt_devices(&dt, p);
	dt_end(&dt);
	return dt_finish(&dt);
}

int arch_describe(const struct platform *p, const struct arch_entry *entry)
{
	void *blob = mem_ptr(p->mem, entry->arg, TREE_ROOM, 8);

	BUG_ON(!blob); /* arch_load() has found the place */
	return write_tree(blob, p, entry);
}
