#!/bin/bash
# SPDX-License-Identifier: MIT
# ctl.sh - "lunette ctl" and the socket of "lunette run --control", on this machine's own /dev/kvm:
# the guest is halted, and hears of nothing.
. "$(dirname "$0")/../vm/lib.sh"
top=$(readlink -f "$tests/../..")
PATH=${LUNETTE:+$(dirname "$LUNETTE"):}$top:$PATH

start() { # [OPTION...]: a guest with ./socket
	[ -r /dev/kvm ] && [ -w /dev/kvm ] || skip 'no /dev/kvm that may be used'
	printf '%s\n' '.globl _start' '_start: sti; hlt; jmp _start' \
		'.section .note.GNU-stack, "", @progbits' >guest.S
	gcc -nostdlib -static -no-pie -Wl,--build-id=none,-z,noseparate-code \
		-Wl,-Ttext-segment=0x200000 -o guest.elf guest.S
	truncate -s 1M a.img b.img
	timeout -k 5 60 lunette run --vhost off --kernel guest.elf --memory 64M \
		--control socket "$@" >out 2>err </dev/null &
	run=$!
	until_true 20 lunette ctl socket devices >devices
}
ctl() { lunette ctl socket "$@"; }

test_life_of_a_disk() {
	start --disk a.img --trace scsi=trace
	status 0 ctl plug b.img,serial=two >answer
	contains answer '^scsi-disk1 bus=virtio-scsi0 target=0 lun=1 served=process serial=two '
	status 0 ctl resize lun:1 2M
	equal "$(stat -c %s b.img)" $((2 << 20))
	status 0 ctl counters scsi-disk1 >answer
	contains answer '^scsi-disk1 commands=0 errors=0 reads=0 writes=0 read=0 .* latency=0,0,'
	status 0 ctl unplug scsi-disk1
	status 1 ctl unplug scsi-disk1 2>answer
	contains answer '^lunette: error: scsi-disk1: there is no device of this name'
	status 1 ctl plug a.img
	status 0 ctl plug-cdrom
	status 1 ctl insert scsi-cd0
	status 0 ctl insert scsi-cd0 b.img
	status 1 timeout 30 lunette ctl --wait socket plug store=null,size=1M 2>answer
	contains answer 'has not looked at it for 10 seconds'
	status 0 ctl quit
	status 208 wait $run
	[ ! -e socket ] || fail 'the socket is still there'
	equal "$(cat err)" ''
	[ -e trace ] || fail 'no trace'
}

test_balloon_without_a_driver() {
	start --disk a.img
	status 1 ctl balloon 32M 2>answer
	equal "$(cat answer)" 'lunette: error: balloon: the guest has none; lunette run --balloon gives it one'
	status 0 ctl quit
	status 208 wait $run
	start --disk a.img --balloon
	status 1 ctl balloon 32M 2>answer
	equal "$(cat answer)" 'lunette: error: balloon0: the guest has no driver for it, or not yet; Linux'"'"'s is virtio_balloon'
	status 1 ctl balloon 2>answer
	equal "$(wc -l <answer)" 1
	status 0 ctl counters balloon0 >answer
	contains answer '^balloon0 inflated_pages=0 '
	status 1 ctl plug b.img,direct=on 2>answer
	contains answer 'direct=on has the kernel keep all of the guest.s memory, and the guest has a balloon'
	status 0 ctl plug b.img,direct=on,io=threads || status 0 ctl plug b.img
	status 0 ctl quit
	status 208 wait $run
	equal "$(cat err)" ''
}

test_media_of_other_formats() { # what --disk refuses is refused while the guest runs, too
	start --disk a.img
	printf 'QFI\373\0\0\0\3' | dd of=b.img conv=notrunc 2>/dev/null
	status 1 ctl plug b.img 2>answer
	contains answer '^lunette: error: b.img: is a qcow2 disk by its bytes, .*; format=raw takes it as it is'
	status 1 ctl plug-cdrom b.img 2>answer
	contains answer 'is a qcow2 disk'
	status 0 ctl plug-cdrom
	status 1 ctl insert scsi-cd0 b.img 2>answer
	contains answer 'is a qcow2 disk'
	status 0 ctl plug b.img,format=raw >answer
	contains answer 'serial=b.img '
	status 0 ctl quit
	status 208 wait $run
}

test_json() {
	start
	equal "$(lunette ctl --json socket unplug x)" \
		'{"ok":false,"error":"x: there is no device of this name; lun:N is LUN N, blk:N a virtio disk"}'
	status 0 lunette ctl --json socket quit >answer
	equal "$(cat answer)" '{"ok":true}'
	status 208 wait $run
}

# One socket is one run's; what a killed one leaves is replaced; another's mode is never seen.
test_socket() {
	start
	equal "$(stat -c %a socket)" 600
	status 201 lunette run --vhost off --kernel guest.elf --control socket 2>answer
	contains answer 'another run has it'
	kill -KILL "$(pgrep -P $run)"
	wait $run || true
	[ -S socket ] || fail 'it should have been left'
	start
	status 0 ctl quit
	wait $run || true
	: >socket
	status 201 lunette run --vhost off --kernel guest.elf --control socket 2>answer
	contains answer 'is there already, and no socket'
	[ -f socket ] || fail 'the file is gone'
}

test_command_line() {
	status 200 lunette ctl 2>answer
	status 200 lunette ctl socket reboot 2>answer
	contains answer 'reboot: is no command'
	status 200 lunette ctl socket resize lun:0 2>answer
	contains answer 'SIZE is missing'
	status 200 lunette ctl socket quit now 2>answer
	contains answer "'now' is one word too many"
	status 1 lunette ctl socket quit 2>answer
	contains answer 'lunette run --control makes it'
	lunette ctl --help | grep -q 'resize ID SIZE' || fail 'no help'
}

run_tests
