/* SPDX-License-Identifier: MIT */
#include "vmm/run/kernel/kernel_needs.h"

#include <string.h>

#include "vmm/core/log.h"
#include "vmm/core/util.h"
#include "vmm/machine/arch/arch.h"
#include "vmm/run/kernel/kernel_config.h"

const struct kernel_need kernel_needs[] = {
	{ NULL, "BLK_DEV_INITRD", KERNEL_NEED_BUILTIN, "an initrd" },
	{ NULL, "BINFMT_ELF", KERNEL_NEED_BUILTIN, "programs" },
	{ NULL, "DEVTMPFS", KERNEL_NEED_BUILTIN, "device nodes" },
	{ NULL, "DEVTMPFS_MOUNT", KERNEL_NEED_NICE, "device nodes without an initrd" },
	{ NULL, "TMPFS", KERNEL_NEED_NICE, "/run and /tmp" },
	{ NULL, "PROC_FS", KERNEL_NEED_BUILTIN, "/proc" },
	{ NULL, "SYSFS", KERNEL_NEED_BUILTIN, "/sys" },
	{ "pci-host", "PCI", KERNEL_NEED_BUILTIN, "where virtio devices are" },
	{ "pci-host", "PCI_MSI", KERNEL_NEED_BUILTIN, "their interrupts" },
	{ "virtio-", "VIRTIO_PCI", KERNEL_NEED_ANY, "virtio over PCI" },
	{ "virtio-", "VIRTIO_MMIO", KERNEL_NEED_NICE, "transport=mmio" },
	{ "virtio-scsi", "SCSI", KERNEL_NEED_ANY, "the SCSI controller" },
	{ "virtio-scsi", "SCSI_LOWLEVEL", KERNEL_NEED_BUILTIN, "SCSI controllers" },
	{ "virtio-scsi", "SCSI_VIRTIO", KERNEL_NEED_ANY, "the SCSI controller" },
	{ "virtio-blk", "VIRTIO_BLK", KERNEL_NEED_ANY, "disks without SCSI" },
	{ "vhost-user-", "VIRTIO_PCI", KERNEL_NEED_ANY, "virtio over PCI" },
	{ "vhost-user-blk", "VIRTIO_BLK", KERNEL_NEED_ANY, "disks of other programs" },
	{ "vhost-user-scsi", "SCSI", KERNEL_NEED_ANY, "the SCSI controller" },
	{ "vhost-user-scsi", "SCSI_LOWLEVEL", KERNEL_NEED_BUILTIN, "SCSI controllers" },
	{ "vhost-user-scsi", "SCSI_VIRTIO", KERNEL_NEED_ANY, "the SCSI controller" },
	{ "shared-disk", "VIRTIO_PCI", KERNEL_NEED_ANY, "virtio over PCI" },
	{ "shared-disk", "SCSI", KERNEL_NEED_ANY, "the SCSI controller" },
	{ "shared-disk", "SCSI_LOWLEVEL", KERNEL_NEED_BUILTIN, "SCSI controllers" },
	{ "shared-disk", "SCSI_VIRTIO", KERNEL_NEED_ANY, "the SCSI controller" },
	{ "shared-disk", "BLK_DEV_SD", KERNEL_NEED_ANY, "disks" },
	{ "shared-disk", "CHR_DEV_SG", KERNEL_NEED_NICE, "SCSI commands from programs" },
	{ "vhost-user-fs", "FUSE_FS", KERNEL_NEED_ANY, "folders of other programs" },
	{ "vhost-user-fs", "VIRTIO_FS", KERNEL_NEED_ANY, "folders of other programs" },
	{ "vhost-user-net", "INET", KERNEL_NEED_BUILTIN, "networks" },
	{ "vhost-user-net", "VIRTIO_NET", KERNEL_NEED_ANY, "networks of other programs" },
	{ "vhost-vdpa", "VIRTIO_PCI", KERNEL_NEED_ANY, "virtio over PCI" },
	{ "vhost-vdpa", "VIRTIO_BLK", KERNEL_NEED_NICE, "disks of the host's hardware" },
	{ "vhost-vdpa", "VIRTIO_NET", KERNEL_NEED_NICE, "network devices of the host's hardware" },
	{ "scsi-disk", "BLK_DEV_SD", KERNEL_NEED_ANY, "disks" },
	{ "scsi-disk", "CHR_DEV_SG", KERNEL_NEED_NICE, "SCSI commands from programs" },
	{ "scsi-cd", "BLK_DEV_SR", KERNEL_NEED_ANY, "CD-ROM drives" },
	{ "virtio-rng", "HW_RANDOM", KERNEL_NEED_ANY, "random numbers" },
	{ "virtio-rng", "HW_RANDOM_VIRTIO", KERNEL_NEED_ANY, "random numbers" },
	{ "virtio-balloon", "VIRTIO_BALLOON", KERNEL_NEED_ANY, "memory that goes back" },
	{ "virtio-console", "VIRTIO_CONSOLE", KERNEL_NEED_ANY, "consoles and ports" },
	{ "virtio-net", "INET", KERNEL_NEED_BUILTIN, "networks" },
	{ "virtio-net", "VIRTIO_NET", KERNEL_NEED_ANY, "the network interface" },
	{ "virtio-vsock", "VSOCKETS", KERNEL_NEED_ANY, "sockets to the host" },
	{ "virtio-vsock", "VIRTIO_VSOCKETS", KERNEL_NEED_ANY, "sockets to the host" },
	{ "pvpanic", "PVPANIC", KERNEL_NEED_NICE, "a panic that is noticed for sure" },
	{ 0 }
};

static const struct kernel_need x86_64_needs[] = {
	{ NULL, "64BIT", KERNEL_NEED_BUILTIN, "the processor" },
	{ NULL, "ACPI", KERNEL_NEED_BUILTIN, "where devices and processors are, power-off" },
	{ "serial", "SERIAL_8250", KERNEL_NEED_BUILTIN, "console=ttyS0" },
	{ "serial", "SERIAL_8250_CONSOLE", KERNEL_NEED_BUILTIN, "console=ttyS0" },
	{ "serial", "SERIAL_8250_PNP", KERNEL_NEED_NICE, "its interrupt" },
	{ "pvpanic", "PVPANIC_MMIO", KERNEL_NEED_NICE, "a panic that is noticed for sure" },
	{ "pci-host", "PCI_MMCONFIG", KERNEL_NEED_NICE, "half the exits for each access" },
	{ NULL, "KVM_GUEST", KERNEL_NEED_NICE, "a clock that is not calibrated" },
	{ NULL, "X86_X2APIC", KERNEL_NEED_NICE, "interrupts between processors by one write" },
	{ 0 }
};

static const struct kernel_need aarch64_needs[] = {
	{ NULL, "OF", KERNEL_NEED_BUILTIN, "where devices and processors are" },
	{ NULL, "ARM_PSCI_FW", KERNEL_NEED_BUILTIN, "processors, power-off" },
	{ NULL, "ARM_GIC_V3", KERNEL_NEED_BUILTIN, "interrupts" },
	{ "serial", "SERIAL_8250", KERNEL_NEED_BUILTIN, "console=ttyS0" },
	{ "serial", "SERIAL_8250_CONSOLE", KERNEL_NEED_BUILTIN, "console=ttyS0" },
	{ "serial", "SERIAL_OF_PLATFORM", KERNEL_NEED_BUILTIN, "where it is" },
	{ "pci-host", "PCI_HOST_GENERIC", KERNEL_NEED_BUILTIN, "the PCI bus" },
	{ "pci-host", "ARM_GIC_V3_ITS", KERNEL_NEED_BUILTIN, "interrupts of devices on it" },
	{ "pvpanic", "PVPANIC_PCI", KERNEL_NEED_NICE, "a panic that is noticed for sure" },
	{ "pl031", "RTC_DRV_PL031", KERNEL_NEED_NICE, "the time of day" },
	{ 0 }
};

static const struct kernel_need riscv64_needs[] = {
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

static const struct {
	const char *option;
	const struct kernel_need *needs;
} archs[] = {
	{ "X86_64", x86_64_needs },
	{ "ARM64", aarch64_needs },
	{ "RISCV", riscv64_needs },
};

const struct kernel_need *kernel_needs_of(const struct kernel_config *config)
{
	const struct kernel_need *ours = NULL;
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(archs); i++) {
		if (kernel_config_get(config, archs[i].option) == 'y')
			return archs[i].needs;
		if (!strcmp(archs[i].option, arch_kernel_option))
			ours = archs[i].needs;
	}
	BUG_ON(!ours);
	return ours;
}
