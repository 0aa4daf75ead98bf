/* SPDX-License-Identifier: MIT */
/*
 * vm.c - the VM, its memory map, and its interrupt controllers, AIA's: an APLIC, whose inputs are
 * the GSIs, and an IMSIC for each vCPU, which takes messages. Where the processor has no guest
 * files for IMSICs, or too few, KVM emulates them.
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
#include "vmm/machine/arch/arch.h"
#include "vmm/machine/arch/riscv64/layout.h"
#include "vmm/machine/arch/riscv64/riscv.h"
#include "vmm/machine/vm.h"

#define NO_AIA "it is there where the processor has AIA (Smaia, Ssaia), with Linux 6.5 or newer"

const struct vm_cap arch_caps[] = {
	{ KVM_CAP_IRQCHIP, "KVM_CAP_IRQCHIP, AIA's interrupt controllers", NO_AIA },
	{ KVM_CAP_ONE_REG, "KVM_CAP_ONE_REG", NULL },
	{ KVM_CAP_DEVICE_CTRL, "KVM_CAP_DEVICE_CTRL", NULL },
	{ KVM_CAP_MP_STATE, "KVM_CAP_MP_STATE", NULL },
	{ 0 }
};

const char arch_no_kvm[] = "sudo modprobe kvm; where that fails 'dmesg | grep kvm' says why: the "
			   "processor needs the hypervisor extension (H); a container needs "
			   "--device /dev/kvm";

unsigned long arch_vm_type(int kvm)
{
	(void)kvm;
	return 0;
}

int arch_layout(const struct vm *vm, uint64_t size, struct mem *mem)
{
	int bits = ioctl(vm->kvm, KVM_CHECK_EXTENSION, KVM_CAP_VM_GPA_BITS);

	if (bits > 0 && bits < 64 && RAM_AT + size > 1ull << bits)
		return -ERANGE;
	return mem_add(mem, RAM_AT, size);
}

static int set_attr(const struct arch_vm *riscv, uint32_t group, uint64_t attr, const void *value)
{
	struct kvm_device_attr a = { .group = group, .attr = attr, .addr = (uintptr_t)value };

	return ioctl(riscv->aia, KVM_SET_DEVICE_ATTR, &a) < 0 ? -errno : 0;
}

static int set_config(const struct arch_vm *riscv, uint64_t what, uint32_t value)
{
	return set_attr(riscv, KVM_DEV_RISCV_AIA_GRP_CONFIG, what, &value);
}

static int set_address(const struct arch_vm *riscv, uint64_t what, uint64_t address)
{
	return set_attr(riscv, KVM_DEV_RISCV_AIA_GRP_ADDR, what, &address);
}

static int make_aia(const struct vm *vm, struct arch_vm *riscv)
{
	struct kvm_create_device device = { .type = KVM_DEV_TYPE_RISCV_AIA };
	struct kvm_device_attr ids = { .group = KVM_DEV_RISCV_AIA_GRP_CONFIG,
				       .attr = KVM_DEV_RISCV_AIA_CONFIG_IDS,
				       .addr = (uintptr_t)&riscv->ids };

	if (ioctl(vm->fd, KVM_CREATE_DEVICE, &device) < 0)
		return -errno;
	riscv->aia = device.fd;
	if (ioctl(riscv->aia, KVM_GET_DEVICE_ATTR, &ids) < 0)
		return -errno;
	return set_config(riscv, KVM_DEV_RISCV_AIA_CONFIG_SRCS, arch_irq_inputs - 1);
}

/*
 * Of KVM's irqfds those of the APLIC raise an input and never lower it (as of Linux 7), so there
 * would be one edge and no other.
 */
static void pulse(void *chip, uint32_t gsi)
{
	struct kvm_irq_level line = { .irq = gsi, .level = 1 };
	struct vm *vm = chip;

	pthread_mutex_lock(&vm->arch->lock);
	ioctl(vm->fd, KVM_IRQ_LINE, &line);
	line.level = 0;
	ioctl(vm->fd, KVM_IRQ_LINE, &line);
	pthread_mutex_unlock(&vm->arch->lock);
}

int arch_vm_init(struct vm *vm, struct platform *p)
{
	struct arch_vm *riscv = calloc(1, sizeof(*riscv));
	int r;

	if (!riscv)
		return -ENOMEM;
	pthread_mutex_init(&riscv->lock, NULL);
	riscv->aia = -1;
	vm->arch = riscv;
	r = make_aia(vm, riscv);
	if (r < 0) {
		log_err("/dev/kvm: AIA's interrupt controllers: %s", strerror(-r));
		return r;
	}
	riscv->irqchip = vm_irqchip;
	riscv->irqchip.pulse = pulse;
	p->irqchip = &riscv->irqchip;
	riscv_place_devices(p);
	return 0;
}

void arch_vm_fini(struct vm *vm)
{
	struct arch_vm *riscv = vm->arch;

	if (!riscv)
		return;
	if (riscv->aia >= 0)
		close(riscv->aia);
	pthread_mutex_destroy(&riscv->lock);
	free(riscv);
}

/* How many bits the number of a CPU has. */
static uint32_t cpu_bits(unsigned ncpus)
{
	uint32_t bits = 0;

	while (1u << bits < ncpus)
		bits++;
	return bits;
}

int riscv_aia_init(struct arch_vm *riscv, unsigned ncpus)
{
	int r = set_config(riscv, KVM_DEV_RISCV_AIA_CONFIG_HART_BITS, cpu_bits(ncpus));
	unsigned i;

	riscv->cpus = ncpus;
	if (r == 0)
		r = set_address(riscv, KVM_DEV_RISCV_AIA_ADDR_APLIC, APLIC_AT);
	for (i = 0; r == 0 && i < ncpus; i++)
		r = set_address(riscv, KVM_DEV_RISCV_AIA_ADDR_IMSIC(i), IMSIC_AT + i * IMSIC_SIZE);
	if (r == 0)
		r = set_attr(riscv, KVM_DEV_RISCV_AIA_GRP_CTRL, KVM_DEV_RISCV_AIA_CTRL_INIT, NULL);
	if (r < 0)
		log_err("/dev/kvm: starting AIA's interrupt controllers: %s", strerror(-r));
	return r;
}

/* KVM's pins are the APLIC's sources; that there is none with the number 0 it does not mind. */
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

	return uc->uc_mcontext.__gregs[REG_PC];
}
