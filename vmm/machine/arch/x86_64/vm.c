/* SPDX-License-Identifier: MIT */
/*
 * vm.c - the VM and its memory map.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>
#include <ucontext.h>

#include "vmm/core/log.h"
#include "vmm/core/mem.h"
#include "vmm/core/platform.h"
#include "vmm/core/util.h"
#include "vmm/machine/arch/arch.h"
#include "vmm/machine/arch/x86_64/layout.h"
#include "vmm/machine/vm.h"

const struct vm_cap arch_caps[] = {
	{ KVM_CAP_SET_TSS_ADDR, "KVM_CAP_SET_TSS_ADDR", NULL },
	{ KVM_CAP_SET_IDENTITY_MAP_ADDR, "KVM_CAP_SET_IDENTITY_MAP_ADDR", NULL },
	{ KVM_CAP_EXT_CPUID, "KVM_CAP_EXT_CPUID", NULL },
	{ 0 }
};

const char arch_no_kvm[] = "load kvm_intel or kvm_amd (modprobe), switch on virtualization in the "
			   "firmware, or give the container --device /dev/kvm";

unsigned long arch_vm_type(int kvm)
{
	(void)kvm;
	return 0;
}

static int vm_ioctl(struct vm *vm, const char *name, unsigned long request, void *arg)
{
	int err;

	if (ioctl(vm->fd, request, arg) == 0)
		return 0;
	err = errno;
	log_err("/dev/kvm: %s: %s", name, strerror(err));
	return -err;
}

/* I/O ports and I/O APIC inputs, as on every PC. */
static const struct {
	uint16_t port;
	uint8_t gsi;
} places[PLATFORM_FIXED] = {
	[PLATFORM_SERIAL0] = { 0x3f8, 4 },
	[PLATFORM_SERIAL1] = { 0x2f8, 3 },
	[PLATFORM_RTC] = { RTC_INDEX_PORT, 0 },
	[PLATFORM_PVPANIC] = { 0x505, 0 },
	[PLATFORM_ACPI_PM] = { ACPI_PM_AT, 0 },
	[PLATFORM_I8042] = { 0x64, 0 },
	[PLATFORM_NMI_STATUS] = { 0x61, 0 },
	[PLATFORM_PCI_PORTS] = { PCI_ADDRESS_PORT, 0 },
};

static void place_devices(struct platform *p)
{
	unsigned i;

	for (i = 0; i < PLATFORM_FIXED; i++) {
		if (places[i].port)
			p->place[i] = (struct platform_place){ p->pio, places[i].port,
							       places[i].gsi };
	}
	p->place[PLATFORM_ECAM] = (struct platform_place){ p->mmio, ECAM_AT, 0 };
	p->gsi_next = FIRST_FREE_INPUT;
	p->gsi_end = p->msi_next = arch_irq_inputs;
	p->msi_end = p->msi_next + PLATFORM_MSI_GSIS;
	p->mmio_next = VIRTIO_MMIO_AT;
	p->mmio_end = VIRTIO_MMIO_END;
	p->pci_next = PCI_BARS_AT;
	p->pci_end = PCI_BARS_END;
}

/* All interrupt controllers are the kernel's; there is no PIT: guests have better clocks. */
int arch_vm_init(struct vm *vm, struct platform *p)
{
	uint64_t identity_map = KVM_IDENTITY_MAP_AT;
	int r;

	place_devices(p);
	vm_collect_pio(vm, PCI_ADDRESS_PORT, 4);
	vm_collect_pio(vm, RTC_INDEX_PORT, 1);
	r = vm_ioctl(vm, "KVM_SET_IDENTITY_MAP_ADDR", KVM_SET_IDENTITY_MAP_ADDR, &identity_map);
	if (r == 0)
		r = vm_ioctl(vm, "KVM_SET_TSS_ADDR", KVM_SET_TSS_ADDR,
			     (void *)(uintptr_t)KVM_TSS_AT);
	if (r == 0)
		r = vm_ioctl(vm, "KVM_CREATE_IRQCHIP", KVM_CREATE_IRQCHIP, NULL);
	return r;
}

/* There is nothing but what KVM has. */
void arch_vm_fini(struct vm *vm)
{
	(void)vm;
}

/* The I/O APIC's inputs. The PICs are there, but hardware-reduced ACPI promises none. */
const unsigned arch_irq_inputs = 24;

void arch_irq_routes(struct kvm_irq_routing_entry *entry)
{
	unsigned i;

	for (i = 0; i < arch_irq_inputs; i++)
		entry[i] = (struct kvm_irq_routing_entry){
			.gsi = i,
			.type = KVM_IRQ_ROUTING_IRQCHIP,
			.u.irqchip = { .irqchip = KVM_IRQCHIP_IOAPIC, .pin = i },
		};
}

int arch_layout(const struct vm *vm, uint64_t size, struct mem *mem)
{
	uint64_t low = min_u64(size, LOW_RAM_END);
	int r;

	(void)vm;
	r = mem_add(mem, 0, low);
	if (r == 0 && size > low)
		r = mem_add(mem, HIGH_RAM, size - low);
	return r;
}

uintptr_t arch_crash_pc(const void *context)
{
	const ucontext_t *uc = context;

	return uc->uc_mcontext.gregs[REG_RIP];
}
