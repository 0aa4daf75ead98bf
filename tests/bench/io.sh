# SPDX-License-Identifier: MIT
# io.sh - in the lab host: what a read takes from a guest's system call and back (see lab.sh, which
# prints the table). The disk is a RAM disk; who reads it by the host's page cache has one that
# nobody has read before. A copy from there takes the emulator an instruction for each round, so MiBs
# are read only by who passes it by.
#
#   usage: io.sh ROWS KERNEL       ROWS, or -1; the name of a file in /lab
#
# For each VMM a row: NAME|4 KiB at depth 1|at depth 32|1 MiB at depth 4, nanoseconds each
# shellcheck shell=sh
. /lab/peers.sh
mib=256 disk=/dev/ram0 kind=scsi options= wwn=naa.5001405000000001 qemu=$(cat /lab/qemu)
rows=$1 kernel=/lab/$2 words='quiet nokaslr loglevel=1'
modprobe -a vhost_scsi target_core_iblock
modprobe brd rd_nr=3 rd_size=262144
mount -t configfs configfs /sys/kernel/config
for n in 0 1 2; do
	dd if=/dev/zero of=/dev/ram$n bs=1M count=256 oflag=direct 2>/dev/null
done

# A guest that hangs is waited for as long as ten that do not take.
reads() { # VMM
	initrd=/lab/reads.cpio "$1" timeout 20 | grep '^[0-9]*$'
}
small_reads() { # VMM
	initrd=/lab/small-reads.cpio "$1" timeout 20 | grep '^[0-9]*$' && echo -
}

# The target that lunette makes for itself.
target() {
	local dir=/sys/kernel/config/target
	local store=$dir/core/iblock_0/bench tpg=$dir/vhost/$wwn/tpgt_1
	mkdir -p "$store" "$tpg"
	echo udev_path=$disk >"$store/control"
	echo 1 >"$store/enable"
	echo naa.5001405fffffffff >"$tpg/nexus"
	mkdir -p "$tpg/lun/lun_0"
	ln -s "$store" "$tpg/lun/lun_0/disk"
}

vhost=on
bus=pci row 'lunette, vhost, PCI' 3 reads lunette
vhost=off options=,direct=on
bus=pci row 'lunette, local, PCI, direct' 3 reads lunette
bus=mmio row 'lunette, local, MMIO, direct' 3 reads lunette
kind=blk
bus=pci row 'lunette, blk, PCI, direct' 3 reads lunette
bus=pci row 'QEMU, blk, PCI' 3 reads qemu
kind=scsi options=
bus=pci disk=/dev/ram1 row 'lunette, local, PCI' 3 small_reads lunette
bus=mmio disk=/dev/ram2 row 'lunette, local, MMIO' 3 small_reads lunette
vhost=on bus=mmio row 'lunette, vhost, MMIO' 3 reads lunette
vhost=off bus=pci row 'QEMU, local, PCI' 3 reads qemu
target
vhost=on bus=pci row 'QEMU, vhost, PCI' 3 reads qemu
