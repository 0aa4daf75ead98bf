/* SPDX-License-Identifier: MIT */
/* debug.c - what GDB is to know of x86-64: registers, breakpoints, single steps. */
#include <errno.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>

#include "vmm/core/util.h"
#include "vmm/machine/arch/arch.h"
#include "vmm/machine/gdb_stub.h"
#include "vmm/machine/vcpu.h"
#include "vmm/machine/vm.h"

#define POINTS 4
#define EXCEPTION_TRAP 3
#define DR7_GLOBAL(n) (2ull << 2 * (n))
#define DR7_KIND(n, kind, len) ((uint64_t)((len) << 2 | (kind)) << (16 + 4 * (n)))
#define DR7_FIXED 0x600 /* bit 10 reads as one; exact, as old processors want it */

const char arch_debug_name[] = "i386:x86-64";
const uint8_t arch_debug_trap[] = { 0xcc };
const unsigned arch_debug_trap_len = sizeof(arch_debug_trap);

struct registers {
	struct kvm_regs r;
	struct kvm_sregs s;
	struct kvm_fpu f;
	uint8_t none; /* of what KVM does not tell */
};

#define CORE "org.gnu.gdb.i386.core"
#define SEGMENTS "org.gnu.gdb.i386.segments"
#define OWN "org.lunette.control"

/* The order, and the names up to fop, are GDB's. */
#define REGISTERS(_)                                                                             \
	_("rax", 64, "int64", CORE, r.rax) _("rbx", 64, "int64", CORE, r.rbx)                     \
	_("rcx", 64, "int64", CORE, r.rcx) _("rdx", 64, "int64", CORE, r.rdx)                     \
	_("rsi", 64, "int64", CORE, r.rsi) _("rdi", 64, "int64", CORE, r.rdi)                     \
	_("rbp", 64, "data_ptr", CORE, r.rbp) _("rsp", 64, "data_ptr", CORE, r.rsp)               \
	_("r8", 64, "int64", CORE, r.r8) _("r9", 64, "int64", CORE, r.r9)                         \
	_("r10", 64, "int64", CORE, r.r10) _("r11", 64, "int64", CORE, r.r11)                     \
	_("r12", 64, "int64", CORE, r.r12) _("r13", 64, "int64", CORE, r.r13)                     \
	_("r14", 64, "int64", CORE, r.r14) _("r15", 64, "int64", CORE, r.r15)                     \
	_("rip", 64, "code_ptr", CORE, r.rip) _("eflags", 32, "int32", CORE, r.rflags)            \
	_("cs", 32, "int32", CORE, s.cs.selector) _("ss", 32, "int32", CORE, s.ss.selector)       \
	_("ds", 32, "int32", CORE, s.ds.selector) _("es", 32, "int32", CORE, s.es.selector)       \
	_("fs", 32, "int32", CORE, s.fs.selector) _("gs", 32, "int32", CORE, s.gs.selector)       \
	_("st0", 80, "i387_ext", CORE, f.fpr[0]) _("st1", 80, "i387_ext", CORE, f.fpr[1])         \
	_("st2", 80, "i387_ext", CORE, f.fpr[2]) _("st3", 80, "i387_ext", CORE, f.fpr[3])         \
	_("st4", 80, "i387_ext", CORE, f.fpr[4]) _("st5", 80, "i387_ext", CORE, f.fpr[5])         \
	_("st6", 80, "i387_ext", CORE, f.fpr[6]) _("st7", 80, "i387_ext", CORE, f.fpr[7])         \
	_("fctrl", 32, "int", CORE, f.fcw) _("fstat", 32, "int", CORE, f.fsw)                     \
	_("ftag", 32, "int", CORE, f.ftwx) _("fiseg", 32, "int", CORE, none)                      \
	_("fioff", 32, "int", CORE, f.last_ip) _("foseg", 32, "int", CORE, none)                  \
	_("fooff", 32, "int", CORE, f.last_dp) _("fop", 32, "int", CORE, f.last_opcode)           \
	_("fs_base", 64, "int", SEGMENTS, s.fs.base)                                            \
	_("gs_base", 64, "int", SEGMENTS, s.gs.base)                                            \
	_("cr0", 64, "int64", OWN, s.cr0) _("cr2", 64, "int64", OWN, s.cr2)                       \
	_("cr3", 64, "int64", OWN, s.cr3) _("cr4", 64, "int64", OWN, s.cr4)                       \
	_("efer", 64, "int64", OWN, s.efer)

#define AS_GDB_HAS_IT(name, bits, type, feature, member) { name, type, feature, bits },
#define AS_KVM_HAS_IT(name, bits, type, feature, member)                                         \
	{ offsetof(struct registers, member), sizeof(((struct registers *)NULL)->member), bits },

const struct gdb_reg arch_debug_regs[] = { REGISTERS(AS_GDB_HAS_IT) { 0 } };

/* Bytes here, and there; the shorter counts. */
static const struct {
	size_t at, size;
	unsigned bits;
} where[] = { REGISTERS(AS_KVM_HAS_IT) };

static int get_all(const struct vcpu *vcpu, struct registers *all)
{
	memset(all, 0, sizeof(*all));
	return ioctl(vcpu->fd, KVM_GET_REGS, &all->r) < 0 ||
	       ioctl(vcpu->fd, KVM_GET_SREGS, &all->s) < 0 ||
	       ioctl(vcpu->fd, KVM_GET_FPU, &all->f) < 0 ? -errno : 0;
}

int arch_debug_get(const struct vcpu *vcpu, uint8_t *regs)
{
	struct registers all;
	int r = get_all(vcpu, &all);
	size_t i, bytes;

	for (i = 0; r == 0 && i < ARRAY_SIZE(where); i++, regs += bytes) {
		bytes = where[i].bits / 8;
		memset(regs, 0, bytes);
		memcpy(regs, (uint8_t *)&all + where[i].at, min_u64(bytes, where[i].size));
	}
	return r;
}

/* Those that KVM could refuse only where they are others. */
int arch_debug_set(const struct vcpu *vcpu, const uint8_t *regs)
{
	struct registers all, was;
	int r = get_all(vcpu, &all);
	size_t i, bytes;

	was = all;
	for (i = 0; i < ARRAY_SIZE(where); i++, regs += bytes) {
		bytes = where[i].bits / 8;
		memcpy((uint8_t *)&all + where[i].at, regs, min_u64(bytes, where[i].size));
	}
	if (r < 0)
		return r;
	if (memcmp(&all.s, &was.s, sizeof(all.s)) && ioctl(vcpu->fd, KVM_SET_SREGS, &all.s) < 0)
		return -errno;
	if (memcmp(&all.f, &was.f, sizeof(all.f)) && ioctl(vcpu->fd, KVM_SET_FPU, &all.f) < 0)
		return -errno;
	return ioctl(vcpu->fd, KVM_SET_REGS, &all.r) < 0 ? -errno : 0;
}

int arch_debug_translate(const struct vcpu *vcpu, const struct mem *mem, uint64_t addr,
			 uint64_t *gpa)
{
	struct kvm_translation t = { .linear_address = addr };

	(void)mem;
	if (ioctl(vcpu->fd, KVM_TRANSLATE, &t) < 0)
		return -errno;
	*gpa = t.physical_address;
	return t.valid ? 0 : -EFAULT;
}

static unsigned length(const struct gdb_point *p)
{
	return p->kind == GDB_HARD ? 1 : p->len;
}

int arch_debug_check(const struct vcpu *vcpu, const struct gdb_point *point, unsigned count)
{
	unsigned n = 0, i;

	(void)vcpu;
	for (i = 0; i < count; i++) {
		if (point[i].kind == GDB_SOFT)
			continue;
		if (!is_power_of_2(length(&point[i])) || point[i].addr % length(&point[i]))
			return -EDOM;
		n++;
	}
	return n > POINTS ? -ENOSPC : 0;
}

/* A processor cannot watch reads alone. */
static void put_point(struct kvm_guest_debug_arch *to, unsigned n, const struct gdb_point *p)
{
	static const uint8_t kinds[GDB_KINDS] = { [GDB_HARD] = 0, [GDB_WRITE] = 1, [GDB_READ] = 3,
						  [GDB_ACCESS] = 3 };
	static const uint8_t lengths[] = { [1] = 0, [2] = 1, [4] = 3, [8] = 2 };

	to->debugreg[n] = p->addr;
	to->debugreg[7] |= DR7_FIXED | DR7_GLOBAL(n) |
			   DR7_KIND(n, kinds[p->kind], lengths[length(p)]);
}

int arch_debug_control(const struct vcpu *vcpu, const struct arch_debug *how)
{
	struct kvm_guest_debug debug = { 0 };
	unsigned i, n = 0;

	if (how->on)
		debug.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP;
	for (i = 0; how->on && i < how->points && n < POINTS; i++) {
		if (how->point[i].kind == GDB_SOFT)
			continue;
		put_point(&debug.arch, n++, &how->point[i]);
		debug.control |= KVM_GUESTDBG_USE_HW_BP;
	}
	if (how->on && how->inject)
		debug.control |= KVM_GUESTDBG_INJECT_BP;
	if (how->on && how->step) /* not into what an interrupt brings */
		debug.control |= KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_BLOCKIRQ;
	if (ioctl(vcpu->fd, KVM_SET_GUEST_DEBUG, &debug) == 0)
		return 0;
	debug.control &= ~KVM_GUESTDBG_BLOCKIRQ; /* Linux before 5.15 */
	return ioctl(vcpu->fd, KVM_SET_GUEST_DEBUG, &debug) < 0 ? -errno : 0;
}

void arch_debug_why(const struct vcpu *vcpu, const struct arch_debug *how,
		    struct arch_debug_stop *why)
{
	const struct kvm_debug_exit_arch *d = &vcpu->run->debug.arch;
	unsigned i, n = 0;

	*why = (struct arch_debug_stop){ .trap = d->exception == EXCEPTION_TRAP, .pc = d->pc,
					 .kind = GDB_SOFT };
	for (i = 0; !why->trap && i < how->points; i++) {
		if (how->point[i].kind == GDB_SOFT)
			continue;
		if (d->dr6 & 1ull << n++ && how->point[i].kind != GDB_HARD) {
			why->kind = (int)how->point[i].kind;
			why->addr = how->point[i].addr;
		}
	}
}
