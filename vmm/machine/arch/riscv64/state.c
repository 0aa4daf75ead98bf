/* SPDX-License-Identifier: MIT */
/*
 * state.c - a vCPU's registers, and the VM's interrupt controllers, as KVM gives and takes them.
 *
 * KVM does not tell the level of an APLIC's input: they only have edges here, so all are low.
 *
 * Before its vCPU has run, or where the processor has no guest file left for it, an IMSIC is in
 * KVM's memory. There registers of 64 bits are written by lr.w and sc.w, which are of 32 (as of
 * Linux 7: imsic_mrif_atomic_rmw() in arch/riscv/kvm/aia_imsic.c), so that messages 32 to 63 of
 * each 64 stay as they are. KVM_SIGNAL_MSI could make them pending; nothing enables them, as a
 * guest's own writes go the same way. So what has one of them is not restored: -EOPNOTSUPP.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include "vmm/core/state.h"
#include "vmm/core/util.h"
#include "vmm/machine/arch/arch.h"
#include "vmm/machine/arch/one_reg.h"
#include "vmm/machine/arch/riscv64/riscv.h"
#include "vmm/machine/vcpu.h"
#include "vmm/machine/vm.h"

void arch_vcpu_state(struct vcpu *vcpu, struct state *s)
{
	static const struct one_reg_more none;

	one_reg_state(vcpu->fd, &none, s);
}

/* The VM. */

#define APLIC KVM_DEV_RISCV_AIA_GRP_APLIC
#define IMSIC KVM_DEV_RISCV_AIA_GRP_IMSIC

/* A register, or several that follow each other. */
struct aia_reg {
	uint32_t group;
	uint16_t at;    /* an offset; the number of the first one, in an IMSIC */
	uint8_t bits;   /* for each source, or each message; 0: it is one register */
	uint32_t clear; /* not 0: this is written, and nothing is kept */
};

/*
 * In the order in which they are to be set: the APLIC is off until the IMSICs are complete, as it
 * then sends them what is pending.
 */
static const struct aia_reg aia_regs[] = {
	{ APLIC, 0x1f00, 1, UINT32_MAX }, /* clrie */
	{ APLIC, 0x0004, 32, 0 },         /* sourcecfg */
	{ APLIC, 0x3004, 32, 0 },         /* target */
	{ APLIC, 0x1d00, 1, UINT32_MAX }, /* in_clrip */
	{ APLIC, 0x1c00, 1, 0 },          /* setip */
	{ IMSIC, 0x72, 0, 0 },            /* eithreshold */
	{ IMSIC, 0x80, 1, 0 },            /* eip */
	{ IMSIC, 0xc0, 1, 0 },            /* eie */
	{ IMSIC, 0x70, 0, 0 },            /* eidelivery */
	{ APLIC, 0x0000, 0, 0 },          /* domaincfg */
	{ APLIC, 0x1e00, 1, 0 },          /* setie */
};

struct word {
	const struct aia_reg *reg;
	unsigned cpu, i;
};

/* An APLIC has no source 0: its registers for each source begin with that of source 1. */
static unsigned words_of(const struct aia_reg *reg, const struct arch_vm *riscv)
{
	if (reg->group == IMSIC)
		return reg->bits ? (riscv->ids + 1) / 64 : 1;
	return reg->bits == 32 ? arch_irq_inputs - 1 : reg->bits ? arch_irq_inputs / 32 : 1;
}

/* False: there was none left. */
static bool next(struct word *w, const struct arch_vm *riscv)
{
	if (++w->i < words_of(w->reg, riscv))
		return true;
	w->i = 0;
	if (w->reg->group == IMSIC && ++w->cpu < riscv->cpus)
		return true;
	w->cpu = 0;
	return ++w->reg < aia_regs + ARRAY_SIZE(aia_regs);
}

/* It has 32 bits, or 64; this is little-endian. */
static int use_word(const struct arch_vm *riscv, unsigned long what, const struct word *w,
		    uint64_t *value)
{
	struct kvm_device_attr attr = { .group = w->reg->group, .addr = (uintptr_t)value };

	attr.attr = attr.group == APLIC ? w->reg->at + 4 * w->i :
		    KVM_DEV_RISCV_AIA_IMSIC_MKATTR((uint64_t)w->cpu, w->reg->at + 2 * w->i);
	return ioctl(riscv->aia, what, &attr) < 0 ? -errno : 0;
}

static int set_word(const struct arch_vm *riscv, const struct word *w, uint64_t value)
{
	uint64_t high = value >> 32 << 32, got = 0;
	int r = high ? use_word(riscv, KVM_SET_DEVICE_ATTR, w, &high) : 0;

	if (high && r == 0)
		r = use_word(riscv, KVM_GET_DEVICE_ATTR, w, &got);
	if (r == 0 && got != high)
		r = -EOPNOTSUPP;
	return r ? r : use_word(riscv, KVM_SET_DEVICE_ATTR, w, &value);
}

static int set_words(const struct arch_vm *riscv, const uint64_t *value)
{
	struct word w = { .reg = aia_regs };
	int r;

	do {
		r = set_word(riscv, &w, w.reg->clear ? w.reg->clear : *value);
		value++;
	} while (r == 0 && next(&w, riscv));
	return r;
}

/* @now is what there is. */
static int visit_words(const struct arch_vm *riscv, uint64_t *now, uint64_t *value, struct state *s)
{
	struct word w = { .reg = aia_regs };
	int r = 0;

	do {
		if (!w.reg->clear)
			r = use_word(riscv, KVM_GET_DEVICE_ATTR, &w, now);
		*value = *now;
		if (r == 0 && !w.reg->clear)
			state_u64(s, value);
		now++, value++;
	} while (r == 0 && next(&w, riscv));
	return r;
}

void arch_vm_state(struct vm *vm, struct state *s)
{
	const struct arch_vm *riscv = vm->arch;
	struct word w = { .reg = aia_regs };
	unsigned count = 1;
	uint64_t *now;
	int r;

	while (next(&w, riscv))
		count++;
	state_same(s, count); /* as many vCPUs, and messages */
	now = calloc(count, 2 * sizeof(*now));
	r = now ? visit_words(riscv, now, now + count, s) : -ENOMEM;
	if (r == 0 && state_takes(s)) {
		r = set_words(riscv, now + count);
		if (r < 0)
			set_words(riscv, now);
	}
	if (r < 0)
		state_fail(s, r);
	free(now);
}
