#!/bin/sh
# SPDX-License-Identifier: MIT
# hang.sh - a disk of the host's that neither does what it was asked for nor fails.
. "$(dirname "$0")/lib.sh"

# hanging_disk: /dev/mapper/slow, which hangs from "dmsetup suspend" to "dmsetup resume"
hanging_disk() {
	modprobe dm_mod
	truncate -s 8M disk.img
	device=$(losetup -f) && losetup "$device" disk.img
	dmsetup create --noudevsync slow --table "0 16384 linear $device 0"
	dmsetup mknodes slow
}

no_disk() {
	dmsetup resume --noudevsync slow
	dmsetup remove --noudevsync --retry slow
	losetup -d "$device"
}

# run_until_it_hangs SCRIPT OPTION...: the guest runs it once the disk hangs; in the background
run_until_it_hangs() {
	local script=$1
	shift
	mkfifo keys
	given --vhost "$@" || set -- --vhost off "$@"
	timeout -k 5 "$seconds" lunette run --kernel "$kernel" --initrd "$initrd" --json r.json \
		--overlay off "$@" -- sh -c "echo up; read line; $script" <keys >out 2>err &
	run=$!
	exec 3>keys
	until_true 150 grep -q ^up out
	dmsetup suspend --noudevsync --nolockfs --noflush slow
	echo go >&3
	exec 3>&-
}

# The guest powers itself off, which resets its disks: there is I/O that the kernel has.
test_end_does_not_wait_for_ever() {
	hanging_disk
	run_until_it_hangs '(dd if=/dev/sda of=/dev/null bs=4k count=1 iflag=direct &) 2>/dev/null
		sleep 2; echo over' --disk /dev/mapper/slow,direct=on
	wait $run && fail "$(cat out err)" || status=$?
	equal $status 211
	contains out '^over$'
	contains err "error: /dev/mapper/slow: the host's disk hangs: 1 request has not come back for 60 s"
	contains r.json '"cause": *"host-io"'
	no_disk
}

# A thread that waits in the kernel keeps the process, as nothing else can; it has said all before.
test_threads() {
	hanging_disk
	run_until_it_hangs '(dd if=/dev/sda of=/dev/null bs=4k count=1 iflag=direct &) 2>/dev/null
		sleep 2; echo over' --disk /dev/mapper/slow,direct=on,io=threads
	until_true 150 grep -q "the host's disk hangs" err
	until_true 20 grep -q '"cause": *"host-io"' r.json
	dmsetup resume --noudevsync slow
	wait $run && fail "$(cat out err)" || status=$?
	equal $status 211
	no_disk
}

# What the guest has changed cannot be brought into a disk that hangs. The kernel's thread that flushes it
# keeps the process.
test_commit() {
	hanging_disk
	run_until_it_hangs 'tr "\\0" x </dev/zero | dd of=/dev/sda bs=64k count=8 iflag=fullblock oflag=direct
		echo over' --disk /dev/mapper/slow,overlay=commit
	until_true 150 grep -q "the host's disk hangs: 1 request has not come back for 60 s" err
	until_true 20 grep -q '"cause": *"host-io"' r.json
	contains out '^over$'
	dmsetup resume --noudevsync slow
	wait $run && fail "$(cat out err)" || status=$?
	equal $status 211
	no_disk
}

# The kernel's target waits for the disk: a reset, or the end, or an unplug, would wait for the kernel.
kernel_hangs() { # STATUS
	wait $run && fail "$(cat out err)" || status=$?
	equal $status "$1"
	contains err "error: .*: a disk of the host's hangs: the kernel's target has had work for 60 s"
	contains r.json '"cause": *"host-io"'
	dmsetup resume --noudevsync slow
	until_true 20 lunette clean
	until_true 20 nothing_but_the_loop
	no_disk
}
nothing_but_the_loop() { [ -z "$(ours)" ]; }
reads='(dd if=/dev/sda of=/dev/null bs=4k count=1 iflag=direct &) 2>/dev/null; sleep 2'
test_kernel_at_the_end() {
	kernel_target
	hanging_disk
	run_until_it_hangs "$reads; echo over" --vhost on --disk /dev/mapper/slow
	kernel_hangs 211
	contains out '^over$'
}
test_kernel_at_a_signal() {
	kernel_target
	hanging_disk
	run_until_it_hangs "$reads; echo reads; sleep 1000" --vhost on --disk /dev/mapper/slow
	until_true 100 grep -q ^reads out
	kill -TERM "$(pidof lunette)"
	kernel_hangs 211
}

# A reset of the disk is answered in time, with a failure, and the controller's other disk is served.
test_task_management_is_answered() {
	hanging_disk
	truncate -s 1M other.img
	cat "$initrd" /lab/tools.cpio >initrd
	initrd=initrd
	run_until_it_hangs '(dd if=/dev/sda of=/dev/null bs=4k count=1 iflag=direct &) 2>/dev/null
		sleep 2; sg_reset -d /dev/sda || echo refused
		dd if=/dev/sdb of=/dev/null bs=4k count=1 iflag=direct; echo "other $?"' \
		--disk /dev/mapper/slow,direct=on --disk other.img
	until_true 100 grep -q ^other out
	contains out '^refused$'
	contains out '^other 0$'
	dmsetup resume --noudevsync slow
	wait $run || fail "$(cat out err)"
	no_disk
}

run_tests
