/* SPDX-License-Identifier: MIT */
/*
 * vcpu.c - what a vCPU is (features, counters), where it starts (registers), and
 * how it looks from outside.
 */
#include "vmm/machine/vcpu.h"

#include <elf.h>
#include <errno.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "vmm/core/log.h"
#include "vmm/core/util.h"
#include "vmm/machine/arch/aarch64/arm.h"
#include "vmm/machine/arch/aarch64/layout.h"
#include "vmm/machine/arch/arch.h"

#define CORE_REG(field) (KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE | \
			 KVM_REG_ARM_CORE_REG(field))
/* X0 to X30 follow each other, in units of 32 bits. */
#define X_REG(n) (CORE_REG(regs.regs[0]) + 2 * (n))
#define MPIDR_EL1 ARM64_SYS_REG(3, 0, 0, 0, 5)
#define ESR_EL1 ARM64_SYS_REG(3, 0, 5, 2, 0)
#define FAR_EL1 ARM64_SYS_REG(3, 0, 6, 0, 0)

#define MPIDR_AFFINITY 0xff00ffffffull
#define PSTATE_I 0x80 /* interrupts are masked */
#define PSTATE_SPSEL 1 /* the stack is EL1's own */

/* What a vCPU may have, where KVM and the processor have both. */
static const struct {
	unsigned cap[2];
	uint32_t features;
} optional[] = {
	{ { KVM_CAP_ARM_SVE, KVM_CAP_ARM_SVE }, 1u << KVM_ARM_VCPU_SVE },
	{ { KVM_CAP_ARM_PTRAUTH_ADDRESS, KVM_CAP_ARM_PTRAUTH_GENERIC },
	  1u << KVM_ARM_VCPU_PTRAUTH_ADDRESS | 1u << KVM_ARM_VCPU_PTRAUTH_GENERIC },
};

static bool has(const struct vm *vm, unsigned cap)
{
	return ioctl(vm->kvm, KVM_CHECK_EXTENSION, cap) > 0;
}

/* 0 if it cannot be read. */
static uint64_t get_reg(int fd, uint64_t id)
{
	uint64_t value = 0;
	struct kvm_one_reg reg = { .id = id, .addr = (uintptr_t)&value };

	return ioctl(fd, KVM_GET_ONE_REG, &reg) < 0 ? 0 : value;
}

static int set_reg(int fd, uint64_t id, uint64_t value)
{
	struct kvm_one_reg reg = { .id = id, .addr = (uintptr_t)&value };

	return ioctl(fd, KVM_SET_ONE_REG, &reg) < 0 ? -errno : 0;
}

int arm_vcpu_init(const struct vm *vm, int fd, bool pmu, bool off)
{
	int sve = KVM_ARM_VCPU_SVE;
	struct kvm_vcpu_init init;
	unsigned i;

	if (ioctl(vm->fd, KVM_ARM_PREFERRED_TARGET, &init) < 0)
		return -errno;
	init.features[0] = 1u << KVM_ARM_VCPU_PSCI_0_2 | (unsigned)off << KVM_ARM_VCPU_POWER_OFF |
			   (unsigned)pmu << KVM_ARM_VCPU_PMU_V3;
	for (i = 0; i < ARRAY_SIZE(optional); i++) {
		if (has(vm, optional[i].cap[0]) && has(vm, optional[i].cap[1]))
			init.features[0] |= optional[i].features;
	}
	if (ioctl(fd, KVM_ARM_VCPU_INIT, &init) < 0)
		return -errno;
	if (init.features[0] & 1u << KVM_ARM_VCPU_SVE && ioctl(fd, KVM_ARM_VCPU_FINALIZE, &sve) < 0)
		return -errno;
	return 0;
}

int arm_set_entry(int fd, const struct arch_entry *entry)
{
	int r = set_reg(fd, CORE_REG(regs.pc), entry->pc);

	return r ? r : set_reg(fd, X_REG(0), entry->arg);
}

/* After the GIC, which its interrupt ends at. */
static int init_pmu(int fd)
{
	int intid = PPI_FIRST + PPI_PMU;
	int r = arm_set_attr(fd, KVM_ARM_VCPU_PMU_V3_CTRL, KVM_ARM_VCPU_PMU_V3_IRQ, &intid);

	return r ? r : arm_set_attr(fd, KVM_ARM_VCPU_PMU_V3_CTRL, KVM_ARM_VCPU_PMU_V3_INIT, NULL);
}

/* The other vCPUs wait, powered off, for the first one's CPU_ON. */
int arch_vcpus_init(struct vcpu *vcpu, unsigned ncpus)
{
	const struct vm *vm = vcpu->host->vm;
	struct arch_vm *arm = vm->arch;
	unsigned i;
	int r = 0;

	arm->cpus = ncpus;
	for (i = 0; r == 0 && i < ncpus; i++) {
		r = arm_vcpu_init(vm, vcpu[i].fd, arm->pmu, i > 0);
		arm->mpidr[i] = get_reg(vcpu[i].fd, MPIDR_EL1) & MPIDR_AFFINITY;
	}
	if (r < 0) {
		log_err("vCPUs: their features: %s", strerror(-r));
		return r;
	}
	r = arm_gic_init(arm);
	if (r < 0)
		return r;
	for (i = 0; r == 0 && arm->pmu && i < ncpus; i++)
		r = init_pmu(vcpu[i].fd);
	if (r < 0)
		log_err("vCPUs: their counters: %s", strerror(-r));
	return r;
}

int arch_vcpu_enter(const struct vcpu *vcpu, const struct arch_entry *entry)
{
	int r = arm_set_entry(vcpu->fd, entry);

	if (r < 0)
		log_err("vCPU 0: its registers: %s", strerror(-r));
	return r;
}

/* All that guests do is known to every architecture. */
bool arch_vcpu_exit(struct vcpu *vcpu)
{
	(void)vcpu;
	return false;
}

static bool is_off(const struct vcpu *vcpu)
{
	struct kvm_mp_state state;

	return ioctl(vcpu->fd, KVM_GET_MP_STATE, &state) == 0 &&
	       state.mp_state == KVM_MP_STATE_STOPPED;
}

/*
 * KVM does not tell whether a vCPU waits in WFI. Linux masks interrupts around it, so that says
 * nothing, either.
 */
void arch_vcpu_look(struct vcpu *vcpu)
{
	uint64_t pstate = get_reg(vcpu->fd, CORE_REG(regs.pstate));
	bool off = is_off(vcpu);

	vcpu->trouble = off ? VCPU_IDLE : VCPU_BUSY;
	snprintf(vcpu->picture, sizeof(vcpu->picture),
		 "%s, interrupts %s, pc %016llx sp %016llx lr %016llx esr %08llx far %016llx "
		 "pstate %08llx", off ? "not started" : "running", pstate & PSTATE_I ? "off" : "on",
		 (unsigned long long)get_reg(vcpu->fd, CORE_REG(regs.pc)),
		 (unsigned long long)get_reg(vcpu->fd, CORE_REG(sp_el1)),
		 (unsigned long long)get_reg(vcpu->fd, X_REG(30)),
		 (unsigned long long)get_reg(vcpu->fd, ESR_EL1),
		 (unsigned long long)get_reg(vcpu->fd, FAR_EL1), (unsigned long long)pstate);
}

/* Nobody can know. */
bool arch_vcpu_halted(struct vcpu *vcpu)
{
	(void)vcpu;
	return false;
}

/* Its clock is the counter, of which it cannot be told. */
void arch_vcpu_paused(struct vcpu *vcpu)
{
	(void)vcpu;
}

/* An SError: Linux does not mask it when it masks interrupts, and panics. */
void arch_vcpu_nmi(struct vcpu *vcpu)
{
	struct kvm_vcpu_events events = { .exception.serror_pending = 1 };

	ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &events);
}

const uint16_t arch_elf_machine = EM_AARCH64;

/* X0 to X30, the stack's pointer, the pc, pstate. */
int arch_vcpu_gregs(const struct vcpu *vcpu, elf_gregset_t *regs)
{
	uint64_t pstate = get_reg(vcpu->fd, CORE_REG(regs.pstate));
	unsigned i;

	for (i = 0; i < 31; i++)
		(*regs)[i] = get_reg(vcpu->fd, X_REG(i));
	(*regs)[31] = get_reg(vcpu->fd, pstate & PSTATE_SPSEL ? CORE_REG(sp_el1) :
							       CORE_REG(regs.sp));
	(*regs)[32] = get_reg(vcpu->fd, CORE_REG(regs.pc));
	(*regs)[33] = pstate;
	return 0;
}

void arch_vcpu_dump(struct vcpu *vcpu)
{
	unsigned i;

	fprintf(stderr, "pc  %016llx sp  %016llx pstate %08llx esr %08llx far %016llx\n",
		(unsigned long long)get_reg(vcpu->fd, CORE_REG(regs.pc)),
		(unsigned long long)get_reg(vcpu->fd, CORE_REG(sp_el1)),
		(unsigned long long)get_reg(vcpu->fd, CORE_REG(regs.pstate)),
		(unsigned long long)get_reg(vcpu->fd, ESR_EL1),
		(unsigned long long)get_reg(vcpu->fd, FAR_EL1));
	for (i = 0; i < 31; i++)
		fprintf(stderr, "x%-2u %016llx%c", i,
			(unsigned long long)get_reg(vcpu->fd, X_REG(i)),
			i % 4 == 3 || i == 30 ? '\n' : ' ');
}
