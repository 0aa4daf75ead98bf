/* SPDX-License-Identifier: MIT */
/* KVM is ioctl() here: it says what a processor can do, and keeps what each vCPU is told. */
#include "tests/unit/unit.h"

#include <errno.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/user.h>

#include "tests/lib/stderr.h"
#include "vmm/core/bus.h"
#include "vmm/core/util.h"
#include "vmm/machine/arch/arch.h"
#include "vmm/machine/arch/x86_64/layout.h"
#include "vmm/machine/arch/x86_64/x86.h"
#include "vmm/machine/exits.h"
#include "vmm/machine/machine.h"

Suite *x86_64_vcpu_suite(void);

#define KVM_FD 1000
#define VCPU_FD 2000 /* the first one's */
#define CPUS 4
#define LEAVES 32

/* What the processor can do; leaves 4 and 8000001d are its caches. */
static const struct kvm_cpuid_entry2 supported[] = {
	{ .function = 1, .ecx = 0x1, .edx = 0x2 },
	{ .function = 4, .index = 0, .eax = 1 << 5 | 1 },
	{ .function = 4, .index = 3, .eax = 3 << 5 | 3 },
	{ .function = 7, .ebx = 0x12345678 },
	{ .function = 0xb, .index = 0 },
	{ .function = 0x80000008, .eax = 0x3030 },
};

static struct {
	struct kvm_cpuid_entry2 leaf[LEAVES];
	unsigned leaves;
	uint64_t fast_strings, mtrr;
	uint32_t lint1;
	struct kvm_sregs sregs;
	struct kvm_regs regs;
	struct kvm_mp_state state;
	struct kvm_vcpu_events events;
	bool nested;
	unsigned nmis;
} kvm[CPUS];

static unsigned long failing;
static int deadline; /* does KVM have that timer? */

static struct vm vm = { .kvm = KVM_FD };
static struct bus pio = BUS_EMPTY;
static const struct vcpu_host host = { .vm = &vm, .pio = &pio };
static struct vcpu vcpu[CPUS];
static struct stderr_text said;

static void take_msrs(unsigned id, const struct kvm_msrs *msrs)
{
	unsigned i;

	for (i = 0; i < msrs->nmsrs; i++) {
		if (msrs->entries[i].index == 0x1a0)
			kvm[id].fast_strings = msrs->entries[i].data;
		if (msrs->entries[i].index == 0x2ff)
			kvm[id].mtrr = msrs->entries[i].data;
	}
}

static int ask_kvm(unsigned long request, void *arg)
{
	struct kvm_cpuid2 *cpuid = arg;

	if (request == KVM_CHECK_EXTENSION)
		return deadline;
	ck_assert_uint_eq(request, KVM_GET_SUPPORTED_CPUID);
	ck_assert_uint_ge(cpuid->nent, ARRAY_SIZE(supported));
	memcpy(cpuid->entries, supported, sizeof(supported));
	cpuid->nent = ARRAY_SIZE(supported);
	return 0;
}

static int ask_vcpu(unsigned id, unsigned long request, void *arg)
{
	struct kvm_cpuid2 *cpuid = arg;
	struct kvm_lapic_state *lapic = arg;

	switch (request) {
	case KVM_SET_CPUID2:
		ck_assert_uint_le(cpuid->nent, LEAVES);
		memcpy(kvm[id].leaf, cpuid->entries, cpuid->nent * sizeof(*cpuid->entries));
		kvm[id].leaves = cpuid->nent;
		return 0;
	case KVM_SET_MSRS:
		take_msrs(id, arg);
		return 2;
	case KVM_GET_LAPIC:
		memset(lapic, 0, sizeof(*lapic));
		return 0;
	case KVM_SET_LAPIC:
		kvm[id].lint1 = le32_get(lapic->regs + 0x360);
		return 0;
	case KVM_GET_SREGS:
		memcpy(arg, &kvm[id].sregs, sizeof(kvm[id].sregs));
		return 0;
	case KVM_SET_SREGS:
		memcpy(&kvm[id].sregs, arg, sizeof(kvm[id].sregs));
		return 0;
	case KVM_GET_REGS:
		memcpy(arg, &kvm[id].regs, sizeof(kvm[id].regs));
		return 0;
	case KVM_SET_REGS:
		memcpy(&kvm[id].regs, arg, sizeof(kvm[id].regs));
		return 0;
	case KVM_GET_MP_STATE:
		memcpy(arg, &kvm[id].state, sizeof(kvm[id].state));
		return 0;
	case KVM_GET_VCPU_EVENTS:
		memcpy(arg, &kvm[id].events, sizeof(kvm[id].events));
		return 0;
	case KVM_GET_NESTED_STATE:
		((struct kvm_nested_state *)arg)->flags =
			kvm[id].nested ? KVM_STATE_NESTED_GUEST_MODE : 0;
		return 0;
	case KVM_NMI:
		kvm[id].nmis++;
		return 0;
	default:
		ck_abort_msg("%lx", request);
	}
}

int fake_ioctl(int fd, unsigned long request, ...) __asm__("ioctl");

int fake_ioctl(int fd, unsigned long request, ...)
{
	va_list list;
	void *arg;

	va_start(list, request);
	arg = va_arg(list, void *);
	va_end(list);
	if (request == failing) {
		errno = EINVAL;
		return -1;
	}
	return fd == KVM_FD ? ask_kvm(request, arg) :
			      ask_vcpu((unsigned)fd - VCPU_FD, request, arg);
}

static void set_up(void)
{
	unsigned i;

	for (i = 0; i < CPUS; i++)
		vcpu[i] = (struct vcpu){ .host = &host, .id = i, .fd = VCPU_FD + (int)i };
	vcpu[0].run = calloc(1, 8192);
	vcpu[0].exits = calloc(1, sizeof(*vcpu[0].exits));
	stderr_begin(&said);
}

static void tear_down(void)
{
	free(vcpu[0].run);
	free(vcpu[0].exits);
}

/* What they are */

static const struct kvm_cpuid_entry2 *leaf(unsigned id, uint32_t function, uint32_t index)
{
	unsigned i;

	for (i = 0; i < kvm[id].leaves; i++) {
		if (kvm[id].leaf[i].function == function && kvm[id].leaf[i].index == index)
			return &kvm[id].leaf[i];
	}
	ck_abort_msg("there is no leaf %x, %u", function, index);
}

/* One package of cores with a thread each; of one core nothing is said. */
START_TEST(topology)
{
	static const struct {
		unsigned count, bits;
	} examples[] = { { 1, 0 }, { 2, 1 }, { 3, 2 }, { 4, 2 } };
	unsigned n = examples[_i].count, bits = examples[_i].bits, id;

	ck_assert_int_eq(arch_vcpus_init(vcpu, n), 0);
	for (id = 0; id < n; id++) {
		ck_assert_uint_eq(leaf(id, 1, 0)->ebx >> 24, id);
		ck_assert_uint_eq(leaf(id, 1, 0)->ebx >> 16 & 0xff, n);
		ck_assert_uint_eq(leaf(id, 1, 0)->edx >> 28 & 1, n > 1);
		ck_assert_uint_eq(leaf(id, 0xb, 0)->edx, id);
		ck_assert_uint_eq(leaf(id, 0xb, 0)->ebx, 1); /* threads of a core */
		ck_assert_uint_eq(leaf(id, 0xb, 1)->eax, bits);
		ck_assert_uint_eq(leaf(id, 0xb, 1)->ebx, n); /* of the package */
		ck_assert_uint_eq(leaf(id, 0xb, 1)->ecx, 0x201);
		ck_assert_uint_eq(leaf(id, 4, 0)->eax >> 14 & 0xfff, 0);
		ck_assert_uint_eq(leaf(id, 4, 3)->eax >> 14 & 0xfff, n - 1); /* share it */
		ck_assert_uint_eq(leaf(id, 0x80000008, 0)->ecx & 0xff, n - 1);
	}
	stderr_end(&said);
}
END_TEST

START_TEST(features)
{
	deadline = _i;
	ck_assert_int_eq(arch_vcpus_init(vcpu, 1), 0);
	ck_assert_uint_eq(leaf(0, 1, 0)->ecx, 1u << 31 | (unsigned)_i << 24 | 1);
	ck_assert_uint_eq(leaf(0, 1, 0)->edx, 0x2);
	ck_assert_uint_eq(leaf(0, 7, 0)->ebx, 0x12345678); /* the processor's, as they are */
	ck_assert_uint_eq(leaf(0, 0x80000008, 0)->eax, 0x3030);
	stderr_end(&said);
}
END_TEST

START_TEST(what_firmware_does)
{
	ck_assert_int_eq(arch_vcpus_init(vcpu, 2), 0);
	ck_assert_uint_eq(kvm[1].fast_strings, 1);
	ck_assert_uint_eq(kvm[1].mtrr, 0x806); /* memory is cached */
	ck_assert_uint_eq(kvm[1].lint1, 0x400); /* brings the NMI */
	stderr_end(&said);
}
END_TEST

static const unsigned long steps[] = { KVM_GET_SUPPORTED_CPUID, KVM_SET_CPUID2, KVM_SET_MSRS,
				       KVM_GET_LAPIC, KVM_SET_LAPIC };

START_TEST(features_refused)
{
	failing = steps[_i];
	ck_assert_int_eq(arch_vcpus_init(vcpu, 2), -EINVAL);
	ck_assert_str_eq(stderr_end(&said),
			 "lunette: error: vCPUs: their features: Invalid argument\n");
}
END_TEST

/* Where the first one begins */

START_TEST(entry_in_long_mode)
{
	static const struct arch_entry entry = { .pc = 0x1000200, .arg = 0x7000,
						 .mode = X86_LONG };

	ck_assert_int_eq(arch_vcpu_enter(&vcpu[0], &entry), 0);
	ck_assert_uint_eq(kvm[0].regs.rip, 0x1000200);
	ck_assert_uint_eq(kvm[0].regs.rsi, 0x7000);
	ck_assert_uint_eq(kvm[0].regs.rflags, 2);
	ck_assert_uint_eq(kvm[0].sregs.cr0 & 0x80000001, 0x80000001);
	ck_assert_uint_eq(kvm[0].sregs.cr3, PAGE_TABLES_AT);
	ck_assert_uint_eq(kvm[0].sregs.efer, 0x500);
	ck_assert_uint_eq(kvm[0].sregs.cs.l, 1);
	ck_assert_uint_eq(kvm[0].sregs.cs.db, 0);
	ck_assert_uint_eq(kvm[0].sregs.gdt.base, GDT_AT);
	stderr_end(&said);
}
END_TEST

START_TEST(entry_without_paging)
{
	const struct arch_entry entry = { .pc = 0x1000200, .arg = 0x6000,
					  .mode = X86_PVH };

	ck_assert_int_eq(arch_vcpu_enter(&vcpu[0], &entry), 0);
	ck_assert_uint_eq(kvm[0].regs.rip, 0x1000200);
	ck_assert_uint_eq(kvm[0].regs.rbx, 0x6000);
	ck_assert_uint_eq(kvm[0].sregs.cr0, 0x11);
	ck_assert_uint_eq(kvm[0].sregs.cs.l, 0);
	ck_assert_uint_eq(kvm[0].sregs.cs.db, 1);
	ck_assert_uint_eq(kvm[0].sregs.ds.limit, 0xffffffff);
	stderr_end(&said);
}
END_TEST

START_TEST(entry_refused)
{
	static const unsigned long asked[] = { KVM_GET_SREGS, KVM_SET_SREGS, KVM_SET_REGS };
	static const struct arch_entry entry = { .mode = X86_LONG };

	failing = asked[_i];
	ck_assert_int_eq(arch_vcpu_enter(&vcpu[0], &entry), -EINVAL);
	ck_assert_str_eq(stderr_end(&said),
			 "lunette: error: vCPU 0: its registers: Invalid argument\n");
}
END_TEST

/* Exits */

static char bytes[16]; /* that were written */

static void dev_read(void *dev, uint64_t off, void *data, unsigned len)
{
	static uint8_t next = 'a';

	(void)dev, (void)off;
	memset(data, next++, len);
}

static void dev_write(void *dev, uint64_t off, const void *data, unsigned len)
{
	(void)dev, (void)off;
	strncat(bytes, data, len);
}

static const struct bus_ops dev_ops = { .read = dev_read, .write = dev_write };

static bool exit_io(uint8_t direction, uint8_t size, uint32_t count, const char *data)
{
	struct kvm_run *run = vcpu[0].run;

	ck_assert_int_eq(bus_map(&pio, 0x3f8, 8, &dev_ops, NULL), 0);
	run->exit_reason = KVM_EXIT_IO;
	run->io.direction = direction;
	run->io.size = size;
	run->io.port = 0x3f8;
	run->io.count = count;
	run->io.data_offset = 4096;
	strcpy((char *)run + 4096, data);
	return arch_vcpu_exit(&vcpu[0]);
}

/* outsb writes many in one exit. */
START_TEST(port_writes)
{
	ck_assert(exit_io(KVM_EXIT_IO_OUT, 1, 5, "hello"));
	ck_assert_str_eq(bytes, "hello");
	ck_assert_ptr_nonnull(strstr(exits_text(vcpu[0].exits), "out1 3f8=6f"));
	stderr_end(&said);
}
END_TEST

START_TEST(port_reads)
{
	ck_assert(exit_io(KVM_EXIT_IO_IN, 2, 3, ""));
	ck_assert(!memcmp((char *)vcpu[0].run + 4096, "aabbcc", 6));
	ck_assert_ptr_nonnull(strstr(exits_text(vcpu[0].exits), "in2 3f8=6363"));
	stderr_end(&said);
}
END_TEST

START_TEST(exits_of_others)
{
	vcpu[0].run->exit_reason = KVM_EXIT_MMIO;
	ck_assert(!arch_vcpu_exit(&vcpu[0]));
	stderr_end(&said);
}
END_TEST

/* Questions */

#define ON 0x202
#define OFF 0x2

static const struct {
	uint32_t state;
	uint64_t flags;
	bool nmi, nested, halted;
	enum vcpu_trouble trouble;
	const char *text;
} looks[] = {
	{ KVM_MP_STATE_RUNNABLE, ON, false, false, false, VCPU_BUSY, "running, interrupts on" },
	{ KVM_MP_STATE_RUNNABLE, OFF, false, false, false, VCPU_DEAF, "running, interrupts off" },
	{ KVM_MP_STATE_HALTED, ON, false, false, false, VCPU_IDLE, "halted, interrupts on" },
	{ KVM_MP_STATE_HALTED, OFF, false, false, true, VCPU_DEAF, "halted, interrupts off" },
	{ KVM_MP_STATE_HALTED, OFF, true, false, false, VCPU_DEAF, "halted" },
	{ KVM_MP_STATE_HALTED, OFF, false, true, false, VCPU_DEAF, "halted" },
	{ KVM_MP_STATE_UNINITIALIZED, OFF, false, false, true, VCPU_IDLE, "not started" },
	{ KVM_MP_STATE_INIT_RECEIVED, ON, false, false, true, VCPU_IDLE, "not started" },
};

START_TEST(where_it_is)
{
	kvm[0].state.mp_state = looks[_i].state;
	kvm[0].regs.rflags = looks[_i].flags;
	kvm[0].regs.rip = 0xffffffff81000000;
	kvm[0].events.nmi.pending = looks[_i].nmi;
	kvm[0].nested = looks[_i].nested;
	ck_assert(arch_vcpu_halted(&vcpu[0]) == looks[_i].halted);
	arch_vcpu_look(&vcpu[0]);
	ck_assert_int_eq(vcpu[0].trouble, looks[_i].trouble);
	ck_assert_ptr_eq(strstr(vcpu[0].picture, looks[_i].text), vcpu[0].picture);
	ck_assert_ptr_nonnull(strstr(vcpu[0].picture, ":ffffffff81000000 "));
	stderr_end(&said);
}
END_TEST

START_TEST(shut_down)
{
	vcpu[0].shut_down = true;
	kvm[0].regs.rip = _i ? 0xfff0 : 0x1234;
	kvm[0].sregs.cs.selector = _i ? 0xf000 : 0x10;
	arch_vcpu_look(&vcpu[0]);
	ck_assert_ptr_eq(strstr(vcpu[0].picture, _i ? "shut down, and reset since then" :
				"shut down, interrupts off, rip 0010:"), vcpu[0].picture);
	stderr_end(&said);
}
END_TEST

/* Then nobody knows, and nobody says it has halted. */
START_TEST(questions_refused)
{
	static const unsigned long asked[] = { KVM_GET_MP_STATE, KVM_GET_REGS,
					       KVM_GET_VCPU_EVENTS };

	kvm[0].state.mp_state = KVM_MP_STATE_HALTED;
	failing = asked[_i];
	ck_assert(!arch_vcpu_halted(&vcpu[0]));
	arch_vcpu_look(&vcpu[0]);
	ck_assert_int_eq(!*vcpu[0].picture, _i < 2);
	stderr_end(&said);
}
END_TEST

/* As a core dump has them. */
START_TEST(registers_of_a_core)
{
	struct user_regs_struct u;
	elf_gregset_t regs;

	kvm[0].regs = (struct kvm_regs){ .rax = 1, .rbx = 2, .rcx = 3, .rdx = 4, .rsi = 5, .rdi = 6,
					 .rsp = 7, .rbp = 8, .r8 = 9, .r15 = 16, .rip = 17,
					 .rflags = 18 };
	kvm[0].sregs.cs.selector = 0x10;
	kvm[0].sregs.ss.selector = 0x18;
	kvm[0].sregs.gs.base = 19;
	ck_assert_int_eq(arch_vcpu_gregs(&vcpu[0], &regs), 0);
	memcpy(&u, &regs, sizeof(u));
	ck_assert(u.rax == 1 && u.rbx == 2 && u.rcx == 3 && u.rdx == 4 && u.rsi == 5);
	ck_assert(u.rdi == 6 && u.rsp == 7 && u.rbp == 8 && u.r8 == 9 && u.r15 == 16);
	ck_assert(u.rip == 17 && u.eflags == 18 && u.cs == 0x10 && u.ss == 0x18);
	ck_assert(u.gs_base == 19 && u.orig_rax == UINT64_MAX);
	failing = KVM_GET_SREGS;
	ck_assert_int_eq(arch_vcpu_gregs(&vcpu[0], &regs), -EINVAL);
	stderr_end(&said);
}
END_TEST

START_TEST(registers_and_nmi)
{
	kvm[0].regs.rip = 0x1234;
	kvm[0].sregs.cr3 = 0x5678;
	arch_vcpu_dump(&vcpu[0]);
	arch_vcpu_nmi(&vcpu[0]);
	stderr_end(&said);
	ck_assert_ptr_nonnull(strstr(said.text, "rip 0000000000001234"));
	ck_assert_ptr_nonnull(strstr(said.text, "cr3 0000000000005678"));
	ck_assert_uint_eq(kvm[0].nmis, 1);
}
END_TEST

Suite *x86_64_vcpu_suite(void)
{
	Suite *s = suite_create("x86_64_vcpu");
	TCase *tc = unit_case(s, "vcpu");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_loop_test(tc, topology, 0, 4);
	tcase_add_loop_test(tc, features, 0, 2);
	tcase_add_test(tc, what_firmware_does);
	tcase_add_loop_test(tc, features_refused, 0, ARRAY_SIZE(steps));
	tcase_add_test(tc, entry_in_long_mode);
	tcase_add_test(tc, entry_without_paging);
	tcase_add_loop_test(tc, entry_refused, 0, 3);
	tcase_add_test(tc, port_writes);
	tcase_add_test(tc, port_reads);
	tcase_add_test(tc, exits_of_others);
	tcase_add_loop_test(tc, where_it_is, 0, ARRAY_SIZE(looks));
	tcase_add_loop_test(tc, shut_down, 0, 2);
	tcase_add_loop_test(tc, questions_refused, 0, 3);
	tcase_add_test(tc, registers_of_a_core);
	tcase_add_test(tc, registers_and_nmi);
	return s;
}

UNIT_MAIN(x86_64_vcpu_suite)
