#!/bin/bash
# SPDX-License-Identifier: MIT
# hostile.sh - a guest that does all that a malicious driver may do (../hostile), on this machine's
# own /dev/kvm: its kernel is small enough even for one that emulates. A test for each misdeed. The
# program to attack may be another build: LUNETTE=PATH.
. "$(dirname "$0")/../vm/lib.sh"
top=$(readlink -f "$tests/../..")
lunette=${LUNETTE:-$top/lunette}
guest=$top/build/x86_64/tests/hostile/guest.elf
echo=$top/build/x86_64/tests/vm/vsock
seconds=150

[ -r /dev/kvm ] && [ -w /dev/kvm ] || { echo 'skip hostile: no /dev/kvm that may be used'; exit; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

attack() { # TRANSPORT
	mkdir "$work/$1" && cd "$work/$1" || return
	truncate -s 16M disk.img
	head -c 1M /dev/urandom >fixed.img
	cp fixed.img before.img
	timeout -k 5 $seconds "$lunette" run --kernel "$guest" --memory 64M --cpus 2 \
		--device virtio-scsi,transport="$1",vhost=off,queues=1 \
		--disk disk.img --disk fixed.img,readonly=on >out 2>err </dev/null
	echo $? >status
}

# The other devices: a console with a port, a network interface where passt is, random numbers, a disk
# without SCSI, and sockets, at two of which a program sends back what it gets.
attack_others() { # TRANSPORT
	mkdir "$work/$1-others" && cd "$work/$1-others" || return
	truncate -s 16M disk.img blk.img
	local echoes=() n
	for n in 0 1; do
		"$echo" echo "unix:v_$n" 1000000 >/dev/null &
		echoes+=($!)
	done
	timeout -k 5 $seconds "$lunette" run --kernel "$guest" --memory 64M \
		--device virtio-scsi,transport="$1",vhost=off,queues=1 \
		--disk disk.img --disk store=null,size=1M \
		--device virtio-console,transport="$1",terminal=off --device console-port,port,out=port \
		--device virtio-rng,transport="$1" --device virtio-balloon,transport="$1" \
		--device virtio-blk,blk.img,transport="$1",queues=1 \
		--device virtio-vsock,path=v,transport="$1" \
		$(! command -v passt >/dev/null || echo "--device virtio-net,transport=$1,user=on") \
		>out 2>err </dev/null
	echo $? >status
	kill "${echoes[@]}"
}

# A guest that has a command to run, and says on its ports whatever it likes.
attack_job() {
	mkdir "$work/job" && cd "$work/job" || return
	truncate -s 16M disk.img
	timeout -k 5 $seconds "$lunette" run --kernel "$guest" --initrd "$guest" --memory 64M \
		--device virtio-scsi,vhost=off,queues=1 --disk disk.img --disk store=null,size=1M \
		--boot-timeout none --out results -- true >out 2>err </dev/null
	echo $? >status
}

transports='mmio pci'

# It has come to its end, and outside the guest nothing has happened.
test_guest_powers_off() {
	for t in $transports; do
		[ "$(cat "$work/$t/status")" = 0 ] ||
			fail "$t: status $(cat "$work/$t/status"): $(tail -n 12 "$work/$t/err")"
	done
}
test_read_only_disk_is_untouched() {
	for t in $transports; do cmp "$work/$t/fixed.img" "$work/$t/before.img"; done
}
test_size_of_disk_is_untouched() {
	for t in $transports; do
		equal "$t $(stat -c %s "$work/$t/disk.img")" "$t $((16 << 20))"
		equal "$t $(stat -c %s "$work/$t-others/blk.img")" "$t $((16 << 20))"
	done
}
test_log_is_short() { # LOG_TOTAL in vmm/core/log.h, and no other line
	for t in $transports; do
		[ "$(wc -l <"$work/$t/err")" -le 100 ] || fail "$t: $(wc -l <"$work/$t/err") lines"
		grep -v '^lunette: warning: virtio-scsi0: ' "$work/$t/err" &&
			fail "$t: not a warning about the guest"
	done
	return 0
}

test_guest_that_attacks_other_devices_powers_off() {
	for t in $transports; do
		equal "$t $(cat "$work/$t-others/status")" "$t 0"
		grep -aq '^ok disk after the others' "$work/$t-others/out" ||
			fail "$t: $(tail -n 3 "$work/$t-others/out")"
	done
}
test_log_of_other_devices_is_short() { # LOG_TOTAL for each, and what passt and the ports say
	for t in $transports; do
		[ "$(wc -l <"$work/$t-others/err")" -le 600 ] ||
			fail "$t: $(wc -l <"$work/$t-others/err") lines"
		grep -vE '^lunette: warning: (virtio-[a-z]+|balloon|blk|vsock)[0-9]: ' "$work/$t-others/err" &&
			fail "$t: not a warning about the guest"
	done
	return 0
}

# Nobody takes it for a success, whatever it said, and it did not say much here.
test_guest_that_lies_about_its_command() {
	equal "$(cat "$work/job/status")" 209
	[ "$(wc -l <"$work/job/err")" -le 500 ] || fail "$(wc -l <"$work/job/err") lines"
	! grep -q "$(printf '\033')" "$work/job/err" || fail 'it wrote to the terminal'
}

make -s -C "$top" lab-programs bare-guests || { echo 'not ok hostile: the guest cannot be built'; exit; }
for t in $transports; do
	(attack $t)
	(attack_others $t)
	for out in $t $t-others; do
		grep -aE '^(not )?ok ' "$work/$out/out" | sed -E "s|^(not )?ok |&hostile/$t: |"
	done
done
(attack_job)
run_tests
