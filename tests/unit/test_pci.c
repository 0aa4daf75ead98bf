/* SPDX-License-Identifier: MIT */
#include "tests/unit/pci_fixture.h"

Suite *pci_suite(void);

START_TEST(header)
{
	ck_assert_uint_eq(get(0, PCI_VENDOR_ID, 4), 0x56781234);
	ck_assert_uint_eq(get(0, PCI_CLASS_REVISION, 4), 0x11223344);
	ck_assert_uint_eq(get(0, PCI_SUBSYSTEM_VENDOR_ID, 4), 0xdef09abc);
	ck_assert_uint_eq(get(0, PCI_HEADER_TYPE, 1), 0);
	ck_assert_uint_eq(get(0, PCI_COMMAND, 2), 0);
	ck_assert_uint_eq(get(0, PCI_STATUS, 2), PCI_STATUS_CAP_LIST);
	ck_assert_uint_eq(get(0, PCI_INTERRUPT_PIN, 1), 0);
	ck_assert_uint_eq(get(0, PCI_DEVICE_ID, 1), 0x78);
	ck_assert_uint_eq(get(0, PCI_DEVICE_ID + 1, 1), 0x56);
	ck_assert_uint_eq(get(0, PCI_VENDOR_ID + 1, 2), 0x7812);
	ck_assert_uint_eq(toys[0].readings, 10);
}
END_TEST

/* Every bit that a guest may not write keeps its value, whatever the width. */
START_TEST(read_only)
{
	unsigned off, len;

	for (off = 0; off < PCI_CONFIG_LEN; off += 4) {
		uint32_t before = get(0, off, 4), may = le32_get(toys[0].f.writable + off);

		for (len = 1; len <= 4; len *= 2) {
			put(0, off, ~before, len);
			ck_assert_uint_eq(get(0, off, 4) & ~may, before & ~may);
			put(0, off, before, 4);
		}
	}
	ck_assert_uint_eq(toys[0].writtens, PCI_CONFIG_LEN / 4 * 6);
	ck_assert_uint_eq(le16_get(toys[0].f.writable + PCI_COMMAND),
			  PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_INTX_DISABLE);
}
END_TEST

START_TEST(nobody)
{
	uint8_t raw[8];

	pci_config_read(tb.p.pci, 8 * 3, 0, raw, 4); /* a slot */
	ck_assert_uint_eq(le32_get(raw), 0xffffffff);
	pci_config_read(tb.p.pci, 8 + 1, 0, raw, 2); /* a function */
	ck_assert_uint_eq(le16_get(raw), 0xffff);
	pci_config_read(tb.p.pci, 8 * 32, 0, raw, 4);
	ck_assert_uint_eq(le32_get(raw), 0xffffffff);
	ck_assert_uint_eq(get(0, 2, 4), 0xffffffff); /* across a border */
	ck_assert_uint_eq(get(0, 0, 8), 0xffffffff);
	ck_assert_uint_eq(get(0, 0x100, 4), 0); /* no extended capabilities */
	ck_assert_uint_eq(get(0, 0xffc, 4), 0);
	put(0, 0x100, 0xffffffff, 4);
	pci_config_write(tb.p.pci, 8 * 3, 4, raw, 4);
	pci_config_write(tb.p.pci, 8 * 300, 4, raw, 4);
	pci_config_write(tb.p.pci, 8, 2, raw, 4);
	ck_assert_uint_eq(toys[0].writtens, 0);
}
END_TEST

START_TEST(capabilities)
{
	static struct toy t;
	unsigned a, b;

	pci_function_init(&t.f, "toy", &toy_ids, &toy_ops);
	ck_assert_uint_eq(t.f.config[PCI_STATUS] & PCI_STATUS_CAP_LIST, 0);
	a = pci_capability_add(&t.f, PCI_CAP_ID_VNDR, "\5abc", 3);
	b = pci_capability_add(&t.f, PCI_CAP_ID_VNDR, "\4", 1);
	ck_assert_uint_eq(t.f.config[PCI_CAPABILITY_LIST], a);
	ck_assert_uint_eq(t.f.config[a], PCI_CAP_ID_VNDR);
	ck_assert_uint_eq(t.f.config[a + PCI_CAP_LIST_NEXT], b);
	ck_assert_mem_eq(t.f.config + a + 2, "\5ab", 3);
	ck_assert_uint_eq(t.f.config[b + PCI_CAP_LIST_NEXT], 0);
	ck_assert_uint_eq(b % 4, 0);
	ck_assert_uint_eq(b, a + 8);
}
END_TEST

START_TEST(bar_is_sized)
{
	uint32_t at = bar(0);

	ck_assert_uint_eq(at, TESTBED_BARS);
	ck_assert_uint_eq(bar(1), TESTBED_BARS + BAR_SIZE);
	put(0, PCI_BASE_ADDRESS_0, 0xffffffff, 4);
	ck_assert_uint_eq(bar(0), ~(BAR_SIZE - 1));
	put(0, PCI_BASE_ADDRESS_0, at, 4);
	ck_assert_uint_eq(bar(0), at);
	put(0, PCI_BASE_ADDRESS_1, 0xffffffff, 4);
	ck_assert_uint_eq(get(0, PCI_BASE_ADDRESS_1, 4), 0);
}
END_TEST

START_TEST(bar_is_decoded)
{
	uint64_t at = bar(0);

	ck_assert_uint_eq(peek(at, 4), 0xffffffff);
	decode(0, true);
	poke(at + 0x10, 0x11223344, 4);
	ck_assert_uint_eq(peek(at + 0x10, 8), 0x11223344);
	ck_assert_uint_eq(toys[0].bytes[0x10], 0x44);
	ck_assert(is_there(0, at));
	poke(at + BAR_SIZE - 4, 1, 8); /* over the end */
	ck_assert_uint_eq(toys[0].writes, 1);
	decode(0, false);
	ck_assert_uint_eq(peek(at + 0x10, 4), 0xffffffff);
}
END_TEST

static uint64_t rings(unsigned toy)
{
	eventfd_t n;

	return eventfd_read(toys[toy].bell.fd, &n) < 0 ? 0 : n;
}

/* Where the BAR goes, the doorbell goes, and nothing is left behind. */
START_TEST(bar_moves)
{
	uint64_t at = bar(0), to = TESTBED_BARS_END - BAR_SIZE;

	decode(0, true);
	poke(at + BELL, 1, 2);
	ck_assert_uint_eq(rings(0), 1);
	put(0, PCI_BASE_ADDRESS_0, to, 4);
	ck_assert_uint_eq(bar(0), to);
	ck_assert_uint_eq(peek(at, 4), 0xffffffff);
	ck_assert(is_there(0, to));
	poke(at + BELL, 1, 2);
	ck_assert_uint_eq(rings(0), 0);
	poke(to + BELL, 1, 2);
	poke(to + BELL, 1, 4);
	ck_assert_uint_eq(rings(0), 2);
	ck_assert_uint_eq(toys[0].writes, 0);
	/* By halves, with decoding on: in between it is wherever the bytes say. */
	put(0, PCI_BASE_ADDRESS_0, at, 2);
	put(0, PCI_BASE_ADDRESS_0 + 2, at >> 16, 2);
	ck_assert(is_there(0, at));
	ck_assert_uint_eq(tb.mmio.nbells, 1);
	ck_assert_uint_eq(tb.mmio.nranges, 2); /* ECAM is the other */
	decode(0, false);
	ck_assert_uint_eq(tb.mmio.nbells, 0);
	poke(at + BELL, 1, 2);
	ck_assert_uint_eq(rings(0), 0);
}
END_TEST

static const uint32_t outside[] = {
	0, 0x1000000, TESTBED_MMIO, TESTBED_BARS - BAR_SIZE, TESTBED_BARS_END, TESTBED_ECAM,
	0xfee00000, 0xffffc000,
};

/* Not on RAM, not on other devices: there it answers nobody, and comes to no harm. */
START_TEST(bar_outside_of_the_window)
{
	uint64_t at = bar(0);
	struct mmio_slot slot;

	ck_assert_int_eq(platform_slot_alloc(&tb.p, 0x1000, &slot), 0);
	decode(0, true);
	put(0, PCI_BASE_ADDRESS_0, outside[_i], 4);
	ck_assert_uint_eq(bar(0), outside[_i]);
	ck_assert_uint_eq(tb.mmio.nranges, 1);
	ck_assert_uint_eq(peek(at, 4), 0xffffffff);
	peek(outside[_i] + 0x123ull, 1);
	ck_assert_uint_eq(toys[0].reads, 0);
	put(0, PCI_BASE_ADDRESS_0, at, 4);
	ck_assert(is_there(0, at));
}
END_TEST

/* Who is first stays; the other one comes when there is room. */
START_TEST(bar_on_another)
{
	uint64_t at = bar(0), other = bar(1);

	decode(0, true);
	decode(1, true);
	put(0, PCI_BASE_ADDRESS_0, other, 4);
	ck_assert(is_there(1, other));
	ck_assert_uint_eq(peek(at, 4), 0xffffffff);
	/* They change places. */
	put(1, PCI_BASE_ADDRESS_0, at, 4);
	ck_assert(is_there(1, at));
	ck_assert(is_there(0, other));
	put(1, PCI_BASE_ADDRESS_0, other, 4);
	ck_assert(is_there(0, other));
	decode(0, false);
	ck_assert(is_there(1, other));
}
END_TEST

START_TEST(slow_doorbell)
{
	uint64_t at = bar(0);

	tb.mmio.host_bell = no_room;
	stderr_begin(&said);
	decode(0, true);
	ck_assert_str_eq(stderr_end(&said), "lunette: warning: toy: doorbell 0 is slow: "
					    "No space left on device\n");
	poke(at + BELL, 1, 2);
	ck_assert_uint_eq(toys[0].writes, 1);
	ck_assert_uint_eq(toys[0].off, BELL);
	decode(0, false);
}
END_TEST

START_TEST(slots_end)
{
	static struct toy t, more[PCI_SLOTS];
	unsigned i;

	for (i = 3; i < PCI_SLOTS; i++) {
		pci_function_init(&more[i].f, "more", &toy_ids, &toy_ops);
		ck_assert_int_eq(pci_attach(tb.p.pci, &more[i].f), 0);
		ck_assert_uint_eq(more[i].f.slot, i);
	}
	check_refused(&t, "lunette: error: toy: no room for another device on the PCI bus; at most "
			  "31 fit\n");
	pci_detach(&more[17].f);
	ck_assert_int_eq(pci_attach(tb.p.pci, &more[17].f), 0);
	ck_assert_uint_eq(more[17].f.slot, 17);
	for (i = 3; i < PCI_SLOTS; i++)
		pci_detach(&more[i].f);
}
END_TEST

START_TEST(window_ends)
{
	static struct toy t;

	tb.p.pci_next = tb.p.pci_end - BAR_SIZE + 1;
	check_refused(&t, "lunette: error: toy: no room for another device's registers on the PCI "
			  "bus\n");
}
END_TEST

START_TEST(interrupts_end)
{
	static struct toy t;
	uint32_t first;

	ck_assert_int_eq(platform_msi_alloc(&tb.p, PLATFORM_MSI_GSIS - 3 * VECTORS + 1, &first), 0);
	check_refused(&t, "lunette: error: toy: 70 more interrupts are too many\n");
}
END_TEST

static void *other_cpu(void *arg)
{
	uint32_t seed = (uintptr_t)arg;
	unsigned i;

	for (i = 0; i < 3000; i++) {
		unsigned toy = driver_random(&seed) % 2, off = driver_random(&seed) % 0x110;
		uint32_t value = driver_random(&seed);

		switch (driver_random(&seed) % 6) {
		case 0:
			put(toy, off & ~3u, value, 4);
			break;
		case 1:
			get(toy, off, 1 + value % 4);
			break;
		case 2:
			put(toy, PCI_BASE_ADDRESS_0, TESTBED_BARS + value % 8 * BAR_SIZE, 4);
			decode(toy, value & 8);
			break;
		case 3:
			put(toy, FLAGS, value, 2);
			break;
		case 4:
			poke(TESTBED_BARS + value % 8 * BAR_SIZE + TABLE + value % 0x480, value, 4);
			break;
		case 5:
			peek(TESTBED_BARS + value % 8 * BAR_SIZE + PBA, 8);
			break;
		}
	}
	return NULL;
}

/* All at once, in all states: no crash, no bell or vector left over (tear_down looks). */
START_TEST(hostile_cpus)
{
	pthread_t thread[3];
	uintptr_t i;

	log_set_level(LOG_ERR);
	for (i = 0; i < 3; i++)
		pthread_create(&thread[i], NULL, other_cpu, (void *)(i + 4711 + 100 * _i));
	for (i = 0; i < 3; i++)
		pthread_join(thread[i], NULL);
	put(0, PCI_BASE_ADDRESS_0, TESTBED_BARS, 4);
	put(1, PCI_BASE_ADDRESS_0, TESTBED_BARS + BAR_SIZE, 4);
	decode(0, true);
	decode(1, true);
	ck_assert(is_there(0, TESTBED_BARS));
	ck_assert(is_there(1, TESTBED_BARS + BAR_SIZE));
}
END_TEST

Suite *pci_suite(void)
{
	Suite *s = suite_create("pci");
	TCase *tc = unit_case(s, "config");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, header);
	tcase_add_test(tc, read_only);
	tcase_add_test(tc, nobody);
	tcase_add_test(tc, capabilities);

	tc = unit_case(s, "bar");
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, bar_is_sized);
	tcase_add_test(tc, bar_is_decoded);
	tcase_add_test(tc, bar_moves);
	tcase_add_loop_test(tc, bar_outside_of_the_window, 0, ARRAY_SIZE(outside));
	tcase_add_test(tc, bar_on_another);
	tcase_add_test(tc, slow_doorbell);

	tc = unit_case(s, "bus");
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, slots_end);
	tcase_add_test(tc, window_ends);
	tcase_add_test(tc, interrupts_end);
	tcase_add_loop_test(tc, hostile_cpus, 0, 3);
	return s;
}

UNIT_MAIN(pci_suite)
