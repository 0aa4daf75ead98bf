/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/stderr.h"
#include "tests/lib/testbed.h"
#include "vmm/core/state.h"
#include "vmm/core/util.h"

Suite *pci_host_suite(void);

#define ADDRESS 0xcf8
#define RESET 0xcf9
#define DATA 0xcfc
#define ENABLE 0x80000000u

static struct testbed tb;
static struct stderr_text said;

/* The bus with a device in slot 1. */
static void set_up(void)
{
	testbed_init(&tb);
	ck_assert_int_eq(device_create(&tb.p, &tb.devices, "virtio-rng"), 0);
	ck_assert_int_eq(device_ready_all(&tb.devices), 0);
}

static void tear_down(void)
{
	testbed_fini(&tb);
}

static uint64_t get(struct bus *bus, uint64_t addr, unsigned len)
{
	uint8_t raw[8] = { 0 };

	ck_assert(bus_read(bus, addr, raw, len));
	return le64_get(raw);
}

static void put(struct bus *bus, uint64_t addr, uint32_t value, unsigned len)
{
	uint8_t raw[4];

	le32_put(raw, value);
	ck_assert(bus_write(bus, addr, raw, len));
}

static uint64_t ecam(unsigned slot, unsigned function, unsigned off)
{
	return TESTBED_ECAM + (slot << 15) + (function << 12) + off;
}

static void select_register(unsigned slot, unsigned function, unsigned off)
{
	put(&tb.pio, ADDRESS, ENABLE | slot << 11 | function << 8 | off, 4);
}

START_TEST(bridge)
{
	ck_assert_uint_eq(get(&tb.mmio, ecam(0, 0, PCI_VENDOR_ID), 4), 0x00081b36);
	ck_assert_uint_eq(get(&tb.mmio, ecam(0, 0, PCI_CLASS_REVISION), 4), 0x06000000);
	ck_assert_uint_eq(get(&tb.mmio, ecam(0, 0, PCI_HEADER_TYPE), 1), 0);
	put(&tb.mmio, ecam(0, 0, PCI_BASE_ADDRESS_0), 0xffffffff, 4);
	ck_assert_uint_eq(get(&tb.mmio, ecam(0, 0, PCI_BASE_ADDRESS_0), 4), 0);
	put(&tb.mmio, ecam(0, 0, PCI_COMMAND), 0xffff, 2);
	ck_assert_uint_eq(get(&tb.mmio, ecam(0, 0, PCI_COMMAND), 4), 0);
	ck_assert_uint_eq(get(&tb.mmio, ecam(0, 0, 0x100), 4), 0);
}
END_TEST

START_TEST(by_ecam)
{
	unsigned slot;

	ck_assert_uint_eq(get(&tb.mmio, ecam(1, 0, PCI_VENDOR_ID), 2), 0x1af4);
	ck_assert_uint_eq(get(&tb.mmio, ecam(1, 0, PCI_DEVICE_ID), 2), 0x1044);
	ck_assert_uint_eq(get(&tb.mmio, ecam(1, 1, PCI_VENDOR_ID), 4), 0xffffffff);
	for (slot = 2; slot < 32; slot++)
		ck_assert_uint_eq(get(&tb.mmio, ecam(slot, 0, PCI_VENDOR_ID), 4), 0xffffffff);
	ck_assert_uint_eq(get(&tb.mmio, ecam(1, 0, 0), 8), UINT64_MAX); /* nobody is so wide */
	put(&tb.mmio, ecam(1, 0, PCI_COMMAND), PCI_COMMAND_MASTER, 1);
	ck_assert_uint_eq(get(&tb.mmio, ecam(1, 0, PCI_COMMAND), 2), PCI_COMMAND_MASTER);
	ck_assert(!bus_read(&tb.mmio, TESTBED_ECAM + MIB(1), (uint8_t[4]){ 0 }, 4));
}
END_TEST

START_TEST(by_ports)
{
	unsigned off, len;

	for (off = 0; off < 0x100; off++) {
		select_register(1, 0, off & ~3u);
		for (len = 1; off % 4 + len <= 4; len++)
			ck_assert_uint_eq(get(&tb.pio, DATA + off % 4, len),
					  get(&tb.mmio, ecam(1, 0, off), len));
	}
	select_register(1, 0, PCI_COMMAND);
	put(&tb.pio, DATA, PCI_COMMAND_MASTER, 2);
	ck_assert_uint_eq(get(&tb.mmio, ecam(1, 0, PCI_COMMAND), 2), PCI_COMMAND_MASTER);
	put(&tb.pio, DATA + 1, PCI_COMMAND_INTX_DISABLE >> 8, 1);
	ck_assert_uint_eq(get(&tb.mmio, ecam(1, 0, PCI_COMMAND), 2),
			  PCI_COMMAND_MASTER | PCI_COMMAND_INTX_DISABLE);
}
END_TEST

/* How a guest finds out that the ports are there, and what it must not find there. */
START_TEST(address_register)
{
	ck_assert_uint_eq(get(&tb.pio, ADDRESS, 4), 0);
	put(&tb.pio, ADDRESS, 0xffffffff, 4);
	ck_assert_uint_eq(get(&tb.pio, ADDRESS, 4), 0x80fffffc);
	put(&tb.pio, ADDRESS, ENABLE, 4);
	put(&tb.pio, 0xcfb, 1, 1);
	put(&tb.pio, ADDRESS, 1, 2);
	ck_assert_uint_eq(get(&tb.pio, ADDRESS, 4), ENABLE);
	ck_assert_uint_eq(get(&tb.pio, 0xcfa, 1), 0xff);
	ck_assert_uint_eq(get(&tb.pio, ADDRESS, 2), 0xffff);
}
END_TEST

/* Bit 2 of the register at 0xcf9, and only there: the address register takes all of its bits. */
START_TEST(resets)
{
	put(&tb.pio, ADDRESS, 0xffffffff, 4);
	put(&tb.pio, RESET - 1, 0xffff, 2);
	put(&tb.pio, RESET, 0x0606, 2);
	put(&tb.pio, RESET, 0x0a, 1);
	ck_assert_int_eq(tb.last_event, -1);
	ck_assert_uint_eq(get(&tb.pio, RESET, 1), 0x0a);
	put(&tb.pio, RESET, 0x0e, 1);
	ck_assert_int_eq(tb.last_event, GUEST_RESET);
	ck_assert_uint_eq(get(&tb.pio, RESET, 1), 0x0a);
}
END_TEST

static const uint32_t nowhere[] = {
	0x00000800,          /* not enabled */
	ENABLE | 0x00010800, /* bus 1 */
	ENABLE | 0x00ff0800,
	ENABLE | 0x00001000, /* no such slot */
	ENABLE | 0x00000900, /* nor function */
};

START_TEST(ports_to_nowhere)
{
	put(&tb.pio, ADDRESS, nowhere[_i], 4);
	ck_assert_uint_eq(get(&tb.pio, DATA, 4), 0xffffffff);
	put(&tb.pio, DATA, 0, 4);
	put(&tb.pio, ADDRESS, ENABLE | 1 << 11, 4);
	ck_assert_uint_eq(get(&tb.pio, DATA, 4), 0x10441af4);
	/* Across the border of two registers. */
	ck_assert_uint_eq(get(&tb.pio, DATA - 2, 4), 0xffffffff);
	put(&tb.pio, DATA - 2, 0xffffffff, 4);
	ck_assert_uint_eq(get(&tb.pio, ADDRESS, 4), ENABLE | 1 << 11);
}
END_TEST

/* The registers of the bridge, and where the device's are. */
START_TEST(saved)
{
	put(&tb.pio, RESET, 0x0a, 1);
	put(&tb.mmio, ecam(1, 0, PCI_BASE_ADDRESS_0), TESTBED_BARS + 0x40000, 4);
	put(&tb.mmio, ecam(1, 0, PCI_COMMAND), PCI_COMMAND_MEMORY, 2);
	select_register(1, 0, PCI_BASE_ADDRESS_0);
	testbed_reborn(&tb, tear_down, set_up);
	ck_assert_uint_eq(get(&tb.pio, RESET, 1), 0x0a);
	ck_assert_uint_eq(get(&tb.pio, DATA, 4), TESTBED_BARS + 0x40000);
	ck_assert_uint_eq(get(&tb.mmio, TESTBED_BARS + 0x40000 + 0x12, 2), 1); /* queues */
}
END_TEST

/* Behind the name of the bridge: the two registers, its ids, its vectors, its config space. */
START_TEST(bad_state)
{
	static const unsigned bad[] = { 16, 20, 24, 28, 32 };
	uint8_t *data;
	size_t len;

	ck_assert_int_eq(state_save(device_state_all, &tb.fixed, &data, &len), 0);
	data[bad[_i]] ^= 0x01;
	ck_assert_int_eq(state_restore(device_state_all, &tb.fixed, data, len), -EINVAL);
	free(data);
}
END_TEST

START_TEST(only_one)
{
	stderr_begin(&said);
	ck_assert_int_eq(device_create(&tb.p, &tb.devices, "pci-host,id=again"), -EEXIST);
	ck_assert_str_eq(stderr_end(&said), "lunette: error: again: there is one already\n");
	ck_assert_uint_eq(get(&tb.mmio, ecam(1, 0, PCI_VENDOR_ID), 2), 0x1af4);
}
END_TEST

START_TEST(leaves_nothing)
{
	device_destroy_all(&tb.devices);
	device_destroy_all(&tb.fixed);
	ck_assert_uint_eq(tb.mmio.nranges + tb.pio.nranges, 0);
	ck_assert_ptr_null(tb.p.pci);
	ck_assert_int_eq(device_create(&tb.p, &tb.fixed, "pci-host"), 0);
	ck_assert_ptr_nonnull(tb.p.pci);
}
END_TEST

Suite *pci_host_suite(void)
{
	Suite *s = suite_create("pci_host");
	TCase *tc = unit_case(s, "pci_host");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, bridge);
	tcase_add_test(tc, by_ecam);
	tcase_add_test(tc, by_ports);
	tcase_add_test(tc, address_register);
	tcase_add_test(tc, resets);
	tcase_add_loop_test(tc, ports_to_nowhere, 0, ARRAY_SIZE(nowhere));
	tcase_add_test(tc, saved);
	tcase_add_loop_test(tc, bad_state, 0, 5);
	tcase_add_test(tc, only_one);
	tcase_add_test(tc, leaves_nothing);
	return s;
}

UNIT_MAIN(pci_host_suite)
