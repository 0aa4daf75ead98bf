/* SPDX-License-Identifier: MIT */
/*
 * vm.c - the VM, its memory map, and its interrupt controller: a GICv3 with an
 * ITS, which takes messages; or, on hosts that have no other, a GICv2.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <ucontext.h>
#include <unistd.h>

#include "vmm/core/log.h"
#include "vmm/core/mem.h"
#include "vmm/core/platform.h"
#include "vmm/core/util.h"
#include "vmm/machine/arch/aarch64/arm.h"
#include "vmm/machine/arch/aarch64/layout.h"
#include "vmm/machine/arch/arch.h"
#include "vmm/machine/vm.h"

#define IPA_BITS 40 /* of addresses, where nothing else is asked for */

const struct vm_cap arch_caps[] = {
	{ KVM_CAP_ARM_PSCI_0_2, "KVM_CAP_ARM_PSCI_0_2", NULL },
	{ KVM_CAP_ONE_REG, "KVM_CAP_ONE_REG", NULL },
	{ KVM_CAP_DEVICE_CTRL, "KVM_CAP_DEVICE_CTRL", NULL },
	{ 0 }
};

const char arch_no_kvm[] = "arm64 kernels have KVM built in, and offer it where they were started "
			   "at EL2: 'dmesg | grep kvm' says why not; a container needs --device "
			   "/dev/kvm";

static int ipa_bits(int kvm)
{
	int bits = ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_ARM_VM_IPA_SIZE);

	return bits > 0 && bits < IPA_BITS ? bits : IPA_BITS;
}

unsigned long arch_vm_type(int kvm)
{
	int bits = ipa_bits(kvm);

	return bits < IPA_BITS ? KVM_VM_TYPE_ARM_IPA_SIZE(bits) : 0;
}

int arch_layout(const struct vm *vm, uint64_t size, struct mem *mem)
{
	size = align_up(size, RAM_ALIGN);
	if (RAM_AT + size > 1ull << ipa_bits(vm->kvm))
		return -ERANGE;
	return mem_add(mem, RAM_AT, size);
}

int arm_set_attr(int fd, uint32_t group, uint64_t attr, const void *value)
{
	struct kvm_device_attr a = { .group = group, .attr = attr, .addr = (uintptr_t)value };

	return ioctl(fd, KVM_SET_DEVICE_ATTR, &a) < 0 ? -errno : 0;
}

/* The device's descriptor or -errno. */
static int create_device(const struct vm *vm, uint32_t type)
{
	struct kvm_create_device device = { .type = type };

	return ioctl(vm->fd, KVM_CREATE_DEVICE, &device) < 0 ? -errno : (int)device.fd;
}

static int set_address(int fd, uint64_t what, uint64_t address)
{
	return arm_set_attr(fd, KVM_DEV_ARM_VGIC_GRP_ADDR, what, &address);
}

static int make_v3(const struct vm *vm, struct arch_vm *arm)
{
	int r;

	arm->gic = create_device(vm, KVM_DEV_TYPE_ARM_VGIC_V3);
	if (arm->gic < 0)
		return arm->gic;
	arm->v3 = true;
	r = set_address(arm->gic, KVM_VGIC_V3_ADDR_TYPE_DIST, GIC_DIST_AT);
	if (r == 0)
		r = set_address(arm->gic, KVM_VGIC_V3_ADDR_TYPE_REDIST, GIC_REDIST_AT);
	if (r == 0)
		arm->its = create_device(vm, KVM_DEV_TYPE_ARM_VGIC_ITS);
	if (arm->its >= 0)
		r = set_address(arm->its, KVM_VGIC_ITS_ADDR_TYPE, GIC_ITS_AT);
	return r;
}

static int make_v2(const struct vm *vm, struct arch_vm *arm)
{
	int r;

	arm->gic = create_device(vm, KVM_DEV_TYPE_ARM_VGIC_V2);
	if (arm->gic < 0)
		return arm->gic;
	r = set_address(arm->gic, KVM_VGIC_V2_ADDR_TYPE_DIST, GIC_DIST_AT);
	if (r == 0)
		r = set_address(arm->gic, KVM_VGIC_V2_ADDR_TYPE_CPU, GIC_CPU_AT);
	return r;
}

static int make_gic(const struct vm *vm, struct arch_vm *arm, unsigned cpus)
{
	uint32_t irqs = SPI_FIRST + arch_irq_inputs;
	int r = make_v3(vm, arm);

	if (arm->gic < 0)
		r = make_v2(vm, arm);
	if (r == 0)
		r = arm_set_attr(arm->gic, KVM_DEV_ARM_VGIC_GRP_NR_IRQS, 0, &irqs);
	if (arm->gic < 0)
		log_err("/dev/kvm: no interrupt controller for guests: the host's must be a GICv3, "
			"or a GICv2 whose virtual part its firmware describes");
	else if (r < 0)
		log_err("/dev/kvm: the GICv%d: %s", arm->v3 ? 3 : 2, strerror(-r));
	if (r == 0 && !arm->v3 && cpus > GIC_V2_CPUS_MAX) {
		log_err("--cpus %u: this host has a GICv2, with which guests have at most %d",
			cpus, GIC_V2_CPUS_MAX);
		r = -E2BIG;
	}
	return r;
}

int arch_vm_init(struct vm *vm, struct platform *p)
{
	struct arch_vm *arm = calloc(1, sizeof(*arm));
	int r;

	if (!arm)
		return -ENOMEM;
	vm->arch = arm;
	arm->gic = arm->its = -1;
	r = make_gic(vm, arm, p->cpus);
	if (r < 0)
		return r;
	arm->pmu = ioctl(vm->kvm, KVM_CHECK_EXTENSION, KVM_CAP_ARM_PMU_V3) > 0;
	vm->msi_devid = arm->its >= 0;
	arm_place_devices(p, arm->its >= 0);
	if (arm->its < 0)
		p->no_pci = arm->v3 ? "this host's KVM has no ITS, which takes messages" :
				      "this host has a GICv2, which takes no messages";
	return 0;
}

void arch_vm_fini(struct vm *vm)
{
	struct arch_vm *arm = vm->arch;

	if (!arm)
		return;
	if (arm->its >= 0)
		close(arm->its);
	if (arm->gic >= 0)
		close(arm->gic);
	free(arm);
}

int arm_gic_init(struct arch_vm *arm)
{
	int r = arm_set_attr(arm->gic, KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_VGIC_CTRL_INIT, NULL);

	if (r == 0 && arm->its >= 0)
		r = arm_set_attr(arm->its, KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_VGIC_CTRL_INIT,
				 NULL);
	if (r < 0)
		log_err("/dev/kvm: starting the GICv%d: %s", arm->v3 ? 3 : 2, strerror(-r));
	return r;
}

/* KVM's pins are the shared interrupts. */
void arch_irq_routes(struct kvm_irq_routing_entry *entry)
{
	unsigned i;

	for (i = 0; i < arch_irq_inputs; i++)
		entry[i] = (struct kvm_irq_routing_entry){
			.gsi = i,
			.type = KVM_IRQ_ROUTING_IRQCHIP,
			.u.irqchip = { .irqchip = 0, .pin = i },
		};
}

uintptr_t arch_crash_pc(const void *context)
{
	const ucontext_t *uc = context;

	return uc->uc_mcontext.pc;
}
