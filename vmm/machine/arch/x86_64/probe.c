/* SPDX-License-Identifier: MIT */
/*
 * probe.c - the loop that tells whether KVM runs kernel code: 64-bit code. A port write leaves the
 * guest.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "vmm/core/mem.h"
#include "vmm/core/util.h"
#include "vmm/machine/arch/arch.h"
#include "vmm/machine/arch/x86_64/x86.h"
#include "vmm/machine/vm.h"

#define CODE_AT 0x100000
#define ROUNDS 10000

/* mov $ROUNDS, %ecx; 1: dec %ecx; jnz 1b; out %al, $0x80; jmp to the start */
static const uint8_t code[] = {
	0xb9, ROUNDS & 0xff, ROUNDS >> 8, 0, 0, 0xff, 0xc9, 0x75, 0xfc, 0xe6, 0x80, 0xeb, 0xf3,
};

const uint32_t arch_probe_exit = KVM_EXIT_IO;

void arch_probe_loop(void)
{
	uint32_t n = ROUNDS;

	__asm__ volatile("1: dec %0; jnz 1b" : "+r"(n) : : "cc");
}

int arch_probe_vcpu(struct vm *vm, struct mem *mem)
{
	static const struct arch_entry entry = { .pc = CODE_AT, .mode = X86_LONG };
	int vcpu, r;

	r = mem_add(mem, 0, MIB(2));
	if (r == 0)
		r = x86_write_long_mode_tables(mem);
	if (r == 0)
		r = mem_write(mem, CODE_AT, code, sizeof(code));
	if (r == 0)
		r = vm_set_memory(vm, mem);
	if (r < 0)
		return r;
	vcpu = ioctl(vm->fd, KVM_CREATE_VCPU, 0);
	if (vcpu < 0)
		return -errno;
	r = x86_set_entry(vcpu, &entry);
	if (r < 0) {
		close(vcpu);
		return r;
	}
	return vcpu;
}
