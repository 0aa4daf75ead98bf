/* SPDX-License-Identifier: MIT */
/*
 * vcpu.c - what a vCPU is (CPUID, MSRs), where it starts (registers), and the
 * exits that only x86 has.
 */
#include "vmm/machine/vcpu.h"

#include <assert.h>
#include <cpuid.h>
#include <elf.h>
#include <errno.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/user.h>

#include "vmm/core/bus.h"
#include "vmm/core/log.h"
#include "vmm/core/util.h"
#include "vmm/machine/arch/arch.h"
#include "vmm/machine/arch/x86_64/layout.h"
#include "vmm/machine/arch/x86_64/x86.h"
#include "vmm/machine/machine.h"

#define CPUID_MAX 256

#define MSR_MISC_ENABLE 0x1a0
#define MISC_ENABLE_FAST_STRING 1
#define MSR_MTRR_DEF_TYPE 0x2ff
#define MTRR_ENABLED_WRITE_BACK 0x806

#define NESTED_STATE_MAX 16384 /* more than AMD's and Intel's */

#define RESET_CS 0xf000 /* where a processor begins */
#define RESET_IP 0xfff0

#define FLAGS_IF 0x200
#define CR0_PE 0x1
#define CR0_ET 0x10
#define CR0_PG 0x80000000
#define CR4_PAE 0x20
#define EFER_LME 0x100
#define EFER_LMA 0x400

#define APIC_LVT1 0x360 /* LINT1 */
#define APIC_LVT_NMI 0x400

/* Bits that number 0 to n - 1. */
static unsigned bits_for(unsigned n)
{
	unsigned bits = 0;

	while (1u << bits < n)
		bits++;
	return bits;
}

static void set_bits(uint32_t *reg, unsigned low, unsigned width, uint32_t value)
{
	uint32_t mask = ((1u << width) - 1) << low;

	*reg = (*reg & ~mask) | (value << low & mask);
}

struct topology {
	unsigned id, count; /* one package of single-threaded cores, APIC IDs from 0 */
	bool tsc_deadline;
};

static void leaf_1(struct kvm_cpuid_entry2 *e, const struct topology *t)
{
	set_bits(&e->ebx, 24, 8, t->id);
	set_bits(&e->ebx, 16, 8, t->count);
	set_bits(&e->ecx, 31, 1, 1); /* a hypervisor is present */
	set_bits(&e->ecx, 24, 1, t->tsc_deadline);
	set_bits(&e->edx, 28, 1, t->count > 1);
}

/* Caches: the first two levels belong to a core, the third to the package. */
static void leaf_4(struct kvm_cpuid_entry2 *e, const struct topology *t)
{
	bool shared = (e->eax >> 5 & 7) >= 3;

	set_bits(&e->eax, 14, 12, shared ? t->count - 1 : 0);
	set_bits(&e->eax, 26, 6, t->count - 1);
}

static void leaf_b(struct kvm_cpuid_entry2 *e, const struct topology *t)
{
	static const unsigned type[] = { 1, 2 }; /* threads of a core, cores of the package */
	bool cores = e->index == 1, level = e->index < ARRAY_SIZE(type);

	e->eax = cores ? bits_for(t->count) : 0;
	e->ebx = cores ? t->count : level;
	e->ecx = e->index | (level ? type[e->index] << 8 : 0);
	e->edx = t->id;
}

/* The processor's name, of which KVM says nothing. */
static void leaf_name(struct kvm_cpuid_entry2 *e, const struct topology *t)
{
	(void)t;
	__cpuid(e->function, e->eax, e->ebx, e->ecx, e->edx);
}

static void leaf_80000008(struct kvm_cpuid_entry2 *e, const struct topology *t)
{
	set_bits(&e->ecx, 0, 8, t->count - 1);
	set_bits(&e->ecx, 12, 4, bits_for(t->count));
}

static void leaf_8000001d(struct kvm_cpuid_entry2 *e, const struct topology *t)
{
	bool shared = (e->eax >> 5 & 7) >= 3;

	set_bits(&e->eax, 14, 12, shared ? t->count - 1 : 0);
}

static void leaf_8000001e(struct kvm_cpuid_entry2 *e, const struct topology *t)
{
	e->eax = t->id;
	e->ebx = t->id; /* core ID, one thread per core */
	e->ecx = 0;     /* node 0 of one */
}

static const struct {
	uint32_t function;
	void (*adjust)(struct kvm_cpuid_entry2 *e, const struct topology *t);
} leaves[] = {
	{ 0x1, leaf_1 },
	{ 0x4, leaf_4 },
	{ 0xb, leaf_b },
	{ 0x1f, leaf_b },
	{ 0x80000002, leaf_name },
	{ 0x80000003, leaf_name },
	{ 0x80000004, leaf_name },
	{ 0x80000008, leaf_80000008 },
	{ 0x8000001d, leaf_8000001d },
	{ 0x8000001e, leaf_8000001e },
};

static void adjust(struct kvm_cpuid_entry2 *e, const struct topology *t)
{
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(leaves); i++) {
		if (e->function == leaves[i].function)
			leaves[i].adjust(e, t);
	}
}

static bool has_leaf(const struct kvm_cpuid2 *cpuid, uint32_t function, uint32_t index)
{
	unsigned i;

	for (i = 0; i < cpuid->nent; i++) {
		if (cpuid->entries[i].function == function && cpuid->entries[i].index == index)
			return true;
	}
	return false;
}

/* Since Linux 6.1 KVM leaves the topology to us, and names but the first level of it. */
static void add_cores(struct kvm_cpuid2 *cpuid, uint32_t function)
{
	if (has_leaf(cpuid, function, 0) && !has_leaf(cpuid, function, 1) &&
	    cpuid->nent < CPUID_MAX)
		cpuid->entries[cpuid->nent++] = (struct kvm_cpuid_entry2){
			.function = function,
			.index = 1,
			.flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
		};
}

/* All that this KVM and processor can do. NULL: errno tells. */
static struct kvm_cpuid2 *supported_cpuid(const struct vm *vm)
{
	struct kvm_cpuid2 *cpuid;

	cpuid = calloc(1, sizeof(*cpuid) + CPUID_MAX * sizeof(cpuid->entries[0]));
	if (!cpuid)
		return NULL;
	cpuid->nent = CPUID_MAX;
	if (ioctl(vm->kvm, KVM_GET_SUPPORTED_CPUID, cpuid) < 0) {
		free(cpuid);
		return NULL;
	}
	add_cores(cpuid, 0xb);
	add_cores(cpuid, 0x1f);
	return cpuid;
}

/* In our topology: every vCPU's leaves are made from those of the one before. */
static int set_cpuid(int vcpu_fd, struct kvm_cpuid2 *cpuid, const struct topology *t)
{
	unsigned i;

	for (i = 0; i < cpuid->nent; i++)
		adjust(&cpuid->entries[i], t);
	return ioctl(vcpu_fd, KVM_SET_CPUID2, cpuid) < 0 ? -errno : 0;
}

/* What firmware would have done: memory is cached, string instructions are fast. */
static int set_msrs(int vcpu_fd)
{
	static const struct kvm_msr_entry msr[] = {
		{ .index = MSR_MISC_ENABLE, .data = MISC_ENABLE_FAST_STRING },
		{ .index = MSR_MTRR_DEF_TYPE, .data = MTRR_ENABLED_WRITE_BACK },
	};
	struct kvm_msrs *msrs = calloc(1, sizeof(*msrs) + sizeof(msr));
	int r;

	if (!msrs)
		return -ENOMEM;
	msrs->nmsrs = ARRAY_SIZE(msr);
	memcpy(msrs->entries, msr, sizeof(msr));
	/* It stops at one that this processor lacks: so be it. */
	r = ioctl(vcpu_fd, KVM_SET_MSRS, msrs);
	free(msrs);
	return r < 0 ? -errno : 0;
}

/* LINT1 brings the NMI, as everywhere. */
static int set_lapic(int vcpu_fd)
{
	struct kvm_lapic_state lapic;

	if (ioctl(vcpu_fd, KVM_GET_LAPIC, &lapic) < 0)
		return -errno;
	le32_put(lapic.regs + APIC_LVT1, APIC_LVT_NMI);
	return ioctl(vcpu_fd, KVM_SET_LAPIC, &lapic) < 0 ? -errno : 0;
}

static struct kvm_segment segment(uint16_t selector, uint8_t type, bool long_mode)
{
	bool code = type & 8;

	return (struct kvm_segment){
		.limit = 0xffffffff,
		.selector = selector,
		.type = type,
		.present = 1,
		.s = 1,
		.g = 1,
		.db = !(code && long_mode),
		.l = code && long_mode,
	};
}

static void set_flat_segments(struct kvm_sregs *s, bool long_mode)
{
	s->cs = segment(0x10, 0xb, long_mode);
	s->ds = s->es = s->fs = s->gs = s->ss = segment(0x18, 0x3, long_mode);
	s->tr = (struct kvm_segment){ .limit = 0x67, .selector = 0x20, .type = 0xb, .present = 1 };
	s->gdt = (struct kvm_dtable){ .base = GDT_AT, .limit = 6 * 8 - 1 };
	s->idt = (struct kvm_dtable){ 0 };
}

int x86_set_entry(int vcpu_fd, const struct arch_entry *entry)
{
	bool long_mode = entry->mode == X86_LONG;
	struct kvm_regs regs = { .rip = entry->pc, .rflags = 2 };
	struct kvm_sregs sregs;

	if (ioctl(vcpu_fd, KVM_GET_SREGS, &sregs) < 0)
		return -errno;
	set_flat_segments(&sregs, long_mode);
	sregs.cr0 = CR0_PE | CR0_ET;
	if (long_mode) {
		sregs.cr0 |= CR0_PG;
		sregs.cr3 = PAGE_TABLES_AT;
		sregs.cr4 |= CR4_PAE;
		sregs.efer |= EFER_LME | EFER_LMA;
		regs.rsi = entry->arg;
	} else {
		regs.rbx = entry->arg;
	}
	if (ioctl(vcpu_fd, KVM_SET_SREGS, &sregs) < 0 || ioctl(vcpu_fd, KVM_SET_REGS, &regs) < 0)
		return -errno;
	return 0;
}

static int init_one(const struct vcpu *vcpu, struct kvm_cpuid2 *cpuid, const struct topology *t)
{
	int r = set_cpuid(vcpu->fd, cpuid, t);

	if (r == 0)
		r = set_msrs(vcpu->fd);
	if (r == 0)
		r = set_lapic(vcpu->fd);
	return r;
}

/* The other vCPUs wait, as KVM made them, for the first one's start-up interrupt. */
int arch_vcpus_init(struct vcpu *vcpu, unsigned ncpus)
{
	const struct vm *vm = vcpu->host->vm;
	struct kvm_cpuid2 *cpuid = supported_cpuid(vm); /* asked once: KVM takes its time */
	struct topology t = { .count = ncpus };
	int r = cpuid ? 0 : -errno;

	t.tsc_deadline = ioctl(vm->kvm, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) > 0;
	for (; r == 0 && t.id < ncpus; t.id++)
		r = init_one(&vcpu[t.id], cpuid, &t);
	if (r < 0)
		log_err("vCPUs: their features: %s", strerror(-r));
	free(cpuid);
	return r;
}

int arch_vcpu_enter(const struct vcpu *vcpu, const struct arch_entry *entry)
{
	int r = x86_set_entry(vcpu->fd, entry);

	if (r < 0)
		log_err("vCPU 0: its registers: %s", strerror(-r));
	return r;
}

static void handle_pio(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	struct bus *bus = vcpu->host->pio;
	uint8_t *data = (uint8_t *)run + run->io.data_offset;
	struct exit_entry *e = exits_note(vcpu->exits, run->io.direction == KVM_EXIT_IO_OUT ?
					  EXIT_OUT : EXIT_IN, run->io.port, run->io.size);
	uint32_t i;

	for (i = 0; i < run->io.count; i++, data += run->io.size) {
		if (run->io.direction == KVM_EXIT_IO_OUT)
			bus_write(bus, run->io.port, data, run->io.size);
		else
			bus_read(bus, run->io.port, data, run->io.size);
		e->data = 0;
		memcpy(&e->data, data, run->io.size);
	}
}

bool arch_vcpu_exit(struct vcpu *vcpu)
{
	if (vcpu->run->exit_reason != KVM_EXIT_IO)
		return false;
	handle_pio(vcpu);
	return true;
}

static const char *state_text(uint32_t state)
{
	switch (state) {
	case KVM_MP_STATE_RUNNABLE:
		return "running";
	case KVM_MP_STATE_HALTED:
		return "halted";
	default:
		return "not started";
	}
}

/* A vCPU that waits is no trouble, unless it waits for interrupts that it does not take. */
static enum vcpu_trouble trouble(uint32_t state, bool interrupts)
{
	if (state != KVM_MP_STATE_RUNNABLE && state != KVM_MP_STATE_HALTED)
		return VCPU_IDLE;
	if (!interrupts)
		return VCPU_DEAF;
	return state == KVM_MP_STATE_HALTED ? VCPU_IDLE : VCPU_BUSY;
}

void arch_vcpu_look(struct vcpu *vcpu)
{
	struct kvm_mp_state state;
	struct kvm_sregs s;
	struct kvm_regs r;
	bool interrupts;

	if (ioctl(vcpu->fd, KVM_GET_MP_STATE, &state) < 0 ||
	    ioctl(vcpu->fd, KVM_GET_REGS, &r) < 0 || ioctl(vcpu->fd, KVM_GET_SREGS, &s) < 0)
		return;
	if (vcpu->shut_down && s.cs.selector == RESET_CS && r.rip == RESET_IP) {
		snprintf(vcpu->picture, sizeof(vcpu->picture), "shut down, and reset since then, "
			 "as AMD's processors have it: nothing is left of its registers");
		return;
	}
	interrupts = r.rflags & FLAGS_IF;
	vcpu->trouble = trouble(state.mp_state, interrupts);
	snprintf(vcpu->picture, sizeof(vcpu->picture),
		 "%s, interrupts %s, rip %04x:%016llx rsp %016llx cr3 %016llx cr2 %016llx "
		 "flags %08llx", vcpu->shut_down ? "shut down" : state_text(state.mp_state),
		 interrupts ? "on" : "off", s.cs.selector, r.rip, r.rsp, s.cr3, s.cr2, r.rflags);
}

/* Then interrupts end that guest, whatever it has switched off. E2BIG: there is more to tell. */
static bool runs_nested_guest(const struct vcpu *vcpu)
{
	union {
		struct kvm_nested_state state;
		uint8_t room[NESTED_STATE_MAX];
	} nested = { .state.size = sizeof(nested) };

	if (ioctl(vcpu->fd, KVM_GET_NESTED_STATE, &nested) < 0)
		return errno == E2BIG;
	return nested.state.flags & KVM_STATE_NESTED_GUEST_MODE;
}

/* On its way to it: an NMI, an SMI, an INIT. */
static bool is_woken(const struct vcpu *vcpu)
{
	struct kvm_vcpu_events e;

	return ioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &e) < 0 || e.nmi.pending || e.nmi.injected ||
	       e.smi.pending || e.smi.latched_init || e.exception.pending ||
	       e.exception.injected || e.interrupt.injected;
}

/* One that has not been started waits for another one to do it. A parked one counts, too. */
bool arch_vcpu_halted(struct vcpu *vcpu)
{
	struct kvm_mp_state state;
	struct kvm_regs r;

	if (ioctl(vcpu->fd, KVM_GET_MP_STATE, &state) < 0)
		return false;
	if (state.mp_state == KVM_MP_STATE_UNINITIALIZED ||
	    state.mp_state == KVM_MP_STATE_INIT_RECEIVED)
		return true;
	return state.mp_state == KVM_MP_STATE_HALTED && ioctl(vcpu->fd, KVM_GET_REGS, &r) == 0 &&
	       !(r.rflags & FLAGS_IF) && !is_woken(vcpu) && !runs_nested_guest(vcpu);
}

/* Of a guest that does not use that clock nobody can say it. */
void arch_vcpu_paused(struct vcpu *vcpu)
{
	ioctl(vcpu->fd, KVM_KVMCLOCK_CTRL, 0);
}

void arch_vcpu_nmi(struct vcpu *vcpu)
{
	ioctl(vcpu->fd, KVM_NMI, 0);
}

const uint16_t arch_elf_machine = EM_X86_64;

int arch_vcpu_gregs(const struct vcpu *vcpu, elf_gregset_t *regs)
{
	struct user_regs_struct u = { .orig_rax = -1ull };
	struct kvm_sregs s;
	struct kvm_regs r;

	if (ioctl(vcpu->fd, KVM_GET_REGS, &r) < 0 || ioctl(vcpu->fd, KVM_GET_SREGS, &s) < 0)
		return -errno;
	u.rax = r.rax, u.rbx = r.rbx, u.rcx = r.rcx, u.rdx = r.rdx;
	u.rsi = r.rsi, u.rdi = r.rdi, u.rbp = r.rbp, u.rsp = r.rsp;
	u.r8 = r.r8, u.r9 = r.r9, u.r10 = r.r10, u.r11 = r.r11;
	u.r12 = r.r12, u.r13 = r.r13, u.r14 = r.r14, u.r15 = r.r15;
	u.rip = r.rip, u.eflags = r.rflags;
	u.cs = s.cs.selector, u.ss = s.ss.selector, u.ds = s.ds.selector;
	u.es = s.es.selector, u.fs = s.fs.selector, u.gs = s.gs.selector;
	u.fs_base = s.fs.base, u.gs_base = s.gs.base;
	static_assert(sizeof(u) == sizeof(*regs), "they are the same registers");
	memcpy(regs, &u, sizeof(u));
	return 0;
}

void arch_vcpu_dump(struct vcpu *vcpu)
{
	struct kvm_sregs s;
	struct kvm_regs r;

	if (ioctl(vcpu->fd, KVM_GET_REGS, &r) < 0 || ioctl(vcpu->fd, KVM_GET_SREGS, &s) < 0)
		return;
	fprintf(stderr,
		"rip %016llx rsp %016llx flags %08llx\n"
		"rax %016llx rbx %016llx rcx %016llx rdx %016llx\n"
		"rsi %016llx rdi %016llx rbp %016llx r8  %016llx\n"
		"cr0 %08llx cr2 %016llx cr3 %016llx cr4 %08llx efer %04llx cs %04x\n",
		r.rip, r.rsp, r.rflags, r.rax, r.rbx, r.rcx, r.rdx, r.rsi, r.rdi, r.rbp, r.r8,
		s.cr0, s.cr2, s.cr3, s.cr4, s.efer, s.cs.selector);
}
