/* SPDX-License-Identifier: MIT */
/*
 * state.c - a vCPU's registers, and the VM's interrupt controllers and clock, as KVM gives and
 * takes them: structs of its API, which are little-endian and without pointers.
 *
 * KVM alone knows whether a value can be, and only when it gets it. So what is there is read first,
 * and put back if KVM takes but a part of what comes.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "vmm/core/state.h"
#include "vmm/core/util.h"
#include "vmm/machine/arch/arch.h"
#include "vmm/machine/vcpu.h"
#include "vmm/machine/vm.h"

#define MSRS_MAX 512
#define MSR_TSC 0x10
#define NESTED_MAX 16384 /* more than AMD's and Intel's */

struct msrs {
	uint32_t count;
	struct kvm_msr_entry entry[MSRS_MAX];
};

union nested {
	struct kvm_nested_state state;
	uint8_t bytes[NESTED_MAX];
};

struct vcpu_state {
	struct kvm_mp_state mp;
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	uint8_t xsave[sizeof(struct kvm_xsave)];
	struct kvm_xcrs xcrs;
	struct kvm_debugregs debug;
	struct kvm_lapic_state lapic;
	struct kvm_vcpu_events events;
	struct msrs msrs;
	union nested nested;
};

/* In the order in which KVM is to get them: the APIC before its timer's MSR, events last. */
#define PART(field, name) \
	{ offsetof(struct vcpu_state, field), sizeof(((struct vcpu_state *)0)->field), \
	  KVM_GET_##name, KVM_SET_##name }

static const struct part {
	size_t at, len;
	unsigned long get, set;
} parts[] = {
	PART(mp, MP_STATE), PART(regs, REGS), PART(sregs, SREGS), PART(xsave, XSAVE),
	PART(xcrs, XCRS), PART(debug, DEBUGREGS), PART(lapic, LAPIC),
}, last_part = PART(events, VCPU_EVENTS);

static int get_part(int fd, const struct part *p, struct vcpu_state *c)
{
	return ioctl(fd, p->get, (char *)c + p->at) < 0 ? -errno : 0;
}

static int set_part(int fd, const struct part *p, struct vcpu_state *c)
{
	return ioctl(fd, p->set, (char *)c + p->at) < 0 ? -errno : 0;
}

/* Gets or sets one. */
static bool msr(int fd, unsigned long request, struct kvm_msr_entry *e)
{
	union {
		struct kvm_msrs msrs;
		uint8_t room[sizeof(struct kvm_msrs) + sizeof(*e)];
	} one = { .msrs.nmsrs = 1 };
	uint8_t *entry = one.room + sizeof(one.msrs);

	memcpy(entry, e, sizeof(*e));
	if (ioctl(fd, request, &one) != 1)
		return false;
	memcpy(e, entry, sizeof(*e));
	return true;
}

/* Those that can be read, of all that KVM lists. */
static int get_msrs(const struct vcpu *vcpu, struct msrs *m)
{
	union {
		struct kvm_msr_list list;
		uint32_t room[1 + MSRS_MAX];
	} all = { .list.nmsrs = MSRS_MAX };
	uint32_t i;

	if (ioctl(vcpu->host->vm->kvm, KVM_GET_MSR_INDEX_LIST, &all) < 0)
		return -errno;
	m->count = 0;
	for (i = 0; i < all.list.nmsrs; i++) {
		struct kvm_msr_entry *e = &m->entry[m->count];

		*e = (struct kvm_msr_entry){ .index = all.room[1 + i] };
		m->count += msr(vcpu->fd, KVM_GET_MSRS, e);
	}
	return 0;
}

/*
 * Within a VM, where there is less to go back to, the counter goes on: KVM lets that of a host's
 * that is not reliable stand still while a vCPU does not run, and catches up to what was written.
 * It is written all the same: on AMD KVM forgets it when a vCPU shuts down, and timers never end.
 */
static bool goes_on(const struct kvm_msr_entry *e, uint64_t now)
{
	return e->index == MSR_TSC && e->data < now;
}

/* Those that are the same already may be such that cannot be written. */
static int set_msrs(int fd, const struct msrs *m, const struct msrs *now)
{
	uint32_t i;

	for (i = 0; i < m->count; i++) {
		struct kvm_msr_entry e = m->entry[i];

		if (goes_on(&e, now->entry[i].data))
			e.data = now->entry[i].data;
		if (!msr(fd, KVM_SET_MSRS, &e) && e.data != now->entry[i].data)
			return -EINVAL;
	}
	return 0;
}

/* Of a guest that runs guests. Without such a thing in this KVM there is a header, and no more. */
static int get_nested(int fd, union nested *n)
{
	n->state = (struct kvm_nested_state){ .size = sizeof(*n) };
	if (ioctl(fd, KVM_GET_NESTED_STATE, n) == 0)
		return 0;
	n->state.size = sizeof(n->state);
	return errno == ENOTTY || errno == EINVAL ? 0 : -errno;
}

static int set_nested(int fd, union nested *n, const union nested *now)
{
	if (n->state.size == now->state.size && !memcmp(n, now, n->state.size))
		return 0;
	return ioctl(fd, KVM_SET_NESTED_STATE, n) < 0 ? -errno : 0;
}

static int get_vcpu(const struct vcpu *vcpu, struct vcpu_state *c)
{
	unsigned i;
	int r = 0;

	for (i = 0; r == 0 && i < ARRAY_SIZE(parts); i++)
		r = get_part(vcpu->fd, &parts[i], c);
	if (r == 0)
		r = get_msrs(vcpu, &c->msrs);
	if (r == 0)
		r = get_nested(vcpu->fd, &c->nested);
	return r ? r : get_part(vcpu->fd, &last_part, c);
}

static int set_vcpu(int fd, struct vcpu_state *c, const struct vcpu_state *now)
{
	unsigned i;
	int r = 0;

	for (i = 0; r == 0 && i < ARRAY_SIZE(parts); i++)
		r = set_part(fd, &parts[i], c);
	if (r == 0)
		r = set_msrs(fd, &c->msrs, &now->msrs);
	if (r == 0)
		r = set_nested(fd, &c->nested, &now->nested);
	return r ? r : set_part(fd, &last_part, c);
}

static void visit_vcpu(struct vcpu_state *c, struct state *s)
{
	uint32_t i;

	for (i = 0; i < ARRAY_SIZE(parts); i++)
		state_bytes(s, (char *)c + parts[i].at, parts[i].len);
	state_bytes(s, &c->events, sizeof(c->events));
	/* The same ones here: another KVM may have others. */
	state_same(s, c->msrs.count);
	for (i = 0; i < c->msrs.count; i++) {
		uint64_t data = c->msrs.entry[i].data;

		state_same(s, c->msrs.entry[i].index);
		state_u64(s, &data);
		c->msrs.entry[i].data = data;
	}
	state_u32(s, &c->nested.state.size);
	state_check(s, c->nested.state.size >= sizeof(c->nested.state) &&
		       c->nested.state.size <= NESTED_MAX);
	state_u16(s, &c->nested.state.flags);
	state_u16(s, &c->nested.state.format);
	state_bytes(s, &c->nested.state.hdr,
		    c->nested.state.size - offsetof(struct kvm_nested_state, hdr));
}

void arch_vcpu_state(struct vcpu *vcpu, struct state *s)
{
	struct vcpu_state *c = calloc(2, sizeof(*c)), *now = c + 1;
	int r = c ? get_vcpu(vcpu, now) : -ENOMEM;

	if (r < 0) {
		state_fail(s, r);
	} else {
		*c = *now;
		visit_vcpu(c, s);
	}
	if (r == 0 && state_takes(s)) {
		r = set_vcpu(vcpu->fd, c, now);
		if (r < 0)
			set_vcpu(vcpu->fd, now, c);
		state_check(s, r == 0);
	}
	free(c);
}

/* The VM. */

#define CHIPS 3 /* two PICs, one I/O APIC */

struct vm_state {
	struct kvm_irqchip chip[CHIPS];
	struct kvm_clock_data clock;
};

static int get_vm(int fd, struct vm_state *v)
{
	unsigned i;

	for (i = 0; i < CHIPS; i++) {
		v->chip[i] = (struct kvm_irqchip){ .chip_id = i };
		if (ioctl(fd, KVM_GET_IRQCHIP, &v->chip[i]) < 0)
			return -errno;
	}
	return ioctl(fd, KVM_GET_CLOCK, &v->clock) < 0 ? -errno : 0;
}

static int set_vm(int fd, struct vm_state *v)
{
	struct kvm_clock_data clock = { .clock = v->clock.clock };
	unsigned i;

	for (i = 0; i < CHIPS; i++) {
		v->chip[i].chip_id = i;
		if (ioctl(fd, KVM_SET_IRQCHIP, &v->chip[i]) < 0)
			return -errno;
	}
	return ioctl(fd, KVM_SET_CLOCK, &clock) < 0 ? -errno : 0;
}

void arch_vm_state(struct vm *vm, struct state *s)
{
	struct vm_state now, v;
	uint64_t clock;
	unsigned i;
	int r = get_vm(vm->fd, &now);

	if (r < 0) {
		state_fail(s, r);
		return;
	}
	v = now;
	for (i = 0; i < CHIPS; i++)
		state_bytes(s, &v.chip[i].chip, sizeof(v.chip[i].chip));
	clock = v.clock.clock;
	state_u64(s, &clock);
	v.clock.clock = clock;
	if (!state_takes(s))
		return;
	r = set_vm(vm->fd, &v);
	if (r < 0)
		set_vm(vm->fd, &now);
	state_check(s, r == 0);
}
