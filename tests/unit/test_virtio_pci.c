#include "tests/unit/unit.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <linux/virtio_pci.h>
#include <string.h>
#include <sys/eventfd.h>

#include "tests/lib/echo.h"
#include "tests/lib/vdriver.h"
#include "vmm/core/pci.h"
#include "vmm/core/util.h"

Suite *virtio_pci_suite(void);

#define ACK_DRIVER (VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER)
#define OK (ACK_DRIVER | VIRTIO_CONFIG_S_FEATURES_OK)
#define ALL_FEATURES UINT64_MAX
#define NO_VECTOR VIRTIO_MSI_NO_VECTOR

static struct testbed tb;
static struct echo echo;
static struct vdriver v;

static void set_up(void)
{
	log_set_level(LOG_ERR);
	testbed_init(&tb);
	echo_init(&echo, &tb, "e0", VIRTIO_ON_PCI);
	testbed_start(&tb);
	ck_assert(vdriver_probe(&v, &tb, 0));
}

static void tear_down(void)
{
	vdriver_fini(&v);
	echo_fini(&echo);
	ck_assert_uint_eq(tb.mmio.nbells, 0);
	ck_assert_uint_eq(tb.mmio.nranges, 1); /* ECAM */
	testbed_fini(&tb);
}

/* Registers of the common configuration. */
static uint64_t load(unsigned reg, unsigned len)
{
	return vdriver_peek(&v, v.common + reg, len);
}

static void store(unsigned reg, uint64_t value, unsigned len)
{
	vdriver_poke(&v, v.common + reg, value, len);
}

static void select_queue(unsigned q)
{
	store(VIRTIO_PCI_COMMON_Q_SELECT, q, 2);
}

static void features_ok(void)
{
	store(VIRTIO_PCI_COMMON_GFSELECT, 1, 4);
	store(VIRTIO_PCI_COMMON_GF, 1, 4);
	vdriver_set_status(&v, OK);
	ck_assert_uint_eq(vdriver_status(&v), OK);
}

static void check_echo(unsigned q)
{
	char sent[] = "hello, device", got[sizeof(sent)] = { 0 };
	struct iovec out = { sent, sizeof(sent) }, in = { got, sizeof(got) };

	ck_assert_int_eq(vdriver_request(&v, q, &out, 1, &in, 1, 5000), sizeof(sent));
	ck_assert_str_eq(got, sent);
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

/* Vectors. */

START_TEST(vector_registers)
{
	static const uint16_t wrong[] = { ECHO_QUEUES + 1, 0x7ff, 0xfffe, 0xffff };
	unsigned i;

	select_queue(1);
	ck_assert_uint_eq(load(VIRTIO_PCI_COMMON_MSIX, 2), NO_VECTOR);
	ck_assert_uint_eq(load(VIRTIO_PCI_COMMON_Q_MSIX, 2), NO_VECTOR);
	for (i = 0; i < ARRAY_SIZE(wrong); i++) {
		store(VIRTIO_PCI_COMMON_MSIX, ECHO_QUEUES, 2);
		store(VIRTIO_PCI_COMMON_Q_MSIX, 0, 2);
		ck_assert_uint_eq(load(VIRTIO_PCI_COMMON_MSIX, 2), ECHO_QUEUES);
		ck_assert_uint_eq(load(VIRTIO_PCI_COMMON_Q_MSIX, 2), 0);
		store(VIRTIO_PCI_COMMON_MSIX, wrong[i], 2);
		store(VIRTIO_PCI_COMMON_Q_MSIX, wrong[i], 2);
		ck_assert_uint_eq(load(VIRTIO_PCI_COMMON_MSIX, 2), NO_VECTOR);
		ck_assert_uint_eq(load(VIRTIO_PCI_COMMON_Q_MSIX, 2), NO_VECTOR);
	}
	store(VIRTIO_PCI_COMMON_MSIX, 1, 2);
	store(VIRTIO_PCI_COMMON_Q_MSIX, 1, 2);
	vdriver_reset(&v);
	ck_assert_uint_eq(load(VIRTIO_PCI_COMMON_MSIX, 2), NO_VECTOR);
	ck_assert_uint_eq(load(VIRTIO_PCI_COMMON_Q_MSIX, 2), NO_VECTOR);
	/* A status that is refused is no reset, though it leaves 0. */
	store(VIRTIO_PCI_COMMON_MSIX, 1, 2);
	vdriver_set_status(&v, VIRTIO_CONFIG_S_DRIVER);
	ck_assert_uint_eq(vdriver_status(&v), 0);
	ck_assert_uint_eq(load(VIRTIO_PCI_COMMON_MSIX, 2), 1);
	vdriver_reset(&v);
	ck_assert_uint_eq(load(VIRTIO_PCI_COMMON_MSIX, 2), NO_VECTOR);
	ck_assert_uint_eq(load(VIRTIO_PCI_COMMON_Q_MSIX, 2), NO_VECTOR);
}
END_TEST

/* One request on queue @q that wants an interrupt; it has been served. */
static void serve_one(unsigned q)
{
	struct driver_buf b = { v.queue[q].arena, 4, true };
	uint16_t head;
	uint32_t len;

	driver_rearm(&v.queue[q].ring);
	driver_add(&v.queue[q].ring, &b, 1, 0);
	vdriver_kick(&v, q);
	testbed_settle(&tb);
	ck_assert(driver_used(&v.queue[q].ring, &head, &len));
}

static void start(void)
{
	ck_assert(vdriver_start(&v, ALL_FEATURES, ECHO_QUEUES, 16));
	testbed_settle(&tb);
	vdriver_irqs(&v);
}

/* Which of our vectors have fired, as bits. */
static unsigned fired(void)
{
	unsigned i, bits = 0;

	for (i = 0; i < v.ngsis; i++) {
		uint64_t n = testbed_irqs(&tb, v.gsi[i]);

		ck_assert_uint_le(n, 1);
		bits |= n << i;
	}
	return bits;
}

START_TEST(vector_for_each)
{
	unsigned q;

	start();
	for (q = 0; q < ECHO_QUEUES; q++) {
		serve_one(q);
		ck_assert_uint_eq(fired(), 2u << q);
	}
	virtio_config_changed(&echo.vdev);
	ck_assert_uint_eq(fired(), 1);
}
END_TEST

/* After DRIVER_OK too: to another one, to one that others have, to none, and back. */
START_TEST(vector_changes)
{
	unsigned starts;

	start();
	starts = echo.starts;
	select_queue(1);
	store(VIRTIO_PCI_COMMON_Q_MSIX, 4, 2);
	ck_assert_uint_eq(echo.starts, starts + ECHO_QUEUES); /* the back end has been told */
	serve_one(1);
	ck_assert_uint_eq(fired() & ~1u, 1 << 4);
	serve_one(3);
	ck_assert_uint_eq(fired(), 1 << 4);
	store(VIRTIO_PCI_COMMON_Q_MSIX, NO_VECTOR, 2);
	fired();
	serve_one(1);
	ck_assert_uint_eq(fired(), 0);
	store(VIRTIO_PCI_COMMON_Q_MSIX, 2, 2);
	fired();
	serve_one(1);
	ck_assert_uint_eq(fired(), 1 << 2);
	store(VIRTIO_PCI_COMMON_MSIX, 2, 2);
	virtio_config_changed(&echo.vdev);
	ck_assert_uint_eq(fired(), 1 << 2);
	starts = echo.starts;
	store(VIRTIO_PCI_COMMON_Q_MSIX, 2, 2); /* the same again */
	ck_assert_uint_eq(echo.starts, starts);
	ck_assert_uint_eq(vdriver_status(&v), OK | VIRTIO_CONFIG_S_DRIVER_OK);
}
END_TEST

START_TEST(call_fd_is_the_vector)
{
	struct virtio_device *vdev = &echo.vdev;
	int deaf;

	start();
	ck_assert_int_eq(virtio_pci.call_fd(vdev, 2), testbed_irq_fd(&tb, v.gsi[3]));
	select_queue(2);
	store(VIRTIO_PCI_COMMON_Q_MSIX, 1, 2);
	ck_assert_int_eq(virtio_pci.call_fd(vdev, 2), testbed_irq_fd(&tb, v.gsi[1]));
	store(VIRTIO_PCI_COMMON_Q_MSIX, NO_VECTOR, 2);
	deaf = virtio_pci.call_fd(vdev, 2);
	fired();
	ck_assert_int_eq(eventfd_write(deaf, 1), 0);
	ck_assert_uint_eq(fired(), 0);
}
END_TEST

START_TEST(masked_vector_waits)
{
	uint64_t control, pba;

	start();
	control = vdriver_pci_vector(&v, 2) + PCI_MSIX_ENTRY_VECTOR_CTRL;
	pba = v.base + vdriver_pci_read(&v, v.msix + PCI_MSIX_PBA, 4);
	vdriver_poke(&v, control, 1, 4);
	serve_one(1);
	ck_assert_uint_eq(fired(), 0);
	ck_assert_uint_eq(vdriver_peek(&v, pba, 8), 1 << 2);
	vdriver_poke(&v, control, 0, 4);
	ck_assert_uint_eq(fired(), 1 << 2);
	ck_assert_uint_eq(vdriver_peek(&v, pba, 8), 0);
}
END_TEST

static uint8_t isr(void)
{
	return vdriver_peek(&v, v.isr, 1);
}

static uint8_t interrupt_status(void)
{
	return vdriver_pci_read(&v, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT;
}

/* §4.1.4.5.1: with MSI-X, only configuration changes are there; reading takes them away. */
START_TEST(isr_with_msix)
{
	start();
	serve_one(0);
	ck_assert_uint_eq(isr(), 0);
	virtio_config_changed(&echo.vdev);
	ck_assert_uint_eq(interrupt_status(), 0);
	ck_assert_uint_eq(isr(), VIRTIO_PCI_ISR_CONFIG);
	ck_assert_uint_eq(isr(), 0);
}
END_TEST

START_TEST(isr_without_msix)
{
	start();
	vdriver_pci_write(&v, v.msix + PCI_MSIX_FLAGS, 0, 2);
	serve_one(0);
	ck_assert_uint_eq(interrupt_status(), PCI_STATUS_INTERRUPT);
	ck_assert_uint_eq(vdriver_pci_read(&v, PCI_STATUS, 1),
			  PCI_STATUS_CAP_LIST | PCI_STATUS_INTERRUPT);
	virtio_config_changed(&echo.vdev);
	ck_assert_uint_eq(isr(), 1 | VIRTIO_PCI_ISR_CONFIG);
	ck_assert_uint_eq(interrupt_status(), 0);
	serve_one(0);
	vdriver_reset(&v);
	ck_assert_uint_eq(isr(), 0);
	/* No interrupt was kept for later. */
	vdriver_pci_write(&v, v.msix + PCI_MSIX_FLAGS, PCI_MSIX_FLAGS_ENABLE, 2);
	ck_assert_uint_eq(vdriver_irqs(&v), 0);
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

/* While requests run; and with the BAR nowhere, the device goes on with what it has. */
START_TEST(bar_moves_in_service)
{
	uint64_t to = TESTBED_BARS_END - 0x10000;
	unsigned q;

	start();
	check_echo(1);
	v.common += to - v.base;
	v.notify += to - v.base;
	v.config += to - v.base;
	v.isr += to - v.base;
	v.base = to;
	vdriver_pci_write(&v, PCI_BASE_ADDRESS_0, to, 4);
	for (q = 0; q < ECHO_QUEUES; q++)
		check_echo(q);
	vdriver_pci_write(&v, PCI_COMMAND, PCI_COMMAND_MASTER, 2);
	ck_assert_uint_eq(vdriver_peek(&v, v.common, 4), 0xffffffff);
	virtio_config_changed(&echo.vdev);
	ck_assert_uint_eq(fired() & 1, 1);
	vdriver_pci_write(&v, PCI_COMMAND, PCI_COMMAND_MASTER | PCI_COMMAND_MEMORY, 2);
	check_echo(2);
}
END_TEST

/* The window. */

static void aim(uint8_t bar, uint64_t at, uint32_t len)
{
	vdriver_pci_write(&v, v.window + VIRTIO_PCI_CAP_BAR, bar, 1);
	vdriver_pci_write(&v, v.window + VIRTIO_PCI_CAP_OFFSET, at, 4);
	vdriver_pci_write(&v, v.window + VIRTIO_PCI_CAP_LENGTH, len, 4);
}

#define WINDOW_DATA (v.window + sizeof(struct virtio_pci_cap))

static uint32_t window_get(uint64_t addr, unsigned len)
{
	aim(0, addr - v.base, len);
	return vdriver_pci_read(&v, WINDOW_DATA, len);
}

static void window_put(uint64_t addr, uint32_t value, unsigned len)
{
	aim(0, addr - v.base, len);
	vdriver_pci_write(&v, WINDOW_DATA, value, len);
}

/* §4.1.4.9: with the BAR not even decoded. */
START_TEST(window)
{
	start();
	vdriver_pci_write(&v, PCI_COMMAND, 0, 2);
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

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, identity);
	tcase_add_test(tc, capabilities);
	tcase_add_test(tc, features_by_halves);
	tcase_add_test(tc, natural_widths);
	tcase_add_test(tc, queue_registers);
	tcase_add_loop_test(tc, no_such_queue, 0, 2);
	tcase_add_test(tc, config_space_of_any_width);
	tcase_add_test(tc, vector_registers);
	tcase_add_test(tc, vector_for_each);
	tcase_add_test(tc, vector_changes);
	tcase_add_test(tc, call_fd_is_the_vector);
	tcase_add_test(tc, masked_vector_waits);
	tcase_add_test(tc, isr_with_msix);
	tcase_add_test(tc, isr_without_msix);
	tcase_add_test(tc, doorbell_of_any_width);
	tcase_add_test(tc, bar_moves_in_service);
	tcase_add_test(tc, window);
	tcase_add_loop_test(tc, window_to_nowhere, 0, ARRAY_SIZE(nowhere));
	tcase_add_test(tc, bad_queue_set_up);
	tcase_add_loop_test(tc, hostile_accesses, 0, 2);
	tcase_add_test(tc, two_devices);
	return s;
}

UNIT_MAIN(virtio_pci_suite)
