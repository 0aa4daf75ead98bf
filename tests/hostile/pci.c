/* SPDX-License-Identifier: MIT */
#include "tests/hostile/pci.h"

#include "tests/hostile/driver.h"

#define ADDRESS 0xcf8
#define DATA 0xcfc
#define VIRTIO_ON_PCI(id) (0x10401af4 + ((id) << 16)) /* device, vendor */
#define MEMORY_AND_MASTER (PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER)

struct pci pci;

static void out32(uint16_t port, uint32_t value)
{
	__asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

uint32_t pci_read(uint8_t devfn, unsigned off, unsigned len)
{
	uint16_t port = DATA + off % 4;
	uint32_t value = 0;

	out32(ADDRESS, 1u << 31 | devfn << 8 | (off & 0xfc));
	if (len == 1)
		__asm__ volatile("inb %1, %b0" : "+a"(value) : "d"(port));
	else if (len == 2)
		__asm__ volatile("inw %1, %w0" : "+a"(value) : "d"(port));
	else
		__asm__ volatile("inl %1, %0" : "=a"(value) : "d"(port));
	return value;
}

void pci_write(uint8_t devfn, unsigned off, unsigned len, uint32_t value)
{
	uint16_t port = DATA + off % 4;

	out32(ADDRESS, 1u << 31 | devfn << 8 | (off & 0xfc));
	if (len == 1)
		__asm__ volatile("outb %b0, %1" : : "a"(value), "d"(port));
	else if (len == 2)
		__asm__ volatile("outw %w0, %1" : : "a"(value), "d"(port));
	else
		__asm__ volatile("outl %0, %1" : : "a"(value), "d"(port));
}

/* A vendor's capability says where in the BAR one of the structures is (§4.1.4). */
static void take_structure(uint8_t cap)
{
	uint32_t offset = pci_read(pci.devfn, cap + VIRTIO_PCI_CAP_OFFSET, 4);

	switch (pci_read(pci.devfn, cap + VIRTIO_PCI_CAP_CFG_TYPE, 1)) {
	case VIRTIO_PCI_CAP_COMMON_CFG:
		pci.common = offset;
		break;
	case VIRTIO_PCI_CAP_NOTIFY_CFG:
		pci.notify = offset;
		pci.multiplier = pci_read(pci.devfn, cap + VIRTIO_PCI_NOTIFY_CAP_MULT, 4);
		break;
	case VIRTIO_PCI_CAP_DEVICE_CFG:
		pci.config = offset;
		break;
	case VIRTIO_PCI_CAP_PCI_CFG:
		pci.window = cap;
		break;
	}
}

static void take_capabilities(void)
{
	uint8_t cap = pci_read(pci.devfn, PCI_CAPABILITY_LIST, 1);

	for (; cap; cap = pci_read(pci.devfn, cap + PCI_CAP_LIST_NEXT, 1)) {
		switch (pci_read(pci.devfn, cap, 1)) {
		case PCI_CAP_ID_VNDR:
			take_structure(cap);
			break;
		case PCI_CAP_ID_MSIX:
			pci.msix = cap;
			pci.table = pci_read(pci.devfn, cap + PCI_MSIX_TABLE, 4);
			pci.pba = pci_read(pci.devfn, cap + PCI_MSIX_PBA, 4);
			break;
		}
	}
}

bool pci_find(unsigned id)
{
	unsigned devfn;

	for (devfn = 0; devfn < 256; devfn += 8) {
		if (pci_read(devfn, 0, 4) != VIRTIO_ON_PCI(id))
			continue;
		pci.devfn = devfn;
		pci.home = pci_read(devfn, PCI_BASE_ADDRESS_0, 4);
		take_capabilities();
		pci_restore();
		return true;
	}
	return false;
}

void pci_move(uint32_t to)
{
	pci_write(pci.devfn, PCI_BASE_ADDRESS_0, 4, to);
	pci.bar = to;
	device = (volatile uint8_t *)(uintptr_t)(to + pci.common);
	config = (volatile uint8_t *)(uintptr_t)(to + pci.config);
}

void pci_restore(void)
{
	pci_write(pci.devfn, pci.msix + PCI_MSIX_FLAGS, 2, 0);
	pci_move(pci.home);
	pci_write(pci.devfn, PCI_COMMAND, 2, MEMORY_AND_MASTER);
}

static const struct place {
	uint16_t mmio, off;
	uint8_t width;
} places[] = {
	{ VIRTIO_MMIO_DEVICE_FEATURES_SEL, VIRTIO_PCI_COMMON_DFSELECT, 4 },
	{ VIRTIO_MMIO_DEVICE_FEATURES, VIRTIO_PCI_COMMON_DF, 4 },
	{ VIRTIO_MMIO_DRIVER_FEATURES_SEL, VIRTIO_PCI_COMMON_GFSELECT, 4 },
	{ VIRTIO_MMIO_DRIVER_FEATURES, VIRTIO_PCI_COMMON_GF, 4 },
	{ VIRTIO_MMIO_STATUS, VIRTIO_PCI_COMMON_STATUS, 1 },
	{ VIRTIO_MMIO_QUEUE_SEL, VIRTIO_PCI_COMMON_Q_SELECT, 2 },
	{ VIRTIO_MMIO_QUEUE_NUM_MAX, VIRTIO_PCI_COMMON_Q_SIZE, 2 },
	{ VIRTIO_MMIO_QUEUE_NUM, VIRTIO_PCI_COMMON_Q_SIZE, 2 },
	{ VIRTIO_MMIO_QUEUE_READY, VIRTIO_PCI_COMMON_Q_ENABLE, 2 },
	{ VIRTIO_MMIO_QUEUE_DESC_LOW, VIRTIO_PCI_COMMON_Q_DESCLO, 4 },
	{ VIRTIO_MMIO_QUEUE_DESC_HIGH, VIRTIO_PCI_COMMON_Q_DESCHI, 4 },
	{ VIRTIO_MMIO_QUEUE_AVAIL_LOW, VIRTIO_PCI_COMMON_Q_AVAILLO, 4 },
	{ VIRTIO_MMIO_QUEUE_AVAIL_HIGH, VIRTIO_PCI_COMMON_Q_AVAILHI, 4 },
	{ VIRTIO_MMIO_QUEUE_USED_LOW, VIRTIO_PCI_COMMON_Q_USEDLO, 4 },
	{ VIRTIO_MMIO_QUEUE_USED_HIGH, VIRTIO_PCI_COMMON_Q_USEDHI, 4 },
};

/* What is at another address on MMIO alone is taken as the same one in the BAR. */
static struct place find_place(unsigned mmio)
{
	unsigned i;

	for (i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		if (places[i].mmio == mmio)
			return places[i];
	return (struct place){ mmio, mmio, 4 };
}

uint32_t pci_reg(unsigned mmio)
{
	struct place p = find_place(mmio);

	switch (p.width) {
	case 1:
		return device[p.off];
	case 2:
		return *(volatile uint16_t *)(device + p.off);
	default:
		return *(volatile uint32_t *)(device + p.off);
	}
}

void pci_set_reg(unsigned mmio, uint32_t value)
{
	struct place p = find_place(mmio);
	uint32_t bell = value % 1024 * pci.multiplier; /* a page of them */

	if (mmio == VIRTIO_MMIO_QUEUE_NOTIFY)
		*(volatile uint16_t *)(uintptr_t)(pci.bar + pci.notify + bell) = value;
	else if (p.width == 1)
		device[p.off] = value;
	else if (p.width == 2)
		*(volatile uint16_t *)(device + p.off) = value;
	else
		*(volatile uint32_t *)(device + p.off) = value;
}
