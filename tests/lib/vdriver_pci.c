/* SPDX-License-Identifier: MIT */
/*
 * The PCI transport's part of vdriver.h. Vector 0 is for the configuration, vector 1 + q for queue
 * q. The message of vector n goes to MSI_ADDRESS, its data are the slot's and n.
 */
#include "tests/lib/vdriver.h"

#include <linux/pci_regs.h>
#include <linux/virtio_pci.h>

#include "vmm/core/util.h"

#define VENDOR_ID 0x1af4
#define MODERN_ID 0x1040
#define BAR_ROOM 0x10000 /* for each slot */
#define MSI_ADDRESS 0xfee00000ull

static uint64_t ecam(const struct vdriver *v, unsigned off)
{
	return TESTBED_ECAM + (v->slot << 15) + off;
}

uint32_t vdriver_pci_read(struct vdriver *v, unsigned off, unsigned len)
{
	return vdriver_peek(v, ecam(v, off), len);
}

void vdriver_pci_write(struct vdriver *v, unsigned off, uint32_t value, unsigned len)
{
	vdriver_poke(v, ecam(v, off), value, len);
}

static bool is_virtio(struct vdriver *v)
{
	return vdriver_pci_read(v, PCI_VENDOR_ID, 2) == VENDOR_ID &&
	       vdriver_pci_read(v, PCI_DEVICE_ID, 2) >= MODERN_ID;
}

static bool find(struct vdriver *v, unsigned n)
{
	for (v->slot = 0; v->slot < 32; v->slot++) {
		if (is_virtio(v) && !n--)
			return true;
	}
	return false;
}

/* Off, asked for its size, and put where we want it. */
static bool place_bar(struct vdriver *v)
{
	uint32_t size;

	vdriver_pci_write(v, PCI_COMMAND, 0, 2);
	vdriver_pci_write(v, PCI_BASE_ADDRESS_0, 0xffffffff, 4);
	size = ~(vdriver_pci_read(v, PCI_BASE_ADDRESS_0, 4) & PCI_BASE_ADDRESS_MEM_MASK) + 1;
	v->base = TESTBED_BARS + v->slot * BAR_ROOM;
	vdriver_pci_write(v, PCI_BASE_ADDRESS_0, v->base, 4);
	vdriver_pci_write(v, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
	return is_power_of_2(size) && size <= BAR_ROOM;
}

static void note_capability(struct vdriver *v, unsigned at)
{
	uint64_t where = v->base + vdriver_pci_read(v, at + VIRTIO_PCI_CAP_OFFSET, 4);

	if (vdriver_pci_read(v, at, 1) == PCI_CAP_ID_MSIX)
		v->msix = at;
	if (vdriver_pci_read(v, at, 1) != PCI_CAP_ID_VNDR)
		return;
	switch (vdriver_pci_read(v, at + VIRTIO_PCI_CAP_CFG_TYPE, 1)) {
	case VIRTIO_PCI_CAP_COMMON_CFG:
		v->common = where;
		break;
	case VIRTIO_PCI_CAP_NOTIFY_CFG:
		v->notify = where;
		v->notify_multiplier = vdriver_pci_read(v, at + VIRTIO_PCI_NOTIFY_CAP_MULT, 4);
		break;
	case VIRTIO_PCI_CAP_ISR_CFG:
		v->isr = where;
		break;
	case VIRTIO_PCI_CAP_DEVICE_CFG:
		v->config = where;
		break;
	case VIRTIO_PCI_CAP_PCI_CFG:
		v->window = at;
		break;
	}
}

static bool walk_capabilities(struct vdriver *v)
{
	unsigned at = vdriver_pci_read(v, PCI_CAPABILITY_LIST, 1), n;

	for (n = 0; at && n < 48; n++) {
		note_capability(v, at);
		at = vdriver_pci_read(v, at + PCI_CAP_LIST_NEXT, 1);
	}
	return !at && v->common && v->notify && v->isr && v->msix && v->window;
}

uint64_t vdriver_pci_vector(struct vdriver *v, unsigned n)
{
	uint32_t table = vdriver_pci_read(v, v->msix + PCI_MSIX_TABLE, 4) & PCI_MSIX_TABLE_OFFSET;

	return v->base + table + PCI_MSIX_ENTRY_SIZE * n;
}

static uint32_t message(const struct vdriver *v, unsigned n)
{
	return v->slot << 16 | n;
}

static bool set_up_vectors(struct vdriver *v)
{
	unsigned flags = v->msix + PCI_MSIX_FLAGS, n, count;

	vdriver_pci_write(v, flags, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL, 2);
	count = (vdriver_pci_read(v, flags, 2) & PCI_MSIX_FLAGS_QSIZE) + 1;
	for (n = 0; n < count; n++) {
		uint64_t entry = vdriver_pci_vector(v, n);

		vdriver_poke(v, entry + PCI_MSIX_ENTRY_VECTOR_CTRL, PCI_MSIX_ENTRY_CTRL_MASKBIT, 4);
		vdriver_poke(v, entry + PCI_MSIX_ENTRY_LOWER_ADDR, MSI_ADDRESS, 8);
		vdriver_poke(v, entry + PCI_MSIX_ENTRY_DATA, message(v, n), 4);
		vdriver_poke(v, entry + PCI_MSIX_ENTRY_VECTOR_CTRL, 0, 4);
	}
	vdriver_pci_write(v, flags, PCI_MSIX_FLAGS_ENABLE, 2);
	for (n = 0; n < count && n < ARRAY_SIZE(v->gsi); n++) {
		int gsi = testbed_msi(v->tb, MSI_ADDRESS, message(v, n));

		if (gsi < 0)
			return false;
		v->gsi[n] = gsi;
	}
	v->ngsis = n;
	return true;
}

static bool pci_probe(struct vdriver *v, unsigned n)
{
	if (!find(v, n) || !place_bar(v) || !walk_capabilities(v) || !set_up_vectors(v))
		return false;
	v->device_id = vdriver_pci_read(v, PCI_DEVICE_ID, 2) - MODERN_ID;
	return true;
}

static uint8_t pci_status(struct vdriver *v)
{
	return vdriver_peek(v, v->common + VIRTIO_PCI_COMMON_STATUS, 1);
}

static void pci_set_status(struct vdriver *v, uint8_t status)
{
	vdriver_poke(v, v->common + VIRTIO_PCI_COMMON_STATUS, status, 1);
}

static uint32_t pci_features(struct vdriver *v, unsigned half)
{
	vdriver_poke(v, v->common + VIRTIO_PCI_COMMON_DFSELECT, half, 4);
	return vdriver_peek(v, v->common + VIRTIO_PCI_COMMON_DF, 4);
}

static void pci_set_features(struct vdriver *v, unsigned half, uint32_t bits)
{
	vdriver_poke(v, v->common + VIRTIO_PCI_COMMON_GFSELECT, half, 4);
	vdriver_poke(v, v->common + VIRTIO_PCI_COMMON_GF, bits, 4);
}

static bool set_vector(struct vdriver *v, unsigned off, uint16_t vector)
{
	vdriver_poke(v, v->common + off, vector, 2);
	return vdriver_peek(v, v->common + off, 2) == vector;
}

static bool pci_set_up_config(struct vdriver *v)
{
	return set_vector(v, VIRTIO_PCI_COMMON_MSIX, 0);
}

static void select_queue(struct vdriver *v, unsigned q)
{
	vdriver_poke(v, v->common + VIRTIO_PCI_COMMON_Q_SELECT, q, 2);
}

static uint32_t pci_queue_max(struct vdriver *v, unsigned q)
{
	select_queue(v, q);
	return vdriver_peek(v, v->common + VIRTIO_PCI_COMMON_Q_ENABLE, 2) ?
	       0 : vdriver_peek(v, v->common + VIRTIO_PCI_COMMON_Q_SIZE, 2);
}

static void write_pair(struct vdriver *v, unsigned off, uint64_t value)
{
	vdriver_poke(v, v->common + off, value & UINT32_MAX, 4);
	vdriver_poke(v, v->common + off + 4, value >> 32, 4);
}

static bool pci_set_up_queue(struct vdriver *v, unsigned q, const struct driver *ring)
{
	select_queue(v, q);
	vdriver_poke(v, v->common + VIRTIO_PCI_COMMON_Q_SIZE, ring->size, 2);
	write_pair(v, VIRTIO_PCI_COMMON_Q_DESCLO, ring->desc);
	write_pair(v, VIRTIO_PCI_COMMON_Q_AVAILLO, ring->driver);
	write_pair(v, VIRTIO_PCI_COMMON_Q_USEDLO, ring->device);
	if (!set_vector(v, VIRTIO_PCI_COMMON_Q_MSIX, 1 + q))
		return false;
	vdriver_poke(v, v->common + VIRTIO_PCI_COMMON_Q_ENABLE, 1, 2);
	return vdriver_peek(v, v->common + VIRTIO_PCI_COMMON_Q_ENABLE, 2) == 1;
}

/* As a driver has it from queue_notify_off; ours is the queue's number. */
static void pci_notify(struct vdriver *v, unsigned q)
{
	vdriver_poke(v, v->notify + v->notify_multiplier * q, q, 2);
}

static uint32_t pci_interrupts(struct vdriver *v, uint32_t fired)
{
	(void)v;
	return (fired & 1 ? VDRIVER_INT_CONFIG : 0) | (fired >> 1 ? VDRIVER_INT_VRING : 0);
}

const struct vdriver_ops vdriver_pci = {
	.probe = pci_probe,
	.status = pci_status,
	.set_status = pci_set_status,
	.features = pci_features,
	.set_features = pci_set_features,
	.set_up_config = pci_set_up_config,
	.queue_max = pci_queue_max,
	.set_up_queue = pci_set_up_queue,
	.notify = pci_notify,
	.interrupts = pci_interrupts,
};
