#!/bin/sh
# SPDX-License-Identifier: MIT
# reboot.sh - a guest that resets itself comes back (--on-reboot restart), with its disks as it left them.
. "$(dirname "$0")/lib.sh"

# counts DISK BOOTS HOW: a guest that counts its boots on DISK, and powers itself off in the last one.
counts() {
	job "n=\$(dd if=$1 bs=512 count=1 2>/dev/null | tr -dc 0-9)
		n=\$((n + 1))
		echo \"boot \$n, CPUs \$(cat /sys/devices/system/cpu/online)\"
		echo \$n | dd of=$1 bs=512 conv=sync,notrunc 2>/dev/null
		sync
		[ \$n -lt $2 ] || poweroff -f
		$3
		sleep 1000"
	truncate -s 1M disk.img
}
boots() { # WANTED: so often it has begun
	equal "$(grep -a -c '^boot [0-9]' out)" "$1"
	contains out "^boot $1,"
}
comes_back() { # OPTION...
	status 0 vmm --initrd initrd --on-reboot restart --json json "$@"
	boots 3
	contains json '"reboots": 2,'
	contains err '^lunette: the guest has reset itself, and begins anew \(2\)$'
	equal "$(head -c 1 disk.img)" 3
}

test_on_pci() {
	counts /dev/sda 3 'reboot -f'
	comes_back --cpus 2 --disk disk.img
	contains out '^boot 3, CPUs 0-1$'
}

long_on_mmio() {
	counts /dev/sda 3 'reboot -f'
	comes_back --device virtio-scsi,transport=mmio --disk disk.img
}

test_virtio_blk() {
	counts /dev/vda 3 'reboot -f'
	comes_back --disk disk.img,on=blk
}

test_in_kernel() {
	kernel_target
	counts /dev/sda 3 'reboot -f'
	comes_back --vhost on --disk disk.img --cpus 2
	nothing_left
}

long_in_kernel_on_mmio() {
	kernel_target
	counts /dev/sda 3 'reboot -f'
	comes_back --vhost on --device virtio-scsi,transport=mmio --disk disk.img
	nothing_left
}

long_overlay() { # survives the reset, and is dropped, or written, at the end
	counts /dev/sda 3 'reboot -f'
	status 0 vmm --initrd initrd --on-reboot restart --disk disk.img,overlay=on
	boots 3
	equal "$(tr -d '\0' <disk.img)" ''
	status 0 vmm --initrd initrd --on-reboot restart --disk disk.img,overlay=commit
	boots 3
	equal "$(head -c 1 disk.img)" 3
}

long_on_hvc() {
	counts /dev/sda 3 'reboot -f'
	comes_back --console hvc --disk disk.img
}

long_every_way() {
	only x86_64
	for way in acpi kbd pci triple; do
		counts /dev/sda 2 'reboot -f'
		status 0 vmm --initrd initrd --on-reboot restart --append "reboot=$way" --disk disk.img
		boots 2
		rm disk.img
	done
}

# What was plugged is there; a reservation, and what its driver has chosen, are not.
long_what_was_plugged_stays() {
	counts /dev/sda 2 'echo asked; until [ -e /sys/block/sdb ]; do sleep 0.1; done; reboot -f'
	truncate -s 2M more.img
	lunette run --kernel "$kernel" --vhost off --initrd initrd --on-reboot restart --disk disk.img \
		--control socket >out 2>err </dev/null &
	vmm=$!
	until_true 60 grep -q '^asked' out
	lunette ctl socket plug more.img
	status 0 wait $vmm
	boots 2
}

test_panic_is_none() {
	job 'echo c >/proc/sysrq-trigger'
	status 205 vmm --initrd initrd --on-reboot restart
}

test_loop() {
	only x86_64
	kernel=/lab/payload.elf
	status 204 vmm --append reboot=t --on-reboot restart --reboot-limit 3 --json json
	contains err 'reset itself 3 times in a row, each time less than 10 s after it had begun'
	contains json '"reboots": 2,'
}

test_signal_ends_it() {
	job 'echo up; reboot -f'
	lunette run --kernel "$kernel" --vhost off --initrd initrd --on-reboot restart --reboot-limit 1000 \
		>out 2>err </dev/null &
	until_true 100 grep -q 'anew (2)' err
	kill $!
	status 143 wait $!
}

run_tests
