/* SPDX-License-Identifier: MIT */
#include "tests/unit/echo_rig.h"

#include <errno.h>
#include <linux/virtio_ring.h>
#include <string.h>
#include <sys/eventfd.h>

#include "tests/lib/stderr.h"
#include "vmm/core/loop.h"
#include "vmm/core/util.h"

Suite *mmio_suite(void);

#define OK (VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_FEATURES_OK)
#define ALL_FEATURES UINT64_MAX

static uint64_t peek(uint64_t off, unsigned len)
{
	return vdriver_peek(&v, v.base + off, len);
}

static void poke(uint64_t off, uint64_t value, unsigned len)
{
	vdriver_poke(&v, v.base + off, value, len);
}

START_TEST(identity)
{
	ck_assert_uint_eq(peek(VIRTIO_MMIO_MAGIC_VALUE, 4), 0x74726976);
	ck_assert_uint_eq(peek(VIRTIO_MMIO_VERSION, 4), 2);
	ck_assert_uint_eq(peek(VIRTIO_MMIO_DEVICE_ID, 4), ECHO_ID);
	ck_assert_uint_eq(peek(VIRTIO_MMIO_VENDOR_ID, 4), 0x54454e4c);
	ck_assert_uint_eq(v.offered, ECHO_FEATURE | VIRTIO_QUEUE_FEATURES);
	vdriver_write32(&v, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 2);
	ck_assert_uint_eq(peek(VIRTIO_MMIO_DEVICE_FEATURES, 4), 0);
	ck_assert_uint_eq(tb.p.slot[0].size, 0x1000);
}
END_TEST

START_TEST(registers_are_32_bits_wide)
{
	unsigned len, off;

	for (len = 1; len <= 8; len++) {
		for (off = 0; off < 8; off++) {
			if (len == 4 && off % 4 == 0)
				continue;
			ck_assert_uint_eq(peek(off, len), 0);
			poke(VIRTIO_MMIO_STATUS + off, 0, len); /* that would be a reset */
		}
	}
	ck_assert_uint_eq(peek(0xfe, 4), 0); /* half register, half config space */
	ck_assert_uint_ne(vdriver_status(&v), 0);
	poke(VIRTIO_MMIO_STATUS, 0x100, 4); /* nor is this one */
	ck_assert_uint_ne(vdriver_status(&v), 0);
	poke(VIRTIO_MMIO_STATUS, 0, 4);
	ck_assert_uint_eq(vdriver_status(&v), 0);
}
END_TEST

START_TEST(read_only_and_unknown_registers)
{
	static const uint16_t empty[] = { 0x01c, 0x028, 0x03c, 0x040, 0x048, 0x054, 0x078, 0x0ac,
					  0x0c0 };
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(empty); i++) {
		poke(empty[i], 0xffffffff, 4);
		ck_assert_uint_eq(peek(empty[i], 4), 0);
	}
	poke(VIRTIO_MMIO_MAGIC_VALUE, 1, 4);
	ck_assert_uint_eq(peek(VIRTIO_MMIO_MAGIC_VALUE, 4), 0x74726976);
	poke(VIRTIO_MMIO_INTERRUPT_STATUS, 3, 4);
	ck_assert_uint_eq(peek(VIRTIO_MMIO_INTERRUPT_STATUS, 4), 0);
	/* §4.2.2.1: a region of shared memory that does not exist has length -1. */
	ck_assert_uint_eq(peek(VIRTIO_MMIO_SHM_LEN_LOW, 4), 0xffffffff);
	ck_assert_uint_eq(peek(VIRTIO_MMIO_SHM_LEN_HIGH, 4), 0xffffffff);
}
END_TEST

START_TEST(config_space_of_any_width)
{
	ck_assert_uint_eq(peek(0x100, 8), 0x0807060504030201);
	ck_assert_uint_eq(peek(0x101, 1), 2);
	ck_assert_uint_eq(peek(0x106, 4), 0x0807);
	ck_assert_uint_eq(peek(0x108, 4), 0);
	ck_assert_uint_eq(peek(0xff8, 8), 0);
	poke(0x105, 0xabcd, 2);
	poke(0x100, 0xffff, 2);
	poke(0x107, 0xffff, 2);
	ck_assert_uint_eq(peek(0x100, 8), 0x08abcd0504030201);
	ck_assert_uint_eq(peek(VIRTIO_MMIO_CONFIG_GENERATION, 4), 0);
	virtio_config_changed(&echo.vdev);
	ck_assert_uint_eq(peek(VIRTIO_MMIO_CONFIG_GENERATION, 4), 1);
}
END_TEST

START_TEST(queue_registers)
{
	struct vq_state *s = &echo.vdev.vq[2].s;

	vdriver_write32(&v, VIRTIO_MMIO_QUEUE_SEL, 2);
	ck_assert_uint_eq(peek(VIRTIO_MMIO_QUEUE_NUM_MAX, 4), ECHO_SIZE);
	vdriver_write32(&v, VIRTIO_MMIO_QUEUE_NUM, 8); /* too early */
	ck_assert_uint_eq(s->size, ECHO_SIZE);
	vdriver_write32(&v, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
	vdriver_write32(&v, VIRTIO_MMIO_DRIVER_FEATURES, 1);
	vdriver_write32(&v, VIRTIO_MMIO_STATUS, OK);
	vdriver_write32(&v, VIRTIO_MMIO_QUEUE_NUM, 8);
	ck_assert_uint_eq(s->size, 8);
	vdriver_write32(&v, VIRTIO_MMIO_QUEUE_NUM, 0x10008); /* not 8 */
	ck_assert_uint_eq(s->size, 0xffff);
	vdriver_write32(&v, VIRTIO_MMIO_QUEUE_DESC_LOW, 0x11111111);
	vdriver_write32(&v, VIRTIO_MMIO_QUEUE_DESC_HIGH, 0x22222222);
	vdriver_write32(&v, VIRTIO_MMIO_QUEUE_AVAIL_HIGH, 0x44444444);
	vdriver_write32(&v, VIRTIO_MMIO_QUEUE_AVAIL_LOW, 0x33333333);
	vdriver_write32(&v, VIRTIO_MMIO_QUEUE_USED_LOW, 0x55555555);
	vdriver_write32(&v, VIRTIO_MMIO_QUEUE_USED_HIGH, 0x66666666);
	ck_assert_uint_eq(s->desc, 0x2222222211111111);
	ck_assert_uint_eq(s->driver, 0x4444444433333333);
	ck_assert_uint_eq(s->device, 0x6666666655555555);
	vdriver_write32(&v, VIRTIO_MMIO_QUEUE_READY, 1);
	ck_assert_uint_eq(peek(VIRTIO_MMIO_QUEUE_READY, 4), 1);
	vdriver_write32(&v, VIRTIO_MMIO_QUEUE_USED_LOW, 0); /* too late */
	ck_assert_uint_eq(s->device, 0x6666666655555555);
	vdriver_write32(&v, VIRTIO_MMIO_QUEUE_READY, 0);
	ck_assert_uint_eq(peek(VIRTIO_MMIO_QUEUE_READY, 4), 0);
	vdriver_write32(&v, VIRTIO_MMIO_QUEUE_USED_LOW, 0x1000);
	ck_assert_uint_eq(s->device, 0x6666666600001000);
	vdriver_write32(&v, VIRTIO_MMIO_QUEUE_SEL, ECHO_QUEUES); /* no such queue */
	ck_assert_uint_eq(peek(VIRTIO_MMIO_QUEUE_NUM_MAX, 4), 0);
	vdriver_write32(&v, VIRTIO_MMIO_QUEUE_READY, 1);
	ck_assert_uint_eq(peek(VIRTIO_MMIO_QUEUE_READY, 4), 0);
}
END_TEST

START_TEST(interrupt_status_and_ack)
{
	struct driver_buf b;

	ck_assert(vdriver_start(&v, ALL_FEATURES, 1, 16));
	b = (struct driver_buf){ v.queue[0].arena, 4, true };
	driver_add(&v.queue[0].ring, &b, 1, 0);
	vdriver_kick(&v, 0);
	testbed_settle(&tb);
	ck_assert_uint_eq(vdriver_irqs(&v), 1);
	ck_assert_uint_eq(peek(VIRTIO_MMIO_INTERRUPT_STATUS, 4), VIRTIO_MMIO_INT_VRING);
	virtio_config_changed(&echo.vdev);
	ck_assert_uint_eq(vdriver_irqs(&v), 1);
	ck_assert_uint_eq(peek(VIRTIO_MMIO_INTERRUPT_STATUS, 4),
			  VIRTIO_MMIO_INT_VRING | VIRTIO_MMIO_INT_CONFIG);
	vdriver_write32(&v, VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_MMIO_INT_VRING);
	ck_assert_uint_eq(peek(VIRTIO_MMIO_INTERRUPT_STATUS, 4), VIRTIO_MMIO_INT_CONFIG);
	vdriver_reset(&v);
	ck_assert_uint_eq(peek(VIRTIO_MMIO_INTERRUPT_STATUS, 4), 0);
}
END_TEST

START_TEST(kick_of_no_queue)
{
	ck_assert(vdriver_start(&v, ALL_FEATURES, 2, 16));
	testbed_settle(&tb);
	atomic_store(&echo.kicks, 0);
	vdriver_notify(&v, ECHO_QUEUES);
	vdriver_notify(&v, 0x80000000);
	poke(VIRTIO_MMIO_QUEUE_NOTIFY, 0, 2);
	vdriver_notify(&v, 3); /* it exists, but is not in service */
	testbed_settle(&tb);
	ck_assert_uint_eq(echo.kicks, 0);
	vdriver_notify(&v, 1);
	testbed_settle(&tb);
	ck_assert_uint_eq(echo.kicks, 1);
}
END_TEST

START_TEST(live_queue_is_disabled)
{
	ck_assert(vdriver_start(&v, ALL_FEATURES, 2, 16));
	check_echo(1);
	vdriver_write32(&v, VIRTIO_MMIO_QUEUE_SEL, 1);
	vdriver_write32(&v, VIRTIO_MMIO_QUEUE_READY, 0);
	ck_assert_uint_eq(peek(VIRTIO_MMIO_QUEUE_READY, 4), 0);
	ck_assert(!vq_started(&echo.vdev.vq[1]));
	check_echo(0);
	vdriver_write32(&v, VIRTIO_MMIO_QUEUE_READY, 1); /* not before a reset */
	ck_assert_uint_eq(peek(VIRTIO_MMIO_QUEUE_READY, 4), 0);
}
END_TEST

/* Whatever the device has come to: after a reset it works. */
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
	vdriver_write32(&v, VIRTIO_MMIO_QUEUE_SEL, 2);
	vdriver_write32(&v, VIRTIO_MMIO_QUEUE_READY, 0);
	vdriver_write32(&v, VIRTIO_MMIO_QUEUE_NUM, 3);
	vdriver_write32(&v, VIRTIO_MMIO_QUEUE_READY, 1);
	vdriver_write32(&v, VIRTIO_MMIO_STATUS, OK | VIRTIO_CONFIG_S_DRIVER_OK);
	ck_assert_uint_eq(vdriver_status(&v),
			  OK | VIRTIO_CONFIG_S_DRIVER_OK | VIRTIO_CONFIG_S_NEEDS_RESET);
	ck_assert_uint_eq(vdriver_wait(&v, 1000), VDRIVER_INT_CONFIG);
	ck_assert(!vq_started(&echo.vdev.vq[0]));
	check_revival();
}
END_TEST

/* Random accesses to registers, some with a right value, among them DRIVER_OK and kicks. */
START_TEST(hostile_registers)
{
	static const uint32_t values[] = { 0, 1, 2, 3, 0xb, 0xf, 16, 64, 0x1000, 0x2000, 0x3000,
					   0x7ff000, 0xffffffff };
	uint32_t seed = 333 + _i;
	unsigned round, i;

	for (round = 0; round < 100; round++) {
		for (i = 0; i < 200; i++) {
			unsigned off = driver_random(&seed) % 0x110;
			unsigned len = 1 + driver_random(&seed) % 8;
			uint64_t value = driver_random(&seed);

			if (driver_random(&seed) % 4) {
				off = off % 0xc0 & ~3u;
				len = 4;
				value = values[driver_random(&seed) % ARRAY_SIZE(values)];
			}
			if (driver_random(&seed) % 4)
				poke(off, value, len);
			else
				peek(off, len);
		}
		check_revival();
	}
}
END_TEST

/* What a back end outside of the process writes to becomes InterruptStatus, then an interrupt. */
START_TEST(relay)
{
	int call;

	ck_assert(vdriver_start(&v, ALL_FEATURES, 2, 16));
	testbed_settle(&tb);
	vdriver_irqs(&v);
	call = virtio_mmio.call_fd(&echo.vdev, 0);
	ck_assert_int_ge(call, 0);
	ck_assert_int_eq(virtio_mmio.call_fd(&echo.vdev, 1), call);
	ck_assert_uint_eq(vdriver_irqs(&v), 0);
	eventfd_write(call, 1);
	ck_assert_uint_eq(vdriver_wait(&v, 5000), VDRIVER_INT_VRING);
	eventfd_write(call, 1);
	ck_assert_uint_eq(vdriver_wait(&v, 5000), VDRIVER_INT_VRING);
	ck_assert_uint_eq(vdriver_wait(&v, 0), 0);
}
END_TEST

static int nothing(void *arg)
{
	(void)arg;
	return 0;
}

/* A driver that has reset the device hears nothing any more. */
START_TEST(late_relay)
{
	unsigned i;
	int call;

	for (i = 0; i < 200; i++) {
		ck_assert(vdriver_start(&v, ALL_FEATURES, 1, 16));
		call = virtio_mmio.call_fd(&echo.vdev, 0);
		ck_assert_int_ge(call, 0);
		eventfd_write(call, 1);
		vdriver_set_status(&v, 0);
		ck_assert_uint_eq(peek(VIRTIO_MMIO_INTERRUPT_STATUS, 4), 0);
		loop_call(tb.main_loop, nothing, NULL);
		loop_call(tb.main_loop, nothing, NULL);
		ck_assert_uint_eq(peek(VIRTIO_MMIO_INTERRUPT_STATUS, 4), 0);
		vdriver_fini(&v);
		testbed_release(&tb);
		ck_assert(vdriver_probe(&v, &tb, 0));
	}
}
END_TEST

/* All that it has on buses is gone with the device. */
START_TEST(detach)
{
	static struct testbed other;
	static struct echo e;

	testbed_init(&other);
	echo_init(&e, &other, "e0", VIRTIO_ON_MMIO);
	ck_assert_uint_eq(other.mmio.nbells, ECHO_QUEUES);
	ck_assert_int_ge(virtio_mmio.call_fd(&e.vdev, 0), 0);
	echo_fini(&e);
	ck_assert_uint_eq(other.mmio.nbells, 0);
	ck_assert_uint_eq(other.mmio.nranges, 1); /* ECAM */
	ck_assert_int_eq(testbed_irq_fd(&other, TESTBED_INPUT), -1);
	testbed_fini(&other);
}
END_TEST

START_TEST(bus_is_full)
{
	static struct testbed full;
	static struct virtio_device last;
	static struct echo e;
	struct virtio_spec spec = { .name = "e1", .nvq = 1, .queue_size = 8,
				    .transport = VIRTIO_ON_MMIO };
	struct stderr_text err;
	struct mmio_slot slot;
	unsigned i;

	testbed_init(&full);
	for (i = TESTBED_INPUT + 1; i < TESTBED_MSI; i++)
		ck_assert_int_eq(platform_slot_alloc(&full.p, 0x1000, &slot), 0);
	echo_init(&e, &full, "e0", VIRTIO_ON_MMIO);
	spec.class = e.vdev.class;
	stderr_begin(&err);
	ck_assert_int_eq(virtio_make(&last, &full.p, &spec), -ENOSPC);
	ck_assert_str_eq(stderr_end(&err),
			 "lunette: error: e1: no room for another device; at most 19 fit\n");
	virtio_unmake(&last);
	echo_fini(&e);
	testbed_fini(&full);
}
END_TEST

Suite *mmio_suite(void)
{
	Suite *s = suite_create("mmio");
	TCase *tc = unit_case(s, "mmio");

	tcase_add_checked_fixture(tc, echo_set_up_mmio, echo_tear_down);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, identity);
	tcase_add_test(tc, registers_are_32_bits_wide);
	tcase_add_test(tc, read_only_and_unknown_registers);
	tcase_add_test(tc, config_space_of_any_width);
	tcase_add_test(tc, queue_registers);
	tcase_add_test(tc, interrupt_status_and_ack);
	tcase_add_test(tc, kick_of_no_queue);
	tcase_add_test(tc, live_queue_is_disabled);
	tcase_add_test(tc, bad_queue_set_up);
	tcase_add_loop_test(tc, hostile_registers, 0, 2);
	tcase_add_test(tc, relay);
	tcase_add_test(tc, late_relay);
	tcase_add_test(tc, detach);
	tcase_add_test(tc, bus_is_full);
	return s;
}

UNIT_MAIN(mmio_suite)
