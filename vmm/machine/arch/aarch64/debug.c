/* SPDX-License-Identifier: MIT */
/* debug.c - what GDB is to know of arm64. KVM does not walk the guest's tables here: we do. */
#include <errno.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>

#include "vmm/core/util.h"
#include "vmm/machine/arch/arch.h"
#include "vmm/machine/arch/walk.h"
#include "vmm/machine/gdb_stub.h"
#include "vmm/machine/vcpu.h"
#include "vmm/machine/vm.h"

#define CORE "org.gnu.gdb.aarch64.core"
#define CORE_REG(field) (KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE | \
			 KVM_REG_ARM_CORE_REG(field))
#define X_REG(n) (CORE_REG(regs.regs[0]) + 2 * (n))
#define PSTATE_EL1H 5
#define X_REGS 31

#define EC(hsr) ((hsr) >> 26)
#define EC_WATCH 0x34
#define EC_BRK 0x3c
#define BREAK_CONTROL (1 | 3 << 1 | 0xf << 5) /* on, at EL0 and EL1, a whole instruction */
#define WATCH_CONTROL(kind, bytes) (1 | 3 << 1 | (kind) << 3 | (bytes) << 5)

const char arch_debug_name[] = "aarch64";
const uint8_t arch_debug_trap[] = { 0x00, 0x00, 0x20, 0xd4 }; /* brk #0 */
const unsigned arch_debug_trap_len = sizeof(arch_debug_trap);

#define X(n) { "x" #n, "int", CORE, 64 }
const struct gdb_reg arch_debug_regs[] = {
	X(0), X(1), X(2), X(3), X(4), X(5), X(6), X(7), X(8), X(9), X(10), X(11), X(12), X(13),
	X(14), X(15), X(16), X(17), X(18), X(19), X(20), X(21), X(22), X(23), X(24), X(25), X(26),
	X(27), X(28), X(29), X(30), { "sp", "data_ptr", CORE, 64 }, { "pc", "code_ptr", CORE, 64 },
	{ "cpsr", "int", CORE, 32 }, { 0 }
};

static int move(const struct vcpu *vcpu, unsigned long request, uint64_t id, uint64_t *value)
{
	struct kvm_one_reg reg = { .id = id, .addr = (uintptr_t)value };

	return ioctl(vcpu->fd, request, &reg) < 0 ? -errno : 0;
}

/* In GDB's order; the stack is that of the level that runs. */
static uint64_t id_of(unsigned n, uint64_t pstate)
{
	static const uint64_t ids[] = { CORE_REG(regs.sp), CORE_REG(regs.pc),
					CORE_REG(regs.pstate) };

	if (n < X_REGS)
		return X_REG(n);
	return n == X_REGS && (pstate & 0xf) == PSTATE_EL1H ? CORE_REG(sp_el1) : ids[n - X_REGS];
}

static unsigned bytes_of(unsigned n)
{
	return n == X_REGS + 2 ? 4 : 8;
}

int arch_debug_get(const struct vcpu *vcpu, uint8_t *regs)
{
	uint64_t pstate, value;
	unsigned n;
	int r = move(vcpu, KVM_GET_ONE_REG, CORE_REG(regs.pstate), &pstate);

	for (n = 0; r == 0 && n < X_REGS + 3; n++) {
		r = move(vcpu, KVM_GET_ONE_REG, id_of(n, pstate), &value);
		memcpy(regs, &value, bytes_of(n));
		regs += bytes_of(n);
	}
	return r;
}

int arch_debug_set(const struct vcpu *vcpu, const uint8_t *regs)
{
	uint64_t pstate, value;
	unsigned n;
	int r = move(vcpu, KVM_GET_ONE_REG, CORE_REG(regs.pstate), &pstate);

	for (n = 0; r == 0 && n < X_REGS + 3; n++) {
		value = 0;
		memcpy(&value, regs, bytes_of(n));
		r = move(vcpu, KVM_SET_ONE_REG, id_of(n, pstate), &value);
		regs += bytes_of(n);
	}
	return r;
}

int arch_debug_translate(const struct vcpu *vcpu, const struct mem *mem, uint64_t addr,
			 uint64_t *gpa)
{
	static const uint64_t ids[] = {
		ARM64_SYS_REG(3, 0, 1, 0, 0), ARM64_SYS_REG(3, 0, 2, 0, 2),
		ARM64_SYS_REG(3, 0, 2, 0, 0), ARM64_SYS_REG(3, 0, 2, 0, 1),
	};
	uint64_t is[ARRAY_SIZE(ids)]; /* SCTLR_EL1, TCR_EL1, TTBR0_EL1, TTBR1_EL1 */
	struct walk w;
	unsigned i;
	int r = 0;

	for (i = 0; r == 0 && i < ARRAY_SIZE(ids); i++)
		r = move(vcpu, KVM_GET_ONE_REG, ids[i], &is[i]);
	if (r < 0)
		return r;
	w = walk_arm64(is[0], is[1], is[2], is[3], addr);
	return walk_tables(mem, &w, addr, gpa);
}

static bool watches(const struct gdb_point *p)
{
	return p->kind > GDB_HARD;
}

int arch_debug_check(const struct vcpu *vcpu, const struct gdb_point *point, unsigned count)
{
	int kvm = vcpu->host->vm->kvm, left[2], i;

	left[0] = ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_GUEST_DEBUG_HW_BPS);
	left[1] = ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_GUEST_DEBUG_HW_WPS);
	for (i = 0; i < (int)count; i++) {
		if (point[i].kind == GDB_SOFT)
			continue;
		if (watches(&point[i]) && (!point[i].len || point[i].addr % 8 + point[i].len > 8))
			return -EDOM;
		if (left[watches(&point[i])]-- <= 0)
			return -ENOSPC;
	}
	return 0;
}

static void put_point(struct kvm_guest_debug_arch *to, unsigned n[2], const struct gdb_point *p)
{
	static const uint8_t kinds[GDB_KINDS] = { [GDB_READ] = 1, [GDB_WRITE] = 2,
						  [GDB_ACCESS] = 3 };
	unsigned i = n[watches(p)]++;

	if (watches(p)) {
		to->dbg_wvr[i] = p->addr & ~7ull;
		to->dbg_wcr[i] = WATCH_CONTROL((uint64_t)kinds[p->kind],
					       ((1ull << p->len) - 1) << p->addr % 8);
	} else {
		to->dbg_bvr[i] = p->addr;
		to->dbg_bcr[i] = BREAK_CONTROL;
	}
}

int arch_debug_control(const struct vcpu *vcpu, const struct arch_debug *how)
{
	struct kvm_guest_debug debug = { 0 };
	unsigned i, n[2] = { 0, 0 };

	if (how->on && how->inject) /* KVM cannot: the debugger is told of it */
		return -EOPNOTSUPP;
	if (how->on)
		debug.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP |
				(how->step ? KVM_GUESTDBG_SINGLESTEP : 0);
	for (i = 0; how->on && i < how->points; i++) {
		if (how->point[i].kind == GDB_SOFT || n[watches(&how->point[i])] == 16)
			continue;
		put_point(&debug.arch, n, &how->point[i]);
		debug.control |= KVM_GUESTDBG_USE_HW;
	}
	return ioctl(vcpu->fd, KVM_SET_GUEST_DEBUG, &debug) < 0 ? -errno : 0;
}

void arch_debug_why(const struct vcpu *vcpu, const struct arch_debug *how,
		    struct arch_debug_stop *why)
{
	const struct kvm_debug_exit_arch *d = &vcpu->run->debug.arch;
	unsigned i;

	*why = (struct arch_debug_stop){ .trap = EC(d->hsr) == EC_BRK, .kind = GDB_SOFT };
	move(vcpu, KVM_GET_ONE_REG, CORE_REG(regs.pc), &why->pc);
	for (i = 0; EC(d->hsr) == EC_WATCH && i < how->points; i++) {
		if (watches(&how->point[i]) && d->far - how->point[i].addr < how->point[i].len) {
			why->kind = (int)how->point[i].kind;
			why->addr = how->point[i].addr;
		}
	}
}
