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
#include "vmm/machine/arch/arch.h"
#include "vmm/machine/arch/riscv64/layout.h"
#include "vmm/machine/arch/riscv64/riscv.h"
#include "vmm/machine/vm.h"

#define ROUNDS_4096 3 /* times 4096 */

/* lui t0, ROUNDS_4096; 1: addi t0, t0, -1; bnez t0, 1b; sw t0, 0(a1); j to the start */
static const uint32_t code[] = {
	0x000002b7 | ROUNDS_4096 << 12, 0xfff28293, 0xfe029ee3, 0x0055a023, 0xff1ff06f,
};

const uint32_t arch_probe_exit = KVM_EXIT_MMIO;

void arch_probe_loop(void)
{
	uint64_t n = ROUNDS_4096 * 4096;

	__asm__ volatile("1: addi %0, %0, -1; bnez %0, 1b" : "+r"(n));
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
	r = riscv_set_entry(vcpu, &entry);
	if (r < 0) {
		close(vcpu);
		return r;
	}
	return vcpu;
}
