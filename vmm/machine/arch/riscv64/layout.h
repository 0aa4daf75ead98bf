/* SPDX-License-Identifier: MIT */
/*
 * layout.h - the guest-physical addresses of a riscv64 guest.
 *
 *	0 to 2 GiB      devices
 *	2 GiB on        RAM: the kernel at its beginning; device tree and initrd behind it
 *	                (linux_image.h)
 */
#ifndef ARCH_RISCV64_LAYOUT_H
#define ARCH_RISCV64_LAYOUT_H

#define APLIC_AT 0x0c000000ull
#define APLIC_SIZE 0x4000
#define IMSIC_AT 0x0d000000ull /* one for each CPU */
#define IMSIC_SIZE 0x1000

#define SERIAL0_AT 0x10000000ull /* arch_hvc_words has it, too */
#define SERIAL1_AT 0x10001000ull
#define CLOCK_AT 0x10010000ull
#define CLOCK_SIZE 0x1000

#define VIRTIO_MMIO_AT 0x11000000ull
#define VIRTIO_MMIO_END 0x12000000ull

#define ECAM_AT 0x30000000ull /* 1 MiB: one bus */
#define PCI_BARS_AT 0x40000000ull
#define PCI_BARS_END 0x60000000ull

#define RAM_AT 0x80000000ull

/* Sources of the APLIC are the GSIs; there is no source 0. */
#define SOURCE_SERIAL0 1
#define SOURCE_SERIAL1 2
#define SOURCE_CLOCK 3
#define SOURCE_FIRST 4 /* of virtio devices on the memory bus */

#endif
