#include "tests/unit/unit.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "tests/lib/driver.h"
#include "tests/lib/stderr.h"
#include "tests/lib/testbed.h"
#include "vmm/core/pci.h"
#include "vmm/core/util.h"

Suite *pci_suite(void);

#define BAR_SIZE 0x4000u
#define TABLE 0x2000u
#define PBA 0x3000u
#define BELL 0x1000u
#define VECTORS 70 /* two words of pending bits */
#define MSI 0xfee01000ull

/* A function with memory in its BAR and a doorbell. */
struct toy {
	struct pci_function f;
	atomic_uint readings, writtens;
	pthread_mutex_t lock; /* of what follows */
	uint8_t bytes[BAR_SIZE];
	unsigned reads, writes;
	uint64_t off;
	struct pci_bell bell;
};

static struct testbed tb;
static struct toy toys[2];
static struct stderr_text said;

static void toy_read(struct pci_function *f, uint64_t off, void *data, unsigned len)
{
	struct toy *t = container_of(f, struct toy, f);

	pthread_mutex_lock(&t->lock);
	memcpy(data, t->bytes + off, len);
	t->reads++;
	t->off = off;
	pthread_mutex_unlock(&t->lock);
}

static void toy_write(struct pci_function *f, uint64_t off, const void *data, unsigned len)
{
	struct toy *t = container_of(f, struct toy, f);

	pthread_mutex_lock(&t->lock);
	memcpy(t->bytes + off, data, len);
	t->writes++;
	t->off = off;
	pthread_mutex_unlock(&t->lock);
}

static void toy_reading(struct pci_function *f, unsigned off, unsigned len)
{
	(void)off;
	(void)len;
	atomic_fetch_add(&container_of(f, struct toy, f)->readings, 1);
}

static void toy_written(struct pci_function *f, unsigned off, unsigned len)
{
	(void)off;
	(void)len;
	atomic_fetch_add(&container_of(f, struct toy, f)->writtens, 1);
}

static const struct pci_ops toy_ops = { toy_read, toy_write, toy_reading, toy_written };
static const struct pci_ids toy_ids = { .vendor = 0x1234, .device = 0x5678, .sub_vendor = 0x9abc,
					.sub_device = 0xdef0, .class = 0x112233, .revision = 0x44 };

static int toy_init(struct toy *t)
{
	memset(t, 0, sizeof(*t));
	pthread_mutex_init(&t->lock, NULL);
	t->bell = (struct pci_bell){ BELL, eventfd(0, EFD_NONBLOCK) };
	pci_function_init(&t->f, "toy", &toy_ids, &toy_ops);
	t->f.bar_size = BAR_SIZE;
	t->f.bell = &t->bell;
	t->f.nbells = 1;
	t->f.nvectors = VECTORS;
	t->f.table = TABLE;
	t->f.pba = PBA;
	return pci_attach(tb.p.pci, &t->f);
}

static void set_up(void)
{
	testbed_init(&tb);
	ck_assert_int_eq(toy_init(&toys[0]), 0);
	ck_assert_int_eq(toy_init(&toys[1]), 0);
}

static void tear_down(void)
{
	unsigned i;

	for (i = 0; i < 2; i++) {
		pci_detach(&toys[i].f);
		close(toys[i].bell.fd);
	}
	ck_assert_uint_eq(tb.mmio.nbells, 0);
	testbed_fini(&tb);
}

/* Config space of a toy: toys[0] is in slot 1, behind the host bridge. */
static uint32_t get(unsigned toy, unsigned off, unsigned len)
{
	uint8_t raw[8] = { 0 };

	pci_config_read(tb.p.pci, 8 * (toy + 1), off, raw, len);
	return le32_get(raw);
}

static void put(unsigned toy, unsigned off, uint32_t value, unsigned len)
{
	uint8_t raw[4];

	le32_put(raw, value);
	pci_config_write(tb.p.pci, 8 * (toy + 1), off, raw, len);
}

static uint64_t peek(uint64_t addr, unsigned len)
{
	uint8_t raw[8] = { 0 };

	bus_read(&tb.mmio, addr, raw, len);
	return le64_get(raw);
}

static void poke(uint64_t addr, uint64_t value, unsigned len)
{
	uint8_t raw[8];

	le64_put(raw, value);
	bus_write(&tb.mmio, addr, raw, len);
}

static uint32_t bar(unsigned toy)
{
	return get(toy, PCI_BASE_ADDRESS_0, 4);
}

static void decode(unsigned toy, bool on)
{
	put(toy, PCI_COMMAND, on ? PCI_COMMAND_MEMORY : 0, 2);
}

static bool is_there(unsigned toy, uint64_t at)
{
	unsigned before = toys[toy].reads;

	peek(at + 0x123, 1);
	return toys[toy].reads == before + 1 && toys[toy].off == 0x123;
}

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

/* A doorbell that the host has no room for works the slow way. */
static int no_room(void *host, const struct ioeventfd *bell, bool add)
{
	(void)host;
	(void)bell;
	return add ? -ENOSPC : 0;
}

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

/* Vectors. */

#define FLAGS (toys[0].f.msix + PCI_MSIX_FLAGS)

static uint64_t entry(unsigned n)
{
	return bar(0) + TABLE + 16ull * n;
}

static void mask(unsigned n, bool masked)
{
	poke(entry(n) + PCI_MSIX_ENTRY_VECTOR_CTRL, masked, 4);
}

static void program(unsigned n, uint32_t data)
{
	poke(entry(n), MSI, 8);
	poke(entry(n) + PCI_MSIX_ENTRY_DATA, data, 4);
}

static void enable(uint16_t more)
{
	decode(0, true);
	put(0, FLAGS, PCI_MSIX_FLAGS_ENABLE | more, 2);
}

static uint64_t fired(unsigned n)
{
	return testbed_irqs(&tb, toys[0].f.vector[n].irq.gsi);
}

static bool bound(unsigned n)
{
	return testbed_irq_fd(&tb, toys[0].f.vector[n].irq.gsi) >= 0;
}

static void raise_vector(unsigned n)
{
	irq_raise(&toys[0].f.vector[n].irq);
}

static bool pending(unsigned n)
{
	return peek(bar(0) + PBA + n / 8, 1) >> n % 8 & 1;
}

START_TEST(msix_capability)
{
	ck_assert_uint_eq(get(0, toys[0].f.msix, 1), PCI_CAP_ID_MSIX);
	ck_assert_uint_eq(get(0, FLAGS, 2), VECTORS - 1);
	ck_assert_uint_eq(get(0, toys[0].f.msix + PCI_MSIX_TABLE, 4), TABLE);
	ck_assert_uint_eq(get(0, toys[0].f.msix + PCI_MSIX_PBA, 4), PBA);
	put(0, FLAGS, 0xffff, 2);
	ck_assert_uint_eq(get(0, FLAGS, 2),
			  PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL | (VECTORS - 1));
	ck_assert(pci_msix_enabled(&toys[0].f));
	put(0, FLAGS + 1, 0, 1);
	ck_assert(!pci_msix_enabled(&toys[0].f));
}
END_TEST

START_TEST(table)
{
	unsigned i;

	decode(0, true);
	for (i = 0; i < VECTORS; i++) {
		ck_assert_uint_eq(peek(entry(i), 8), 0);
		ck_assert_uint_eq(peek(entry(i) + 8, 8), 1ull << 32); /* masked */
	}
	poke(entry(69), 0x1122334455667788, 8);
	poke(entry(69) + 8, 0xffffffff99aabbcc, 8);
	ck_assert_uint_eq(peek(entry(69), 4), 0x55667788);
	ck_assert_uint_eq(peek(entry(69) + 4, 4), 0x11223344);
	ck_assert_uint_eq(peek(entry(69) + 8, 8), 0x199aabbcc); /* one bit of the control */
	/* Other widths are not defined: nothing happens. */
	poke(entry(69), 0, 2);
	poke(entry(69) + 1, 0, 4);
	poke(entry(69) + 4, 0, 8);
	poke(entry(69), 0, 6);
	ck_assert_uint_eq(peek(entry(69), 8), 0x1122334455667788);
	ck_assert_uint_eq(peek(entry(69), 2), 0);
	ck_assert_uint_eq(peek(entry(69), 5), 0);
	/* The table is not the function's business, what is around it is. */
	ck_assert_uint_eq(toys[0].reads + toys[0].writes, 0);
	peek(entry(70), 4);
	peek(entry(0) - 4, 4);
	poke(bar(0) + PBA, ~0ull, 8);
	ck_assert_uint_eq(toys[0].reads, 2);
	ck_assert(!pending(0));
}
END_TEST

START_TEST(vector_fires)
{
	enable(0);
	program(3, 0x4242);
	ck_assert(!bound(3));
	mask(3, false);
	ck_assert(bound(3));
	ck_assert_int_eq(testbed_msi(&tb, MSI, 0x4242), toys[0].f.vector[3].irq.gsi);
	raise_vector(3);
	ck_assert_uint_eq(fired(3), 1);
	ck_assert(!pending(3));
	ck_assert(!bound(2) && !bound(4));
}
END_TEST

static void mask_vector(bool masked)
{
	mask(65, masked);
}

static void mask_function(bool masked)
{
	put(0, FLAGS, PCI_MSIX_FLAGS_ENABLE | (masked ? PCI_MSIX_FLAGS_MASKALL : 0), 2);
}

static void disable_msix(bool disabled)
{
	put(0, FLAGS, disabled ? 0 : PCI_MSIX_FLAGS_ENABLE, 2);
}

static void (*const silence[])(bool) = { mask_vector, mask_function, disable_msix };

/* What is masked waits, is seen to wait, and comes when it may; once. */
START_TEST(pending_bits)
{
	enable(0);
	program(65, 7);
	mask(65, false);
	silence[_i](true);
	ck_assert(!bound(65));
	ck_assert(!pending(65));
	raise_vector(65);
	raise_vector(65);
	ck_assert(pending(65));
	ck_assert_uint_eq(peek(bar(0) + PBA + 8, 8), 2);
	ck_assert_uint_eq(peek(bar(0) + PBA, 8), 0);
	ck_assert_uint_eq(peek(bar(0) + PBA + 8, 4), 2);
	ck_assert_uint_eq(peek(bar(0) + PBA + 12, 4), 0);
	ck_assert_uint_eq(fired(65), 0);
	silence[_i](false);
	ck_assert_uint_gt(fired(65), 0);
	ck_assert(!pending(65));
	silence[_i](true);
	silence[_i](false);
	ck_assert_uint_eq(fired(65), 0);
}
END_TEST

/* Another message for a vector in use: from then on that one, and none is lost. */
START_TEST(message_changes)
{
	uint32_t gsi = toys[0].f.vector[1].irq.gsi;

	enable(0);
	program(1, 1);
	mask(1, false);
	raise_vector(1);
	poke(entry(1) + PCI_MSIX_ENTRY_DATA, 2, 4);
	ck_assert_int_eq(testbed_msi(&tb, MSI, 1), -1);
	ck_assert_int_eq(testbed_msi(&tb, MSI, 2), gsi);
	raise_vector(1);
	ck_assert_uint_eq(fired(1), 2);
	poke(entry(1) + 4, 0xdeadbeef, 4); /* nonsense is the chip's business */
	ck_assert_int_eq(testbed_msi(&tb, MSI | 0xdeadbeefull << 32, 2), gsi);
}
END_TEST

/* A message is routed only when its vector begins to be heard: it costs the host a lot. */
START_TEST(few_routes)
{
	unsigned i;

	enable(PCI_MSIX_FLAGS_MASKALL);
	for (i = 0; i < VECTORS; i++) {
		program(i, i);
		mask(i, false);
	}
	ck_assert_uint_eq(tb.routes, 0);
	enable(0);
	ck_assert_uint_eq(tb.routes, VECTORS);
	put(0, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
	ck_assert_uint_eq(tb.routes, VECTORS);
	for (i = 0; i < VECTORS; i++)
		ck_assert(bound(i));
	put(0, FLAGS, 0, 2);
	for (i = 0; i < VECTORS; i++)
		ck_assert(!bound(i));
}
END_TEST

START_TEST(chip_refuses)
{
	enable(0);
	program(0, 1);
	tb.chip_error = -EBUSY;
	stderr_begin(&said);
	mask(0, false);
	ck_assert_str_eq(stderr_end(&said), "lunette: warning: toy: vector 0 stays silent: "
					    "Device or resource busy\n");
	tb.chip_error = 0;
	raise_vector(0);
	ck_assert(pending(0));
	mask(0, true);
	mask(0, false);
	ck_assert_uint_eq(fired(0), 1);
}
END_TEST

/* Set-up. */

static void check_refused(struct toy *t, const char *line)
{
	stderr_begin(&said);
	ck_assert_int_eq(toy_init(t), -ENOSPC);
	ck_assert_str_eq(stderr_end(&said), line);
	close(t->bell.fd);
}

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
	tc = unit_case(s, "msix");
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, msix_capability);
	tcase_add_test(tc, table);
	tcase_add_test(tc, vector_fires);
	tcase_add_loop_test(tc, pending_bits, 0, ARRAY_SIZE(silence));
	tcase_add_test(tc, message_changes);
	tcase_add_test(tc, few_routes);
	tcase_add_test(tc, chip_refuses);
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
