/* SPDX-License-Identifier: MIT */
/* KVM is ioctl() here: it has registers, and keeps what it is told of debugging. */
#include "tests/unit/unit.h"

#include <errno.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>

#include "vmm/core/util.h"
#include "vmm/machine/arch/arch.h"
#include "vmm/machine/gdb_stub.h"
#include "vmm/machine/vcpu.h"

Suite *x86_64_debug_suite(void);

#define VCPU_FD 2000

static struct kvm_regs regs;
static struct kvm_sregs sregs;
static struct kvm_fpu fpu;
static struct kvm_guest_debug debug;
static unsigned sets;     /* of registers that are not the first ones */
static bool old;          /* a KVM that knows nothing of BLOCKIRQ */
static unsigned long failing;
static struct kvm_run run;
static const struct vcpu vcpu = { .fd = VCPU_FD, .run = &run };

static int ask(unsigned long request, void *arg)
{
	struct kvm_translation *t = arg;

	switch (request) {
	case KVM_GET_REGS:
		memcpy(arg, &regs, sizeof(regs));
		return 0;
	case KVM_GET_SREGS:
		memcpy(arg, &sregs, sizeof(sregs));
		return 0;
	case KVM_GET_FPU:
		memcpy(arg, &fpu, sizeof(fpu));
		return 0;
	case KVM_SET_REGS:
		memcpy(&regs, arg, sizeof(regs));
		return 0;
	case KVM_SET_SREGS:
		memcpy(&sregs, arg, sizeof(sregs));
		sets++;
		return 0;
	case KVM_SET_FPU:
		memcpy(&fpu, arg, sizeof(fpu));
		sets++;
		return 0;
	case KVM_TRANSLATE:
		t->valid = t->linear_address >> 63;
		t->physical_address = t->linear_address & 0xffffff;
		return 0;
	default:
		ck_assert_uint_eq(request, KVM_SET_GUEST_DEBUG);
		memcpy(&debug, arg, sizeof(debug));
		return 0;
	}
}

int ioctl(int fd, unsigned long request, ...)
{
	const struct kvm_guest_debug *d;
	va_list list;
	void *arg;

	va_start(list, request);
	arg = va_arg(list, void *);
	va_end(list);
	ck_assert_int_eq(fd, VCPU_FD);
	d = arg;
	if (request == failing || (request == KVM_SET_GUEST_DEBUG && old &&
				   d->control & KVM_GUESTDBG_BLOCKIRQ)) {
		errno = EINVAL;
		return -1;
	}
	return ask(request, arg);
}

static void set_up(void)
{
	memset(&regs, 0, sizeof(regs));
	memset(&sregs, 0, sizeof(sregs));
	memset(&fpu, 0, sizeof(fpu));
	memset(&run, 0, sizeof(run));
	regs.rax = 0x1122334455667788;
	regs.rip = 0xffffffff81000000;
	regs.rflags = 0x246;
	sregs.cs.selector = 0x10;
	sregs.gs.base = 0xffff888000000000;
	sregs.cr3 = 0x1000;
	fpu.fcw = 0x37f;
	fpu.fpr[7][9] = 0x3f;
	failing = 0;
	old = false;
	sets = 0;
}

/* Where a register is among them. */
static size_t at(const char *name, size_t *len)
{
	const struct gdb_reg *r;
	size_t sum = 0;

	for (r = arch_debug_regs; strcmp(r->name, name); r++)
		sum += r->bits / 8;
	*len = r->bits / 8;
	return sum;
}

static uint64_t value(const uint8_t *all, const char *name)
{
	uint64_t v = 0;
	size_t len, from = at(name, &len);

	memcpy(&v, all + from, min_u64(len, 8));
	return v;
}

static void put(uint8_t *all, const char *name, uint64_t v)
{
	size_t len, from = at(name, &len);

	memcpy(all + from, &v, min_u64(len, 8));
}

/* GDB's first 24, then 16 of the coprocessor's; it knows them by their place. */
START_TEST(order)
{
	unsigned bytes = 0, i;

	for (i = 0; arch_debug_regs[i].name; i++)
		bytes += arch_debug_regs[i].bits / 8;
	ck_assert_uint_le(bytes, GDB_REGS_MAX);
	ck_assert_str_eq(arch_debug_regs[16].name, "rip");
	ck_assert_str_eq(arch_debug_regs[23].name, "gs");
	ck_assert_str_eq(arch_debug_regs[39].name, "fop");
	ck_assert_str_eq(arch_debug_regs[39].feature, "org.gnu.gdb.i386.core");
	ck_assert_str_eq(arch_debug_regs[40].name, "fs_base");
}
END_TEST

START_TEST(registers)
{
	uint8_t all[GDB_REGS_MAX];
	size_t len;

	ck_assert_int_eq(arch_debug_get(&vcpu, all), 0);
	ck_assert_uint_eq(value(all, "rax"), 0x1122334455667788);
	ck_assert_uint_eq(value(all, "rip"), 0xffffffff81000000);
	ck_assert_uint_eq(value(all, "eflags"), 0x246);
	ck_assert_uint_eq(value(all, "cs"), 0x10);
	ck_assert_uint_eq(value(all, "gs_base"), 0xffff888000000000);
	ck_assert_uint_eq(value(all, "fctrl"), 0x37f);
	ck_assert_uint_eq(value(all, "fiseg"), 0);
	ck_assert_uint_eq(value(all, "cr3"), 0x1000);
	ck_assert_uint_eq(all[at("st7", &len) + 9], 0x3f);
	put(all, "rax", 7);
	ck_assert_int_eq(arch_debug_set(&vcpu, all), 0);
	ck_assert_uint_eq(regs.rax, 7);
	ck_assert_uint_eq(regs.rip, 0xffffffff81000000);
	ck_assert_uint_eq(sets, 0);
	put(all, "fs_base", 0x7f0000000000);
	put(all, "fctrl", 0x27f);
	put(all, "foseg", 1); /* which is nobody's */
	ck_assert_int_eq(arch_debug_set(&vcpu, all), 0);
	ck_assert_uint_eq(sregs.fs.base, 0x7f0000000000);
	ck_assert_uint_eq(fpu.fcw, 0x27f);
	ck_assert_uint_eq(fpu.fpr[7][9], 0x3f);
	ck_assert_uint_eq(sets, 2);
}
END_TEST

static const unsigned long asked[] = { KVM_GET_REGS, KVM_GET_SREGS, KVM_GET_FPU, KVM_SET_REGS };

START_TEST(refused)
{
	uint8_t all[GDB_REGS_MAX] = { 0 };

	arch_debug_get(&vcpu, all);
	failing = asked[_i];
	ck_assert_int_eq(arch_debug_set(&vcpu, all), -EINVAL);
	ck_assert_int_eq(arch_debug_get(&vcpu, all), _i < 3 ? -EINVAL : 0);
}
END_TEST

START_TEST(addresses)
{
	uint64_t gpa;

	ck_assert_int_eq(arch_debug_translate(&vcpu, NULL, 0xffffffff81000000, &gpa), 0);
	ck_assert_uint_eq(gpa, 0x000000);
	ck_assert_int_eq(arch_debug_translate(&vcpu, NULL, 0x1000, &gpa), -EFAULT);
}
END_TEST

static const struct gdb_point points[] = {
	{ .kind = GDB_SOFT, .addr = 0x10 },
	{ .kind = GDB_HARD, .addr = 0x1001, .len = 1 },
	{ .kind = GDB_WRITE, .addr = 0x2000, .len = 4 },
	{ .kind = GDB_ACCESS, .addr = 0x3008, .len = 8 },
	{ .kind = GDB_READ, .addr = 0x4002, .len = 2 },
};

START_TEST(control)
{
	struct arch_debug how = { .on = true, .point = points, .points = ARRAY_SIZE(points) };

	ck_assert_int_eq(arch_debug_control(&vcpu, &how), 0);
	ck_assert_uint_eq(debug.control, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP |
			  KVM_GUESTDBG_USE_HW_BP);
	ck_assert_uint_eq(debug.arch.debugreg[0], 0x1001);
	ck_assert_uint_eq(debug.arch.debugreg[3], 0x4002);
	ck_assert_uint_eq(debug.arch.debugreg[7], 0x7bd006aa);
	how.points = 1;
	how.step = true;
	ck_assert_int_eq(arch_debug_control(&vcpu, &how), 0);
	ck_assert_uint_eq(debug.control, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP |
			  KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_BLOCKIRQ);
	old = true;
	how.inject = true;
	ck_assert_int_eq(arch_debug_control(&vcpu, &how), 0);
	ck_assert_uint_eq(debug.control, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP |
			  KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_INJECT_BP);
	how.on = false;
	ck_assert_int_eq(arch_debug_control(&vcpu, &how), 0);
	ck_assert_uint_eq(debug.control, 0);
	failing = KVM_SET_GUEST_DEBUG;
	ck_assert_int_eq(arch_debug_control(&vcpu, &how), -EINVAL);
}
END_TEST

static const struct {
	struct gdb_point point[5];
	unsigned count;
	int result;
} checked[] = {
	{ { { .kind = GDB_SOFT }, { .kind = GDB_SOFT } }, 2, 0 },
	{ { { .kind = GDB_HARD, .addr = 3, .len = 0 } }, 1, 0 },
	{ { { .kind = GDB_WRITE, .addr = 8, .len = 8 } }, 1, 0 },
	{ { { .kind = GDB_WRITE, .addr = 4, .len = 8 } }, 1, -EDOM },
	{ { { .kind = GDB_WRITE, .addr = 6, .len = 3 } }, 1, -EDOM },
	{ { { .kind = GDB_READ, .addr = 6, .len = 0 } }, 1, -EDOM },
	{ { { .kind = GDB_HARD }, { .kind = GDB_HARD, .addr = 1 }, { .kind = GDB_HARD, .addr = 2 },
	    { .kind = GDB_SOFT }, { .kind = GDB_HARD, .addr = 3 } }, 5, 0 },
	{ { { .kind = GDB_HARD }, { .kind = GDB_HARD, .addr = 1 }, { .kind = GDB_HARD, .addr = 2 },
	    { .kind = GDB_HARD, .addr = 4 }, { .kind = GDB_HARD, .addr = 3 } }, 5, -ENOSPC },
};

START_TEST(possible)
{
	ck_assert_int_eq(arch_debug_check(&vcpu, checked[_i].point, checked[_i].count),
			 checked[_i].result);
}
END_TEST

START_TEST(reasons)
{
	struct arch_debug how = { .on = true, .point = points, .points = ARRAY_SIZE(points) };
	struct arch_debug_stop why;

	run.debug.arch = (struct kvm_debug_exit_arch){ .exception = 3, .pc = 0x10, .dr6 = 0xf };
	arch_debug_why(&vcpu, &how, &why);
	ck_assert(why.trap);
	ck_assert_uint_eq(why.pc, 0x10);
	ck_assert_int_eq(why.kind, GDB_SOFT);
	run.debug.arch = (struct kvm_debug_exit_arch){ .exception = 1, .pc = 0x20, .dr6 = 1 << 14 };
	arch_debug_why(&vcpu, &how, &why);
	ck_assert(!why.trap);
	ck_assert_int_eq(why.kind, GDB_SOFT);
	run.debug.arch.dr6 = 1; /* one that does not watch */
	arch_debug_why(&vcpu, &how, &why);
	ck_assert_int_eq(why.kind, GDB_SOFT);
	run.debug.arch.dr6 = 2;
	arch_debug_why(&vcpu, &how, &why);
	ck_assert_int_eq(why.kind, GDB_WRITE);
	ck_assert_uint_eq(why.addr, 0x2000);
	run.debug.arch.dr6 = 4;
	arch_debug_why(&vcpu, &how, &why);
	ck_assert_int_eq(why.kind, GDB_ACCESS);
	ck_assert_uint_eq(why.addr, 0x3008);
}
END_TEST

Suite *x86_64_debug_suite(void)
{
	Suite *s = suite_create("x86_64_debug");
	TCase *tc = unit_case(s, "x86_64_debug");

	tcase_add_checked_fixture(tc, set_up, NULL);
	tcase_add_test(tc, order);
	tcase_add_test(tc, registers);
	tcase_add_loop_test(tc, refused, 0, ARRAY_SIZE(asked));
	tcase_add_test(tc, addresses);
	tcase_add_test(tc, control);
	tcase_add_loop_test(tc, possible, 0, ARRAY_SIZE(checked));
	tcase_add_test(tc, reasons);
	return s;
}

UNIT_MAIN(x86_64_debug_suite)
