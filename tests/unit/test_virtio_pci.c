/* SPDX-License-Identifier: MIT */
#include "tests/unit/virtio_pci_fixture.h"

Suite *virtio_pci_suite(void);

static void features_ok(void)
{
	store(VIRTIO_PCI_COMMON_GFSELECT, 1, 4);
	store(VIRTIO_PCI_COMMON_GF, 1, 4);
	vdriver_set_status(&v, OK);
	ck_assert_uint_eq(vdriver_status(&v), OK);
}

START_TEST(identity)
{
	ck_assert_uint_eq(vdriver_pci_read(&v, PCI_VENDOR_ID, 2), 0x1af4);
	ck_assert_uint_eq(vdriver_pci_read(&v, PCI_DEVICE_ID, 2), 0x1040 + ECHO_ID);
	ck_assert_uint_eq(vdriver_pci_read(&v, PCI_REVISION_ID, 1), 1);
	ck_assert_uint_eq(vdriver_pci_read(&v, PCI_CLASS_PROG, 1), 0);
	ck_assert_uint_eq(vdriver_pci_read(&v, PCI_CLASS_DEVICE, 2), 0xff00);
	ck_assert_uint_eq(vdriver_pci_read(&v, PCI_SUBSYSTEM_VENDOR_ID, 2), 0x1af4);
	ck_assert_uint_ge(vdriver_pci_read(&v, PCI_SUBSYSTEM_ID, 2), 0x40);
	ck_assert_uint_eq(vdriver_pci_read(&v, PCI_INTERRUPT_PIN, 1), 0);
	ck_assert_uint_eq(v.slot, 1);
}
END_TEST

/* The structures lie in the BAR, aligned, apart, each of them once; §4.1.4. */
static const struct {
	uint8_t type, cap_len;
	uint32_t len;
} structures[] = {
	{ VIRTIO_PCI_CAP_COMMON_CFG, 16, 56 },
	{ VIRTIO_PCI_CAP_NOTIFY_CFG, 20, 4 * ECHO_QUEUES },
	{ VIRTIO_PCI_CAP_ISR_CFG, 16, 1 },
	{ VIRTIO_PCI_CAP_DEVICE_CFG, 16, 8 },
	{ VIRTIO_PCI_CAP_PCI_CFG, 20, 0 },
};

START_TEST(capabilities)
{
	unsigned at = vdriver_pci_read(&v, PCI_CAPABILITY_LIST, 1), i;
	uint32_t end = 0;

	for (i = 0; i < ARRAY_SIZE(structures); i++, at = vdriver_pci_read(&v, at + 1, 1)) {
		uint32_t off = vdriver_pci_read(&v, at + VIRTIO_PCI_CAP_OFFSET, 4);

		ck_assert_uint_eq(vdriver_pci_read(&v, at, 1), PCI_CAP_ID_VNDR);
		ck_assert_uint_eq(vdriver_pci_read(&v, at + 2, 1), structures[i].cap_len);
		ck_assert_uint_eq(vdriver_pci_read(&v, at + 3, 1), structures[i].type);
		ck_assert_uint_eq(vdriver_pci_read(&v, at + VIRTIO_PCI_CAP_BAR, 1), 0);
		ck_assert_uint_eq(vdriver_pci_read(&v, at + VIRTIO_PCI_CAP_LENGTH, 4),
				  structures[i].len);
		ck_assert_uint_eq(off % 4, 0);
		ck_assert_uint_le(off + structures[i].len, 0x4000);
		end += off;
	}
	ck_assert_uint_gt(end, 0);
	ck_assert_uint_eq(vdriver_pci_read(&v, at, 1), PCI_CAP_ID_MSIX);
	ck_assert_uint_eq(vdriver_pci_read(&v, at + 1, 1), 0);
	ck_assert_uint_eq(vdriver_pci_read(&v, at + 2, 2) & PCI_MSIX_FLAGS_QSIZE, ECHO_QUEUES);
	ck_assert_uint_eq(v.notify_multiplier, 4);
}
END_TEST

START_TEST(features_by_halves)
{
	store(VIRTIO_PCI_COMMON_DFSELECT, 0, 4);
	ck_assert_uint_eq(load(VIRTIO_PCI_COMMON_DF, 4), v.offered & UINT32_MAX);
	store(VIRTIO_PCI_COMMON_DFSELECT, 1, 4);
	ck_assert_uint_eq(load(VIRTIO_PCI_COMMON_DF, 4), v.offered >> 32);
	store(VIRTIO_PCI_COMMON_DFSELECT, 2, 4);
	ck_assert_uint_eq(load(VIRTIO_PCI_COMMON_DFSELECT, 4), 2);
	ck_assert_uint_eq(load(VIRTIO_PCI_COMMON_DF, 4), 0);
	store(VIRTIO_PCI_COMMON_GF, 5, 4);
	store(VIRTIO_PCI_COMMON_GFSELECT, 1, 4);
	store(VIRTIO_PCI_COMMON_GF, 1, 4);
	ck_assert_uint_eq(echo.vdev.accepted, 0x100000005);
	ck_assert_uint_eq(load(VIRTIO_PCI_COMMON_GF, 4), 1);
	store(VIRTIO_PCI_COMMON_GFSELECT, 0, 4);
	ck_assert_uint_eq(load(VIRTIO_PCI_COMMON_GF, 4), 5);
	store(VIRTIO_PCI_COMMON_GFSELECT, 0x80000000, 4);
	store(VIRTIO_PCI_COMMON_GF, 0xffffffff, 4);
	ck_assert_uint_eq(load(VIRTIO_PCI_COMMON_GF, 4), 0);
	ck_assert_uint_eq(echo.vdev.accepted, 0x100000005);
}
END_TEST

/* Each register has one width; other accesses read as 0 and change nothing (§4.1.3.1). */
START_TEST(natural_widths)
{
	static const uint8_t width[56] = {
		[0] = 4, [4] = 4, [8] = 4, [12] = 4, [16] = 2, [18] = 2, [20] = 1, [21] = 1,
		[22] = 2, [24] = 2, [26] = 2, [28] = 2, [30] = 2, [32] = 4, [36] = 4, [40] = 4,
		[44] = 4, [48] = 4, [52] = 4,
	};
	unsigned off, len;

	for (off = 0; off < 56; off++) {
		for (len = 1; len <= 8; len++) {
			if (len == width[off])
				continue;
			ck_assert_uint_eq(load(off, len), 0);
			store(off, 0, len);
		}
	}
	ck_assert_uint_eq(vdriver_status(&v), ACK_DRIVER);
	ck_assert_uint_eq(load(VIRTIO_PCI_COMMON_NUMQ, 2), ECHO_QUEUES);
	ck_assert_uint_eq(load(56, 2), 0); /* behind the end */
	store(56, 1, 2);
}
END_TEST

START_TEST(queue_registers)
{
	struct vq_state *s = &echo.vdev.vq[2].s;
	unsigned off;

	select_queue(2);
	ck_assert_uint_eq(load(VIRTIO_PCI_COMMON_Q_SELECT, 2), 2);
	ck_assert_uint_eq(load(VIRTIO_PCI_COMMON_Q_SIZE, 2), ECHO_SIZE);
	ck_assert_uint_eq(load(VIRTIO_PCI_COMMON_Q_NOFF, 2), 2);
	store(VIRTIO_PCI_COMMON_Q_SIZE, 8, 2); /* too early */
	ck_assert_uint_eq(s->size, ECHO_SIZE);
	features_ok();
	store(VIRTIO_PCI_COMMON_Q_SIZE, 8, 2);
	ck_assert_uint_eq(load(VIRTIO_PCI_COMMON_Q_SIZE, 2), 8);
	for (off = VIRTIO_PCI_COMMON_Q_DESCLO; off <= VIRTIO_PCI_COMMON_Q_USEDHI; off += 4)
		store(off, 0x01010101 * off, 4);
	ck_assert_uint_eq(s->desc, 0x2424242420202020);
	ck_assert_uint_eq(s->driver, 0x2c2c2c2c28282828);
	ck_assert_uint_eq(s->device, 0x3434343430303030);
	for (off = VIRTIO_PCI_COMMON_Q_DESCLO; off <= VIRTIO_PCI_COMMON_Q_USEDHI; off += 4)
		ck_assert_uint_eq(load(off, 4), 0x01010101 * off);
	store(VIRTIO_PCI_COMMON_Q_ENABLE, 2, 2); /* only 1 means it */
	ck_assert_uint_eq(load(VIRTIO_PCI_COMMON_Q_ENABLE, 2), 0);
	store(VIRTIO_PCI_COMMON_Q_ENABLE, 1, 2);
	ck_assert_uint_eq(load(VIRTIO_PCI_COMMON_Q_ENABLE, 2), 1);
	store(VIRTIO_PCI_COMMON_Q_USEDLO, 0, 4); /* too late */
	ck_assert_uint_eq(s->device, 0x3434343430303030);
	store(VIRTIO_PCI_COMMON_Q_ENABLE, 0, 2); /* only a reset takes it back */
	ck_assert_uint_eq(load(VIRTIO_PCI_COMMON_Q_ENABLE, 2), 1);
	store(VIRTIO_PCI_COMMON_Q_NOFF, 7, 2);
	store(VIRTIO_PCI_COMMON_NUMQ, 7, 2);
	ck_assert_uint_eq(load(VIRTIO_PCI_COMMON_Q_NOFF, 2), 2);
	ck_assert_uint_eq(load(VIRTIO_PCI_COMMON_NUMQ, 2), ECHO_QUEUES);
	vdriver_reset(&v);
	ck_assert_uint_eq(load(VIRTIO_PCI_COMMON_Q_ENABLE, 2), 0);
}
END_TEST

START_TEST(no_such_queue)
{
	unsigned off;

	features_ok();
	select_queue(ECHO_QUEUES + 10 * _i);
	for (off = VIRTIO_PCI_COMMON_Q_SIZE; off < 56; off += off < 32 ? 2 : 4) {
		unsigned len = off < 32 ? 2 : 4;

		store(off, 1, len);
		ck_assert_uint_eq(load(off, len), 0);
	}
}
END_TEST

START_TEST(config_space_of_any_width)
{
	ck_assert_uint_eq(vdriver_peek(&v, v.config, 8), 0x0807060504030201);
	ck_assert_uint_eq(vdriver_peek(&v, v.config + 1, 1), 2);
	ck_assert_uint_eq(vdriver_peek(&v, v.config + 6, 4), 0x0807);
	ck_assert_uint_eq(vdriver_peek(&v, v.config + 8, 4), 0);
	vdriver_config_write(&v, 5, 0xabcd, 2);
	vdriver_config_write(&v, 0, 0xffff, 2);
	ck_assert_uint_eq(vdriver_peek(&v, v.config, 8), 0x08abcd0504030201);
	ck_assert_uint_eq(load(VIRTIO_PCI_COMMON_CFGGENERATION, 1), 0);
	virtio_config_changed(&echo.vdev);
	ck_assert_uint_eq(load(VIRTIO_PCI_COMMON_CFGGENERATION, 1), 1);
	atomic_store(&echo.vdev.generation, 0x1ff);
	ck_assert_uint_eq(load(VIRTIO_PCI_COMMON_CFGGENERATION, 1), 0xff);
}
END_TEST

/* Kicks. */

START_TEST(doorbell_of_any_width)
{
	unsigned len;

	start();
	for (len = 1; len <= 8; len++) {
		atomic_store(&echo.kicks, 0);
		vdriver_poke(&v, v.notify + 4 * 2, 0xffff, len); /* the address alone counts */
		testbed_settle(&tb);
		ck_assert_uint_eq(echo.kicks, 1);
	}
	atomic_store(&echo.kicks, 0);
	vdriver_poke(&v, v.notify + 4 * ECHO_QUEUES, 0, 2);
	vdriver_poke(&v, v.notify + 2, 0, 2);
	vdriver_poke(&v, v.notify + 0xffe, 0, 2);
	testbed_settle(&tb);
	ck_assert_uint_eq(echo.kicks, 0);
}
END_TEST

/* §4.1.4.9: with the BAR not even decoded. */
START_TEST(window)
{
	start();
	vdriver_pci_write(&v, PCI_COMMAND, PCI_COMMAND_MASTER, 2);
	ck_assert_uint_eq(window_get(v.common + VIRTIO_PCI_COMMON_NUMQ, 2), ECHO_QUEUES);
	ck_assert_uint_eq(window_get(v.config, 4), 0x04030201);
	ck_assert_uint_eq(window_get(v.config + 7, 1), 8);
	window_put(v.config + 6, 0xabcd, 2);
	ck_assert_uint_eq(window_get(v.config + 4, 4), 0xabcd0605);
	ck_assert_uint_eq(window_get(vdriver_pci_vector(&v, 0), 4), 0xfee00000);
	atomic_store(&echo.kicks, 0);
	window_put(v.notify + 4 * 3, 3, 2);
	testbed_settle(&tb);
	ck_assert_uint_eq(echo.kicks, 1);
	window_put(v.common + VIRTIO_PCI_COMMON_STATUS, 0, 1);
	ck_assert_uint_eq(virtio_get_status(&echo.vdev), 0);
}
END_TEST

static const struct {
	uint8_t bar;
	uint32_t offset, length;
} nowhere[] = {
	{ 1, 0x100, 4 }, { 255, 0x100, 4 }, { 0, 0x100, 0 }, { 0, 0x100, 3 }, { 0, 0x100, 8 },
	{ 0, 0x102, 4 }, { 0, 0x101, 2 }, { 0, 0xfffffffc, 4 }, { 0, 0x4000, 1 },
	{ 0, 0x100, 0xffffffff },
};

START_TEST(window_to_nowhere)
{
	vdriver_pci_write(&v, WINDOW_DATA, 0, 4);
	aim(nowhere[_i].bar, nowhere[_i].offset, nowhere[_i].length);
	vdriver_pci_read(&v, WINDOW_DATA, 4);
	vdriver_pci_write(&v, WINDOW_DATA, 0x55555555, 4);
	vdriver_pci_read(&v, WINDOW_DATA, 4);
	ck_assert_uint_eq(vdriver_peek(&v, v.config, 8), 0x0807060504030201);
	ck_assert_uint_eq(vdriver_status(&v), ACK_DRIVER);
}
END_TEST

/* Robustness. */

static void check_revival(void)
{
	vdriver_fini(&v);
	testbed_release(&tb);
	ck_assert(vdriver_probe(&v, &tb, 0));
	ck_assert(vdriver_start(&v, ALL_FEATURES, ECHO_QUEUES, 16));
	check_echo(1);
	check_echo(3);
}

START_TEST(bad_queue_set_up)
{
	ck_assert(!vdriver_start(&v, 0, VDRIVER_QUEUES, 16)); /* more queues than there are */
	vdriver_reset(&v);
	vdriver_set_status(&v, ACK_DRIVER);
	features_ok();
	store(VIRTIO_PCI_COMMON_MSIX, 0, 2);
	select_queue(2);
	store(VIRTIO_PCI_COMMON_Q_SIZE, 3, 2);
	store(VIRTIO_PCI_COMMON_Q_ENABLE, 1, 2);
	vdriver_set_status(&v, OK | VIRTIO_CONFIG_S_DRIVER_OK);
	ck_assert_uint_eq(vdriver_status(&v),
			  OK | VIRTIO_CONFIG_S_DRIVER_OK | VIRTIO_CONFIG_S_NEEDS_RESET);
	ck_assert_uint_eq(vdriver_wait(&v, 1000), VDRIVER_INT_CONFIG);
	check_revival();
}
END_TEST

/* Random accesses to the BAR and to config space, some with a right value. */
START_TEST(hostile_accesses)
{
	static const uint32_t values[] = { 0, 1, 2, 3, 0xb, 0xf, 16, 64, 0x1000, 0x2000, 0x3000,
					   0x7ff000, 0xc000, 0x8000, TESTBED_BARS, 0xffffffff };
	uint32_t seed = 333 + _i;
	unsigned round, i;

	for (round = 0; round < 100; round++) {
		for (i = 0; i < 200; i++) {
			unsigned pages = driver_random(&seed);
			unsigned off = (pages % 4) << 12 | driver_random(&seed) % 0x110;
			unsigned len = 1 + driver_random(&seed) % 8;
			uint64_t value = driver_random(&seed);

			if (driver_random(&seed) % 4)
				value = values[driver_random(&seed) % ARRAY_SIZE(values)];
			if (driver_random(&seed) % 4)
				len = pages & 0x100 ? 2 : 4;
			if (pages & 0x200)
				off &= ~(len - 1);
			if (driver_random(&seed) % 8 == 0)
				vdriver_pci_write(&v, off & 0xff, value, 1 + len % 4);
			else if (driver_random(&seed) % 4)
				vdriver_poke(&v, v.base + off, value, len);
			else
				vdriver_peek(&v, v.base + off, len);
		}
		check_revival();
	}
}
END_TEST

START_TEST(two_devices)
{
	static struct echo other;
	static struct vdriver w;

	echo_init(&other, &tb, "e1", VIRTIO_ON_PCI);
	ck_assert(vdriver_probe(&w, &tb, 1));
	ck_assert_uint_eq(w.slot, 2);
	ck_assert(!vdriver_probe(&w, &tb, 2));
	ck_assert(vdriver_probe(&w, &tb, 1));
	start();
	ck_assert(vdriver_start(&w, ALL_FEATURES, 1, 16));
	vdriver_notify(&w, 0);
	testbed_settle(&tb);
	ck_assert_uint_ge(other.kicks, 1);
	check_echo(0);
	vdriver_fini(&w);
	echo_fini(&other);
}
END_TEST

Suite *virtio_pci_suite(void)
{
	Suite *s = suite_create("virtio_pci");
	TCase *tc = unit_case(s, "pci");

	tcase_add_checked_fixture(tc, echo_set_up_pci, echo_tear_down);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, identity);
	tcase_add_test(tc, capabilities);
	tcase_add_test(tc, features_by_halves);
	tcase_add_test(tc, natural_widths);
	tcase_add_test(tc, queue_registers);
	tcase_add_loop_test(tc, no_such_queue, 0, 2);
	tcase_add_test(tc, config_space_of_any_width);
	tcase_add_test(tc, doorbell_of_any_width);
	tcase_add_test(tc, window);
	tcase_add_loop_test(tc, window_to_nowhere, 0, ARRAY_SIZE(nowhere));
	tcase_add_test(tc, bad_queue_set_up);
	tcase_add_loop_test(tc, hostile_accesses, 0, 2);
	tcase_add_test(tc, two_devices);
	return s;
}

UNIT_MAIN(virtio_pci_suite)
