/* SPDX-License-Identifier: MIT */
/*
 * boot.c - what is riscv64's own of a Linux kernel, its command line and its options.
 */
#include "vmm/machine/arch/arch.h"
#include "vmm/machine/arch/linux_image.h"

const char arch_cmdline[] = "quiet panic=-1 panic_print=0x20 8250.nr_uarts=2";
const char arch_serial_words[] = "console=ttyS0";
const char arch_hvc_words[] = "console=hvc0 earlycon=uart8250,mmio,0x10000000";
const char arch_kernel_formats[] = "a riscv64 Image, also packed by gzip or zstd, or as an EFI "
				   "zboot image";

const struct kernel_need arch_kernel_needs[] = {
	{ NULL, "OF", KERNEL_NEED_BUILTIN, "where devices and processors are" },
	{ NULL, "RISCV_SBI", KERNEL_NEED_BUILTIN, "processors, power-off" },
	{ NULL, "RISCV_IMSIC", KERNEL_NEED_BUILTIN, "interrupts" },
	{ NULL, "RISCV_APLIC_MSI", KERNEL_NEED_BUILTIN, "interrupts of what is not on PCI" },
	{ "serial", "SERIAL_8250", KERNEL_NEED_BUILTIN, "console=ttyS0" },
	{ "serial", "SERIAL_8250_CONSOLE", KERNEL_NEED_BUILTIN, "console=ttyS0" },
	{ "serial", "SERIAL_OF_PLATFORM", KERNEL_NEED_BUILTIN, "where it is" },
	{ "pci-host", "PCI_HOST_GENERIC", KERNEL_NEED_BUILTIN, "the PCI bus" },
	{ "pvpanic", "PVPANIC_PCI", KERNEL_NEED_NICE, "a panic that is noticed for sure" },
	{ "goldfish-rtc", "RTC_DRV_GOLDFISH", KERNEL_NEED_NICE, "the time of day" },
	{ 0 }
};

const struct kernel_break arch_kernel_breaks[] = {
	{ "pci", "off", true, "it looks for none on PCI; transport=mmio is for such kernels" },
	{ "pci", "nomsi", true, "PCI has no other interrupts here; transport=mmio has" },
	{ 0 }
};

int arch_load(struct mem *mem, const struct image *kernel, const struct image_list *initrds,
	      const char *cmdline, struct arch_entry *entry)
{
	return linux_image_load("RSC\x05", mem, kernel, initrds, cmdline, entry);
}
