/* SPDX-License-Identifier: MIT */
/*
 * debug.c - what GDB is to know of riscv64. KVM has no single steps and none of the processor's
 * breakpoints here, and does not walk the guest's tables: we do.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>

#include "vmm/core/util.h"
#include "vmm/machine/arch/arch.h"
#include "vmm/machine/arch/walk.h"
#include "vmm/machine/gdb_stub.h"
#include "vmm/machine/vcpu.h"

#define CPU "org.gnu.gdb.riscv.cpu"
#define CORE_REG(n) (KVM_REG_RISCV | KVM_REG_SIZE_U64 | KVM_REG_RISCV_CORE | (n))
#define SATP (KVM_REG_RISCV | KVM_REG_SIZE_U64 | KVM_REG_RISCV_CSR | KVM_REG_RISCV_CSR_REG(satp))
#define REGS 33

const char arch_debug_name[] = "riscv:rv64";
const uint8_t arch_debug_trap[] = { 0x73, 0x00, 0x10, 0x00 }; /* ebreak */
const unsigned arch_debug_trap_len = sizeof(arch_debug_trap);

#define R(name) { name, "int", CPU, 64 }
#define P(name, type) { name, type, CPU, 64 }
const struct gdb_reg arch_debug_regs[] = {
	R("zero"), P("ra", "code_ptr"), P("sp", "data_ptr"), P("gp", "data_ptr"),
	P("tp", "data_ptr"), R("t0"), R("t1"), R("t2"), P("fp", "data_ptr"), R("s1"), R("a0"),
	R("a1"), R("a2"), R("a3"), R("a4"), R("a5"), R("a6"), R("a7"), R("s2"), R("s3"), R("s4"),
	R("s5"), R("s6"), R("s7"), R("s8"), R("s9"), R("s10"), R("s11"), R("t3"), R("t4"), R("t5"),
	R("t6"), P("pc", "code_ptr"), { 0 }
};

/* KVM has the pc where x0 would be, and the others in order. */
static int move(const struct vcpu *vcpu, unsigned long request, unsigned n, uint64_t *value)
{
	struct kvm_one_reg reg = { .id = CORE_REG(n == REGS - 1 ? 0 : n),
				   .addr = (uintptr_t)value };

	return ioctl(vcpu->fd, request, &reg) < 0 ? -errno : 0;
}

int arch_debug_get(const struct vcpu *vcpu, uint8_t *regs)
{
	unsigned n;
	int r = 0;

	memset(regs, 0, 8);
	for (n = 1; r == 0 && n < REGS; n++) {
		uint64_t value = 0;

		r = move(vcpu, KVM_GET_ONE_REG, n, &value);
		memcpy(regs + 8 * (size_t)n, &value, 8);
	}
	return r;
}

int arch_debug_set(const struct vcpu *vcpu, const uint8_t *regs)
{
	unsigned n;
	int r = 0;

	for (n = 1; r == 0 && n < REGS; n++) {
		uint64_t value;

		memcpy(&value, regs + 8 * (size_t)n, 8);
		r = move(vcpu, KVM_SET_ONE_REG, n, &value);
	}
	return r;
}

int arch_debug_translate(const struct vcpu *vcpu, const struct mem *mem, uint64_t addr,
			 uint64_t *gpa)
{
	uint64_t satp;
	struct kvm_one_reg reg = { .id = SATP, .addr = (uintptr_t)&satp };
	struct walk w;

	if (ioctl(vcpu->fd, KVM_GET_ONE_REG, &reg) < 0)
		return -errno;
	w = walk_riscv64(satp);
	return walk_tables(mem, &w, addr, gpa);
}

int arch_debug_check(const struct vcpu *vcpu, const struct gdb_point *point, unsigned count)
{
	unsigned i;

	(void)vcpu;
	for (i = 0; i < count; i++) {
		if (point[i].kind != GDB_SOFT)
			return -ENOSPC;
	}
	return 0;
}

int arch_debug_control(const struct vcpu *vcpu, const struct arch_debug *how)
{
	struct kvm_guest_debug debug = { 0 };

	if (how->on && (how->step || how->inject))
		return -EOPNOTSUPP;
	if (how->on)
		debug.control = KVM_GUESTDBG_ENABLE; /* each ebreak then leaves the guest */
	return ioctl(vcpu->fd, KVM_SET_GUEST_DEBUG, &debug) < 0 ? -errno : 0;
}

void arch_debug_why(const struct vcpu *vcpu, const struct arch_debug *how,
		    struct arch_debug_stop *why)
{
	(void)how;
	*why = (struct arch_debug_stop){ .trap = true, .kind = GDB_SOFT };
	move(vcpu, KVM_GET_ONE_REG, REGS - 1, &why->pc);
}
