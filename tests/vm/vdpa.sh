#!/bin/sh
# SPDX-License-Identifier: MIT
# vdpa.sh - disks that the kernel's vDPA has: of Debian's qemu-storage-daemon, which stands for the hardware
# (VDUSE). Linux 6.12's vDPA can suspend no such device.
. "$(dirname "$0")/lib.sh"

[ ! -e /lab/servers.cpio ] || {
	(cd / && cpio -idu </lab/servers.cpio) 2>/dev/null
	rm /lab/servers.cpio
}
modprobe vduse
modprobe vhost_vdpa
node=/dev/vhost-vdpa-0
vdpa_disk=--device=vhost-vdpa,path=$node

device=disk # on the host; one whose program has been killed keeps it for a while

# serve [OPTION...]: ./disk is a device of the host's, until the test is over; what is written to ./asked is
# asked of its program
serve() {
	mkfifo asked
	qemu-storage-daemon --chardev stdio,id=c --monitor chardev=c \
		--blockdev driver=raw,node-name=d,file.driver=file,file.filename=disk \
		--export type=vduse-blk,id=e,node-name=d,name=$device,writable=on"${1:+,$1}" \
		<>asked >server.log 2>&1 &
	server=$!
	trap 'vdpa dev del $device 2>/dev/null || true; kill $server' EXIT
	until_true 30 test -e /dev/vduse/$device
	vdpa dev add name $device mgmtdev vduse
	until_true 30 test -e $node
}

test_read_and_write() {
	truncate -s 8M disk
	echo 'from the host' | dd of=disk conv=notrunc 2>/dev/null
	serve num-queues=2
	for transport in pci mmio; do
		status 0 guest '
			head -c 13 /dev/vda; echo
			cat /sys/block/vda/size
			ls /sys/block/vda/mq | wc -l
			dd if=/bin/busybox of=/dev/vda bs=4096 seek=512 count=100 conv=fsync 2>/dev/null
			dd if=/dev/vda bs=4096 skip=512 count=100 iflag=direct 2>/dev/null | cmp - /bin/busybox 2>&1
			echo' \
			--cpus 2 $vdpa_disk,transport=$transport
		contains out '^from the host$'
		contains out '^16384$'
		contains out '^2$'
		contains out 'EOF on -' # all that was written is the same
	done
	equal "$(dd if=disk bs=4096 skip=512 count=100 2>/dev/null | md5sum)" \
		"$(dd if=/bin/busybox bs=4096 count=100 2>/dev/null | md5sum)"
}

# The device is reset and begins again, and nothing is lost that it had begun.
test_paused_under_load() {
	truncate -s 32M disk
	serve
	guest 'echo begun
		for i in 1 2 3 4; do
			dd if=/dev/urandom of=/data bs=65536 count=64 2>/dev/null
			dd if=/data of=/dev/vda bs=65536 seek=$((i * 64)) oflag=direct 2>&1 | grep -i error
			dd if=/dev/vda bs=65536 skip=$((i * 64)) count=64 iflag=direct 2>/dev/null | cmp - /data && echo same
		done
		echo over' --control socket $vdpa_disk &
	guest=$!
	trap 'kill $guest; vdpa dev del $device 2>/dev/null || true; kill $server' EXIT
	until_true 100 grep -q begun out
	for i in 1 2 3 4 5 6; do
		[ -e over ] || lunette ctl socket pause && lunette ctl socket resume || break
	done
	status 0 wait $guest
	equal "$(grep -c '^same$' out)" 4
	contains out '^over$'
	trap 'vdpa dev del $device 2>/dev/null || true; kill $server' EXIT
}

test_grows() {
	truncate -s 8M disk
	serve
	guest 'echo begun; until [ "$(cat /sys/block/vda/size)" = 32768 ]; do sleep 0.1; done; echo grown' \
		--timeout 60s $vdpa_disk &
	guest=$!
	trap 'kill $guest; vdpa dev del $device 2>/dev/null || true; kill $server' EXIT
	until_true 100 grep -q begun out
	echo '{"execute":"qmp_capabilities"}
{"execute":"block_resize","arguments":{"node-name":"d","size":16777216}}' >asked
	status 0 wait $guest
	contains out '^grown$'
	trap 'vdpa dev del $device 2>/dev/null || true; kill $server' EXIT
}

# The kernel waits half a minute for its program; the run ends all the same.
long_killed() {
	device=killed
	truncate -s 8M disk
	serve
	guest 'echo begun; while :; do dd if=/dev/vda of=/dev/null bs=4096 count=64 iflag=direct; done' \
		--control socket $vdpa_disk &
	guest=$!
	trap 'kill $guest' EXIT
	until_true 100 grep -q begun out
	kill -9 $server
	lunette ctl socket quit
	status 208 wait $guest
	trap 'vdpa dev del $device 2>/dev/null || true' EXIT
}

test_refused() {
	truncate -s 8M disk
	serve
	status 201 vmm --initrd "$initrd" --device vhost-vdpa,path=/dev/vhost-vdpa-9
	contains err 'vdpa0: /dev/vhost-vdpa-9: No such file or directory; "vdpa dev show" lists what there is'
	status 201 user lunette run --kernel "$kernel" --initrd "$initrd" $vdpa_disk 2>err
	contains err "vdpa0: $node: Permission denied; root may open it"
	status 0 vmm --explain --initrd "$initrd" $vdpa_disk
	contains out "served by: the block device at $node .vDPA."
	contains out 'while the guest is paused: it is reset, as it cannot be suspended'
}

run_tests
