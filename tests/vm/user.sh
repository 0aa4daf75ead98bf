#!/bin/sh
# SPDX-License-Identifier: MIT
# user.sh - disks that another program serves, by vhost-user: qemu-storage-daemon of Debian.
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
		--timeout 20s $user &
	guest=$!
	until_true 100 grep -q begun out
	kill -9 $server
	status 212 wait $guest
	trap - EXIT
	contains err 'user-blk0: the server at sock has gone away; nobody knows what it had begun'
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

run_tests
