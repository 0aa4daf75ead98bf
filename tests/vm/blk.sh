#!/bin/sh
# SPDX-License-Identifier: MIT
# blk.sh - disks without SCSI: virtio-blk, served in process.
. "$(dirname "$0")/lib.sh"

test_what_the_guest_finds() {
	truncate -s 8M disk
	truncate -s 4M fixed
	# shellcheck disable=SC2016
	status 0 guest '
		for d in vda vdb; do
			cd /sys/block/$d
			for f in size ro serial queue/logical_block_size queue/physical_block_size cache_type; do
				echo -n "$(cat $f), "
			done
			echo $d
		done
		ls /sys/block/vda/mq | wc -l
		cat /sys/block/vda/queue/write_zeroes_max_bytes
		dd if=/dev/zero of=/dev/vdb bs=512 count=1 conv=fsync 2>/dev/null || echo protected' \
		--cpus 2 --disk disk,on=blk,physical-block=4096 \
		--disk fixed,on=blk,readonly=on,serial="it's fixed",block-size=4096
	equal "$(cat out)" "16384, 0, disk, 512, 4096, write back, vda
8192, 1, it's fixed, 4096, 4096, write back, vdb
2
67108864
protected"
}

# Data both ways by several queues, beside a SCSI disk, on both transports; what was flushed is there.
test_data() {
	truncate -s 32M disk
	truncate -s 8M scsi
	for transport in pci mmio; do
		# shellcheck disable=SC2016
		status 0 guest '
			for i in 0 1 2 3; do
				dd if=/bin/busybox of=/dev/vda bs=4096 seek=$((i * 1000)) count=150 2>/dev/null &
			done
			wait
			sync
			for i in 0 1 2 3; do
				echo 3 >/proc/sys/vm/drop_caches
				dd if=/dev/vda bs=4096 skip=$((i * 1000)) count=150 2>/dev/null | md5sum
			done
			cat /sys/block/sda/size' --cpus 2 --json json \
			--device "virtio-blk,disk,overlay=off,transport=$transport" --disk scsi
		for i in 0 1 2 3; do
			equal "$(dd if=disk bs=4096 skip=$((i * 1000)) count=150 2>/dev/null | md5sum)" \
				"$(sed -n "$((i + 1))p" out)"
		done
		equal "$(sed 1,4d out)" 16384
		contains json '"id": "blk0"'
		contains json '"errors": 0'
	done
}

# What is discarded, or zeroed, reads as zeroes, and the file has holes.
test_space_comes_back() {
	yes full | head -c 16777216 >disk
	status 0 guest 'blkdiscard /dev/vda && head -c 1048576 /dev/vda | tr -d "\0" | wc -c' \
		--disk disk,on=blk
	equal "$(cat out)" 0
	equal "$(stat -c %s disk)" $((16 << 20))
	[ "$(du -k disk | cut -f 1)" -lt 16384 ] || fail 'no holes'
}

test_root() { # on the second one, beside a SCSI disk
	rootfs <<-'END'
		#!/bin/sh
		echo "root: $(grep ' / ' /proc/mounts)"
		poweroff -f
	END
	truncate -s 1M other.img
	mv disk.img system.img
	status 0 vmm --initrd "$initrd" --append 'quiet ro' --root blk:1 --disk store=null,size=1M \
		--disk other.img,on=blk --disk system.img,on=blk
	contains out '^root: /dev/vdb / ext4 ro'
	status 200 vmm --initrd "$initrd" --root blk:1 --disk other.img,on=blk
	contains err 'blk:1: there is no such virtio disk; the first is blk:0'
}

test_resize_while_it_runs() {
	truncate -s 8M disk
	# shellcheck disable=SC2016
	guest 'echo begun; while [ "$(cat /sys/block/vda/size)" != 32768 ]; do sleep 0.2; done; echo grown' \
		--disk disk,on=blk --control ctl &
	guest=$!
	until_true 100 grep -q begun out
	status 0 lunette ctl ctl resize blk:0 16M
	status 0 wait $guest
	contains out grown
	equal "$(stat -c %s disk)" $((16 << 20))
}

# The same as a SCSI disk: errors by rule, what was counted, expectations.
test_faults_and_counters() {
	truncate -s 8M disk
	status 0 guest '
		dd if=/dev/vda of=/dev/null bs=4096 count=1 iflag=direct 2>/dev/null && echo read
		dd if=/dev/zero of=/dev/vda bs=4096 seek=1 count=1 conv=fsync 2>/dev/null || echo failed' \
		--disk disk,on=blk,fault=write:lba=8-15:error=EIO --expect 'blk0.errors>=1' \
		--expect 'blk0.reads>=1'
	equal "$(cat out)" 'read
failed'
}

test_kept_apart() {
	truncate -s 8M disk
	status 0 guest 'yes x | head -c 65536 | dd of=/dev/vda conv=fsync 2>/dev/null; echo done' \
		--disk disk,on=blk --overlay on
	equal "$(tr -d '\0' <disk | wc -c)" 0
	status 0 guest 'yes x | head -c 65536 | dd of=/dev/vda conv=fsync 2>/dev/null; echo done' \
		--disk disk,on=blk --overlay on --commit
	equal "$(tr -d '\0' <disk | wc -c)" 65536
}

run_tests
