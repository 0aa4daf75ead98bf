#!/bin/sh
# SPDX-License-Identifier: MIT
# rights.sh - what a running lunette may do, and that it needs no root.
. "$(dirname "$0")/lib.sh"

start() { # OPTION...: a guest that stays; its lunette is $vmm
	job 'echo up; sleep 100'
	lunette run --kernel "$kernel" --initrd initrd --vhost off "$@" >out 2>err </dev/null &
	vmm=$!
	until_true 30 grep -q ^up out
}

test_no_capabilities_in_any_thread() {
	truncate -s 1M disk.img other.img
	start --cpus 2 --disk disk.img --disk other.img,io=threads
	for field in CapInh CapPrm CapEff CapBnd CapAmb; do
		equal "$(cat /proc/$vmm/task/*/status | grep "^$field" | sort -u)" \
			"$field:	0000000000000000"
	done
	[ "$(ls /proc/$vmm/task | wc -l)" -ge 5 ] || fail 'too few threads to tell'
	kill $vmm
}

test_no_new_privileges() {
	start
	equal "$(cat /proc/$vmm/task/*/status | grep NoNewPrivs | sort -u)" 'NoNewPrivs:	1'
	kill $vmm
}

test_runs_as_anybody_with_kvm() {
	truncate -s 1M disk.img
	chown 1000 . disk.img
	job 'dd if=/dev/zero of=/dev/sda bs=64k count=1 conv=fsync 2>&1'
	chmod 644 initrd
	status 0 user lunette run --kernel "$kernel" --initrd initrd --disk disk.img \
		>out 2>err </dev/null
	contains out '1.0 records out|1\+0 records out'
}

test_image_of_another_vm() {
	truncate -s 1M disk.img
	start --disk disk.img
	status 201 guest true --disk disk.img
	equal "$(wc -l <err)" 1
	contains err 'disk.img.*(locked|in use|another)'
	status 201 guest true --disk disk.img,readonly=on
	kill $vmm
	status 143 wait $vmm
	status 0 guest true --disk disk.img
}

run_tests
