/* SPDX-License-Identifier: MIT */
/*
 * vcpu.c - what a vCPU is (extensions, clock), where it starts (registers), and how it looks from
 * outside.
 */
#include "vmm/machine/vcpu.h"

#include <elf.h>
#include <errno.h>
#include <linux/kvm.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "vmm/core/log.h"
#include "vmm/core/util.h"
#include "vmm/machine/arch/arch.h"
#include "vmm/machine/arch/riscv64/riscv.h"
#include "vmm/machine/vm.h"

#define REG(type, number) (KVM_REG_RISCV | KVM_REG_SIZE_U64 | (type) | (number))
#define CORE(field) REG(KVM_REG_RISCV_CORE, KVM_REG_RISCV_CORE_REG(field))
#define CSR(field) REG(KVM_REG_RISCV_CSR, KVM_REG_RISCV_CSR_REG(field))
#define CONFIG(field) REG(KVM_REG_RISCV_CONFIG, KVM_REG_RISCV_CONFIG_REG(field))
#define TIMER(field) REG(KVM_REG_RISCV_TIMER, KVM_REG_RISCV_TIMER_REG(field))
#define EXTENSIONS(n) REG(KVM_REG_RISCV_ISA_EXT | KVM_REG_RISCV_ISA_MULTI_EN, n)
#define X_REG(n) REG(KVM_REG_RISCV_CORE, n) /* x0's place is the pc's */

#define SSTATUS_SIE (1ull << 1) /* interrupts are on */
#define SSTATUS_SPIE (1ull << 5) /* SIE, and the mode, before a trap */
#define SSTATUS_SPP (1ull << 8)
#define HARDWARE_ERROR 19 /* the cause of an exception */
#define STVEC_MODE 3ull

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

int riscv_set_entry(int fd, const struct arch_entry *entry)
{
	int r = set_reg(fd, CORE(regs.pc), entry->pc);

	if (r == 0)
		r = set_reg(fd, CORE(regs.a0), 0); /* the CPU's number */
	return r ? r : set_reg(fd, CORE(regs.a1), entry->arg);
}

static void read_cpu(int fd, struct riscv_cpu *cpu)
{
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(cpu->extension); i++)
		cpu->extension[i] = get_reg(fd, EXTENSIONS(i));
	cpu->timebase = get_reg(fd, TIMER(frequency));
	cpu->satp_mode = get_reg(fd, CONFIG(satp_mode));
	cpu->cbom = get_reg(fd, CONFIG(zicbom_block_size));
	cpu->cboz = get_reg(fd, CONFIG(zicboz_block_size));
}

/* KVM has the other vCPUs wait for the first one to start them. */
int arch_vcpus_init(struct vcpu *vcpu, unsigned ncpus)
{
	struct arch_vm *riscv = vcpu->host->vm->arch;

	read_cpu(vcpu->fd, &riscv->cpu);
	return riscv_aia_init(riscv, ncpus);
}

int arch_vcpu_enter(const struct vcpu *vcpu, const struct arch_entry *entry)
{
	int r = riscv_set_entry(vcpu->fd, entry);

	if (r < 0)
		log_err("vCPU 0: its registers: %s", strerror(-r));
	return r;
}

/*
 * A call of the firmware that KVM does not know, as that for a console, and a register that it has
 * not, as that for random numbers: KVM has prepared the answer that there is none.
 */
bool arch_vcpu_exit(struct vcpu *vcpu)
{
	return vcpu->run->exit_reason == KVM_EXIT_RISCV_SBI ||
	       vcpu->run->exit_reason == KVM_EXIT_RISCV_CSR;
}

static bool is_off(const struct vcpu *vcpu)
{
	struct kvm_mp_state state;

	return ioctl(vcpu->fd, KVM_GET_MP_STATE, &state) == 0 &&
	       state.mp_state == KVM_MP_STATE_STOPPED;
}

static const char *mode_of(int fd)
{
	return get_reg(fd, CORE(mode)) == KVM_RISCV_MODE_U ? "user" : "kernel";
}

/*
 * KVM does not tell whether a vCPU waits in WFI. Linux masks interrupts around it, so that says
 * nothing, either.
 */
void arch_vcpu_look(struct vcpu *vcpu)
{
	uint64_t sstatus = get_reg(vcpu->fd, CSR(sstatus));
	bool off = is_off(vcpu);

	vcpu->trouble = off ? VCPU_IDLE : VCPU_BUSY;
	snprintf(vcpu->picture, sizeof(vcpu->picture),
		 "%s, interrupts %s, pc %016llx sp %016llx ra %016llx scause %llx stval %llx %s",
		 off ? "not started" : "running", sstatus & SSTATUS_SIE ? "on" : "off",
		 (unsigned long long)get_reg(vcpu->fd, CORE(regs.pc)),
		 (unsigned long long)get_reg(vcpu->fd, CORE(regs.sp)),
		 (unsigned long long)get_reg(vcpu->fd, CORE(regs.ra)),
		 (unsigned long long)get_reg(vcpu->fd, CSR(scause)),
		 (unsigned long long)get_reg(vcpu->fd, CSR(stval)), mode_of(vcpu->fd));
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

/*
 * There is none. So a trap is taken as the processor would, as if it had found an error in itself
 * while it executed kernel code: Linux panics at that. A program's stack is hidden, as a Linux
 * without frame pointers would walk it as the kernel's, and stop for ever at the fault it is.
 */
void arch_vcpu_nmi(struct vcpu *vcpu)
{
	uint64_t sstatus, before, stvec;

	/* What the guest has left KVM for is to be complete: that moves the pc. */
	__atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	if (ioctl(vcpu->fd, KVM_RUN, 0) == 0)
		return; /* there is more to do before */
	stvec = get_reg(vcpu->fd, CSR(stvec));
	if (!stvec || is_off(vcpu))
		return;
	before = sstatus = get_reg(vcpu->fd, CSR(sstatus));
	sstatus = (sstatus & ~(SSTATUS_SIE | SSTATUS_SPIE)) | SSTATUS_SPP |
		  (before & SSTATUS_SIE ? SSTATUS_SPIE : 0);
	set_reg(vcpu->fd, CSR(sepc), get_reg(vcpu->fd, CORE(regs.pc)));
	set_reg(vcpu->fd, CSR(scause), HARDWARE_ERROR);
	set_reg(vcpu->fd, CSR(stval), 0);
	set_reg(vcpu->fd, CSR(sstatus), sstatus);
	if (get_reg(vcpu->fd, CORE(mode)) != KVM_RISCV_MODE_S)
		set_reg(vcpu->fd, CORE(regs.sp), 0);
	set_reg(vcpu->fd, CORE(mode), KVM_RISCV_MODE_S);
	set_reg(vcpu->fd, CORE(regs.pc), stvec & ~STVEC_MODE);
}

const uint16_t arch_elf_machine = EM_RISCV;

/* The pc in x0's place, as KVM has it, too. */
int arch_vcpu_gregs(const struct vcpu *vcpu, elf_gregset_t *regs)
{
	unsigned i;

	for (i = 0; i < 32; i++)
		(*regs)[i] = get_reg(vcpu->fd, X_REG(i));
	return 0;
}

void arch_vcpu_dump(struct vcpu *vcpu)
{
	unsigned i;

	fprintf(stderr, "pc  %016llx sstatus %016llx scause %llx stval %llx satp %016llx %s\n",
		(unsigned long long)get_reg(vcpu->fd, CORE(regs.pc)),
		(unsigned long long)get_reg(vcpu->fd, CSR(sstatus)),
		(unsigned long long)get_reg(vcpu->fd, CSR(scause)),
		(unsigned long long)get_reg(vcpu->fd, CSR(stval)),
		(unsigned long long)get_reg(vcpu->fd, CSR(satp)), mode_of(vcpu->fd));
	for (i = 1; i < 32; i++)
		fprintf(stderr, "x%-2u %016llx%c", i,
			(unsigned long long)get_reg(vcpu->fd, X_REG(i)),
			i % 4 == 0 || i == 31 ? '\n' : ' ');
}
