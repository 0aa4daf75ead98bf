/* SPDX-License-Identifier: MIT */
/*
 * describe.c - the device tree: what the guest's kernel finds, and where.
 *
 * The nodes are those of Linux's Documentation/devicetree/bindings. What belongs to no architecture
 * is fdt.c's.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "devices/devices.h"
#include "vmm/core/bus.h"
#include "vmm/core/log.h"
#include "vmm/core/mem.h"
#include "vmm/core/platform.h"
#include "vmm/core/util.h"
#include "vmm/machine/arch/arch.h"
#include "vmm/machine/arch/fdt.h"
#include "vmm/machine/arch/linux_image.h"
#include "vmm/machine/arch/riscv64/layout.h"
#include "vmm/machine/arch/riscv64/riscv.h"
#include "vmm/machine/machine.h"
#include "vmm/machine/vm.h"

#define EDGE_RISING 1
#define EXTERNAL 9 /* the interrupt of a CPU that its IMSIC raises */

#define SV39 8 /* of satp_mode; 9 and 10 are Sv48 and Sv57 */

/* Nodes that others point to; the CPUs' own controllers are the last ones. */
enum { APLIC = 1, IMSIC, CPU };

const unsigned arch_irq_inputs = 64;

/*
 * Extensions by KVM's numbers. Those that guests are not told of have no name: H, which they do not
 * get, and Zkr, whose random numbers KVM leaves to others; virtio-rng has some.
 */
static const char *const extensions[] = {
	"a", "c", "d", "f", NULL, "i", "m", "svpbmt", "sstc", "svinval", "zihintpause", "zicbom",
	"zicboz", "zbb", "ssaia", "v", "svnapot", "zba", "zbs", "zicntr", "zicsr", "zifencei",
	"zihpm", "smstateen", "zicond", "zbc", "zbkb", "zbkc", "zbkx", "zknd", "zkne", "zknh",
	NULL, "zksed", "zksh", "zkt", "zvbb", "zvbc", "zvkb", "zvkg", "zvkned", "zvknha",
	"zvknhb", "zvksed", "zvksh", "zvkt", "zfh", "zfhmin", "zihintntl", "zvfh", "zvfhmin",
	"zfa", "ztso", "zacas", "sscofpmf", "zimop", "zca", "zcb", "zcd", "zcf", "zcmop", "zawrs",
};
_Static_assert(ARRAY_SIZE(extensions) <= RISCV_EXTENSIONS, "a bit for each");

#define EXTENSIONS_TEXT 512 /* of all their names */

void riscv_place_devices(struct platform *p)
{
	p->place[PLATFORM_SERIAL0] =
		(struct platform_place){ p->mmio, SERIAL0_AT, SOURCE_SERIAL0 };
	p->place[PLATFORM_SERIAL1] =
		(struct platform_place){ p->mmio, SERIAL1_AT, SOURCE_SERIAL1 };
	p->place[PLATFORM_GOLDFISH] = (struct platform_place){ p->mmio, CLOCK_AT, SOURCE_CLOCK };
	p->place[PLATFORM_ECAM] = (struct platform_place){ p->mmio, ECAM_AT, 0 };
	p->gsi_next = SOURCE_FIRST;
	p->gsi_end = p->msi_next = arch_irq_inputs;
	p->msi_end = p->msi_next + PLATFORM_MSI_GSIS;
	p->mmio_next = VIRTIO_MMIO_AT;
	p->mmio_end = VIRTIO_MMIO_END;
	p->pci_next = PCI_BARS_AT;
	p->pci_end = PCI_BARS_END;
}

int arch_platform_devices(struct platform *p, struct device_list *list)
{
	static const char *const always[] = { "pci-host", "pvpanic", "goldfish-rtc",
					      "serial,port=0,file=-" };
	unsigned i;
	int r = 0;

	for (i = 0; r == 0 && i < ARRAY_SIZE(always); i++)
		r = device_create(p, list, always[i]);
	return r;
}

static unsigned interrupt(uint32_t gsi, uint32_t to[DT_INTERRUPT_CELLS])
{
	to[0] = gsi;
	to[1] = EDGE_RISING;
	return 2;
}

static void add_extensions(struct dt *dt, const struct riscv_cpu *cpu)
{
	char text[EXTENSIONS_TEXT];
	size_t len = 0;
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(extensions); i++) {
		size_t more;

		if (!extensions[i] || !(cpu->extension[i / 64] & 1ull << i % 64))
			continue;
		more = strlen(extensions[i]) + 1;
		BUG_ON(len + more > sizeof(text));
		memcpy(text + len, extensions[i], more);
		len += more;
	}
	dt_strings(dt, "riscv,isa-extensions", text, len);
}

static void add_cpu(struct dt *dt, const struct riscv_cpu *cpu, unsigned number)
{
	static const char *const paging[] = { "riscv,sv39", "riscv,sv48", "riscv,sv57" };

	dt_node(dt, "cpu@%x", number);
	dt_string(dt, "device_type", "cpu");
	dt_string(dt, "compatible", "riscv");
	dt_cell(dt, "reg", number);
	if (cpu->satp_mode >= SV39 && cpu->satp_mode < SV39 + ARRAY_SIZE(paging))
		dt_string(dt, "mmu-type", paging[cpu->satp_mode - SV39]);
	dt_string(dt, "riscv,isa-base", "rv64i");
	add_extensions(dt, cpu);
	if (cpu->cbom)
		dt_cell(dt, "riscv,cbom-block-size", cpu->cbom);
	if (cpu->cboz)
		dt_cell(dt, "riscv,cboz-block-size", cpu->cboz);
	dt_node(dt, "interrupt-controller");
	dt_string(dt, "compatible", "riscv,cpu-intc");
	dt_flag(dt, "interrupt-controller");
	dt_cell(dt, "#interrupt-cells", 1);
	dt_cell(dt, "#address-cells", 0);
	dt_cell(dt, "phandle", CPU + number);
	dt_end(dt);
	dt_end(dt);
}

static void add_cpus(struct dt *dt, const struct riscv_cpu *cpu, unsigned n)
{
	unsigned i;

	dt_node(dt, "cpus");
	dt_cell(dt, "#address-cells", 1);
	dt_cell(dt, "#size-cells", 0);
	dt_cell(dt, "timebase-frequency", cpu->timebase);
	for (i = 0; i < n; i++)
		add_cpu(dt, cpu, i);
	dt_end(dt);
}

static void add_imsics(struct dt *dt, uint32_t ids, unsigned cpus)
{
	uint32_t ends[2 * MACHINE_CPUS_MAX];
	unsigned i;

	for (i = 0; i < cpus; i++) {
		ends[2 * i] = CPU + i;
		ends[2 * i + 1] = EXTERNAL;
	}
	dt_node(dt, "interrupt-controller@%llx", IMSIC_AT);
	dt_string(dt, "compatible", "riscv,imsics");
	dt_reg(dt, IMSIC_AT, (uint64_t)cpus * IMSIC_SIZE);
	dt_flag(dt, "interrupt-controller");
	dt_cell(dt, "#interrupt-cells", 0);
	dt_cell(dt, "#address-cells", 0);
	dt_flag(dt, "msi-controller");
	dt_cell(dt, "#msi-cells", 0);
	dt_cells(dt, "interrupts-extended", ends, 2 * cpus);
	dt_cell(dt, "riscv,num-ids", ids);
	dt_cell(dt, "phandle", IMSIC);
	dt_end(dt);
}

static void add_aplic(struct dt *dt)
{
	dt_node(dt, "interrupt-controller@%llx", APLIC_AT);
	dt_string(dt, "compatible", "riscv,aplic");
	dt_reg(dt, APLIC_AT, APLIC_SIZE);
	dt_flag(dt, "interrupt-controller");
	dt_cell(dt, "#interrupt-cells", 2);
	dt_cell(dt, "#address-cells", 0);
	dt_cell(dt, "msi-parent", IMSIC);
	dt_cell(dt, "riscv,num-sources", arch_irq_inputs - 1);
	dt_cell(dt, "phandle", APLIC);
	dt_end(dt);
}

static void add_clock(struct dt *dt, const struct platform_place *place)
{
	dt_node(dt, "rtc@%llx", (unsigned long long)place->base);
	dt_string(dt, "compatible", "google,goldfish-rtc");
	dt_reg(dt, place->base, CLOCK_SIZE);
	dt_interrupt(dt, place->gsi);
	dt_end(dt);
}

static int write_tree(void *blob, const struct platform *p, const struct arch_entry *entry)
{
	const struct vm *vm = p->chip;
	const struct arch_vm *riscv = vm->arch;
	struct dt dt = { .interrupt = interrupt, .controller = APLIC, .msi = IMSIC };

	dt_begin(&dt, blob, TREE_ROOM);
	dt_node(&dt, "%s", "");
	dt_string(&dt, "compatible", "linux,dummy-virt");
	dt_string(&dt, "model", "lunette");
	dt_cell(&dt, "#address-cells", 2);
	dt_cell(&dt, "#size-cells", 2);
	dt_chosen(&dt, p, entry);
	dt_memory(&dt, p->mem);
	add_cpus(&dt, &riscv->cpu, p->cpus);
	add_imsics(&dt, riscv->ids, p->cpus);
	add_aplic(&dt);
	add_clock(&dt, &p->place[PLATFORM_GOLDFISH]);
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
