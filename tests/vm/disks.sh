#!/bin/sh
# SPDX-License-Identifier: MIT
# disks.sh - what a guest finds and does with its disks, and what is in the images afterwards.
. "$(dirname "$0")/lib.sh"

# Facts of /sys about each disk. (Linux shows LUN 300 as 16684: with the bit of its address method.)
facts='for disk in /sys/bus/scsi/devices/*:*/block/*; do
	serial=$(tail -c +5 ${disk%/block/*}/vpd_pg80)
	echo ${disk##*/} $(basename ${disk%/block/*}) $(cat $disk/size $disk/ro \
		$disk/queue/logical_block_size) $serial
done | sort'

test_luns_in_order() {
	truncate -s 64M a.img
	truncate -s 3072G b.img
	truncate -s 1M 'c d.img'
	truncate -s 512 tiny.img
	truncate -s 8M loop.img
	device=$(losetup -f) && losetup "$device" loop.img
	status 0 guest "$facts" --disk a.img,serial=first --disk b.img --disk 'c d.img,readonly=on' \
		--disk a4k.img,store=null,size=1G,block-size=4096,serial=null-4k \
		--disk tiny.img,lun=300,serial=tiny --disk "$device,serial=loop"
	losetup -d "$device"
	equal "$(cat out)" "sda 0:0:0:0 131072 0 512 first
sdb 0:0:0:1 6442450944 0 512 b.img
sdc 0:0:0:2 2048 1 512 c d.img
sdd 0:0:0:3 2097152 0 4096 null-4k
sde 0:0:0:16684 1 0 512 tiny
sdf 0:0:0:16685 16384 0 512 loop"
}

test_names_by_udev() {
	tools=/lab/tools.cpio
	truncate -s 1M a.img b.img
	status 0 guest 'ln -s /bin/udevadm /tmp/systemd-udevd && /tmp/systemd-udevd --daemon
		udevadm trigger --action=add --subsystem-match=block && udevadm settle
		cd /dev/disk/by-id && for link in *; do echo $link $(readlink $link); done
		lsblk -rdno NAME,SIZE,SERIAL,WWN,VENDOR,MODEL,HCTL,TRAN' \
		--disk a.img,wwn=3123456789abcdef,serial=the-first --disk b.img
	contains out '^scsi-33123456789abcdef ../../sda$'
	contains out '^wwn-0x3123456789abcdef ../../sda$'
	contains out '^scsi-36[0-9a-f]{31} ../../sdb$'
	contains out '^wwn-0x6[0-9a-f]{31} ../../sdb$'
	contains out '^sda 1M the-first 0x3123456789abcdef LUNETTE[^ ]* DISK[^ ]* 0:0:0:0'
}

test_ext4_and_100_mib() {
	tools=/lab/tools.cpio
	truncate -s 256M disk.img
	mkdir files
	head -c 4m /dev/urandom >files/seed
	status 0 guest 'mkfs.ext4 -q /dev/sda && mount /dev/sda /mnt &&
		for i in $(seq 25); do cat /files/seed; done >/mnt/big && sync' --disk disk.img
	e2fsck -fn disk.img
	mkdir mnt
	mount -o loop,ro disk.img mnt
	for i in $(seq 25); do cat files/seed; done | cmp - mnt/big
	umount mnt
}

# Through the page cache of the guest and past it, and with more than one request in flight.
test_reads_what_was_there() {
	head -c 32m /dev/urandom >disk.img
	status 0 guest 'dd if=/dev/sda bs=1M iflag=direct 2>/dev/null | md5sum
		for part in 0 8 16 24; do dd if=/dev/sda bs=1M skip=$part count=8 2>/dev/null |
			md5sum >/tmp/$part & done; wait; cat /tmp/0 /tmp/8 /tmp/16 /tmp/24' --disk disk.img
	equal "$(cat out)" "$(md5sum <disk.img
		for part in 0 8 16 24; do dd if=disk.img bs=1M skip=$part count=8 2>/dev/null |
			md5sum; done)"
}

test_readonly() {
	mkfs.ext4 -q -L fixed disk.img 16M
	cp disk.img before.img
	chmod 444 disk.img
	status 0 guest 'cat /sys/block/sda/ro
		dd if=/dev/zero of=/dev/sda bs=4096 count=1 conv=fsync 2>&1 && echo written
		blkdiscard /dev/sda 2>&1 && echo discarded
		mount -o rw /dev/sda /mnt 2>&1; touch /mnt/x 2>&1 && echo created
		echo tried' --disk disk.img,readonly=on
	contains out '^1$'
	contains out '^tried$'
	! grep -E '^(written|discarded|created)$' out || fail 'it can be changed'
	cmp disk.img before.img
}

# The kernel asks no leave of /sys: the target itself has to refuse.
test_readonly_by_the_target() {
	tools=/lab/tools.cpio
	head -c 1m /dev/urandom >disk.img
	cp disk.img before.img
	status 0 guest 'sg_raw -s 512 -i /dev/zero /dev/sg0 2a 00 00 00 00 00 00 00 01 00 2>&1
		sg_unmap --lba=0 --num=8 --force /dev/sg0 2>&1; true' --disk disk.img,readonly=on
	contains out 'Data [Pp]rotect'
	contains out 'Write protected'
	cmp disk.img before.img
}

test_discard() {
	head -c 16m /dev/urandom >disk.img
	cp disk.img before.img
	status 0 guest 'blkdiscard -o 4194304 -l 8388608 /dev/sda' --disk disk.img
	[ "$(du -k disk.img | cut -f 1)" -le 8192 ] || fail "$(du -k disk.img): no space came back"
	{
		head -c 4m before.img
		head -c 8m /dev/zero
		tail -c 4m before.img
	} | cmp - disk.img
}

test_fstrim() {
	tools=/lab/tools.cpio
	mkfs.ext4 -q disk.img 64M
	status 0 guest 'mount /dev/sda /mnt && head -c 32m /dev/urandom >/mnt/x && sync && rm /mnt/x &&
		sync && fstrim /mnt' --disk disk.img
	[ "$(du -k disk.img | cut -f 1)" -le 16384 ] || fail "$(du -k disk.img): no space came back"
	e2fsck -fn disk.img
}

test_two_vms_share_a_readonly_image() {
	truncate -s 1M disk.img
	job 'echo up; sleep 20'
	lunette run --kernel "$kernel" --initrd initrd --vhost off --disk disk.img,readonly=on \
		>first 2>&1 </dev/null &
	until_true 30 grep -q ^up first
	status 0 guest true --disk disk.img,readonly=on
	kill $!
}

test_root_on_a_lun() { # boots to its shell
	rootfs <<-'END'
		#!/bin/sh
		echo "root: $(grep ' / ' /proc/mounts)"
		exec sh
	END
	mkfifo keys
	timeout -k 5 "$seconds" lunette run --kernel "$kernel" --initrd "$initrd" \
		--vhost off --append "quiet root=/dev/sda" --disk disk.img >out 2>err <keys &
	exec 3>keys
	until_true 30 grep -q '# ' out
	echo 'echo kept >/tmp/file; sync; echo the sum is $((6 * 7)); poweroff -f' >&3
	status 0 wait $!
	contains out '^root: /dev/sda / ext4 rw'
	contains out 'the sum is 42'
	mkdir mnt
	mount -o loop disk.img mnt
	contains mnt/tmp/file kept
	umount mnt
}

test_root_by_label() {
	rootfs <<-'END'
		#!/bin/sh
		echo "root: $(grep ' / ' /proc/mounts)"
		poweroff -f
	END
	truncate -s 1M other.img
	status 0 vmm --initrd "$initrd" --append 'quiet root=LABEL=rootfs ro' --disk other.img \
		--disk disk.img
	contains out '^root: /dev/sdb / ext4 ro'
}

test_root_by_lun() { # whatever its letter is
	rootfs <<-'END'
		#!/bin/sh
		echo "root: $(grep ' / ' /proc/mounts)"
		poweroff -f
	END
	truncate -s 1M other.img
	mv disk.img system.img
	status 0 vmm --initrd "$initrd" --append 'quiet ro' --root lun:300 --disk other.img \
		--disk system.img,lun=300
	contains out '^root: /dev/sdb / ext4 ro'
	status 200 vmm --initrd "$initrd" --root lun:5 --disk other.img
	contains err 'lun:5: the first controller has no such LUN'
	status 200 vmm --initrd "$initrd" --root /dev/sda --disk other.img
	contains err 'lun:(N or blk:N|0 is the first one)'
}

run_tests
