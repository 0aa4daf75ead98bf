#!/bin/sh
# SPDX-License-Identifier: MIT
# end.sh - every way a guest can end has its own exit status.
. "$(dirname "$0")/lib.sh"

# That a kernel panics which then does not reset is told by pvpanic's driver alone.
needs_pvpanic() {
	[ "$(uname -m)" = x86_64 ] || cpio -t <"$initrd" 2>/dev/null | grep -q /pvpanic ||
		skip "this kernel has no driver of pvpanic, as Debian's but for x86_64"
}

test_poweroff() {
	job 'poweroff -f'
	status 0 vmm --initrd initrd
}

test_reboot() {
	job 'reboot -f'
	status 204 vmm --initrd initrd
}

# Linux's own ways to reset, and what else stands in that word.
test_reboot_by_every_way() {
	only x86_64
	job 'reboot -f'
	for way in bios acpi kbd efi pci,warm w,triple smp0,force,hard; do
		status 204 vmm --initrd initrd --append "reboot=$way"
	done
}

test_halt() { # "System halted", which nothing ends
	[ "$(uname -m)" = x86_64 ] || skip 'KVM does not tell there whether a vCPU waits for an interrupt'
	job 'halt -f'
	status 218 vmm --initrd initrd --cpus 2
	contains err '^lunette: error: all vCPUs halted for good'
	contains err '^vCPU 1: halted, interrupts off'
	status 218 timeout -k 5 "$seconds" lunette run --kernel "$kernel" --initrd "$initrd" --vhost off \
		-- halt -f >out 2>err </dev/null
	contains err 'System halted'
}

test_guest_that_sleeps() { # with a CPU that Linux has parked, and nothing to do on the other one
	job 'echo 0 >/sys/devices/system/cpu/cpu1/online; sleep 8; echo 1 >/sys/devices/system/cpu/cpu1/online
		sleep 3; cat /sys/devices/system/cpu/online; poweroff -f'
	status 0 vmm --initrd initrd --cpus 2
	contains out '^0-1'
}

test_panic_that_halts() {
	needs_pvpanic
	job 'echo c >/proc/sysrq-trigger'
	status 205 vmm --initrd initrd --append 'panic=0 pvpanic.events=0' --cpus 2
}

test_panic_on_hvc() {
	console='--console hvc' test_panic
}
test_panic() {
	job 'echo c >/proc/sysrq-trigger'
	status 205 vmm --initrd initrd $console
	contains out 'Kernel panic - not syncing: sysrq triggered crash'
	contains out 'Linux version' # the whole log, though it was quiet before
	! sed '/Kernel panic/,$d' out | grep 'Linux version' || fail 'it was not quiet'
}

test_panic_before_hvc() { # by the serial port, then
	status 205 vmm --append 'root=/dev/nothing' --console hvc
	contains out 'Kernel panic - not syncing: VFS: Unable to mount root fs'
}

test_panic_that_does_not_reset() { # is over when it is silent
	needs_pvpanic
	job 'echo c >/proc/sysrq-trigger'
	status 205 vmm --initrd initrd --append 'panic=0'
	contains out 'Linux version'
}

# Where there are no ports pvpanic is a function on PCI. Debian's kernels have no driver of it there, so its
# register is written by hand; the small kernel has one, and no /dev/mem.
test_pvpanic_on_pci() {
	[ "$(uname -m)" != x86_64 ] || skip 'it is at a port there'
	job 'cd /sys/bus/pci/devices/0000:00:01.0; cat vendor device
		if [ -c /dev/mem ]; then
			echo 1 >enable
			register=$(sed -n "1s/ .*//p" resource); devmem $register 8; devmem $register 8 1
		else
			echo 0x0$(cat capability)
			echo c >/proc/sysrq-trigger
		fi
		sleep 1000'
	status 205 vmm --initrd initrd --append panic=0
	contains out '^0x1b36$'
	contains out '^0x0011$'
	contains out '^0x01$'
}

test_panic_without_root() { # before pvpanic's driver can be there
	status 205 vmm --append 'root=/dev/nothing'
	contains out 'Kernel panic - not syncing: VFS: Unable to mount root fs'
}

test_triple_fault() {
	only x86_64
	kernel=/lab/payload.elf
	status 206 vmm --append 'reboot=k -- reboot=t'
	status 204 vmm --append 'reboot=t'
}

test_sigterm() {
	job 'echo up; sleep 100'
	lunette run --kernel "$kernel" --initrd initrd >out 2>err </dev/null &
	until_true 30 grep -q ^up out
	kill $!
	status 143 wait $!
}

run_tests
