/* SPDX-License-Identifier: MIT */
/*
 * state.c - a vCPU's registers, and the VM's interrupt controllers, as KVM gives and takes them.
 *
 * The registers of a GICv3 are listed here. An ITS keeps its tables in guest memory, and so do the
 * redistributors what messages are pending: they are written there when they are saved, and read
 * from there when they are restored. So guest memory is saved after the VM, and restored before it.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include "vmm/core/state.h"
#include "vmm/core/util.h"
#include "vmm/machine/arch/aarch64/arm.h"
#include "vmm/machine/arch/aarch64/layout.h"
#include "vmm/machine/arch/arch.h"
#include "vmm/machine/arch/one_reg.h"
#include "vmm/machine/vcpu.h"
#include "vmm/machine/vm.h"

/* What is pending that is no interrupt. */
static const struct one_reg_more events = { KVM_GET_VCPU_EVENTS, KVM_SET_VCPU_EVENTS,
					    sizeof(struct kvm_vcpu_events) };

void arch_vcpu_state(struct vcpu *vcpu, struct state *s)
{
	one_reg_state(vcpu->fd, &events, s);
}

/* The VM. */

#define EACH_CPU 1 /* one for each redistributor or CPU interface */
#define PRIORITY_BITS(n) ((n) << 4) /* only with so many bits of priority, or more */

#define SGI 0x10000 /* a redistributor's second frame */
#define ICC(crn, crm, op2) (3 << 14 | (crn) << 7 | (crm) << 3 | (op2))
#define GICR_CTLR 0
#define ICC_CTLR ICC(12, 12, 4)

#define ALL_CTRL KVM_DEV_ARM_VGIC_GRP_CTRL
#define DIST KVM_DEV_ARM_VGIC_GRP_DIST_REGS
#define REDIST KVM_DEV_ARM_VGIC_GRP_REDIST_REGS
#define SYSREG KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS
#define LEVEL KVM_DEV_ARM_VGIC_GRP_LEVEL_INFO
#define ITS KVM_DEV_ARM_VGIC_GRP_ITS_REGS

/* A register, or several that follow each other. */
struct gic_reg {
	uint32_t group;
	uint32_t at;
	uint16_t size;  /* bytes; 0: @bits for each interrupt of the distributor's own */
	uint8_t bits;
	uint8_t flags;
	uint32_t clear; /* what takes away bits that are set; 0: they can be written as they are */
};

/*
 * In the order in which they are to be set: KVM hands an interrupt on when it becomes pending, and
 * only if it is enabled by then, and the distributor, too. Messages are off until it is known where
 * their tables are.
 */
static const struct gic_reg gic_regs[] = {
	{ DIST, 0x0008, 4, 0, 0, 0 },                           /* GICD_IIDR */
	{ DIST, 0x0000, 4, 0, 0, 0 },                           /* GICD_CTLR */
	{ REDIST, 0x0070, 8, 0, EACH_CPU, 0 },                  /* GICR_PROPBASER */
	{ REDIST, 0x0078, 8, 0, EACH_CPU, 0 },                  /* GICR_PENDBASER */
	{ REDIST, SGI + 0x080, 4, 0, EACH_CPU, 0 },             /* GICR_IGROUPR0 */
	{ REDIST, SGI + 0xc00, 8, 0, EACH_CPU, 0 },             /* GICR_ICFGR */
	{ REDIST, SGI + 0x400, 32, 0, EACH_CPU, 0 },            /* GICR_IPRIORITYR */
	{ REDIST, SGI + 0x100, 4, 0, EACH_CPU, SGI + 0x180 },   /* GICR_ISENABLER0 */
	{ LEVEL, 0, 4, 0, EACH_CPU, 0 },
	{ REDIST, SGI + 0x200, 4, 0, EACH_CPU, 0 },             /* GICR_ISPENDR0 */
	{ REDIST, SGI + 0x300, 4, 0, EACH_CPU, SGI + 0x380 },   /* GICR_ISACTIVER0 */
	{ DIST, 0x0080, 0, 1, 0, 0 },                           /* GICD_IGROUPR */
	{ DIST, 0x0c00, 0, 2, 0, 0 },                           /* GICD_ICFGR */
	{ DIST, 0x0400, 0, 8, 0, 0 },                           /* GICD_IPRIORITYR */
	{ DIST, 0x6000, 0, 64, 0, 0 },                          /* GICD_IROUTER */
	{ DIST, 0x0100, 0, 1, 0, 0x0180 },                      /* GICD_ISENABLER */
	{ LEVEL, 0, 0, 1, 0, 0 },
	{ DIST, 0x0200, 0, 1, 0, 0 },                           /* GICD_ISPENDR */
	{ DIST, 0x0300, 0, 1, 0, 0x0380 },                      /* GICD_ISACTIVER */
	{ REDIST, GICR_CTLR, 4, 0, EACH_CPU, 0 },
	{ SYSREG, ICC(12, 12, 5), 8, 0, EACH_CPU, 0 },          /* ICC_SRE_EL1 */
	{ SYSREG, ICC_CTLR, 8, 0, EACH_CPU, 0 },
	{ SYSREG, ICC(4, 6, 0), 8, 0, EACH_CPU, 0 },            /* ICC_PMR_EL1 */
	{ SYSREG, ICC(12, 8, 3), 8, 0, EACH_CPU, 0 },           /* ICC_BPR0_EL1 */
	{ SYSREG, ICC(12, 12, 3), 8, 0, EACH_CPU, 0 },          /* ICC_BPR1_EL1 */
	{ SYSREG, ICC(12, 12, 6), 8, 0, EACH_CPU, 0 },          /* ICC_IGRPEN0_EL1 */
	{ SYSREG, ICC(12, 12, 7), 8, 0, EACH_CPU, 0 },          /* ICC_IGRPEN1_EL1 */
	{ SYSREG, ICC(12, 8, 4), 8, 0, EACH_CPU, 0 },           /* ICC_AP0R0_EL1 */
	{ SYSREG, ICC(12, 9, 0), 8, 0, EACH_CPU, 0 },           /* ICC_AP1R0_EL1 */
	{ SYSREG, ICC(12, 8, 5), 8, 0, EACH_CPU | PRIORITY_BITS(6), 0 },
	{ SYSREG, ICC(12, 9, 1), 8, 0, EACH_CPU | PRIORITY_BITS(6), 0 },
	{ SYSREG, ICC(12, 8, 6), 8, 0, EACH_CPU | PRIORITY_BITS(7), 0 },
	{ SYSREG, ICC(12, 9, 2), 8, 0, EACH_CPU | PRIORITY_BITS(7), 0 },
	{ SYSREG, ICC(12, 8, 7), 8, 0, EACH_CPU | PRIORITY_BITS(7), 0 },
	{ SYSREG, ICC(12, 9, 3), 8, 0, EACH_CPU | PRIORITY_BITS(7), 0 },
	{ ITS, 0x0004, 8, 0, 0, 0 },                            /* GITS_IIDR */
	{ ITS, 0x0080, 8, 0, 0, 0 },                            /* GITS_CBASER */
	{ ITS, 0x0090, 8, 0, 0, 0 },                            /* GITS_CREADR */
	{ ITS, 0x0088, 8, 0, 0, 0 },                            /* GITS_CWRITER */
	{ ITS, 0x0100, 64, 0, 0, 0 },                           /* GITS_BASER */
	{ ALL_CTRL, KVM_DEV_ARM_ITS_RESTORE_TABLES, 8, 0, 0, 0 },
	{ ITS, 0x0000, 8, 0, 0, 0 },                            /* GITS_CTLR */
};

/* A word of a register, as KVM names it. */
struct word {
	int fd;
	uint32_t group;
	uint64_t attr, clear; /* @clear == @attr: as it is */
};

struct gic_state {
	struct word *word;
	uint64_t *now, *value;
	unsigned count;
	unsigned priority_bits;
};

static int get_word(int fd, uint32_t group, uint64_t attr, uint64_t *value)
{
	struct kvm_device_attr a = { .group = group, .attr = attr, .addr = (uintptr_t)value };

	*value = 0;
	return ioctl(fd, KVM_GET_DEVICE_ATTR, &a) < 0 ? -errno : 0;
}

/* The vCPU's affinity as these attributes have it. */
static uint64_t cpu_attr(const struct arch_vm *arm, unsigned cpu)
{
	uint64_t mpidr = arm->mpidr[cpu];

	return (mpidr >> 32 & 0xff) << 56 | (mpidr & 0xffffff) << 32;
}

static uint64_t at(const struct gic_reg *reg, uint32_t from, unsigned i)
{
	unsigned size = reg->group == SYSREG || reg->group == ITS ? 8 : 4;

	if (reg->group == LEVEL) /* by the number of the first interrupt */
		return (reg->size ? 0 : SPI_FIRST) + 32 * i;
	return from + (reg->size ? 0 : SPI_FIRST * reg->bits / 8) + size * i;
}

static unsigned words_of(const struct gic_reg *reg)
{
	unsigned size = reg->group == SYSREG || reg->group == ITS || reg->group == ALL_CTRL ? 8 : 4;

	return reg->size ? reg->size / size : arch_irq_inputs * reg->bits / 32;
}

static void add_words(struct gic_state *g, const struct arch_vm *arm, const struct gic_reg *reg,
		      unsigned cpu)
{
	uint64_t whose = reg->flags & EACH_CPU ? cpu_attr(arm, cpu) : 0;
	bool its = reg->group == ITS || reg->group == ALL_CTRL;
	unsigned i;

	for (i = 0; i < words_of(reg); i++) {
		struct word *w = &g->word[g->count];

		g->count++;
		if (!g->word)
			continue;
		w->fd = its ? arm->its : arm->gic;
		w->group = reg->group;
		w->attr = whose | at(reg, reg->at, i);
		w->clear = reg->clear ? whose | at(reg, reg->clear, i) : w->attr;
	}
}

/* All rows that this VM has; only counted while there is no room. */
static void list_words(struct gic_state *g, const struct arch_vm *arm)
{
	unsigned i, cpu;

	g->count = 0;
	for (i = 0; i < ARRAY_SIZE(gic_regs); i++) {
		const struct gic_reg *reg = &gic_regs[i];

		if (g->priority_bits < reg->flags >> 4)
			continue;
		if (arm->its < 0 && (reg->group == ITS || reg->group == ALL_CTRL))
			continue;
		for (cpu = 0; cpu < (reg->flags & EACH_CPU ? arm->cpus : 1); cpu++)
			add_words(g, arm, reg, cpu);
	}
}

static int make_gic_state(struct gic_state *g, const struct arch_vm *arm)
{
	uint64_t ctlr;
	int r = get_word(arm->gic, SYSREG, cpu_attr(arm, 0) | ICC_CTLR, &ctlr);

	if (r < 0)
		return r;
	g->priority_bits = (ctlr >> 8 & 7) + 1;
	list_words(g, arm);
	g->word = calloc(g->count, sizeof(*g->word));
	g->now = calloc(g->count, 2 * sizeof(*g->now));
	if (!g->word || !g->now)
		return -ENOMEM;
	g->value = g->now + g->count;
	list_words(g, arm);
	return 0;
}

/* What is pending, and where messages go, into guest memory. */
static int save_tables(const struct arch_vm *arm)
{
	int r;

	if (arm->its < 0)
		return 0;
	r = arm_set_attr(arm->its, ALL_CTRL, KVM_DEV_ARM_ITS_SAVE_TABLES, NULL);
	return r ? r : arm_set_attr(arm->gic, ALL_CTRL, KVM_DEV_ARM_VGIC_SAVE_PENDING_TABLES, NULL);
}

static int get_gic(struct gic_state *g)
{
	unsigned i;
	int r = 0;

	for (i = 0; r == 0 && i < g->count; i++) {
		if (g->word[i].group != ALL_CTRL)
			r = get_word(g->word[i].fd, g->word[i].group, g->word[i].attr, &g->now[i]);
	}
	return r;
}

static int reset_gic(const struct arch_vm *arm)
{
	static const uint64_t off;
	unsigned i;
	int r = 0;

	if (arm->its >= 0)
		r = arm_set_attr(arm->its, ALL_CTRL, KVM_DEV_ARM_ITS_CTRL_RESET, NULL);
	for (i = 0; r == 0 && i < arm->cpus; i++)
		r = arm_set_attr(arm->gic, REDIST, cpu_attr(arm, i) | GICR_CTLR, &off);
	return r;
}

static int set_gic(const struct gic_state *g, const struct arch_vm *arm, const uint64_t *value)
{
	static const uint64_t all = UINT32_MAX;
	int r = reset_gic(arm);
	unsigned i;

	for (i = 0; r == 0 && i < g->count; i++) {
		const struct word *w = &g->word[i];

		if (w->clear != w->attr)
			r = arm_set_attr(w->fd, w->group, w->clear, &all);
		if (r == 0)
			r = arm_set_attr(w->fd, w->group, w->attr,
					 w->group == ALL_CTRL ? NULL : &value[i]);
	}
	return r;
}

static void visit_gic(struct gic_state *g, struct state *s)
{
	unsigned i;

	state_same(s, g->count); /* as many vCPUs, as many bits of priority, an ITS or none */
	for (i = 0; i < g->count; i++) {
		g->value[i] = g->now[i];
		if (g->word[i].group != ALL_CTRL)
			state_u64(s, &g->value[i]);
	}
}

void arch_vm_state(struct vm *vm, struct state *s)
{
	const struct arch_vm *arm = vm->arch;
	struct gic_state g = { 0 };
	int r = arm->v3 ? 0 : -EOPNOTSUPP; /* a GICv2 has other registers */

	if (r == 0 && state_saves(s))
		r = save_tables(arm);
	if (r == 0)
		r = make_gic_state(&g, arm);
	if (r == 0)
		r = get_gic(&g);
	if (r < 0)
		state_fail(s, r);
	else
		visit_gic(&g, s);
	if (r == 0 && state_takes(s)) {
		r = set_gic(&g, arm, g.value);
		if (r < 0)
			set_gic(&g, arm, g.now);
		state_check(s, r == 0);
	}
	free(g.word);
	free(g.now);
}
