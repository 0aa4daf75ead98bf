/* SPDX-License-Identifier: MIT */
/*
 * layout.h - the guest-physical addresses of an arm64 guest.
 *
 *	0 to 1 GiB      devices
 *	1 GiB on        RAM: the kernel at its beginning; device tree and initrd behind it
 *	                (linux_image.h)
 */
#ifndef ARCH_AARCH64_LAYOUT_H
#define ARCH_AARCH64_LAYOUT_H

#define GIC_DIST_AT 0x08000000ull
#define GIC_CPU_AT 0x08010000ull /* GICv2 */
#define GIC_ITS_AT 0x08080000ull
#define GIC_REDIST_AT 0x080a0000ull /* GICv3, one for each CPU */
#define GIC_DIST_SIZE 0x10000
#define GIC_V2_DIST_SIZE 0x1000
#define GIC_V2_CPU_SIZE 0x2000
#define GIC_ITS_SIZE 0x20000
#define GIC_REDIST_SIZE 0x20000
#define GIC_V2_CPUS_MAX 8

#define SERIAL0_AT 0x09000000ull /* arch_hvc_words has it, too */
#define SERIAL1_AT 0x09001000ull
#define PL031_AT 0x09010000ull
#define PL031_SIZE 0x1000

#define VIRTIO_MMIO_AT 0x0a000000ull
#define VIRTIO_MMIO_END 0x0b000000ull

#define PCI_BARS_AT 0x10000000ull
#define PCI_BARS_END 0x30000000ull
#define ECAM_AT 0x3f000000ull /* 1 MiB: one bus */

#define RAM_AT 0x40000000ull
#define RAM_ALIGN 0x10000 /* the largest page of a host */

/* Private interrupts, by their numbers among those; the shared ones are the GSIs. */
#define PPI_TIMER_SECURE 13
#define PPI_TIMER 14
#define PPI_TIMER_VIRTUAL 11
#define PPI_TIMER_HYP 10
#define PPI_PMU 7
#define PPI_FIRST 16 /* the INTID of PPI 0 */
#define SPI_FIRST 32 /* the INTID of SPI 0 */

#endif
