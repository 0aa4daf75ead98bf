#!/bin/sh
# end.sh - every way a guest can end has its own exit status.
. "$(dirname "$0")/lib.sh"

test_poweroff() {
	job 'poweroff -f'
	status 0 vmm --initrd initrd
}

test_reboot() {
	job 'reboot -f'
	status 204 vmm --initrd initrd
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
	job 'echo c >/proc/sysrq-trigger'
	status 205 vmm --initrd initrd --append 'panic=0'
	contains out 'Linux version'
}

test_panic_without_root() { # before pvpanic's driver can be there
	status 205 vmm --append 'root=/dev/nothing'
	contains out 'Kernel panic - not syncing: VFS: Unable to mount root fs'
}

test_triple_fault() {
	kernel=/lab/payload.elf
	status 206 vmm
}

test_sigterm() {
	job 'echo up; sleep 100'
	lunette run --kernel "$kernel" --initrd initrd >out 2>err </dev/null &
	until_true 30 grep -q ^up out
	kill $!
	status 143 wait $!
}

run_tests
