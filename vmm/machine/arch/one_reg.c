/* SPDX-License-Identifier: MIT */
#include "vmm/machine/arch/one_reg.h"

#include <errno.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "vmm/core/log.h"
#include "vmm/core/state.h"

#define REG_SIZE(id) (1u << (((id) & KVM_REG_SIZE_MASK) >> KVM_REG_SIZE_SHIFT))
#define REGS_MAX 4096

/* The registers follow each other in @value, as the list has them. */
struct vcpu_state {
	struct kvm_reg_list *list;
	uint8_t *value;
	size_t size;
	uint8_t more[ONE_REG_MORE];
	struct kvm_mp_state mp;
};

static int list_regs(int fd, struct vcpu_state *c)
{
	struct kvm_reg_list none = { .n = 0 };
	uint64_t i;

	if (ioctl(fd, KVM_GET_REG_LIST, &none) == 0 || errno != E2BIG || none.n > REGS_MAX)
		return -EOPNOTSUPP;
	c->list = calloc(1 + none.n, sizeof(uint64_t));
	if (!c->list)
		return -ENOMEM;
	c->list->n = none.n;
	if (ioctl(fd, KVM_GET_REG_LIST, c->list) < 0)
		return -errno;
	for (i = 0; i < c->list->n; i++)
		c->size += REG_SIZE(c->list->reg[i]);
	c->value = malloc(c->size);
	return c->value ? 0 : -ENOMEM;
}

static int get_regs(int fd, struct vcpu_state *c)
{
	uint8_t *at = c->value;
	uint64_t i;

	for (i = 0; i < c->list->n; i++) {
		struct kvm_one_reg reg = { c->list->reg[i], (uintptr_t)at };

		if (ioctl(fd, KVM_GET_ONE_REG, &reg) < 0)
			return -errno;
		at += REG_SIZE(reg.id);
	}
	return 0;
}

/* Those that are the same already may be such that cannot be written. */
static int set_regs(int fd, const struct vcpu_state *c, const struct vcpu_state *now)
{
	const uint8_t *at = c->value, *was = now->value;
	uint64_t i;

	for (i = 0; i < c->list->n; i++) {
		struct kvm_one_reg reg = { c->list->reg[i], (uintptr_t)at };
		size_t size = REG_SIZE(reg.id);

		if (ioctl(fd, KVM_SET_ONE_REG, &reg) < 0 && memcmp(at, was, size))
			return -EINVAL;
		at += size;
		was += size;
	}
	return 0;
}

static int get_vcpu(int fd, const struct one_reg_more *more, struct vcpu_state *c)
{
	int r = list_regs(fd, c);

	if (r == 0)
		r = get_regs(fd, c);
	if (r < 0)
		return r;
	if ((more->size && ioctl(fd, more->get, c->more) < 0) ||
	    ioctl(fd, KVM_GET_MP_STATE, &c->mp) < 0)
		return -errno;
	return 0;
}

static int set_vcpu(int fd, const struct one_reg_more *more, struct vcpu_state *c,
		    const struct vcpu_state *now)
{
	int r = set_regs(fd, c, now);

	if (r == 0 && ((more->size && ioctl(fd, more->set, c->more) < 0) ||
		       ioctl(fd, KVM_SET_MP_STATE, &c->mp) < 0))
		r = -errno;
	return r;
}

static void visit_vcpu(struct vcpu_state *c, const struct one_reg_more *more, struct state *s)
{
	uint64_t i;

	/* The same ones here: another KVM may have others. */
	state_same(s, c->list->n);
	for (i = 0; i < c->list->n; i++) {
		uint64_t id = c->list->reg[i];

		state_u64(s, &id);
		state_check(s, id == c->list->reg[i]);
	}
	state_bytes(s, c->value, c->size);
	state_bytes(s, c->more, more->size);
	state_u32(s, &c->mp.mp_state);
}

static int copy_vcpu(struct vcpu_state *to, const struct vcpu_state *from)
{
	*to = *from;
	to->value = malloc(from->size);
	if (!to->value)
		return -ENOMEM;
	memcpy(to->value, from->value, from->size);
	return 0;
}

void one_reg_state(int fd, const struct one_reg_more *more, struct state *s)
{
	struct vcpu_state now = { 0 }, c = { 0 };
	int r;

	BUG_ON(more->size > ONE_REG_MORE);
	r = get_vcpu(fd, more, &now);
	if (r == 0)
		r = copy_vcpu(&c, &now);
	if (r < 0)
		state_fail(s, r);
	else
		visit_vcpu(&c, more, s);
	if (r == 0 && state_takes(s)) {
		r = set_vcpu(fd, more, &c, &now);
		if (r < 0)
			set_vcpu(fd, more, &now, &c);
		state_check(s, r == 0);
	}
	free(c.value);
	free(now.value);
	free(now.list);
}
