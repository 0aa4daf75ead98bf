/* SPDX-License-Identifier: MIT */
/*
 * virtio_pci_fixture.h - registers of the common configuration, read and written as a driver does.
 */
#ifndef TESTS_VIRTIO_PCI_FIXTURE_H
#define TESTS_VIRTIO_PCI_FIXTURE_H

#include "tests/unit/echo_rig.h"

#include <linux/pci_regs.h>
#include <linux/virtio_pci.h>
#include <string.h>
#include <sys/eventfd.h>

#include "vmm/core/pci.h"
#include "vmm/core/util.h"

#define ACK_DRIVER (VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER)
#define OK (ACK_DRIVER | VIRTIO_CONFIG_S_FEATURES_OK)
#define ALL_FEATURES UINT64_MAX
#define NO_VECTOR VIRTIO_MSI_NO_VECTOR

/* Registers of the common configuration. */
static inline uint64_t load(unsigned reg, unsigned len)
{
	return vdriver_peek(&v, v.common + reg, len);
}

static inline void store(unsigned reg, uint64_t value, unsigned len)
{
	vdriver_poke(&v, v.common + reg, value, len);
}

static inline void select_queue(unsigned q)
{
	store(VIRTIO_PCI_COMMON_Q_SELECT, q, 2);
}

static inline void start(void)
{
	ck_assert(vdriver_start(&v, ALL_FEATURES, ECHO_QUEUES, 16));
	testbed_settle(&tb);
	vdriver_irqs(&v);
}

/* The window. */

static inline void aim(uint8_t bar, uint64_t at, uint32_t len)
{
	vdriver_pci_write(&v, v.window + VIRTIO_PCI_CAP_BAR, bar, 1);
	vdriver_pci_write(&v, v.window + VIRTIO_PCI_CAP_OFFSET, at, 4);
	vdriver_pci_write(&v, v.window + VIRTIO_PCI_CAP_LENGTH, len, 4);
}

#define WINDOW_DATA (v.window + sizeof(struct virtio_pci_cap))

static inline uint32_t window_get(uint64_t addr, unsigned len)
{
	aim(0, addr - v.base, len);
	return vdriver_pci_read(&v, WINDOW_DATA, len);
}

static inline void window_put(uint64_t addr, uint32_t value, unsigned len)
{
	aim(0, addr - v.base, len);
	vdriver_pci_write(&v, WINDOW_DATA, value, len);
}

#endif
