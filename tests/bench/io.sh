# io.sh - in the lab host: what a read takes from a guest's system call and back (see lab.sh, which
# prints the table). The disk is a RAM disk; who reads it by the host's page cache has one that
# nobody has read before.
#
# For each VMM a line: row|NAME|4 KiB at depth 1|at depth 32|1 MiB at depth 4, nanoseconds each
. /lab/peers.sh
mib=256 disk=/dev/ram0 options= wwn=naa.5001405000000001
kernel=/lab/stock initrd=/lab/reads.cpio words='quiet nokaslr loglevel=1'
modprobe -a vhost_scsi target_core_iblock
modprobe brd rd_nr=3 rd_size=262144
mount -t configfs configfs /sys/kernel/config
for n in 0 1 2; do
	dd if=/dev/zero of=/dev/ram$n bs=1M count=256 oflag=direct 2>/dev/null
done

row() { # NAME VMM
	local figures
	$2 timeout 120 >out 2>err </dev/null
	figures=$(grep '^[0-9]*$' out | tr '\n' '|')
	case $figures in
	*'|'*'|'*'|') echo "row|$1|${figures%|}" ;;
	*) echo "failed|$1|$(cat err out | tail -n 1)" ;;
	esac
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
bus=pci row 'lunette, vhost, PCI' lunette
bus=mmio row 'lunette, vhost, MMIO' lunette
vhost=off
bus=pci disk=/dev/ram1 row 'lunette, local, PCI' lunette
bus=mmio disk=/dev/ram2 row 'lunette, local, MMIO' lunette
options=,direct=on
bus=pci row 'lunette, local, PCI, direct' lunette
bus=mmio row 'lunette, local, MMIO, direct' lunette
bus=pci
row 'QEMU, local, PCI' qemu
target
vhost=on row 'QEMU, vhost, PCI' qemu
