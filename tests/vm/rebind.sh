#!/bin/sh
# SPDX-License-Identifier: MIT
# rebind.sh - the guest's driver lets go of its controller in the middle of reads and writes, a
# hundred times, and takes it again: the disk, the VMM and the kernel's target stay whole.
. "$(dirname "$0")/lib.sh"

# Requests that are on their way when the driver goes end with an error, or with a good status;
# what is written afterwards is what the image has. verify says "cannot" where a request failed, and
# anything else where data are wrong.
rebind() { # TIMES OPTION...
	local times=$1
	shift
	mkdir files && cp /lab/verify files
	head -c 16m /dev/urandom >files/all
	truncate -s 16M disk.img
	seconds=400
	status 0 guest "dev=\$(basename \$(ls -d /sys/bus/virtio/drivers/virtio_scsi/virtio*))
		disk() { ls /sys/bus/virtio/devices/\$dev/host*/target*/*:*/block 2>/dev/null; }
		for i in \$(seq $times); do
			/files/verify read /dev/\$(disk) 1000000 >>/tmp/log &
			/files/verify write /dev/\$(disk) \$i 1000000 >>/tmp/log &
			usleep 20000
			echo \$dev >/sys/bus/virtio/drivers/virtio_scsi/unbind
			echo \$dev >/sys/bus/virtio/drivers/virtio_scsi/bind
			wait
			until head -c 1 \"/dev/\$(disk)\" >/dev/null 2>&1; do usleep 10000; done
		done
		echo \$i times, \$(grep -c cannot /tmp/log) processes stopped
		grep -v cannot /tmp/log
		dd if=/files/all of=/dev/\$(disk) bs=1M oflag=direct conv=fsync 2>/dev/null
		dd if=/dev/\$(disk) bs=1M iflag=direct 2>/dev/null | md5sum" --disk disk.img "$@"
	contains out "^$times times, [1-9][0-9]* processes stopped"
	equal "$(sed 1d out)" "$(md5sum <files/all)"
	cmp disk.img files/all
}

test_in_process() {
	vhost=off
	rebind 100
	equal "$(cat err)" ''
}

test_by_the_kernel() {
	kernel_target
	vhost=on
	rebind 100 --cpus 2
	equal "$(wc -l <err)" 1 # that the kernel serves them
	nothing_left
}

run_tests
