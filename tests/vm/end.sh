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

test_panic() {
	job 'echo c >/proc/sysrq-trigger'
	status 205 vmm --initrd initrd
	contains out 'Kernel panic - not syncing: sysrq triggered crash'
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

test_job_that_powers_off_is_not_a_success() {
	status 209 guest 'poweroff -f'
}

test_job_killed_by_a_signal() {
	status 137 guest 'kill -9 $$'
}

run_tests
