# SPDX-License-Identifier: MIT
# boot.sh - in the lab host: what booting a guest takes (see lab.sh, which prints the table).
#
#   usage: boot.sh ROWS KERNEL...       ROWS of each kernel, or -1; names of files in /lab
#
# For each VMM a row: NAME|until the first KVM_RUN|until the guest's /init|exits|to user space
# shellcheck shell=sh
. /lab/peers.sh
mib=128 vhost=off initrd=/lab/up.cpio words='quiet nokaslr rdinit=/up' qemu=$(cat /lab/qemu)
hist=/sys/kernel/tracing/events/kvm/kvm_userspace_exit
counters='cat /sys/kernel/debug/kvm/$VMM_PID-*/exits; sed -n "s/^ *Hits: //p" '$hist/hist
mount -t debugfs debug /sys/kernel/debug
mount -t tracefs trace /sys/kernel/tracing
modprobe brd rd_nr=1 rd_size=65536

# Exits are counted in a run of their own, as counting costs instructions.
boot() { # VMM
	local first ready counted
	first=$("$1" firstrun -n 3) && ready=$("$1" timeto guest-is-up) || return
	echo hist:keys=reason >$hist/trigger
	counted=$("$1" timeto -k "$counters" guest-is-up)
	echo '!hist:keys=reason' >$hist/trigger
	first=${first#* } # the median of three
	set -- $counted # of which the first is a time again
	echo "${first%% *} $ready $2 $3"
}

all=$1
shift
for name; do
	kernel=/lab/$name
	disk= options= bus=pci rows=$all
	row "$name: lunette" 4 boot lunette
	bus=mmio row "$name: $smallest" 4 boot qemu
	others >others
	while read -r vmm end title; do row "$name: $title" 4 boot "$vmm"; done <others
	disk=/dev/ram0
	row "$name: lunette, disk on PCI" 4 boot lunette
	bus=mmio
	row "$name: lunette, disk on MMIO" 4 boot lunette
	row "$name: $smallest, disk" 4 boot qemu
	while read -r vmm end title; do row "$name: $title, disk" 4 boot "$vmm"; done <others
done
