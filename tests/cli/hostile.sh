#!/bin/bash
# hostile.sh - a guest that does all that a malicious driver may do (../hostile), on this machine's
# own /dev/kvm: its kernel is small enough even for one that emulates. A test for each misdeed. The
# program to attack may be another build: LUNETTE=PATH.
. "$(dirname "$0")/../vm/lib.sh"
top=$(readlink -f "$tests/../..")
lunette=${LUNETTE:-$top/lunette}
guest=$top/build/x86_64/tests/hostile/guest.elf
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

transports='mmio pci'

# It has come to its end, and outside the guest nothing has happened.
test_guest_powers_off() {
	for t in $transports; do equal "$t $(cat "$work/$t/status")" "$t 0"; done
}
test_read_only_disk_is_untouched() {
	for t in $transports; do cmp "$work/$t/fixed.img" "$work/$t/before.img"; done
}
test_size_of_disk_is_untouched() {
	for t in $transports; do equal "$t $(stat -c %s "$work/$t/disk.img")" "$t $((16 << 20))"; done
}
test_log_is_short() { # LOG_TOTAL in vmm/core/log.h, and no other line
	for t in $transports; do
		[ "$(wc -l <"$work/$t/err")" -le 100 ] || fail "$t: $(wc -l <"$work/$t/err") lines"
		grep -v '^lunette: warning: virtio-scsi0: ' "$work/$t/err" &&
			fail "$t: not a warning about the guest"
	done
	return 0
}

make -s -C "$top" bare-guests || { echo 'not ok hostile: the guest cannot be built'; exit; }
for t in $transports; do
	(attack $t)
	grep -aE '^(not )?ok ' "$work/$t/out" | sed -E "s|^(not )?ok |&hostile/$t: |"
done
run_tests
