/* SPDX-License-Identifier: MIT */
/*
 * What a driver may do to a PCI function: its config space, BAR, MSI-X and the window (virtio 1.3
 * §4.1). Messages are never anything but plain interrupts, which wait for a CPU that takes none:
 * one that resets a CPU would end the test.
 */
#include "tests/hostile/misdeeds.h"
#include "tests/hostile/pci.h"

#define LAST_BAR (ECAM - BAR_SIZE)
#define MESSAGE_ADDRESS 0xfee00000u
#define REQUESTS 16

static const uint8_t read_64_kib[10] = { 0x28, [8] = 128 };
static const uint8_t test_unit_ready[6];

static volatile uint32_t *in_bar(uint32_t off)
{
	return (volatile uint32_t *)(uintptr_t)(pci.bar + off);
}

static void submit(void)
{
	unsigned n;

	for (n = 0; n < REQUESTS; n++) {
		prepare(n, 0, read_64_kib, 10, true, (uintptr_t)data + n * 65536, 65536);
		offer(REQUEST, 4 * n);
	}
	kick(REQUEST);
}

static const char *collect(void)
{
	unsigned n;

	for (n = 0; n < REQUESTS; n++)
		if (!wait_used(REQUEST, NULL))
			return "a request is lost";
	return NULL;
}

/* Memory, other devices, config space, interrupt controllers: nobody is taken over. */
static const char *bar_on_others(void)
{
	static const uint32_t places[] = { 0, 0x100000, RAM_END - BAR_SIZE, RAM_END, WINDOW,
					   WINDOW + 0x4000, BAR_WINDOW - BAR_SIZE, ECAM, 0xfec00000,
					   0xfee00000, 0xffffc000 };
	volatile uint32_t *word = (volatile uint32_t *)data;
	unsigned i, k;

	for (i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		pci_move(places[i]);
		if (pci_read(pci.devfn, PCI_BASE_ADDRESS_0, 4) != places[i])
			return "the BAR does not keep its address";
		pci_move((uintptr_t)data & -BAR_SIZE);
		for (k = 0; k < DATA_SIZE / 4; k += 1024)
			word[k] = k + i;
		for (k = 0; k < DATA_SIZE / 4; k += 1024)
			if (word[k] != k + i)
				return "memory is not memory any more";
		pci_move(places[i]);
		if (*(volatile uint16_t *)(ECAM + (pci.devfn << 12)) != 0x1af4)
			return "config space is hidden";
		if (*(volatile uint32_t *)(uintptr_t)pci.home != UINT32_MAX)
			return "the BAR is still where it was";
	}
	pci_move(pci.home);
	return run(0, test_unit_ready, 6, false, 0, 0) ? NULL : "no answer afterwards";
}

/* A doorbell that has moved away is none. */
static const char *bar_moves_in_service(void)
{
	static const uint32_t places[] = { BAR_WINDOW + 0x100000, LAST_BAR, BAR_WINDOW };
	uint32_t old, at;
	unsigned i, k;

	for (i = 0; i < 300; i++) {
		old = pci.bar;
		at = places[i % 3];
		if (i % 2)
			submit();
		pci_write(pci.devfn, PCI_BASE_ADDRESS_0, 4, UINT32_MAX);
		if (pci_read(pci.devfn, PCI_BASE_ADDRESS_0, 4) != -BAR_SIZE)
			return "the size of the BAR is wrong";
		pci_move(at);
		if (i % 2 == 0 && old != at) {
			prepare(0, 0, test_unit_ready, 6, false, 0, 0);
			offer(REQUEST, 0);
			*(volatile uint16_t *)(uintptr_t)(old + pci.notify +
							  REQUEST * pci.multiplier) = REQUEST;
			for (k = 0; k < 2000; k++)
				__asm__ volatile("pause");
			if (queue[REQUEST].used.idx != queue[REQUEST].seen)
				return "a doorbell rings where there is none";
			kick(REQUEST);
			if (!wait_used(REQUEST, NULL))
				return "the doorbell has not moved along";
		} else if (i % 2) {
			const char *why = collect();

			if (why)
				return why;
		}
	}
	return NULL;
}

/* Registers vanish while requests are served; the requests go on. */
static const char *memory_off_in_service(void)
{
	const char *why;
	unsigned i;

	for (i = 0; i < 200; i++) {
		submit();
		pci_write(pci.devfn, PCI_COMMAND, 2, i % 2 ? PCI_COMMAND_MASTER : 0);
		if (*in_bar(0) != UINT32_MAX)
			return "a BAR that is off answers";
		pci_write(pci.devfn, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
		why = collect();
		if (why)
			return why;
	}
	return NULL;
}

/* What is no bus master writes no memory: a kick waits until it is one again. */
static const char *no_master(void)
{
	const char *why;
	unsigned i;

	for (i = 0; i < 100; i++) {
		uint16_t before;
		uint64_t until;

		if (i % 2)
			submit();
		pci_write(pci.devfn, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
		before = queue[REQUEST].used.idx;
		if (i % 2 == 0)
			submit();
		kick(REQUEST);
		for (until = cycles() + 1000000; cycles() < until;)
			if (queue[REQUEST].used.idx != before)
				return "it writes while it may not";
		pci_write(pci.devfn, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
		why = collect();
		if (why)
			return why;
	}
	return NULL;
}

/* A vector's table entry by pieces of any width, but never other than a plain interrupt. */
static void poke_table(uint32_t x)
{
	uint32_t off = x % (4 * PCI_MSIX_ENTRY_SIZE);
	volatile uint32_t *word = in_bar(pci.table + (off & ~3u));

	switch (x >> 28) {
	case 0: (void)*(volatile uint8_t *)in_bar(pci.table + off); break;
	case 1: (void)*(volatile uint64_t *)in_bar(pci.table + off); break;
	case 2: *(volatile uint8_t *)in_bar(pci.table + off) = 0xff; break; /* no such width */
	case 3: *(volatile uint16_t *)in_bar(pci.table + (off & ~1u)) = 0xffff; break;
	case 4: *(volatile uint64_t *)in_bar(pci.table + (off & ~7u) + 4) = UINT64_MAX; break;
	default:
		switch (off & 12) {
		case 0: *word = MESSAGE_ADDRESS | (x >> 8 & 0xff000); break;
		case 4: *word = x >> 27 & 1; break;
		case 8: *word = 0x20 + (x >> 8 & 0x7f); break;
		default: *word = x >> 8 & 0xfffffffd;
		}
	}
}

/* Vectors masked, unmasked and rewritten while they fire. */
static const char *vectors_at_random(void)
{
	const char *why;
	unsigned i, k;

	for (i = 0; i < 100; i++) {
		for (k = 0; k < QUEUES; k++) {
			set_reg(VIRTIO_MMIO_QUEUE_SEL, k);
			*(volatile uint16_t *)(device + VIRTIO_PCI_COMMON_Q_MSIX) = random32() % 5;
		}
		submit();
		for (k = 0; k < 40; k++) {
			poke_table(random32());
			pci_write(pci.devfn, pci.msix + PCI_MSIX_FLAGS, 2, random32() << 14);
		}
		why = collect();
		if (why)
			return why;
	}
	return NULL;
}

/* §4.1.5.1.2.1: one that cannot be had reads back as none. */
static const char *vectors_out_of_range(void)
{
	static const uint16_t bad[] = { 1 + QUEUES, 2 + QUEUES, 0xff, 0x100, 0x7ff, 0x7fff, 0x8000,
					0xfffe, VIRTIO_MSI_NO_VECTOR };
	volatile uint16_t *of_config = (volatile uint16_t *)(device + VIRTIO_PCI_COMMON_MSIX);
	volatile uint16_t *of_queue = (volatile uint16_t *)(device + VIRTIO_PCI_COMMON_Q_MSIX);
	unsigned i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		set_reg(VIRTIO_MMIO_QUEUE_SEL, i % QUEUES);
		*of_config = QUEUES;
		*of_queue = QUEUES;
		if (*of_config != QUEUES || *of_queue != QUEUES)
			return "a vector is refused";
		*of_config = bad[i];
		*of_queue = bad[i];
		if (*of_config != VIRTIO_MSI_NO_VECTOR || *of_queue != VIRTIO_MSI_NO_VECTOR)
			return "a vector that there is not is taken";
		set_reg(VIRTIO_MMIO_QUEUE_SEL, QUEUES + i);
		*of_queue = 1;
	}
	return run(0, test_unit_ready, 6, false, 0, 0) ? NULL : "no answer";
}

static bool is_pending(uint32_t bits)
{
	uint64_t begin = cycles();

	while (*in_bar(pci.pba) != bits)
		if (cycles() - begin > 10000000000ull)
			return false;
	return true;
}

/*
 * All vectors can be sent, and then none, so that interrupts go which earlier misdeeds have left: a
 * reset of the device leaves the function's vectors as they are.
 */
static void empty_vectors(void)
{
	unsigned n = (pci_read(pci.devfn, pci.msix + PCI_MSIX_FLAGS, 2) & PCI_MSIX_FLAGS_QSIZE) + 1;
	volatile uint32_t *entry;

	pci_write(pci.devfn, pci.msix + PCI_MSIX_FLAGS, 2, PCI_MSIX_FLAGS_ENABLE);
	while (n--) {
		entry = in_bar(pci.table + n * PCI_MSIX_ENTRY_SIZE);
		entry[0] = MESSAGE_ADDRESS;
		entry[1] = 0;
		entry[2] = 0x40;
		entry[3] = 0;
		entry[3] = PCI_MSIX_ENTRY_CTRL_MASKBIT;
	}
}

/* An interrupt of a masked vector waits; the bits cannot be written. */
static const char *pending_bits(void)
{
	volatile uint32_t *entry = in_bar(pci.table + PCI_MSIX_ENTRY_SIZE);

	empty_vectors();
	set_reg(VIRTIO_MMIO_QUEUE_SEL, REQUEST);
	*(volatile uint16_t *)(device + VIRTIO_PCI_COMMON_Q_MSIX) = 1;
	if (!is_pending(0))
		return "pending before anything has happened";
	if (!run(0, test_unit_ready, 6, false, 0, 0) || !is_pending(2))
		return "it is not pending";
	*in_bar(pci.pba) = 0;
	*in_bar(pci.pba + 4) = UINT32_MAX;
	if (!is_pending(2) || *in_bar(pci.pba + 4))
		return "the bits can be written";
	pci_write(pci.devfn, pci.msix + PCI_MSIX_FLAGS, 2,
		  PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	entry[3] = 0;
	if (!is_pending(2))
		return "it comes through the mask of all";
	pci_write(pci.devfn, pci.msix + PCI_MSIX_FLAGS, 2, PCI_MSIX_FLAGS_ENABLE);
	return is_pending(0) ? NULL : "it is still pending";
}

/* The window (§4.1.4.9), set to anything; the vectors' table is only read through it. */
static const char *window_to_anywhere(void)
{
	static const uint32_t edges[] = { 0, 0x13, 0x14, 0xffc, 0x3ffc, 0x3fff, 0x4000, 0x7fffffff,
					  0xfffffffc, 0xffffffff };
	unsigned i, width, data_at = pci.window + sizeof(struct virtio_pci_cap);
	uint32_t offset;

	for (i = 0; i < 5000; i++) {
		offset = random32() % 2 ? random32() % 0x4010 : edges[random32() % 10];
		width = 1 << random32() % 3;
		pci_write(pci.devfn, pci.window + VIRTIO_PCI_CAP_BAR, 1,
			  random32() % 4 ? 0 : random32());
		pci_write(pci.devfn, pci.window + VIRTIO_PCI_CAP_OFFSET, 4, offset);
		pci_write(pci.devfn, pci.window + VIRTIO_PCI_CAP_LENGTH, 4,
			  random32() % 4 ? 1u << random32() % 4 : random32());
		if (random32() % 2 && offset - pci.table >= 0x1000)
			pci_write(pci.devfn, data_at + (random32() % 4 & -width), width,
				  random32());
		else
			pci_read(pci.devfn, data_at + (random32() % 4 & -width), width);
	}
	start(BASIC);
	pci_write(pci.devfn, pci.window + VIRTIO_PCI_CAP_BAR, 1, 0);
	pci_write(pci.devfn, pci.window + VIRTIO_PCI_CAP_OFFSET, 4, VIRTIO_PCI_COMMON_STATUS);
	pci_write(pci.devfn, pci.window + VIRTIO_PCI_CAP_LENGTH, 4, 1);
	return pci_read(pci.devfn, data_at, 1) == 15 ? NULL : "the window does not show the status";
}

static bool is_in_window(unsigned off)
{
	return off + 8 > pci.window && off < pci.window + sizeof(struct virtio_pci_cfg_cap);
}

/* Every byte of config space, by ports and in memory, in every width. What is fixed stays. */
static const char *config_space_at_random(void)
{
	volatile uint8_t *ecam = (volatile uint8_t *)(ECAM + (pci.devfn << 12));
	static uint8_t before[256];
	unsigned i, off;

	reset();
	for (i = 0; i < 256; i++)
		before[i] = ecam[i];
	for (i = 0; i < 20000; i++) {
		off = random32() % 256;
		if (is_in_window(off))
			continue;
		switch (random32() % 8) {
		case 0: ecam[off] = random32(); break;
		case 1: *(volatile uint16_t *)(ecam + off) = random32(); break;
		case 2: *(volatile uint32_t *)(ecam + off) = random32(); break;
		case 3: *(volatile uint64_t *)(ecam + off) = random32(); break;
		case 4: (void)*(volatile uint64_t *)(ecam + off + random32() % 0xf00); break;
		case 5: pci_write(pci.devfn, off, 1, random32()); break;
		case 6: pci_write(pci.devfn, off & ~1u, 2, random32()); break;
		default: pci_write(pci.devfn, off & ~3u, 4, random32());
		}
	}
	pci_restore();
	for (i = 0; i < 256; i++)
		if (ecam[i] != before[i] || pci_read(pci.devfn, i, 1) != before[i])
			return "what is fixed has changed";
	return NULL;
}

/* Functions and buses that there are not. */
static const char *nobody(void)
{
	unsigned devfn;

	for (devfn = 0; devfn < 256; devfn++) {
		if (devfn == 0 || devfn == pci.devfn)
			continue;
		pci_write(devfn, PCI_BASE_ADDRESS_0, 4, pci.home);
		pci_write(devfn, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
		if (pci_read(devfn, 0, 4) != UINT32_MAX ||
		    *(volatile uint32_t *)(ECAM + (devfn << 12)) != UINT32_MAX)
			return "somebody is there";
	}
	pci_write(0, PCI_BASE_ADDRESS_0, 4, pci.home); /* the host bridge has no BAR */
	return pci_read(0, PCI_BASE_ADDRESS_0, 4) ? "the host bridge takes an address" : NULL;
}

static const char *doorbells_of_nobody(void)
{
	uint32_t off;

	for (off = 0; off < 0x1000; off += off < 64 ? 1 : 7) {
		*(volatile uint8_t *)in_bar(pci.notify + off) = off;
		*(volatile uint64_t *)in_bar(pci.notify + off) = off;
		if (*in_bar(pci.notify + (off & ~3u)))
			return "a doorbell can be read";
	}
	return run(0, test_unit_ready, 6, false, 0, 0) ? NULL : "no answer";
}

/* The other CPU pokes about in the BAR and where it was, while it goes from place to place. */
static const char *bar_from_two_cpus(void)
{
	static const uint32_t places[] = { BAR_WINDOW, BAR_WINDOW + 0x100000 };
	unsigned i;

	if (!start_second_cpu())
		return "the second CPU does not start";
	for (i = 0; i < 2000; i++) {
		if (i % 100 == 0) {
			rest_second_cpu();
			pci_restore();
			start(BASIC);
			submit();
			second_cpu_does = FUNCTION;
		}
		pci_move(places[random32() % 2]);
		pci_write(pci.devfn, PCI_COMMAND, 2, random32() % 8);
		pci_write(pci.devfn, pci.msix + PCI_MSIX_FLAGS, 2, random32() << 14);
		poke_table(random32());
	}
	rest_second_cpu();
	return NULL;
}

/* What the other CPU does meanwhile. */
void poke_function(uint32_t x)
{
	volatile uint8_t *common = (volatile uint8_t *)in_bar(pci.common);

	switch (x >> 24 & 7) {
	case 0: common[VIRTIO_PCI_COMMON_STATUS] = x & 15; break;
	case 1: *(volatile uint16_t *)(common + VIRTIO_PCI_COMMON_Q_SELECT) = x % 4; break;
	case 2: *(volatile uint16_t *)(common + VIRTIO_PCI_COMMON_Q_MSIX) = x % 6; break;
	case 3: (void)*in_bar(pci.pba + x % 8); break;
	case 4: *(volatile uint16_t *)in_bar(pci.notify + x % 16) = 0; break;
	case 5: (void)pci_read(pci.devfn, x & 0xfc, 4); break;
	default: poke_table(x);
	}
}

const struct misdeed function_misdeeds[] = {
	{ "BAR on others", bar_on_others },
	{ "BAR moves in service", bar_moves_in_service },
	{ "memory off in service", memory_off_in_service },
	{ "no bus master", no_master },
	{ "vectors at random", vectors_at_random },
	{ "vectors out of range", vectors_out_of_range },
	{ "pending bits", pending_bits },
	{ "window to anywhere", window_to_anywhere },
	{ "config space at random", config_space_at_random },
	{ "functions of nobody", nobody },
	{ "doorbells of nobody", doorbells_of_nobody },
	{ "BAR from two CPUs", bar_from_two_cpus },
	{ 0 }
};
