/*
 * vm.c - the VM and its memory map.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>
#include <ucontext.h>

#include "vmm/arch/arch.h"
#include "vmm/arch/x86_64/layout.h"
#include "vmm/core/log.h"
#include "vmm/core/mem.h"
#include "vmm/core/platform.h"
#include "vmm/core/util.h"
#include "vmm/vm.h"

const struct vm_cap arch_caps[] = {
	{ KVM_CAP_SET_TSS_ADDR, "KVM_CAP_SET_TSS_ADDR" },
	{ KVM_CAP_SET_IDENTITY_MAP_ADDR, "KVM_CAP_SET_IDENTITY_MAP_ADDR" },
	{ KVM_CAP_EXT_CPUID, "KVM_CAP_EXT_CPUID" },
	{ 0 }
};

static int vm_ioctl(struct vm *vm, const char *name, unsigned long request, void *arg)
{
	int err;

	if (ioctl(vm->fd, request, arg) == 0)
		return 0;
	err = errno;
	log_err("/dev/kvm: %s: %s", name, strerror(err));
	return -err;
}

/* All interrupt controllers are the kernel's; there is no PIT: guests have better clocks. */
int arch_vm_init(struct vm *vm)
{
	uint64_t identity_map = KVM_IDENTITY_MAP_AT;
	int r;

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

/* The I/O APIC's inputs. The PICs are there, but hardware-reduced ACPI promises none. */
unsigned arch_irq_routes(struct kvm_irq_routing_entry *entry)
{
	unsigned i;

	for (i = 0; i < ARCH_IRQ_ROUTES; i++)
		entry[i] = (struct kvm_irq_routing_entry){
			.gsi = i,
			.type = KVM_IRQ_ROUTING_IRQCHIP,
			.u.irqchip = { .irqchip = KVM_IRQCHIP_IOAPIC, .pin = i },
		};
	return ARCH_IRQ_ROUTES;
}

int arch_layout(uint64_t size, struct mem *mem, struct platform *p)
{
	uint64_t low = min_u64(size, LOW_RAM_END);
	int r;

	p->mmio_next = VIRTIO_MMIO_AT;
	p->mmio_end = VIRTIO_MMIO_END;
	p->pci_next = PCI_BARS_AT;
	p->pci_end = PCI_BARS_END;
	p->ecam_base = ECAM_AT;
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
