# boot.sh - in the lab host: what booting a guest takes (see lab.sh, which prints the table).
#
#   usage: boot.sh KERNEL...       names of files in /lab
#
# For each VMM a line: row|NAME|until the first KVM_RUN|until the guest's /init|exits|to user space
. /lab/peers.sh
mib=128 vhost=off initrd=/lab/up.cpio words='quiet nokaslr rdinit=/up'
hist=/sys/kernel/tracing/events/kvm/kvm_userspace_exit
counters='cat /sys/kernel/debug/kvm/$VMM_PID-*/exits; sed -n "s/^ *Hits: //p" '$hist/hist
mount -t debugfs debug /sys/kernel/debug
mount -t tracefs trace /sys/kernel/tracing
modprobe brd rd_nr=1 rd_size=65536

# Exits are counted in a run of their own, as counting costs instructions.
row() { # NAME VMM
	local first ready counted
	first=$($2 firstrun -n 3 2>err) && ready=$($2 timeto guest-is-up 2>err </dev/null) || {
		echo "failed|$1|$(tail -n 1 err)"
		return
	}
	echo hist:keys=reason >$hist/trigger
	counted=$($2 timeto -k "$counters" guest-is-up 2>err </dev/null)
	echo '!hist:keys=reason' >$hist/trigger
	first=${first#* } # the median of three
	set -- "$1" "${first%% *}" "$ready" $counted # of which the first is a time again
	echo "row|$1|$2|$3|$5|$6"
}

for name; do
	kernel=/lab/$name
	disk= options= bus=pci
	row "$name: lunette" lunette
	bus=mmio row "$name: QEMU microvm" qemu
	[ ! -e /bin/lkvm ] || row "$name: kvmtool" kvmtool
	disk=/dev/ram0
	row "$name: lunette, disk on PCI" lunette
	bus=mmio
	row "$name: lunette, disk on MMIO" lunette
	row "$name: QEMU microvm, disk" qemu
	[ ! -e /bin/lkvm ] || row "$name: kvmtool, disk" kvmtool
done
