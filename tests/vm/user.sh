#!/bin/sh
# SPDX-License-Identifier: MIT
# user.sh - disks and folders that another program serves, by vhost-user: Debian's qemu-storage-daemon and
# virtiofsd, and vhost-device-scsi.
. "$(dirname "$0")/lib.sh"

[ ! -e /lab/servers.cpio ] || {
	(cd / && cpio -idu </lab/servers.cpio) 2>/dev/null
	rm /lab/servers.cpio
}

# serve [OPTION...]: ./disk is at ./sock, until the test is over
serve() {
	qemu-storage-daemon --blockdev driver="${format:-raw}",node-name=d,file.driver=file,file.filename=disk \
		--export type=vhost-user-blk,id=e,node-name=d,addr.type=unix,addr.path=sock,writable=on"${1:+,$1}" \
		>server.log 2>&1 &
	server=$!
	trap 'kill $server' EXIT
	until_true 30 test -S sock
}
user=--device=vhost-user-blk,socket=sock

test_read_and_write() {
	truncate -s 8M disk
	echo 'from the host' | dd of=disk conv=notrunc 2>/dev/null
	serve
	status 0 guest '
		head -c 13 /dev/vda; echo
		cat /sys/block/vda/size
		dd if=/dev/zero bs=1M count=1 2>/dev/null | tr "\0" "x" | dd of=/dev/vda bs=4096 seek=512 conv=fsync 2>/dev/null
		echo status $?' $user
	equal "$(cat out)" 'from the host
16384
status 0'
	equal "$(dd if=disk bs=4096 skip=512 count=256 2>/dev/null | tr -d x | wc -c)" 0
}

test_image_with_a_backing_file() {
	truncate -s 8M base
	echo 'from the base' | dd of=base conv=notrunc 2>/dev/null
	qemu-img create -q -f qcow2 -b base -F raw disk
	format=qcow2
	serve num-queues=2
	status 0 guest '
		head -c 13 /dev/vda; echo
		ls /sys/block/vda/mq
		dd if=/bin/busybox of=/dev/vda bs=4096 seek=1000 count=100 conv=fsync 2>/dev/null
		dd if=/dev/vda bs=4096 skip=1000 count=100 2>/dev/null | cmp - /bin/busybox 2>&1
		echo end' --cpus 2 $user
	contains out '^from the base$'
	contains out '^1$' # the second queue
	contains out 'EOF on -' # all that was written is the same
	kill $server
	wait $server || true
	trap - EXIT
	qemu-img check -q disk
	qemu-img convert -O raw disk raw
	equal "$(dd if=raw bs=4096 skip=1000 count=100 2>/dev/null | md5sum)" \
		"$(dd if=/bin/busybox bs=4096 count=100 2>/dev/null | md5sum)"
}

# Debian's does not keep account of what it has begun: a line, and no guest hangs for ever.
test_killed() {
	truncate -s 32M disk
	serve
	guest 'echo begun; while :; do dd if=/dev/vda of=/dev/null bs=4096 count=64 iflag=direct; done' \
		--control socket $user &
	guest=$!
	until_true 100 grep -q begun out
	kill -9 $server
	until_true 100 grep -q 'user-blk0: the server at sock has gone away; nobody knows what it had begun' err
	lunette ctl socket quit
	status 208 wait $guest
	trap - EXIT
}

test_controller() { # of a program that does not write
	[ -x /lab/vhost-device-scsi ] || skip 'no vhost-device-scsi: "make test-all" builds it, with cargo'
	truncate -s 8M disk
	echo 'from the host' | dd of=disk conv=notrunc 2>/dev/null
	dd if=/bin/busybox of=disk bs=4096 seek=1000 count=100 conv=notrunc 2>/dev/null
	/lab/vhost-device-scsi --read-only --socket-path sock disk >server.log 2>&1 &
	server=$!
	trap 'kill $server 2>/dev/null || true' EXIT
	until_true 30 test -S sock
	status 0 guest '
		head -c 13 /dev/sda; echo
		cat /sys/block/sda/size /sys/block/sda/ro
		dd if=/dev/sda bs=4096 skip=1000 count=100 2>/dev/null | md5sum' --device vhost-user-scsi,socket=sock
	equal "$(cat out)" "from the host
16384
1
$(dd if=/bin/busybox bs=4096 count=100 2>/dev/null | md5sum)"
}

# The same random writes, each read back at once, leave the same image, whoever serves the disk: lunette
# by SCSI and without, the kernel, another program, and one by NBD.
test_every_back_end_writes_the_same() {
	mkdir files
	cp /lab/verify files
	modprobe -a vhost_scsi target_core_file
	[ -d /sys/kernel/config/target ] || mount -t configfs configfs /sys/kernel/config
	truncate -s 16M process without kernel disk
	qemu-img create -q -f qcow2 image.qcow2 16M
	serve
	for options in '--disk process' '--disk without,on=blk' '--vhost on --disk kernel' $user '--disk image.qcow2'; do
		status 0 guest 'cd /sys/block; /files/verify write /dev/$(echo [sv]da) 7 200; echo status $?' $options
		equal "$(cat out)" 'status 0'
	done
	qemu-img convert -O raw image.qcow2 image
	[ "$(tr -d '\0' <process | wc -c)" -gt 4000000 ] || fail 'hardly anything was written'
	for image in without kernel disk image; do
		cmp process $image
	done
}

test_explained() {
	truncate -s 8M disk
	serve
	status 0 vmm --explain --initrd "$initrd" $user
	contains out '^user-blk0: disk that another program serves$'
	contains out '^  served by: the program that listens at sock \(vhost-user\)'
	contains out '^  if that ends: the guest has to reset the device, as it does not keep'
}

test_nobody_serves() {
	status 201 vmm --initrd "$initrd" $user
	contains err 'user-blk0: socket=sock: No such file or directory; is the server running'
}

# share [OPTION...]: the folder ./shared is at ./sock. The lab host's root is none that a process could leave.
share() {
	/usr/lib/qemu/virtiofsd --socket-path=sock -o source="$PWD/shared" -o sandbox=chroot "$@" \
		>server.log 2>&1 &
	server=$!
	trap 'kill $server 2>/dev/null || true' EXIT
	until_true 30 test -S sock
}
folder=--device=vhost-user-fs,socket=sock,tag=work

test_folder() {
	mkdir shared
	echo 'from the host' >shared/note
	share
	status 0 guest '
		mount -t virtiofs work /mnt
		cat /mnt/note
		cp /bin/busybox /mnt/copy
		mkdir /mnt/deep
		echo "from the guest" >/mnt/deep/file
		umount /mnt
		mount -t virtiofs work /mnt
		cmp /mnt/copy /bin/busybox && cat /mnt/deep/file
		rm /mnt/note
		ls /mnt' $folder
	equal "$(cat out)" 'from the host
from the guest
copy
deep'
	equal "$(cat shared/deep/file)" 'from the guest'
	cmp shared/copy /bin/busybox
	[ ! -e shared/note ]
}

# What the one side does the other sees, while the guest runs: no copy was made.
test_folder_is_live() {
	mkdir shared
	share -o cache=none
	guest '
		mount -t virtiofs work /mnt
		touch /mnt/there
		until [ -e /mnt/answer ]; do sleep 0.1; done
		cat /mnt/answer' $folder &
	guest=$!
	until_true "$seconds" test -e shared/there
	echo 'while it runs' >shared/new
	mv shared/new shared/answer
	status 0 wait $guest
	equal "$(cat out)" 'while it runs'
}

test_folder_explained() {
	mkdir shared
	share
	status 0 vmm --explain --initrd "$initrd" $folder
	contains out '^user-fs0: folder that another program serves$'
	contains out '^  queues: 1 of requests$'
	contains out '^  if that ends: the guest has to reset the device, as what it has open there is lost$'
}

run_tests
