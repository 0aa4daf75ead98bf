#!/bin/bash
# hostile.sh - a guest that does all that a malicious driver may do (../hostile), on this machine's
# own /dev/kvm: its kernel is small enough even for one that emulates. A test for each misdeed. The
# program to attack may be another build: LUNETTE=PATH.
. "$(dirname "$0")/../vm/lib.sh"
top=$(readlink -f "$tests/../..")
lunette=${LUNETTE:-$top/lunette}
seconds=150

[ -r /dev/kvm ] && [ -w /dev/kvm ] || { echo 'skip hostile: no /dev/kvm that may be used'; exit; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

build() {
	gcc -std=gnu11 -O1 -I"$top" -Wall -Wextra -Wno-missing-field-initializers -ffreestanding \
		-fno-pic -fno-stack-protector -fcf-protection=none -mgeneral-regs-only -nostdlib \
		-static -no-pie -Wl,--build-id=none,-z,noseparate-code,-z,noexecstack \
		-Wl,-Ttext-segment=0x200000 -o "$work/guest.elf" "$top"/tests/hostile/*.[cS]
}

attack() {
	cd "$work" || return
	truncate -s 16M disk.img
	head -c 1M /dev/urandom >fixed.img
	cp fixed.img before.img
	timeout -k 5 $seconds "$lunette" run --kernel guest.elf --memory 64M --cpus 2 \
		--device virtio-scsi,transport=mmio,vhost=off,queues=1 \
		--disk disk.img --disk fixed.img,readonly=on >out 2>err </dev/null
	echo $? >status
}

# It has come to its end, and outside the guest nothing has happened.
test_guest_powers_off() { equal "$(cat "$work/status")" 0; }
test_read_only_disk_is_untouched() { cmp "$work/fixed.img" "$work/before.img"; }
test_size_of_disk_is_untouched() { equal "$(stat -c %s "$work/disk.img")" $((16 << 20)); }
test_log_is_short() { # LOG_TOTAL in vmm/core/log.h, and no other line
	[ "$(wc -l <"$work/err")" -le 100 ] || fail "$(wc -l <"$work/err") lines"
	grep -v '^lunette: warning: virtio-scsi0: ' "$work/err" && fail 'not a warning about the guest'
	return 0
}

build || { echo 'not ok hostile: the guest cannot be built'; exit; }
(attack)
grep -aE '^(not )?ok ' "$work/out" | sed -E 's|^(not )?ok |&hostile/|'
run_tests
