#!/bin/sh
# SPDX-License-Identifier: MIT
# vsock.sh - sockets between host and guest: by the kernel's vhost-vsock, and by Unix sockets.
. "$(dirname "$0")/lib.sh"

modprobe vhost_vsock
mebibyte=1048576

# guest_with SCRIPT OPTION...: a guest with the program, in the background; it listens. It stays until
# "ended", as what a guest's kernel has not sent yet is lost when its power goes.
guest_with() {
	mkdir -p files
	cp /lab/vsock files
	rm -f out
	script=$1
	shift
	guest "$script
		sleep 1000" --control socket "$@" &
	vmm=$!
	trap 'kill $vmm' EXIT
	until_true 100 grep -q listening out
}
ended() {
	lunette ctl socket quit
	status 208 wait $vmm
	trap - EXIT
}

# Each side calls the other one, by the kernel: bytes both ways, several at a time.
test_kernel() {
	for transport in pci mmio; do
		timeout 400 /lab/vsock echo vsock:4294967295:700 4 >echo &
		echo=$!
		until_true 60 grep -q listening echo
		guest_with "cd /files; ./vsock cid; ./vsock send vsock:2:700 $mebibyte 4
			./vsock echo vsock:4294967295:800 3" \
			--device virtio-vsock,77,transport=$transport
		status 0 /lab/vsock send vsock:77:800 $mebibyte 3
		ended
		status 0 wait $echo
		equal "$(cat out)" '77
4 came back
listening'
	done
}

test_kernel_numbers() {
	status 0 vmm --initrd "$initrd" --explain --vsock auto
	contains out 'address: CID [0-9]+'
	contains out 'by /dev/vhost-vsock'
	guest_with 'cd /files; ./vsock echo vsock:4294967295:800 1' --vsock 99
	status 201 lunette run --kernel "$kernel" --initrd "$initrd" --explain --vsock 99 2>busy >/dev/null
	contains busy 'vsock0: cid=99: another guest has it; give another one, or auto'
	status 0 /lab/vsock send vsock:99:800 10
	ended
	mv /dev/vhost-vsock /dev/gone
	trap 'mv /dev/gone /dev/vhost-vsock' EXIT
	status 201 vmm --initrd "$initrd" --explain --vsock 99
	contains err 'vsock0: /dev/vhost-vsock: No such file or directory; modprobe vhost_vsock, or give path='
}

# The same by Unix sockets, without rights.
test_unix() {
	for transport in pci mmio; do
		timeout 400 /lab/vsock echo "unix:$PWD/v_700" 4 >echo &
		echo=$!
		until_true 60 grep -q listening echo
		guest_with "cd /files; ./vsock cid; ./vsock send vsock:2:700 $mebibyte 4
			./vsock echo vsock:4294967295:800 3" \
			--device "virtio-vsock,77,path=$PWD/v,transport=$transport"
		status 0 /lab/vsock send "call:$PWD/v:800" $mebibyte 3
		ended
		status 0 wait $echo
		rm v_700
		[ ! -e v ] || fail 'the socket is left'
		equal "$(cat out)" '77
4 came back
listening'
	done
}

long_unix_many() {
	timeout 400 /lab/vsock echo "unix:$PWD/v_700" 100 >echo &
	echo=$!
	until_true 60 grep -q listening echo
	guest_with 'cd /files; ./vsock send vsock:2:700 30000 100
		./vsock echo vsock:4294967295:800 100' --vsock "auto,path=$PWD/v"
	status 0 /lab/vsock send "call:$PWD/v:800" 30000 100
	ended
	status 0 wait $echo
	contains out '^100 came back'
}

test_unix_nobody_there() {
	guest_with 'cd /files; ./vsock refused vsock:2:700 && echo refused
		./vsock refused vsock:1:700 && echo refused
		./vsock echo vsock:4294967295:800 1' --vsock "5,path=$PWD/v"
	status 0 /lab/vsock refused "call:$PWD/v:801"
	status 0 /lab/vsock send "call:$PWD/v:800" 5
	ended
	contains out '^refused'
}

run_tests
