/* SPDX-License-Identifier: MIT */
/*
 * boot.c - what is arm64's own of a Linux kernel and its command line.
 */
#include "vmm/machine/arch/arch.h"
#include "vmm/machine/arch/linux_image.h"

const char arch_cmdline[] = "quiet panic=-1 panic_print=0x20 8250.nr_uarts=2";
const char arch_serial_words[] = "console=ttyS0";
const char arch_hvc_words[] = "console=hvc0 earlycon=uart8250,mmio,0x9000000";
const char arch_kernel_formats[] = "an arm64 Image, also packed by gzip or zstd, or as an EFI "
				   "zboot image";

const char arch_kernel_option[] = "ARM64";

const struct kernel_break arch_kernel_breaks[] = {
	{ "pci", "off", true, "it looks for none on PCI; transport=mmio is for such kernels" },
	{ "pci", "nomsi", true, "PCI has no other interrupts here; transport=mmio has" },
	{ 0 }
};

int arch_load(struct mem *mem, const struct image *kernel, const struct image_list *initrds,
	      const char *cmdline, struct arch_entry *entry)
{
	return linux_image_load("ARM\x64", mem, kernel, initrds, cmdline, entry);
}
