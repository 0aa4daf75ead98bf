/* SPDX-License-Identifier: MIT */
/* Registers, config space and ports (virtio 1.3 §2.1, §3.1, §4.2, §5.6.4). */
#include "tests/hostile/misdeeds.h"
#include "tests/hostile/pci.h"

/* PCI's registers of queues have 16 bits. */
static bool fits(uint32_t value)
{
	return !pci.home || value <= UINT16_MAX;
}

static const char *bad_ring_addresses(void)
{
	static const uint64_t bad[] = { RAM_END, RAM_END - 64, 1, 3, WINDOW, 0xfee00000, 0xffffffff,
					0x8000000000000000, 0xfffffffffffff000,
					0xfffffffffffffff0, 0xffffffffffffffff };
	uint64_t at[3];
	unsigned i, k;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		for (k = 0; k < 3; k++) {
			reset();
			negotiate(BASIC);
			at[0] = (uintptr_t)queue[REQUEST].desc;
			at[1] = (uintptr_t)&queue[REQUEST].avail;
			at[2] = (uintptr_t)&queue[REQUEST].used;
			at[k] = bad[i];
			set_queue(REQUEST, QUEUE_MAX, at[0], at[1], at[2]);
			set_reg(VIRTIO_MMIO_STATUS, 15);
			if (!is_broken())
				return "a ring at a bad address is taken";
		}
	}
	return NULL;
}

static const char *bad_queue_sizes(void)
{
	static const uint32_t bad[] = { 0, 3, 255, 257, 512, 32768, 65535, 65536, 65792, 0x80000000,
					0xffffffff };
	unsigned i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (!fits(bad[i]))
			continue;
		reset();
		negotiate(BASIC);
		set_queue(REQUEST, bad[i], (uintptr_t)queue[REQUEST].desc,
			  (uintptr_t)&queue[REQUEST].avail, (uintptr_t)&queue[REQUEST].used);
		set_reg(VIRTIO_MMIO_STATUS, 15);
		if (!is_broken())
			return "a bad queue size is taken";
	}
	return NULL;
}

/* Rings at address 0, where memory is. */
static const char *enable_before_addresses(void)
{
	reset();
	negotiate(BASIC);
	set_reg(VIRTIO_MMIO_QUEUE_SEL, REQUEST);
	set_reg(VIRTIO_MMIO_QUEUE_READY, 1);
	set_reg(VIRTIO_MMIO_STATUS, 15);
	kick(REQUEST);
	return NULL;
}

static const char *change_while_in_service(void)
{
	static const uint8_t test_unit_ready[6];

	set_queue(REQUEST, 3, RAM_END, WINDOW, 1);
	set_reg(VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
	set_reg(VIRTIO_MMIO_DRIVER_FEATURES, 0);
	return run(0, test_unit_ready, 6, false, 0, 0) ? NULL : "registers are not locked";
}

static const char *queues_that_are_not_there(void)
{
	static const uint32_t select[] = { QUEUES, 64, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff };
	unsigned i;

	for (i = 0; i < sizeof(select) / sizeof(select[0]); i++) {
		if (!fits(select[i]))
			continue;
		set_queue(select[i], 256, 0x100000, 0x200000, 0x300000);
		set_reg(VIRTIO_MMIO_QUEUE_READY, 0);
		set_reg(VIRTIO_MMIO_QUEUE_NOTIFY, select[i]);
		if (reg(VIRTIO_MMIO_QUEUE_NUM_MAX) || reg(VIRTIO_MMIO_QUEUE_READY))
			return "there is one";
	}
	return NULL;
}

/* §3.1: features and status bits out of order, too many, or taken back. */
static const char *status_out_of_order(void)
{
	static const uint32_t first[] = { 4, 8, 12, 15, 64, 0x7f, 0xff, 0x100, 0xffffff00,
					  0xffffffff };
	unsigned i;

	for (i = 0; i < sizeof(first) / sizeof(first[0]); i++) {
		reset();
		set_reg(VIRTIO_MMIO_STATUS, first[i]);
		set_reg(VIRTIO_MMIO_STATUS, 15);
		kick(REQUEST);
		set_reg(VIRTIO_MMIO_STATUS, 1);
		set_reg(VIRTIO_MMIO_STATUS, 11);
	}
	reset();
	if (negotiate(0))
		return "features without VERSION_1 are taken";
	reset();
	if (negotiate(UINT64_MAX))
		return "features that were not offered are taken";
	set_reg(VIRTIO_MMIO_STATUS, 15);
	return reg(VIRTIO_MMIO_STATUS) & 4 ? "DRIVER_OK without FEATURES_OK" : NULL;
}

static const char *kick_before_driver_ok(void)
{
	static const uint8_t test_unit_ready[6];
	unsigned q;

	reset();
	negotiate(BASIC);
	for (q = 0; q < QUEUES; q++)
		set_queue(q, QUEUE_MAX, (uintptr_t)queue[q].desc, (uintptr_t)&queue[q].avail,
			  (uintptr_t)&queue[q].used);
	prepare(0, 0, test_unit_ready, 6, false, 0, 0);
	offer(REQUEST, 0);
	kick(REQUEST);
	for (q = 0; q < 1000000; q++)
		__asm__ volatile("pause");
	if (queue[REQUEST].used.idx)
		return "a request is served before DRIVER_OK";
	set_reg(VIRTIO_MMIO_STATUS, 15);
	return wait_used(REQUEST, NULL) ? NULL : "the early kick is lost";
}

static const char *config_space(void)
{
	volatile uint32_t *sense_size = (void *)(config + 20), *cdb_size = sense_size + 1;
	static const uint32_t bad[] = { 97, 255, 256, 65536, 0x7fffffff, 0x80000000, 0xffffffff };
	unsigned i;

	reset();
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		*sense_size = bad[i];
		*cdb_size = bad[i];
		if (*sense_size != 96 || *cdb_size != 32)
			return "a size that cannot be is taken";
	}
	for (i = 0; i < 0xf00; i += i < 0x40 ? 1 : 37) {
		config[i] = i;
		*(volatile uint16_t *)(config + (i & 0xffe)) = 0xffff;
		*(volatile uint32_t *)(config + (i & 0xffc)) = 0xffffffff;
		*(volatile uint64_t *)(config + (i & 0xff8)) = UINT64_MAX;
	}
	if (*sense_size > 96 || *cdb_size > 32)
		return "a size that cannot be is taken in pieces";
	reset();
	return *sense_size == 96 && *cdb_size == 32 ? NULL : "a reset does not restore the sizes";
}

/* Every register, in every width, aligned or not, with everything. */
static const char *registers_at_random(void)
{
	unsigned i, off;

	for (i = 0; i < 10000; i++) {
		off = random32() % 0x140;
		switch (random32() % 8) {
		case 0: device[off] = random32(); break;
		case 1: *(volatile uint16_t *)(device + off) = random32(); break;
		case 2: *(volatile uint64_t *)(device + off) = random32(); break;
		case 3: (void)device[off]; break;
		case 4: (void)*(volatile uint64_t *)(device + off); break;
		case 5: set_reg(off & ~3u, random32() % 16); break;
		case 6: set_reg(VIRTIO_MMIO_STATUS, 1 << random32() % 9); break;
		default: set_reg(off & ~3u, random32());
		}
	}
	return NULL;
}

static const char *kick_storm(void)
{
	static const uint8_t test_unit_ready[6];
	unsigned i;

	for (i = 0; i < 20000; i++)
		kick(i % QUEUES);
	return run(0, test_unit_ready, 6, false, 0, 0) ? NULL : "no answer in a storm of kicks";
}

static const char *reset_storm(void)
{
	unsigned i;

	for (i = 0; i < 300; i++) {
		set_reg(VIRTIO_MMIO_STATUS, 0);
		negotiate(EVERYTHING);
		set_queue(REQUEST, QUEUE_MAX, (uintptr_t)queue[REQUEST].desc,
			  (uintptr_t)&queue[REQUEST].avail, (uintptr_t)&queue[REQUEST].used);
		set_reg(VIRTIO_MMIO_STATUS, 15);
		kick(REQUEST);
		set_reg(VIRTIO_MMIO_QUEUE_SEL, REQUEST);
		set_reg(VIRTIO_MMIO_QUEUE_READY, 0);
	}
	return NULL;
}

/* All but the serial port's data, and the ports that end the run. */
static const char *ports(void)
{
	uint32_t value = 0x5a5a5a5a;
	unsigned port;

	for (port = 0; port < 0x700; port++) {
		if ((port >= 0x3f5 && port <= 0x3f8) || (port >= 0x502 && port <= 0x505) ||
		    (port >= 0x5fd && port <= 0x603))
			continue;
		__asm__ volatile("outb %b0, %w1; outw %w0, %w1; outl %0, %w1"
				 : : "a"(value), "d"(port));
		__asm__ volatile("inb %w1, %b0; inw %w1, %w0; inl %w1, %0"
				 : "=a"(value) : "d"(port));
	}
	out8(0x3fb, 3); /* no divisor latch, no loop back: the serial port as it was */
	out8(0x3fc, 0);
	out8(0x3f9, 0);
	return NULL;
}

/* Strings to and from the serial port's and other devices' ports. */
static const char *port_strings(void)
{
	static const uint16_t ports[] = { 0x70, 0x71, 0x3f9, 0x3ff, 0x2f8, 0x604 };
	unsigned i, count;
	void *at;

	for (i = 0; i < sizeof(ports) / sizeof(ports[0]); i++) {
		at = data;
		count = 1000;
		__asm__ volatile("rep insb" : "+D"(at), "+c"(count) : "d"(ports[i]) : "memory");
		at = data;
		count = 1000;
		__asm__ volatile("rep outsw" : "+S"(at), "+c"(count) : "d"(ports[i]) : "memory");
	}
	out8(0x3f9, 0);
	return NULL;
}

const struct misdeed register_misdeeds[] = {
	{ "bad ring addresses", bad_ring_addresses },
	{ "bad queue sizes", bad_queue_sizes },
	{ "enable before addresses", enable_before_addresses },
	{ "change while in service", change_while_in_service },
	{ "queues that are not there", queues_that_are_not_there },
	{ "status out of order", status_out_of_order },
	{ "kick before DRIVER_OK", kick_before_driver_ok },
	{ "config space", config_space },
	{ "registers at random", registers_at_random },
	{ "kick storm", kick_storm },
	{ "reset storm", reset_storm },
	{ "ports", ports },
	{ "strings to ports", port_strings },
	{ 0 }
};
