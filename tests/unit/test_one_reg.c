/* SPDX-License-Identifier: MIT */
/*
 * test_one_reg.c - KVM is ioctl() here, with a vCPU of three registers: one that may be anything,
 * one of 32 bits that cannot be written, and one that has no bit above the seventh.
 */
#include "tests/unit/unit.h"

#include <errno.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "vmm/core/state.h"
#include "vmm/core/util.h"
#include "vmm/machine/arch/one_reg.h"

Suite *one_reg_suite(void);

#define VCPU 4711
#define ANY (KVM_REG_SIZE_U64 | 1)
#define FIXED (KVM_REG_SIZE_U32 | 2)
#define SMALL (KVM_REG_SIZE_U64 | 3)
#define GET_MORE 0x1001
#define SET_MORE 0x1002

/* What a vCPU is, and how KVM fares. */
struct fake {
	uint64_t any, small;
	uint32_t fixed, mp;
	uint8_t more[3];
	uint64_t list[3];
	unsigned count;
	unsigned long fails; /* an ioctl */
};

static const struct fake sample = { 0x1122334455667788, 0x7f, 0xabcdef, 1, "ev",
				    { ANY, FIXED, SMALL }, 3, 0 };
static struct fake cpu;
static const struct one_reg_more more = { GET_MORE, SET_MORE, sizeof(cpu.more) };
static const struct one_reg_more *used;
static uint8_t *data;
static size_t len;

static int get_list(struct kvm_reg_list *list)
{
	uint64_t room = list->n;

	list->n = cpu.count;
	if (room < cpu.count) {
		errno = E2BIG;
		return -1;
	}
	memcpy(list->reg, cpu.list, 8 * cpu.count);
	return 0;
}

static int one(const struct kvm_one_reg *reg, bool set)
{
	void *value = (void *)(uintptr_t)reg->addr;
	void *of = reg->id == ANY ? &cpu.any : reg->id == SMALL ? &cpu.small : (void *)&cpu.fixed;
	size_t size = reg->id == FIXED ? 4 : 8;
	uint64_t wanted = 0;

	memcpy(&wanted, value, size);
	if (set && (reg->id == FIXED || (reg->id == SMALL && wanted > 0xff))) {
		errno = EINVAL;
		return -1;
	}
	memcpy(set ? of : value, set ? value : of, size);
	return 0;
}

int ioctl(int fd, unsigned long what, ...)
{
	va_list list;
	void *arg;

	va_start(list, what);
	arg = va_arg(list, void *);
	va_end(list);
	ck_assert_int_eq(fd, VCPU);
	if (what == cpu.fails) {
		errno = EIO;
		return -1;
	}
	switch (what) {
	case KVM_GET_REG_LIST: return get_list(arg);
	case KVM_GET_ONE_REG: return one(arg, false);
	case KVM_SET_ONE_REG: return one(arg, true);
	case KVM_GET_MP_STATE: ((struct kvm_mp_state *)arg)->mp_state = cpu.mp; return 0;
	case KVM_SET_MP_STATE: cpu.mp = ((struct kvm_mp_state *)arg)->mp_state; return 0;
	case GET_MORE: memcpy(arg, cpu.more, sizeof(cpu.more)); return 0;
	case SET_MORE: memcpy(cpu.more, arg, sizeof(cpu.more)); return 0;
	}
	ck_abort_msg("ioctl %lx", what);
	return -1;
}

static void visit(void *fd, struct state *s)
{
	one_reg_state(*(int *)fd, used, s);
}

static int save(uint8_t **to, size_t *n)
{
	int fd = VCPU;

	return state_save(visit, &fd, to, n);
}

static int restore(void)
{
	int fd = VCPU;

	return state_restore(visit, &fd, data, len);
}

static void set_up(void)
{
	cpu = sample;
	used = &more;
	ck_assert_int_eq(save(&data, &len), 0);
}

static void tear_down(void)
{
	free(data);
}

START_TEST(there_and_back)
{
	ck_assert_uint_eq(len, 4 + 3 * 8 + 8 + 4 + 8 + sizeof(cpu.more) + 4);
	cpu.any = cpu.small = 0;
	cpu.mp = 0;
	memset(cpu.more, 0, sizeof(cpu.more));
	ck_assert_int_eq(restore(), 0); /* although one cannot be written: it is the same */
	ck_assert_mem_eq(&cpu, &sample, sizeof(cpu));
}
END_TEST

START_TEST(nothing_more)
{
	static const struct one_reg_more none;

	free(data);
	used = &none;
	cpu.fails = GET_MORE;
	ck_assert_int_eq(save(&data, &len), 0);
	ck_assert_uint_eq(len, 4 + 3 * 8 + 8 + 4 + 8 + 4);
	cpu.any = 0;
	ck_assert_int_eq(restore(), 0);
	ck_assert_uint_eq(cpu.any, sample.any);
}
END_TEST

/* Bytes that make no sense: where they are, and what is in their place. */
static const struct {
	size_t at;
	uint8_t byte;
} wrong[] = {
	{ 0, 4 },                  /* the number of registers, */
	{ 4, 9 },                  /* and which they are */
	{ 4 + 3 * 8 + 8, 1 },      /* what cannot be written */
	{ 4 + 3 * 8 + 8 + 4 + 1, 1 }, /* what cannot be */
};

START_TEST(refused)
{
	struct fake before;

	cpu.any = 5; /* it would be written first, and is put back */
	before = cpu;
	data[wrong[_i].at] = wrong[_i].byte;
	ck_assert_int_eq(restore(), -EINVAL);
	ck_assert_mem_eq(&cpu, &before, sizeof(cpu));
}
END_TEST

/* What KVM cannot, by what it was asked for; and what comes of it. */
static const struct {
	unsigned long fails;
	int saved, restored;
} host[] = {
	{ KVM_GET_REG_LIST, -EOPNOTSUPP, -EOPNOTSUPP },
	{ KVM_GET_ONE_REG, -EIO, -EIO },
	{ GET_MORE, -EIO, -EIO },
	{ KVM_GET_MP_STATE, -EIO, -EIO },
	{ SET_MORE, 0, -EINVAL },
	{ KVM_SET_MP_STATE, 0, -EINVAL },
};

START_TEST(host_cannot)
{
	uint8_t *other = NULL;
	size_t n;

	cpu.fails = host[_i].fails;
	cpu.any = 5;
	ck_assert_int_eq(save(&other, &n), host[_i].saved);
	if (host[_i].saved == 0)
		free(other);
	ck_assert_int_eq(restore(), host[_i].restored);
	ck_assert_uint_eq(cpu.any, 5);
}
END_TEST

START_TEST(too_many_registers)
{
	uint8_t *other;
	size_t n;

	cpu.count = 5000;
	ck_assert_int_eq(save(&other, &n), -EOPNOTSUPP);
}
END_TEST

Suite *one_reg_suite(void)
{
	Suite *s = suite_create("one_reg");
	TCase *tc = unit_case(s, "one_reg");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, there_and_back);
	tcase_add_test(tc, nothing_more);
	tcase_add_loop_test(tc, refused, 0, ARRAY_SIZE(wrong));
	tcase_add_loop_test(tc, host_cannot, 0, ARRAY_SIZE(host));
	tcase_add_test(tc, too_many_registers);
	return s;
}

UNIT_MAIN(one_reg_suite)
