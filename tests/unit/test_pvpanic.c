/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <linux/pci_regs.h>

#include "tests/lib/stderr.h"
#include "tests/lib/testbed.h"
#include "vmm/core/pci.h"
#include "vmm/core/util.h"

Suite *pvpanic_suite(void);

#define PORT 0x505
#define DEVFN (1 << 3) /* behind the host bridge */
#define PANICKED 1
#define CRASH_LOADED 2

static struct testbed tb;
static struct stderr_text said;

static void set_up(void)
{
	testbed_init(&tb);
	ck_assert_int_eq(device_create(&tb.p, &tb.devices, "pvpanic"), 0);
}

/* On a machine that has no place for it. */
static void set_up_pci(void)
{
	testbed_init(&tb);
	tb.p.place[PLATFORM_PVPANIC].bus = NULL;
	ck_assert_int_eq(device_create(&tb.p, &tb.devices, "pvpanic"), 0);
}

static void tear_down(void)
{
	testbed_fini(&tb);
}

START_TEST(reports_a_panic)
{
	uint8_t v = 0;

	ck_assert(bus_read(&tb.pio, PORT, &v, 1));
	ck_assert_uint_eq(v, PANICKED); /* that is what can be said */
	ck_assert(bus_write(&tb.pio, PORT, &v, 1));
	ck_assert_int_eq(atomic_load(&tb.last_event), GUEST_PANIC);
}
END_TEST

START_TEST(a_loaded_crash_kernel_is_no_panic)
{
	uint8_t v = CRASH_LOADED;

	ck_assert(bus_write(&tb.pio, PORT, &v, 1));
	ck_assert_int_eq(atomic_load(&tb.last_event), -1);
}
END_TEST

static uint32_t get(unsigned off)
{
	uint8_t raw[4];

	pci_config_read(tb.p.pci, DEVFN, off, raw, sizeof(raw));
	return le32_get(raw);
}

/* Has its BAR decoded, at its address. */
static uint32_t decode(void)
{
	uint8_t command[2] = { PCI_COMMAND_MEMORY };

	pci_config_write(tb.p.pci, DEVFN, PCI_COMMAND, command, sizeof(command));
	return get(PCI_BASE_ADDRESS_0);
}

START_TEST(function_that_linux_knows)
{
	ck_assert_uint_eq(get(PCI_VENDOR_ID), 0x00111b36);
	ck_assert_uint_eq(get(PCI_CLASS_REVISION), 0x08800000);
	ck_assert_uint_eq(decode() & 0xfff, 0); /* memory, of 32 bits, not prefetchable */
	ck_assert(!bus_read(&tb.pio, PORT, &(uint8_t){ 0 }, 1));
}
END_TEST

START_TEST(reports_a_panic_by_pci)
{
	uint32_t at = decode();
	uint8_t v = 0;

	ck_assert(bus_read(&tb.mmio, at, &v, 1));
	ck_assert_uint_eq(v, PANICKED);
	v = CRASH_LOADED;
	ck_assert(bus_write(&tb.mmio, at, &v, 1));
	ck_assert_int_eq(atomic_load(&tb.last_event), -1);
	v = PANICKED;
	ck_assert(bus_write(&tb.mmio, at, &v, 1));
	ck_assert_int_eq(atomic_load(&tb.last_event), GUEST_PANIC);
}
END_TEST

/* The register is the first byte, and the BAR is a page. */
START_TEST(rest_of_the_bar)
{
	uint8_t v[4] = { 0xff, 0xff, 0xff, 0xff };
	uint32_t at = decode();

	ck_assert(bus_write(&tb.mmio, at + 1, v, 1));
	ck_assert(bus_write(&tb.mmio, at + 0xffc, v, 4));
	ck_assert_int_eq(atomic_load(&tb.last_event), -1);
	ck_assert(bus_read(&tb.mmio, at + 1, v, 1));
	ck_assert_uint_eq(v[0], 0);
	ck_assert(bus_read(&tb.mmio, at, v, 4));
	ck_assert_uint_eq(le32_get(v), PANICKED);
}
END_TEST

START_TEST(lives_on_where_the_guest_has_put_it)
{
	uint32_t at = decode() + 0x10000;
	uint8_t raw[4], v = PANICKED;

	le32_put(raw, at);
	pci_config_write(tb.p.pci, DEVFN, PCI_BASE_ADDRESS_0, raw, sizeof(raw));
	testbed_reborn(&tb, tear_down, set_up_pci);
	ck_assert_uint_eq(get(PCI_BASE_ADDRESS_0), at);
	ck_assert(bus_write(&tb.mmio, at, &v, 1));
	ck_assert_int_eq(atomic_load(&tb.last_event), GUEST_PANIC);
}
END_TEST

START_TEST(neither_a_place_nor_pci)
{
	testbed_init(&tb);
	device_destroy_all(&tb.fixed);
	tb.p.place[PLATFORM_PVPANIC].bus = NULL;
	stderr_begin(&said);
	ck_assert_int_eq(device_create(&tb.p, &tb.devices, "pvpanic,id=p"), -ENODEV);
	ck_assert_str_eq(stderr_end(&said),
			 "lunette: error: p: machines of this architecture have none\n");
	testbed_fini(&tb);
}
END_TEST

Suite *pvpanic_suite(void)
{
	Suite *s = suite_create("pvpanic");
	TCase *tc = unit_case(s, "port");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, reports_a_panic);
	tcase_add_test(tc, a_loaded_crash_kernel_is_no_panic);
	tc = unit_case(s, "pci");
	tcase_add_checked_fixture(tc, set_up_pci, tear_down);
	tcase_add_test(tc, function_that_linux_knows);
	tcase_add_test(tc, reports_a_panic_by_pci);
	tcase_add_test(tc, rest_of_the_bar);
	tcase_add_test(tc, lives_on_where_the_guest_has_put_it);
	tc = unit_case(s, "none");
	tcase_add_test(tc, neither_a_place_nor_pci);
	return s;
}

UNIT_MAIN(pvpanic_suite)
