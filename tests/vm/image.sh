#!/bin/sh
# SPDX-License-Identifier: MIT
# image.sh - disks in images of a format, and at an NBD server: Debian's qemu-nbd serves them to lunette.
. "$(dirname "$0")/lib.sh"

[ ! -e /lab/servers.cpio ] || {
	(cd / && cpio -idu </lab/servers.cpio) 2>/dev/null
	rm /lab/servers.cpio
}

served() { # are there programs for images that run?
	pidof qemu-nbd || pidof qemu-img
}

# raw FILE SIZE: with something in it that can be read back
raw() {
	truncate -s "$2" "$1"
	echo 'from the base' | dd of="$1" conv=notrunc 2>/dev/null
}

# What guests do to /dev/sda: read, write and flush, and read that back.
work='
	head -c 13 /dev/sda; echo
	dd if=/bin/busybox of=/dev/sda bs=4096 seek=1000 count=100 conv=fsync 2>/dev/null
	echo 3 >/proc/sys/vm/drop_caches
	dd if=/dev/sda bs=4096 skip=1000 count=100 2>/dev/null | cmp - /bin/busybox 2>&1
	true'

# worked: ./out is what it prints, and ./raw what is in the image then
worked() {
	contains out '^from the base$'
	contains out 'EOF on -' # all that was written is the same
	equal "$(dd if=raw bs=4096 skip=1000 count=100 2>/dev/null | md5sum)" \
		"$(dd if=/bin/busybox bs=4096 count=100 2>/dev/null | md5sum)"
	equal "$(served)" ''
	equal "$(ls -A /var/tmp)" ''
}

test_qcow2_with_a_backing_file() {
	raw base 8M
	sum=$(md5sum <base)
	qemu-img create -q -f qcow2 -b base -F raw x.qcow2
	status 0 guest "$work" --disk x.qcow2
	qemu-img check -q x.qcow2
	qemu-img convert -O raw x.qcow2 raw
	worked
	equal "$(md5sum <base)" "$sum"
}

long_other_formats() {
	raw base 8M
	for format in vmdk vhdx vdi; do
		qemu-img convert -O $format base x.$format
		status 0 guest "$work" --disk x.$format
		qemu-img convert -O raw x.$format raw
		worked
	done
}

# What the guest gives back is given back, and what has no room is told.
long_space() {
	raw base 8M
	qemu-img convert -O qcow2 base x.qcow2
	qemu-img resize -q x.qcow2 64M
	status 0 guest '
		cat /sys/block/sda/size
		dd if=/dev/zero bs=1M count=32 2>/dev/null | tr "\0" x | dd of=/dev/sda bs=1M conv=fsync 2>/dev/null
		blkdiscard /dev/sda && echo discarded
		dd if=/bin/busybox of=/dev/sda bs=64k seek=8 count=1 conv=fsync 2>/dev/null' --disk x.qcow2
	contains out '^131072$'
	contains out '^discarded$'
	qemu-img check -q x.qcow2
	[ "$(($(stat -c %b x.qcow2) / 2))" -lt 1024 ] || fail "$(stat -c %b x.qcow2) blocks of it are left"
}

long_changes_vanish() {
	raw base 8M
	qemu-img convert -O qcow2 base x.qcow2
	sum=$(md5sum <x.qcow2)
	status 0 guest "$work" --disk x.qcow2,overlay=on
	contains out 'EOF on -'
	equal "$(md5sum <x.qcow2)" "$sum"
	status 0 guest 'cat /sys/block/sda/ro; head -c 13 /dev/sda' --disk x.qcow2,readonly=on
	equal "$(cat out)" '1
from the base'
	status 0 guest "$work" --disk x.qcow2,overlay=commit
	qemu-img convert -O raw x.qcow2 raw
	worked
}

test_without_scsi() {
	raw base 8M
	qemu-img convert -O qcow2 base x.qcow2
	status 0 guest "$(echo "$work" | sed s/sda/vda/g)" --disk x.qcow2,on=blk
	qemu-img convert -O raw x.qcow2 raw
	worked
}

test_nbd_server() {
	raw raw 8M
	qemu-nbd -f raw -t -k "$PWD/sock" raw >server.log 2>&1 &
	server=$!
	trap 'kill $server' EXIT
	until_true 30 test -S sock
	status 0 guest "$work" --disk "nbd+unix:///?socket=$PWD/sock"
	kill $server
	wait $server || true
	trap - EXIT
	worked
}

test_by_an_ordinary_user() {
	raw base 8M
	qemu-img convert -O qcow2 base x.qcow2
	chown -R 1000 .
	job "$work"
	chmod 755 .
	status 0 user env TMPDIR="$PWD" sh -c "timeout -k 5 $seconds lunette run --kernel $kernel --initrd initrd --vhost off \
		--overlay off --boot-timeout none --disk x.qcow2 -- sh -c 'exec 2>&1; . /job'" >out 2>err </dev/null
	qemu-img convert -O raw x.qcow2 raw
	worked
}

# Whatever ends lunette: the program goes, too, and has written what it had to.
test_killed() {
	raw base 8M
	qemu-img convert -O qcow2 base x.qcow2
	guest "$work; echo written >/dev/console; sleep 1000" --disk x.qcow2 --console-log console &
	guest=$!
	until_true "$seconds" grep -q written console
	kill -9 "$(pidof lunette)"
	status 137 wait $guest
	until_true 30 test -z "$(pidof qemu-nbd)"
	qemu-img check -q x.qcow2
	qemu-img convert -O raw x.qcow2 raw
	worked
}

# The program ends of itself: the guest has errors, and an end.
test_program_is_killed() {
	raw base 8M
	qemu-img convert -O qcow2 base x.qcow2
	guest 'echo begun
		until [ -e /dead ]; do dd if=/dev/sda of=/dev/null bs=4096 count=16 iflag=direct 2>/dev/null || >/dead; done
		echo failed' --disk x.qcow2 --timeout 120s &
	guest=$!
	until_true "$seconds" grep -q begun out
	kill -9 "$(pidof qemu-nbd)"
	status 0 wait $guest
	contains out '^failed$'
	contains err 'x.qcow2: read of .*: Input/output error: qemu-nbd has ended'
}

# A guest writes the head of an image, with any file of the host's behind it, to a disk that is raw.
test_guest_makes_an_image() {
	raw base 8M
	mkdir files
	echo secret >/secret
	qemu-img create -q -f qcow2 -b /secret -F raw files/evil 8M
	cp files/evil x.qcow2
	status 0 guest 'dd if=/files/evil of=/dev/sda conv=fsync 2>/dev/null' --disk base
	status 201 guest true --disk base
	contains err 'base: is a qcow2 disk by its bytes, which a guest may have written'
	status 201 guest true --disk x.qcow2
	contains err 'x.qcow2: its backing file /secret is not in its folder'
	status 0 guest 'head -c 6 /dev/sda' --disk x.qcow2,backing=any
	equal "$(cat out)" secret
	equal "$(served)" ''
}

test_explained() {
	raw base 8M
	qemu-img create -q -f qcow2 -b base -F raw x.qcow2
	status 0 vmm --explain --initrd "$initrd" --disk x.qcow2
	contains out '^  image: x.qcow2, 8388608 bytes in blocks of 512, writable$'
	contains out '^  image served by: qemu-nbd, as qcow2, on ./base \(raw\)$'
	equal "$(served)" ''
}

run_tests
