/* SPDX-License-Identifier: MIT */
/*
 * layout.h - the guest-physical addresses of an x86-64 guest.
 *
 *	0 to 640 KiB           RAM; the boot information below lies in it
 *	896 KiB to 1 MiB       ACPI tables
 *	1 MiB to 3 GiB         RAM: kernel (usually at 16 MiB), initrd at the end
 *	3 GiB to 4 GiB         devices; 4 GiB on: the RAM that did not fit below
 */
#ifndef ARCH_X86_64_LAYOUT_H
#define ARCH_X86_64_LAYOUT_H

#define LOW_RAM_END 0xc0000000ull
#define HIGH_RAM 0x100000000ull

#define GDT_AT 0x500
#define PVH_INFO_AT 0x6000   /* struct hvm_start_info, modules, memory map */
#define ZERO_PAGE_AT 0x7000  /* struct boot_params */
#define PAGE_TABLES_AT 0x9000 /* 6 pages */
#define CMDLINE_AT 0x20000
#define CMDLINE_ROOM 0x10000
#define EBDA_AT 0x9fc00      /* RAM ends here; nothing is there */
#define ACPI_AT 0xe0000
#define ACPI_ROOM 0x20000
#define RESET_VECTOR_AT 0xffff0 /* the last 16 bytes of that */
#define ONE_MIB 0x100000

#define VIRTIO_MMIO_AT 0xd0000000ull
#define VIRTIO_MMIO_END 0xd1000000ull

#define PCI_BARS_AT 0xd8000000ull
#define PCI_BARS_END 0xe0000000ull
#define ECAM_AT 0xe0000000ull /* 1 MiB: one bus */

/* Power-off and reset (devices/acpi_pm.c). */
#define ACPI_PM_AT 0x600

/* Below are those of the PC's own devices. */
#define FIRST_FREE_INPUT 5

/* Registers that say which one the port after them is (devices/pci_host.c, rtc.c). */
#define PCI_ADDRESS_PORT 0xcf8
#define RTC_INDEX_PORT 0x70

#define IOAPIC_AT 0xfec00000
#define LAPIC_AT 0xfee00000
/* Pages that KVM needs on Intel, where no guest looks. */
#define KVM_IDENTITY_MAP_AT 0xfffbc000
#define KVM_TSS_AT 0xfffbd000

#endif
