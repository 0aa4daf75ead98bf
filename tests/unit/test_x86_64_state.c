/* SPDX-License-Identifier: MIT */
/*
 * test_x86_64_state.c - a guest of a few instructions goes on in another VM. This is KVM's own, and
 * where there is none there is nothing to test.
 */
#include "tests/unit/unit.h"

#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "vmm/core/bus.h"
#include "vmm/core/log.h"
#include "vmm/core/mem.h"
#include "vmm/core/platform.h"
#include "vmm/core/state.h"
#include "vmm/core/util.h"
#include "vmm/machine/arch/arch.h"
#include "vmm/machine/arch/x86_64/x86.h"
#include "vmm/machine/vcpu.h"
#include "vmm/machine/vm.h"

Suite *x86_64_state_suite(void);

#define CODE_AT 0x100000
#define DATA_AT 0x180000 /* what it counts, a register, xmm0, an MSR; where xmm0 is from */
#define MARK 0x1122334455667788ull

/* Sets them once, and stores them again and again; each time it leaves the guest. */
static const uint8_t code[] = {
	0x0f, 0x20, 0xe1,                         /* mov %cr4, %rcx */
	0x81, 0xc9, 0x00, 0x02, 0x00, 0x00,       /* or $OSFXSR, %ecx */
	0x0f, 0x22, 0xe1,                         /* mov %rcx, %cr4 */
	0xb9, 0x82, 0x00, 0x00, 0xc0,             /* mov $MSR_LSTAR, %ecx */
	0xb8, 0x78, 0x56, 0x34, 0x12,             /* mov $0x12345678, %eax */
	0x31, 0xd2,                               /* xor %edx, %edx */
	0x0f, 0x30,                               /* wrmsr */
	0x48, 0xbb, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, /* mov $MARK, %rbx */
	0x66, 0x0f, 0x6f, 0x04, 0x25, 0x30, 0x00, 0x18, 0x00, /* movdqa DATA_AT + 48, %xmm0 */
	0x31, 0xf6,                               /* xor %esi, %esi */
	/* 1: */
	0xff, 0xc6,                               /* inc %esi */
	0x0f, 0x32,                               /* rdmsr */
	0x48, 0x89, 0x1c, 0x25, 0x08, 0x00, 0x18, 0x00, /* mov %rbx, DATA_AT + 8 */
	0x66, 0x0f, 0x7f, 0x04, 0x25, 0x10, 0x00, 0x18, 0x00, /* movdqa %xmm0, DATA_AT + 16 */
	0x89, 0x04, 0x25, 0x20, 0x00, 0x18, 0x00, /* mov %eax, DATA_AT + 32 */
	0x89, 0x34, 0x25, 0x00, 0x00, 0x18, 0x00, /* mov %esi, DATA_AT */
	0xe6, 0x80,                               /* out %al, $0x80 */
	0xeb, 0xd9,                               /* jmp 1b */
};

static struct vm vm;
static struct mem mem;
static struct bus mmio, pio;
static struct platform platform;
static struct vcpu vcpu;
static atomic_bool over;
static struct vcpu_host host;
static uint8_t *saved;
static size_t len;

static void ended(void *arg, enum cause cause)
{
	(void)arg, (void)cause;
	atomic_store(&over, true);
}

static void visit(void *arg, struct state *s)
{
	(void)arg;
	arch_vm_state(&vm, s);
	arch_vcpu_state(&vcpu, s);
}

static void make(void)
{
	mmio = pio = (struct bus)BUS_EMPTY;
	mem = (struct mem){ 0 };
	host = (struct vcpu_host){ &vm, &mmio, &pio, &over, ended, NULL };
	platform = (struct platform){ .mmio = &mmio, .pio = &pio, .mem = &mem };
	ck_assert_int_eq(vm_create(&vm), 0);
	ck_assert_int_eq(mem_add(&mem, 0, MIB(2)), 0);
	ck_assert_int_eq(vm_set_memory(&vm, &mem), 0);
	ck_assert_int_eq(arch_vm_init(&vm, &platform), 0);
	ck_assert_int_eq(vcpu_create(&vcpu, &host, 0), 0);
	ck_assert_int_eq(arch_vcpus_init(&vcpu, 1), 0);
}

static void unmake(void)
{
	vcpu_stop(&vcpu);
	vcpu_destroy(&vcpu);
	vm_destroy(&vm);
	mem_free(&mem);
}

static uint64_t data(unsigned i)
{
	uint8_t raw[8];

	mem_read(&mem, DATA_AT + 8 * i, raw, sizeof(raw));
	return le64_get(raw);
}

static void await_more_than(uint64_t count)
{
	unsigned tries = 0;

	while (data(0) <= count) {
		ck_assert(!atomic_load(&over));
		ck_assert_uint_lt(tries++, 20000);
		usleep(1000);
	}
	ck_assert_uint_eq(data(1), MARK);
	ck_assert_uint_eq(data(2), MARK);
	ck_assert_uint_eq(data(3), ~MARK);
	ck_assert_uint_eq(data(4), 0x12345678);
}

static void pause_it(void)
{
	unsigned tries = 0;

	while (!vcpu_pause(&vcpu))
		ck_assert_uint_lt(tries++, 1000);
}

/* It runs, and is stopped and saved at some place. */
static void set_up(void)
{
	static const struct arch_entry entry = { .pc = CODE_AT, .mode = X86_LONG };
	static const uint64_t xmm0[] = { MARK, ~MARK };

	log_set_level(LOG_ERR);
	vcpu_setup_signal();
	make();
	ck_assert_int_eq(x86_write_long_mode_tables(&mem), 0);
	ck_assert_int_eq(mem_write(&mem, CODE_AT, code, sizeof(code)), 0);
	ck_assert_int_eq(mem_write(&mem, DATA_AT + 48, xmm0, sizeof(xmm0)), 0);
	ck_assert_int_eq(arch_vcpu_enter(&vcpu, &entry), 0);
	ck_assert_int_eq(vcpu_start(&vcpu), 0);
	await_more_than(10);
	pause_it();
	ck_assert_int_eq(state_save(visit, NULL, &saved, &len), 0);
}

static void tear_down(void)
{
	unmake();
	free(saved);
}

/* While it rests nothing moves; then it counts on. */
START_TEST(stands_still)
{
	uint64_t count = data(0);

	usleep(20000);
	ck_assert_uint_eq(data(0), count);
	vcpu_resume(&vcpu);
	await_more_than(count);
}
END_TEST

/* In a new VM, with the same memory but for what it has stored. */
START_TEST(goes_on_elsewhere)
{
	static const uint8_t nothing[64];
	uint8_t *copy = malloc(MIB(2));
	uint64_t count = data(0);
	unsigned round;

	for (round = 0; round < 3; round++) {
		ck_assert_int_eq(mem_read(&mem, 0, copy, MIB(2)), 0);
		unmake();
		make();
		ck_assert_int_eq(mem_write(&mem, 0, copy, MIB(2)), 0);
		ck_assert_int_eq(mem_write(&mem, DATA_AT, nothing, sizeof(nothing)), 0);
		ck_assert_int_eq(state_restore(visit, NULL, saved, len), 0);
		ck_assert_int_eq(vcpu_start(&vcpu), 0);
		await_more_than(count);
		ck_assert_uint_lt(data(0), count + 1000000);
		pause_it();
		count = data(0);
		free(saved);
		ck_assert_int_eq(state_save(visit, NULL, &saved, &len), 0);
	}
	free(copy);
}
END_TEST

/* The registers, behind the chips and the clock. */
#define REGS (3 * 512 + 8 + sizeof(struct kvm_mp_state))
#define SREGS (REGS + sizeof(struct kvm_regs))

static void check_regs(void)
{
	struct kvm_regs regs;
	struct kvm_sregs sregs;

	ck_assert_int_eq(ioctl(vcpu.fd, KVM_GET_REGS, &regs), 0);
	ck_assert_mem_eq(&regs, saved + REGS, sizeof(regs));
	ck_assert_int_eq(ioctl(vcpu.fd, KVM_GET_SREGS, &sregs), 0);
	ck_assert_uint_eq(sregs.cr3, 0x9000);
}

START_TEST(truncated)
{
	size_t n;

	check_regs();
	for (n = 0; n < len; n += 97)
		ck_assert_int_eq(state_restore(visit, NULL, saved, n), -EPROTO);
	check_regs();
	vcpu_resume(&vcpu);
	await_more_than(data(0));
}
END_TEST

/* KVM does not take long mode without paging: what it has taken before that is put back. */
START_TEST(refused_by_kvm)
{
	uint8_t *bad = malloc(len);

	memcpy(bad, saved, len);
	bad[REGS] ^= 0xff;
	memset(bad + SREGS + offsetof(struct kvm_sregs, cr0), 0, 8);
	ck_assert_int_eq(state_restore(visit, NULL, bad, len), -EINVAL);
	check_regs();
	vcpu_resume(&vcpu);
	await_more_than(data(0));
	free(bad);
}
END_TEST

Suite *x86_64_state_suite(void)
{
	Suite *s = suite_create("x86_64_state");
	TCase *tc = unit_case(s, "state");

	if (access("/dev/kvm", R_OK | W_OK) < 0)
		return s;
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, stands_still);
	tcase_add_test(tc, goes_on_elsewhere);
	tcase_add_test(tc, truncated);
	tcase_add_test(tc, refused_by_kvm);
	return s;
}

UNIT_MAIN(x86_64_state_suite)
