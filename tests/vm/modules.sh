#!/bin/sh
# SPDX-License-Identifier: MIT
# modules.sh - drivers that are modules, in every packing, and guests that lack some: of Debian's
# kernel 6.12.
. "$(dirname "$0")/lib.sh"

# run [OPTION...] -- COMMAND...
run() {
	timeout -k 5 "$seconds" lunette run --kernel "$kernel" --initrd "$initrd" --vhost off \
		--boot-timeout none "$@" >out 2>err </dev/null
}

# The initramfs as a folder, ./tree, and the archive ./own of it, which guests get from then on.
open_initrd() {
	mkdir tree
	(cd tree && cpio -idm <"$initrd" 2>/dev/null)
}
close_initrd() {
	(cd tree && find . -mindepth 1 | cpio -o -H newc) >own 2>/dev/null
	initrd=$PWD/own
}

# without FILE...: the initramfs has no such modules
without() {
	local file
	open_initrd
	for file; do
		find tree/usr/lib/modules -name "$file.ko" -exec rm {} +
		sed -i "/\/$file\.ko$/d" tree/etc/modules
	done
	close_initrd
}

# The command does not start, and a line says why.
refused() { # PATTERN OPTION...
	local pattern=$1
	shift
	status 213 run "$@" -- echo started
	equal "$(cat out)" ''
	contains err "^lunette: error: the guest: $pattern"
}

test_as_the_distribution_has_them() {
	truncate -s 1M disk.img
	truncate -s 2M cd.iso
	mkdir src
	echo shared >src/file
	status 0 run --disk disk.img --cdrom cd.iso --share src --device virtio-rng \
		--device console-port,name=own,out=port -- \
		sh -c 'uname -r; cat /sys/block/sda/size /sys/block/sr0/size file; echo said >/dev/vport?p1
		grep -c . /proc/modules >&2; modprobe virtio_net && grep ^virtio_net /proc/modules'
	equal "$(head -n 4 out)" "$(cat /lab/release)
2048
4096
shared"
	contains out ^virtio_net
}

test_packings_in_an_initramfs_of_ones_own() {
	truncate -s 1M disk.img
	local packer
	for packer in 'gzip gz' '/lab/xz xz' '/lab/zstd zst'; do
		open_initrd
		find tree/usr/lib/modules -name '*.ko' -exec ${packer% *} {} +
		find tree -name '*.ko' -exec rm {} + # zstd keeps them
		sed -i "s/ko$/ko.${packer#* }/" tree/etc/modules
		close_initrd
		status 0 run --disk disk.img --device virtio-rng -- cat /sys/block/sda/size
		equal "$(cat out)" 2048
		initrd=/lab/initramfs.cpio
		rm -rf tree
	done
}

test_no_driver_of_the_controller() {
	without virtio_scsi
	refused 'target 0, lun:0 is not there: this kernel has no virtio_scsi, and the initramfs no' \
		--disk store=null,size=1M --disk store=null,size=1M
	status 0 run -- echo 'without disks it is not missed'
}

test_no_driver_of_disks() {
	without sd_mod
	refused 'target 0, lun:3 is not there: this kernel has no sd_mod' --disk store=null,size=1M,lun=3
}

test_no_driver_of_drives() {
	truncate -s 1M cd.iso
	without sr_mod
	refused 'target 0, lun:1 is not there: module sr_mod could not be loaded' \
		--disk store=null,size=1M --cdrom cd.iso
}

test_module_of_another_kernel() {
	open_initrd
	head -c 5000 /bin/busybox >"$(find tree -name virtio_scsi.ko)"
	close_initrd
	refused '.*module virtio_scsi could not be loaded: Invalid module format' \
		--disk store=null,size=1M
}

test_damaged_module() {
	open_initrd
	file=$(find tree -name virtio_scsi.ko)
	/lab/xz -c "$file" | head -c 3000 >data
	mv data "$file"
	close_initrd
	refused '.*module virtio_scsi could not be loaded: the file is damaged' \
		--disk store=null,size=1M
}

test_disk_that_the_kernel_does_not_see() {
	refused 'target 5, lun:0 is not there: .*scan' --append scsi_mod.scan=none \
		--device scsi-disk,store=null,size=1M,target=5
}

test_share_without_its_driver() {
	mkdir src
	without virtio_scsi
	refused '--share: the disk for /src is not there: this kernel has no virtio_scsi' --share src:/src
	initrd=/lab/initramfs.cpio
	rm -r tree
	without erofs
	refused '--share: /src cannot be mounted: this kernel has no EROFS' --share src:/src
}

test_results_without_a_driver() {
	without virtio_scsi
	refused '--out: the disk for /out is not there' --out results
}

test_interface_without_its_driver() {
	without virtio-rng
	refused 'a source of random numbers is not there: this kernel has no virtio_rng' \
		--device virtio-rng
	modprobe tun
	tunctl -t t0
	initrd=/lab/initramfs.cpio
	rm -r tree
	without virtio_net
	refused 'a network interface is not there: module virtio_net could not be loaded' --net tap=t0
}

test_address_that_makes_no_sense() {
	refused 'lunette.net=10.0.2.15: Invalid argument' --append lunette.net=10.0.2.15
}

test_root_without_a_file_system() {
	refused 'root=lun:0: there is no file system on /dev/sda' --disk store=null,size=1M --root lun:0
	truncate -s 1M disk.img
	mkswap disk.img >/dev/null
	refused 'root=lun:0: /dev/sda has swap, which this kernel does not know' \
		--disk disk.img --root lun:0
}

run_tests
