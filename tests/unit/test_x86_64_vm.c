/* SPDX-License-Identifier: MIT */
/* KVM is ioctl() here, which remembers what it was asked. */
#include "tests/unit/unit.h"

#include <errno.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <ucontext.h>

#include "tests/lib/stderr.h"
#include "vmm/core/bus.h"
#include "vmm/core/mem.h"
#include "vmm/core/platform.h"
#include "vmm/core/util.h"
#include "vmm/machine/arch/arch.h"
#include "vmm/machine/arch/x86_64/layout.h"
#include "vmm/machine/vm.h"

Suite *x86_64_vm_suite(void);

#define VM_FD 1000

static char asked[256];
static unsigned long failing;
static struct vm vm;
static struct bus mmio, pio;
static struct platform p;
static struct stderr_text said;

int fake_ioctl(int fd, unsigned long request, ...) __asm__("ioctl");

int fake_ioctl(int fd, unsigned long request, ...)
{
	va_list list;
	uint64_t *arg;

	va_start(list, request);
	arg = va_arg(list, uint64_t *);
	va_end(list);
	ck_assert_int_eq(fd, VM_FD);
	if (request == failing) {
		errno = EINVAL;
		return -1;
	}
	if (request == KVM_SET_IDENTITY_MAP_ADDR)
		sprintf(asked + strlen(asked), "map %llx ", (unsigned long long)*arg);
	else if (request == KVM_SET_TSS_ADDR)
		sprintf(asked + strlen(asked), "tss %lx ", (unsigned long)arg);
	else
		strcat(asked, request == KVM_CREATE_IRQCHIP ? "irqchip " : "? ");
	return 0;
}

void vm_collect_pio(struct vm *of, uint16_t port, unsigned count)
{
	ck_assert_ptr_eq(of, &vm);
	sprintf(asked + strlen(asked), "%x+%u ", port, count);
}

static void set_up(void)
{
	vm.fd = VM_FD;
	p = (struct platform){ .mmio = &mmio, .pio = &pio };
	stderr_begin(&said);
}

/* In this order: KVM wants the addresses before there is a vCPU. */
START_TEST(made)
{
	ck_assert_int_eq(arch_vm_init(&vm, &p), 0);
	ck_assert_str_eq(asked, "cf8+4 70+1 map fffbc000 tss fffbd000 irqchip ");
	ck_assert_str_eq(stderr_end(&said), "");
}
END_TEST

static const struct {
	unsigned long request;
	const char *line;
} failures[] = {
	{ KVM_SET_IDENTITY_MAP_ADDR, "/dev/kvm: KVM_SET_IDENTITY_MAP_ADDR: Invalid argument" },
	{ KVM_SET_TSS_ADDR, "/dev/kvm: KVM_SET_TSS_ADDR: Invalid argument" },
	{ KVM_CREATE_IRQCHIP, "/dev/kvm: KVM_CREATE_IRQCHIP: Invalid argument" },
};

START_TEST(refused)
{
	failing = failures[_i].request;
	ck_assert_int_eq(arch_vm_init(&vm, &p), -EINVAL);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), failures[_i].line));
}
END_TEST

/* As on every PC; windows do not meet each other, nor RAM, nor the interrupt controllers. */
START_TEST(places)
{
	arch_vm_init(&vm, &p);
	ck_assert_ptr_eq(p.place[PLATFORM_SERIAL0].bus, &pio);
	ck_assert_uint_eq(p.place[PLATFORM_SERIAL0].base, 0x3f8);
	ck_assert_uint_eq(p.place[PLATFORM_SERIAL0].gsi, 4);
	ck_assert_uint_eq(p.place[PLATFORM_SERIAL1].base, 0x2f8);
	ck_assert_uint_eq(p.place[PLATFORM_PCI_PORTS].base, 0xcf8);
	ck_assert_uint_eq(p.place[PLATFORM_ACPI_PM].base, ACPI_PM_AT);
	ck_assert_ptr_eq(p.place[PLATFORM_ECAM].bus, &mmio);
	ck_assert_uint_le(LOW_RAM_END, p.mmio_next);
	ck_assert_uint_lt(p.mmio_next, p.mmio_end);
	ck_assert_uint_le(p.mmio_end, p.pci_next);
	ck_assert_uint_lt(p.pci_next, p.pci_end);
	ck_assert_uint_le(p.pci_end, p.place[PLATFORM_ECAM].base);
	ck_assert_uint_le(p.place[PLATFORM_ECAM].base + MIB(1), IOAPIC_AT);
	ck_assert_uint_eq(p.gsi_end, arch_irq_inputs);
	ck_assert_uint_eq(p.msi_next, arch_irq_inputs);
	ck_assert_uint_gt(p.gsi_next, p.place[PLATFORM_SERIAL0].gsi);
	stderr_end(&said);
}
END_TEST

START_TEST(inputs)
{
	struct kvm_irq_routing_entry entry[64];
	unsigned i;

	arch_irq_routes(entry);
	ck_assert_uint_eq(arch_irq_inputs, 24);
	for (i = 0; i < arch_irq_inputs; i++) {
		ck_assert_uint_eq(entry[i].gsi, i);
		ck_assert_uint_eq(entry[i].type, KVM_IRQ_ROUTING_IRQCHIP);
		ck_assert_uint_eq(entry[i].u.irqchip.irqchip, KVM_IRQCHIP_IOAPIC);
		ck_assert_uint_eq(entry[i].u.irqchip.pin, i);
	}
	stderr_end(&said);
}
END_TEST

/* RAM makes room for devices below 4 GiB, and goes on there. */
static const struct {
	uint64_t size, low, high;
} layouts[] = {
	{ MIB(64), MIB(64), 0 },
	{ GIB(3), GIB(3), 0 },
	{ GIB(3) + MIB(2), GIB(3), MIB(2) },
};

START_TEST(layout)
{
	struct mem mem = { 0 };

	ck_assert_int_eq(arch_layout(&vm, layouts[_i].size, &mem), 0);
	ck_assert_uint_eq(mem.nregions, layouts[_i].high ? 2 : 1);
	ck_assert_uint_eq(mem.region[0].gpa, 0);
	ck_assert_uint_eq(mem.region[0].size, layouts[_i].low);
	if (layouts[_i].high) {
		ck_assert_uint_eq(mem.region[1].gpa, GIB(4));
		ck_assert_uint_eq(mem.region[1].size, layouts[_i].high);
	}
	mem_free(&mem);
	stderr_end(&said);
}
END_TEST

START_TEST(where_a_crash_was)
{
	ucontext_t uc = { 0 };

	uc.uc_mcontext.gregs[REG_RIP] = 0x1234;
	ck_assert_uint_eq(arch_crash_pc(&uc), 0x1234);
	stderr_end(&said);
}
END_TEST

Suite *x86_64_vm_suite(void)
{
	Suite *s = suite_create("x86_64_vm");
	TCase *tc = unit_case(s, "vm");

	tcase_add_checked_fixture(tc, set_up, NULL);
	tcase_add_test(tc, made);
	tcase_add_loop_test(tc, refused, 0, ARRAY_SIZE(failures));
	tcase_add_test(tc, places);
	tcase_add_test(tc, inputs);
	tcase_add_loop_test(tc, layout, 0, ARRAY_SIZE(layouts));
	tcase_add_test(tc, where_a_crash_was);
	return s;
}

UNIT_MAIN(x86_64_vm_suite)
