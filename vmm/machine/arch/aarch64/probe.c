/* SPDX-License-Identifier: MIT */
/*
 * probe.c - the loop that tells whether KVM runs kernel code. A write to an address where nobody is
 * leaves the guest.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "vmm/core/mem.h"
#include "vmm/core/util.h"
#include "vmm/machine/arch/aarch64/arm.h"
#include "vmm/machine/arch/aarch64/layout.h"
#include "vmm/machine/arch/arch.h"

#define ROUNDS 10000

/* mov w1, #ROUNDS; 1: subs w1, w1, #1; b.ne 1b; str w1, [x0]; b to the start */
static const uint32_t code[] = {
	0x52800001 | ROUNDS << 5, 0x71000421, 0x54ffffe1, 0xb9000001, 0x17fffffc,
};

const uint32_t arch_probe_exit = KVM_EXIT_MMIO;

void arch_probe_loop(void)
{
	uint32_t n = ROUNDS;

	__asm__ volatile("1: subs %w0, %w0, #1; b.ne 1b" : "+r"(n) : : "cc");
}

int arch_probe_vcpu(struct vm *vm, struct mem *mem)
{
	static const struct arch_entry entry = { .pc = RAM_AT, .arg = SERIAL0_AT };
	int vcpu, r;

	r = mem_add(mem, RAM_AT, MIB(2));
	if (r == 0)
		r = mem_write(mem, RAM_AT, code, sizeof(code));
	if (r == 0)
		r = vm_set_memory(vm, mem);
	if (r < 0)
		return r;
	vcpu = ioctl(vm->fd, KVM_CREATE_VCPU, 0);
	if (vcpu < 0)
		return -errno;
	r = arm_vcpu_init(vm, vcpu, false, false);
	if (r == 0)
		r = arm_set_entry(vcpu, &entry);
	if (r < 0) {
		close(vcpu);
		return r;
	}
	return vcpu;
}
