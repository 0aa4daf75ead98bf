/* SPDX-License-Identifier: MIT */
/* The tables as a guest's kernel reads them: from the RSDP on, by addresses and lengths. */
#include "tests/unit/unit.h"

#include <errno.h>
#include <string.h>

#include "devices/devices.h"
#include "tests/lib/testbed.h"
#include "vmm/core/bus.h"
#include "vmm/core/mem.h"
#include "vmm/core/util.h"
#include "vmm/machine/arch/arch.h"
#include "vmm/machine/arch/x86_64/layout.h"
#include "vmm/machine/machine.h"

Suite *x86_64_describe_suite(void);

#define TABLES_MAX 64

static struct testbed tb;
static struct platform p;
static uint8_t memory[ACPI_ROOM];

static void set_up(void)
{
	testbed_init(&tb);
	p = (struct platform){ .mem = &tb.mem, .cpus = 1 };
}

static void tear_down(void)
{
	testbed_fini(&tb);
}

static void describe(void)
{
	static const struct arch_entry entry;

	ck_assert_int_eq(arch_describe(&p, &entry), 0);
	ck_assert_int_eq(mem_read(&tb.mem, ACPI_AT, memory, sizeof(memory)), 0);
}

static uint8_t sum(const uint8_t *bytes, size_t len)
{
	uint8_t all = 0;

	while (len--)
		all += *bytes++;
	return all;
}

static const uint8_t *at(uint64_t address, size_t len)
{
	ck_assert_uint_ge(address, ACPI_AT);
	ck_assert_uint_le(address + len, ACPI_AT + ACPI_ROOM);
	return memory + (address - ACPI_AT);
}

/* A table that is whole. */
static const uint8_t *table(uint64_t address)
{
	const uint8_t *t = at(address, 36);
	uint32_t len = le32_get(t + 4);

	ck_assert_uint_ge(len, 36);
	ck_assert_uint_eq(sum(at(address, len), len), 0);
	return t;
}

/* All that the XSDT lists of one kind; returns how many. */
static unsigned find(const char *signature, const uint8_t *found[TABLES_MAX])
{
	const uint8_t *rsdp = at(ACPI_AT, 36), *xsdt, *t;
	unsigned i, n = 0;

	ck_assert(!memcmp(rsdp, "RSD PTR ", 8));
	ck_assert_uint_eq(sum(rsdp, 20), 0);
	ck_assert_uint_eq(sum(rsdp, 36), 0);
	xsdt = table(le64_get(rsdp + 24));
	ck_assert(!memcmp(xsdt, "XSDT", 4));
	for (i = 36; i < le32_get(xsdt + 4); i += 8) {
		t = table(le64_get(xsdt + i));
		if (!memcmp(t, signature, 4) && n < TABLES_MAX)
			found[n++] = t;
	}
	return n;
}

static const uint8_t *the(const char *signature)
{
	const uint8_t *found[TABLES_MAX];

	ck_assert_uint_eq(find(signature, found), 1);
	return found[0];
}

static void check_gas(const uint8_t *gas, uint64_t port)
{
	ck_assert_uint_eq(gas[0], 1); /* I/O */
	ck_assert_uint_eq(gas[1], 8); /* bits */
	ck_assert_uint_eq(le64_get(gas + 4), port);
}

/* Where devices/acpi_pm.c is. */
START_TEST(power_off_and_reset)
{
	const uint8_t *fadt;

	describe();
	fadt = the("FACP");
	ck_assert_uint_ne(le32_get(fadt + 112) & 1u << 20, 0); /* hardware-reduced */
	ck_assert_uint_ne(le32_get(fadt + 112) & 1u << 10, 0); /* there is a reset register */
	check_gas(fadt + 116, ACPI_PM_AT + ACPI_PM_RESET);
	ck_assert_uint_eq(fadt[128], ACPI_PM_RESET_VALUE);
	check_gas(fadt + 244, ACPI_PM_AT + ACPI_PM_SLEEP_CONTROL);
	check_gas(fadt + 256, ACPI_PM_AT + ACPI_PM_SLEEP_STATUS);
	ck_assert(!memcmp(table(le64_get(fadt + 140)), "DSDT", 4));
}
END_TEST

/* Each vCPU by the number that KVM gives its local APIC. */
START_TEST(processors)
{
	static const unsigned counts[] = { 1, 2, MACHINE_CPUS_MAX };
	unsigned n = 0, ioapics = 0, nmis = 0;
	const uint8_t *madt, *e;

	p.cpus = counts[_i];
	describe();
	madt = the("APIC");
	for (e = madt + 44; e < madt + le32_get(madt + 4); e += e[1]) {
		ck_assert_uint_ge(e[1], 2);
		if (e[0] == 0) {
			ck_assert_uint_eq(e[3], n++);
			ck_assert_uint_eq(le32_get(e + 4), 1);
		} else if (e[0] == 1) {
			ioapics++;
			ck_assert_uint_eq(le32_get(e + 4), IOAPIC_AT);
			ck_assert_uint_eq(le32_get(e + 8), 0); /* its first GSI */
		} else if (e[0] == 4) {
			nmis++;
			ck_assert_uint_eq(e[2], 0xff);
			ck_assert_uint_eq(e[5], 1);
		}
	}
	ck_assert_ptr_eq(e, madt + le32_get(madt + 4));
	ck_assert_uint_eq(n, p.cpus);
	ck_assert_uint_eq(ioapics, 1);
	ck_assert_uint_eq(nmis, 1);
}
END_TEST

START_TEST(pci)
{
	const uint8_t *mcfg;

	describe();
	mcfg = the("MCFG");
	ck_assert_uint_eq(le32_get(mcfg + 4), 60);
	ck_assert_uint_eq(le64_get(mcfg + 44), ECAM_AT);
	ck_assert_uint_eq(le64_get(mcfg + 52), 0); /* segment 0, bus 0 to 0 */
}
END_TEST

static bool has_number(const uint8_t *t, uint32_t number)
{
	uint8_t bytes[4];

	le32_put(bytes, number);
	return memmem(t, le32_get(t + 4), bytes, 4);
}

/* As many as there may be; each says its own numbers. */
START_TEST(virtio_over_mmio)
{
	static const unsigned counts[] = { 0, 1, PLATFORM_SLOTS };
	const uint8_t *found[TABLES_MAX];
	char name[16];
	unsigned i;

	p.nslots = counts[_i];
	for (i = 0; i < p.nslots; i++)
		p.slot[i] = (struct mmio_slot){ 0xd0000000 + 0x1000 * i, 0x200 + i, 5 + i };
	p.cpus = MACHINE_CPUS_MAX;
	describe();
	ck_assert_uint_eq(find("SSDT", found), p.nslots);
	for (i = 0; i < p.nslots; i++) {
		ck_assert(has_number(found[i], (uint32_t)p.slot[i].base));
		ck_assert(has_number(found[i], p.slot[i].size));
		snprintf(name, sizeof(name), "V%03u", i);
		ck_assert_ptr_nonnull(memmem(found[i], le32_get(found[i] + 4), name, 4));
		ck_assert(!has_number(found[i], 0xc0de0001));
		ck_assert(!has_number(found[i], 0xc0de0004));
	}
}
END_TEST

/* Where a BIOS would begin, a kernel without EFI jumps for a reset. */
START_TEST(reset_vector)
{
	static const uint8_t code[] = { 0xb0, ACPI_PM_RESET_VALUE, 0xba,
					(ACPI_PM_AT + ACPI_PM_RESET) & 0xff,
					(ACPI_PM_AT + ACPI_PM_RESET) >> 8, 0xee };

	describe();
	ck_assert(!memcmp(at(RESET_VECTOR_AT, sizeof(code)), code, sizeof(code)));
}
END_TEST

START_TEST(no_memory_there)
{
	static const struct arch_entry entry;
	struct mem none = { 0 };

	p.mem = &none;
	ck_assert_int_lt(arch_describe(&p, &entry), 0);
}
END_TEST

/* What every guest has; and it is what the tables say. */
START_TEST(fixed_devices)
{
	static const char *const classes[] = { "pci-host", "acpi-pm", "i8042", "nmi-status",
					       "pvpanic", "rtc", "serial" };
	static struct bus mmio = BUS_EMPTY, pio = BUS_EMPTY; /* without the test bed's PCI */
	unsigned i;

	p = tb.p;
	p.pci = NULL;
	p.place[PLATFORM_ECAM].bus = &mmio;
	p.place[PLATFORM_PCI_PORTS].bus = &pio;
	ck_assert_int_eq(arch_platform_devices(&p, &tb.devices), 0);
	for (i = 0; i < ARRAY_SIZE(classes); i++)
		ck_assert_ptr_nonnull(device_find(&tb.devices, classes[i], NULL));
	device_destroy_all(&tb.devices);
}
END_TEST

Suite *x86_64_describe_suite(void)
{
	Suite *s = suite_create("x86_64_describe");
	TCase *tc = unit_case(s, "tables");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, power_off_and_reset);
	tcase_add_loop_test(tc, processors, 0, 3);
	tcase_add_test(tc, pci);
	tcase_add_loop_test(tc, virtio_over_mmio, 0, 3);
	tcase_add_test(tc, reset_vector);
	tcase_add_test(tc, no_memory_there);
	tcase_add_test(tc, fixed_devices);
	return s;
}

UNIT_MAIN(x86_64_describe_suite)
