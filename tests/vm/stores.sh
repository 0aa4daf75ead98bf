#!/bin/sh
# SPDX-License-Identifier: MIT
# stores.sh - how a guest's disk is kept: by which calls, beside its image, on a disk that is full.
. "$(dirname "$0")/lib.sh"

export TMPDIR=/tmp # which has more room than /var/tmp

# Writes and reads back, in the guest; and what the image has then is what was read.
write_and_read='dd if=/dev/urandom of=/tmp/data bs=1M count=12 2>/dev/null
	dd if=/tmp/data of=/dev/sda bs=64k oflag=direct 2>/dev/null
	dd if=/tmp/data of=/dev/sda bs=1M seek=20 conv=fsync 2>/dev/null
	blkdiscard -o 1048576 -l 1048576 /dev/sda
	dd if=/dev/sda bs=1M iflag=direct 2>/dev/null | md5sum; md5sum </dev/sda'

writes_and_reads() { # DISK IMAGE
	status 0 guest "$write_and_read" --disk "$1"
	[ "$(sort -u out | wc -l)" = 1 ] || fail "$(cat out)"
	equal "$(head -n 1 out)" "$(md5sum <"$2")"
}

test_by_io_uring() {
	truncate -s 32M disk.img
	writes_and_reads disk.img,io=uring disk.img
	equal "$(grep -v 'served' err)" ''
}

long_by_threads() {
	truncate -s 32M disk.img
	writes_and_reads disk.img,io=threads disk.img
}

long_past_the_page_cache() {
	truncate -s 32M disk.img
	device=$(losetup -f) && losetup "$device" disk.img
	writes_and_reads "$device,direct=on,serial=x" "$device"
	losetup -d "$device"
}

test_overlay() {
	head -c 32m /dev/urandom >disk.img
	md5sum disk.img >sums
	status 0 guest "$write_and_read" --disk disk.img,overlay=on
	[ "$(sort -u out | wc -l)" = 1 ] || fail "$(cat out)"
	[ "$(head -n 1 out | cut -d ' ' -f 1)" != "$(cut -d ' ' -f 1 sums)" ] || fail 'nothing written'
	md5sum -c sums
	status 0 guest 'md5sum </dev/sda' --disk disk.img,overlay=on
	equal "$(cut -d ' ' -f 1 out)" "$(cut -d ' ' -f 1 sums)"
}

long_overlay_is_committed() {
	head -c 32m /dev/urandom >disk.img
	writes_and_reads disk.img,overlay=commit disk.img
}

test_commit_after_success() { # of the command, which need not flush what it has written
	truncate -s 1M disk.img
	for end in 3 0; do
		equal "$(tr -d '\0' <disk.img)" ''
		status $end timeout "$seconds" lunette run --kernel "$kernel" --initrd "$initrd" \
			--disk disk.img,overlay=on --commit -- \
			sh -c "echo kept >/dev/sda; exit $end" 2>err </dev/null
	done
	equal "$(tr -d '\0' <disk.img)" kept
}

fill='dd if=/dev/urandom of=/dev/sda bs=1M count=8 conv=fsync 2>&1; echo "ended $?"'

small_file_system() {
	mkdir small
	mount -t tmpfs -o size=4m none small
	truncate -s 64M small/disk.img
}

test_full_disk_is_told() {
	small_file_system
	status 0 guest "$fill" --disk small/disk.img
	umount small
	contains out '^ended 1$'
	contains err 'small/disk.img: write of .* No space left on device; the guest is told; make room'
}

test_full_disk_is_waited_for() {
	small_file_system
	status 0 guest "$fill" --disk small/disk.img --on-enospc stop &
	until_true 60 grep -q "request waits until you make room" err
	sleep 2
	! grep ended out || fail "$(cat out)"
	mount -o remount,size=32m small
	wait $! || fail "$(cat out err)"
	umount small
	contains out '^ended 0$'
	contains err 'small/disk.img: there is room again'
}

test_full_disk_ends_the_run() {
	small_file_system
	status 211 guest "$fill" --disk small/disk.img --on-enospc fail
	umount small
	contains err 'No space left on device; the run ends'
}

# A block device is taken away from under the guest.
test_vanished_device() {
	local config=/sys/kernel/config disk=/sys/kernel/config/nullb/gone
	modprobe null_blk nr_devices=0
	grep -q " $config " /proc/mounts || mount -t configfs none $config
	mkdir $disk
	echo 64 >$disk/size
	echo 1 >$disk/memory_backed
	echo 1 >$disk/power
	mkfifo keys
	timeout -k 5 "$seconds" lunette run --kernel "$kernel" --initrd "$initrd" --vhost off \
		--overlay off --disk /dev/gone -- sh -c 'echo up; read line
			dd if=/dev/zero of=/dev/sda bs=4096 count=1 oflag=direct; echo "wrote $?"
			dd if=/dev/sda of=/dev/null bs=4096 count=1 iflag=direct; echo "read $?"' \
		<keys >out 2>err &
	exec 3>keys
	until_true 60 grep -q ^up out
	echo 0 >$disk/power
	echo go >&3
	exec 3>&-
	wait $! || fail "$(cat out err)"
	rmdir $disk
	contains out '^wrote 1$'
	contains out '^read 1$'
	contains err '/dev/gone: write of 4096 bytes at 0: .*the guest is told'
}

# What was flushed before the power failed is there, what was not is gone.
test_power_cut() {
	truncate -s 8M disk.img
	status 0 guest 'echo first | dd of=/dev/sda conv=fsync 2>/dev/null
		echo second | dd of=/dev/sda seek=1 bs=4096 conv=sync oflag=direct 2>/dev/null
		dd if=/dev/zero of=/dev/sda seek=2 count=1 bs=4096 oflag=direct 2>/dev/null; echo "$?"' \
		--disk disk.img,fault=write:lba=16:cut
	contains out '^1$'
	equal "$(tr -d '\0' <disk.img)" first
}

run_tests
