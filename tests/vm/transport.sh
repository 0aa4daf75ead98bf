#!/bin/sh
# SPDX-License-Identifier: MIT
# transport.sh - virtio devices on PCI and MMIO: how a guest finds them, moves them, and turns their
# interrupts about; disks work meanwhile.
. "$(dirname "$0")/lib.sh"

# The high bytes of where BARs begin and end, and of RAM; whose interrupts they are; a device on MMIO;
# how many functions each machine has: the host bridge, and pvpanic where there are no ports.
case $(uname -m) in
x86_64) bars=d8 last=df ram=00 msi=PCI-MSI mmio=LNRO0005 fixed=1 ;;
aarch64) bars=10 last=2f ram=40 msi=ITS-MSI mmio='a000[0-9a-f]*\.virtio_mmio' fixed=2 ;;
riscv64) bars=40 last=5f ram=80 msi=PCI-MSI mmio='11000[0-9a-f]*\.virtio_mmio' fixed=2 ;;
esac

# The disks' controller is behind those.
first=0000:00:0$fixed.0
pci=/sys/bus/pci/devices/$first

# disk MIB: ./disk.img with random bytes
disk() { head -c "$1m" /dev/urandom >disk.img; }

# sums_agree: the guest printed the disk's sum, and nothing else but what the test looks for
sums_agree() { contains out "^$(md5sum <disk.img)$"; }

test_pci_is_the_default() {
	disk 8
	status 0 guest "md5sum </dev/sda
		cd $pci && cat vendor device revision class subsystem_vendor && readlink driver
		cat resource | head -n 1
		ls msi_irqs | wc -l
		grep virtio0 /proc/interrupts" --disk disk.img --cpus 2
	sums_agree
	contains out '^0x1af4$'
	contains out '^0x1048$'
	contains out '^0x01$'
	contains out '^0x010000$'
	contains out 'drivers/virtio-pci$'
	contains out "^0x00000000${bars}[0-9a-f]* "
	contains out " $msi.* virtio0-config$"
	contains out " $msi.* virtio0-request$"
}

test_mmio() {
	disk 8
	status 0 guest 'md5sum </dev/sda
		ls /sys/bus/pci/devices
		ls -l /sys/bus/virtio/devices' --device virtio-scsi,transport=mmio \
		--disk disk.img
	sums_agree
	contains out "$mmio"
	equal "$(grep -c '^0000:' out)" $((fixed + 1)) # with what the command speaks by
}

test_both() {
	disk 1
	cp disk.img other.img
	status 0 guest 'md5sum </dev/sda; md5sum </dev/sdb; ls /sys/bus/virtio/devices | wc -l
		head -c 1000 /dev/hwrng | wc -c' --device virtio-scsi,id=s0 \
		--device virtio-scsi,id=s1,transport=mmio --device virtio-rng \
		--device virtio-rng,transport=mmio --device scsi-disk,file=disk.img,bus=s0 \
		--device scsi-disk,file=other.img,bus=s1
	equal "$(grep -c "^$(md5sum <disk.img)$" out)" 2
	contains out '^5$' # with what the command speaks by
	contains out '^1000$'
}

# All of the config space agrees, whichever way it is read.
test_config_space_by_ports() {
	only x86_64
	disk 1
	status 0 guest "md5sum </dev/sda; md5sum <$pci/config" --disk disk.img
	sums_agree
	mv out by-ecam
	words=pci=nommconf
	status 0 guest "md5sum </dev/sda; md5sum <$pci/config" --disk disk.img
	equal "$(cat out)" "$(cat by-ecam)"
}

# The guest forgets the device and finds it again, and sizes and places its BAR itself.
test_removed_and_found_again() {
	disk 8
	words=pci=realloc
	status 0 guest "for i in 1 2 3; do echo 1 >$pci/remove; [ ! -e /dev/sda ] || exit 3
		echo 1 >/sys/bus/pci/rescan; sleep 1; md5sum </dev/sda; done" --disk disk.img
	equal "$(cat out)" "$(for i in 1 2 3; do md5sum <disk.img; done)"
}

# setpci is not at hand: the BAR's register is written in /sys, with the driver away.
test_bar_moves() {
	disk 8
	status 0 guest "echo $first >$pci/driver/unbind
		put() { printf \"\$2\" | dd of=$pci/config bs=1 seek=\$1 conv=notrunc 2>/dev/null; }
		get() { od -An -tx4 -j 16 -N 4 $pci/config; }
		old=\$(od -An -tx1 -j 16 -N 4 $pci/config | sed 's/ /\\\\x/g')
		put 16 '\\xff\\xff\\xff\\xff'; get
		put 16 '\\x00\\x00\\xf0\\x$last'; get
		put 4 '\\x06\\x00'
		put 16 '\\x00\\x00\\x10\\x$ram' # onto RAM
		put 16 \"\$old\"; put 4 '\\x00\\x00'
		echo $first >/sys/bus/pci/drivers/virtio-pci/bind
		sleep 1; md5sum </dev/sda" --disk disk.img
	contains out '^ *ffffc000$'
	contains out "^ *${last}f00000$"
	sums_agree
}

# An interrupt goes from CPU to CPU, each time masked, rewritten and unmasked, under load. (Those of
# disks are the kernel's own to place.)
long_interrupt_moves() {
	status 0 guest "irq=\$(sed -n 's/^ *\\([0-9]*\\):.*virtio0-input.*/\\1/p' /proc/interrupts)
		(head -c 100000 /dev/hwrng | wc -c >/tmp/count) &
		moves=0
		until [ -s /tmp/count ]; do
			for cpu in 1 2; do
				echo \$cpu >/proc/irq/\$irq/smp_affinity && moves=\$((moves + 1))
			done
		done
		cat /tmp/count
		grep virtio0-input /proc/interrupts
		[ \$moves -gt 10 ]" --device virtio-rng --cpus 2
	contains out '^100000$'
	contains out ' [1-9][0-9]* +[1-9][0-9]* .*virtio0-input'
}

# A CPU goes and comes, and the vector of its queue with it.
test_cpu_goes() {
	disk 8
	status 0 guest "(for i in 1 2 3 4; do dd if=/dev/sda bs=64k iflag=direct 2>/dev/null |
			md5sum; done; echo end >/tmp/end) &
		until [ -s /tmp/end ]; do for online in 0 1; do
			echo \$online >/sys/devices/system/cpu/cpu1/online
		done; done
		taskset -c 1 dd if=/dev/sda bs=64k iflag=direct 2>/dev/null | md5sum" --disk disk.img \
		--cpus 2 --device virtio-scsi,queues=2
	equal "$(cat out)" "$(for i in 1 2 3 4 5; do md5sum <disk.img; done)"
}

test_driver_again_and_again() {
	disk 8
	status 0 guest "for i in \$(seq 20); do
			dd if=/dev/sda of=/dev/null bs=64k iflag=direct 2>/dev/null &
			echo $first >/sys/bus/pci/drivers/virtio-pci/unbind
			wait
			echo $first >/sys/bus/pci/drivers/virtio-pci/bind
			until head -c 1 /dev/sda >/dev/null 2>&1; do sleep 0.1; done
		done
		md5sum </dev/sda" --disk disk.img
	sums_agree
}

test_many_queues() {
	disk 8
	status 0 guest "md5sum </dev/sda; ls $pci/msi_irqs | wc -l" --disk disk.img --cpus 4 \
		--device virtio-scsi,queues=4
	sums_agree
	[ "$(tail -n 1 out)" -ge 5 ] || fail "$(cat out)"
}

run_tests
