/* SPDX-License-Identifier: MIT */
/*
 * pci.h - the SCSI controller as a PCI function: where its registers are, and how they are moved.
 */
#ifndef HOSTILE_PCI_H
#define HOSTILE_PCI_H

#include <linux/pci_regs.h>
#include <linux/virtio_pci.h>
#include <stdbool.h>
#include <stdint.h>

#define ECAM 0xe0000000ull
#define BAR_WINDOW 0xd8000000u /* where BARs are answered, up to ECAM */
#define BAR_SIZE 0x4000u

struct pci {
	uint8_t devfn;
	uint32_t home;     /* where the BAR was found */
	uint32_t bar;      /* where it has been moved to */
	uint8_t msix, window; /* capabilities */
	/* Offsets in the BAR. */
	uint32_t common, notify, multiplier, config, table, pba;
};

extern struct pci pci; /* home 0: the device is not on PCI */

/* By 0xcf8 and 0xcfc; @off and @len as they are. */
uint32_t pci_read(uint8_t devfn, unsigned off, unsigned len);
void pci_write(uint8_t devfn, unsigned off, unsigned len, uint32_t value);

/* Finds the virtio device with this ID, its capabilities and its BAR. */
bool pci_find(unsigned id);
/* Writes the BAR's address; registers are looked for there from now on. */
void pci_move(uint32_t to);
/* As pci_find() has left it: BAR, command, and no MSI-X. */
void pci_restore(void);

/* Those of MMIO, where PCI has the same under another address. */
uint32_t pci_reg(unsigned mmio);
void pci_set_reg(unsigned mmio, uint32_t value);

#endif
