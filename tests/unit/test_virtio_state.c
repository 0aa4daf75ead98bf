/* SPDX-License-Identifier: MIT */
/*
 * test_virtio_state.c - a virtio device as bytes: what comes back, what is refused. That a driver
 * goes on wherever it is saved test_transport.c shows.
 */
#include "tests/unit/echo_rig.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <linux/virtio_pci.h>
#include <stdlib.h>
#include <string.h>

Suite *virtio_state_suite(void);

static uint8_t *data;
static size_t len;

static void save(void)
{
	free(data);
	ck_assert_int_eq(state_save(echo_state, &echo, &data, &len), 0);
}

static void save_paused(void)
{
	ck_assert(vdriver_start(&v, ~0ull, ECHO_QUEUES, 16));
	check_echo(1);
	virtio_device_pause(&echo.vdev, true);
	save();
}

static void tear_down(void)
{
	free(data);
	data = NULL;
	echo_tear_down();
}

/* The device says of itself what it said before. */
static void check_unchanged(void)
{
	uint8_t *now;
	size_t n;

	ck_assert_int_eq(state_save(echo_state, &echo, &now, &n), 0);
	ck_assert_uint_eq(n, len);
	ck_assert_mem_eq(now, data, len);
	free(now);
}

START_TEST(truncated)
{
	size_t n;

	save_paused();
	for (n = 0; n < len; n++)
		ck_assert_int_eq(state_restore(echo_state, &echo, data, n), -EPROTO);
	check_unchanged();
	virtio_device_pause(&echo.vdev, false);
	check_echo(2);
}
END_TEST

/* Each byte is changed in turn: what is refused has changed nothing, what is taken hurts nobody. */
START_TEST(changed)
{
	unsigned refused = 0, taken = 0;
	uint8_t *other;
	size_t at;

	save_paused();
	other = malloc(len);
	for (at = 0; at < len; at++) {
		int r;

		memcpy(other, data, len);
		other[at] ^= 1 << (at + _i) % 8;
		r = state_restore(echo_state, &echo, other, len);
		if (r < 0) {
			ck_assert_int_eq(r, -EINVAL);
			check_unchanged();
			refused++;
			continue;
		}
		taken++;
		virtio_device_pause(&echo.vdev, false);
		virtio_device_pause(&echo.vdev, true);
		ck_assert_int_eq(state_restore(echo_state, &echo, data, len), 0);
		check_unchanged();
	}
	free(other);
	ck_assert_uint_gt(refused, 20);
	ck_assert_uint_gt(taken, 100);
	virtio_device_pause(&echo.vdev, false);
	check_echo(3);
}
END_TEST

/* Where it is in the bytes: class, queues, status, generation, features; then each queue. */
START_TEST(refused)
{
	static const struct {
		size_t at;
		uint8_t value;
	} bad[] = {
		{ 0, 0 },   /* another type */
		{ 4, 3 },   /* another number of queues */
		{ 8, 0x05 }, /* DRIVER_OK without FEATURES_OK */
		{ 8, 0x2f }, /* a bit that is none */
		{ 8, 0x03 }, /* queues in use without FEATURES_OK */
		{ 14, 0x40 }, /* a feature that is not offered */
		{ 17, 0 },  /* not VERSION_1 */
		{ 21, 1 },  /* a size of queue 0 that is another's */
		{ 27, 2 },  /* its readiness */
	};

	save_paused();
	data[bad[_i].at] = bad[_i].value;
	ck_assert_int_eq(state_restore(echo_state, &echo, data, len), -EINVAL);
	virtio_device_pause(&echo.vdev, false);
	check_echo(0);
}
END_TEST

/* A chain that the device had before, one that it was told of, one that it was not told of. */
START_TEST(in_flight)
{
	struct driver_buf b[2] = { 0 };
	uint16_t head;
	uint32_t n;
	unsigned i;

	ck_assert(vdriver_start(&v, ~0ull, ECHO_QUEUES, 16));
	testbed_settle(&tb);
	echo.hold = 1;
	b[0] = (struct driver_buf){ v.queue[1].arena, 8, false };
	b[1] = (struct driver_buf){ v.queue[1].arena + 4096, 8, true };
	ck_assert_int_ge(driver_add(&v.queue[1].ring, b, 2, 0), 0);
	vdriver_kick(&v, 1);
	testbed_settle(&tb);
	ck_assert(!driver_used(&v.queue[1].ring, &head, &n));
	virtio_device_pause(&echo.vdev, true);
	echo.hold = 0;
	for (i = 0; i < 2; i++) {
		ck_assert_int_ge(driver_add(&v.queue[1].ring, b, 2, 0), 0);
		driver_publish(&v.queue[1].ring);
		if (i == 0)
			vdriver_notify(&v, 1);
	}
	echo_rebirth(&echo);
	for (i = 0; i < 3; i++)
		ck_assert_int_eq(vdriver_wait_used(&v, 1, &head, &n, 5000), 0);
}
END_TEST

/* Half-way: what was selected is selected, what was chosen is chosen. */
START_TEST(before_start)
{
	ck_assert_uint_eq(vdriver_status(&v), 3);
	v.ops->set_features(&v, 1, 1);
	echo_rebirth(&echo);
	ck_assert_uint_eq(vdriver_status(&v), 3);
	ck_assert_uint_eq(echo.vdev.accepted, 1ull << 32);
	ck_assert(vdriver_start(&v, ~0ull, 1, 16));
	check_echo(0);
}
END_TEST

START_TEST(config)
{
	uint8_t before[8], after[8];

	ck_assert(vdriver_start(&v, ~0ull, 1, 16));
	vdriver_config_write(&v, 6, 0x77, 1);
	virtio_config_changed(&echo.vdev);
	vdriver_config_read(&v, 0, before, 8);
	ck_assert_uint_eq(before[6], 0x77);
	echo_rebirth(&echo);
	vdriver_config_read(&v, 0, after, 8);
	ck_assert_mem_eq(before, after, 8);
	ck_assert_uint_eq(echo.vdev.generation, 1);
	ck_assert_uint_eq(vdriver_wait(&v, 1000), VDRIVER_INT_CONFIG);
}
END_TEST

/* One that needs a reset still does, and no queue is served. */
START_TEST(broken)
{
	ck_assert(vdriver_start(&v, ~0ull, 1, 16));
	virtio_needs_reset(&echo.vdev);
	echo_rebirth(&echo);
	ck_assert(!echo.vdev.started);
	ck_assert_uint_eq(vdriver_status(&v) & VIRTIO_CONFIG_S_NEEDS_RESET,
			  VIRTIO_CONFIG_S_NEEDS_RESET);
	vdriver_fini(&v);
	ck_assert(vdriver_probe(&v, &tb, 0));
	ck_assert(vdriver_start(&v, ~0ull, 1, 16));
	check_echo(0);
}
END_TEST

/* PCI: while it is no bus master the kick waits, through a save too, and nobody looks at memory. */
START_TEST(no_master)
{
	ck_assert(vdriver_start(&v, ~0ull, 2, 16));
	vdriver_pci_write(&v, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
	atomic_store(&echo.kicks, 0);
	vdriver_notify(&v, 1);
	echo_rebirth(&echo);
	ck_assert(!echo.vdev.started);
	vdriver_pci_write(&v, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
	testbed_settle(&tb);
	ck_assert_uint_eq(echo.kicks, 1);
	check_echo(0);
}
END_TEST

/* PCI: what a masked vector has to say it says when it is unmasked. */
START_TEST(masked_vector)
{
	uint64_t control;

	ck_assert(vdriver_start(&v, ~0ull, 1, 16));
	control = vdriver_pci_vector(&v, 0) + PCI_MSIX_ENTRY_VECTOR_CTRL;
	vdriver_poke(&v, control, PCI_MSIX_ENTRY_CTRL_MASKBIT, 4);
	vdriver_irqs(&v);
	virtio_config_changed(&echo.vdev);
	echo_rebirth(&echo);
	ck_assert_uint_eq(vdriver_irqs(&v), 0);
	vdriver_poke(&v, control, 0, 4);
	ck_assert_uint_eq(vdriver_irqs(&v), 1);
}
END_TEST

/* PCI: a BAR that is nowhere, and then where the driver has put it. */
START_TEST(moved)
{
	uint64_t base = v.base;

	vdriver_pci_write(&v, PCI_COMMAND, 0, 2);
	vdriver_pci_write(&v, PCI_BASE_ADDRESS_0, base + 0x100000, 4);
	echo_rebirth(&echo);
	ck_assert_uint_eq(vdriver_peek(&v, base, 4), UINT32_MAX);
	vdriver_pci_write(&v, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
	echo_rebirth(&echo);
	ck_assert_uint_eq(vdriver_peek(&v, base, 4), UINT32_MAX);
	ck_assert_uint_eq(vdriver_peek(&v, base + 0x100000 + VIRTIO_PCI_COMMON_NUMQ, 2),
			  ECHO_QUEUES);
}
END_TEST

static TCase *add_tests(TCase *tc, SFun set_up)
{
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, truncated);
	tcase_add_loop_test(tc, changed, 0, 8);
	tcase_add_loop_test(tc, refused, 0, 9);
	tcase_add_test(tc, in_flight);
	tcase_add_test(tc, before_start);
	tcase_add_test(tc, config);
	tcase_add_test(tc, broken);
	return tc;
}

Suite *virtio_state_suite(void)
{
	Suite *s = suite_create("virtio_state");
	TCase *tc;

	add_tests(unit_case(s, "mmio"), echo_set_up_mmio);
	tc = add_tests(unit_case(s, "pci"), echo_set_up_pci);
	tcase_add_test(tc, no_master);
	tcase_add_test(tc, masked_vector);
	tcase_add_test(tc, moved);
	return s;
}

UNIT_MAIN(virtio_state_suite)
