#!/bin/sh
# SPDX-License-Identifier: MIT
# hostile.sh - a guest that does all that a malicious driver may do (../hostile), when the host's kernel
# serves its disks. What that answers otherwise than lunette is in a table, ../hostile/README.md; it
# does no harm. As in resets.sh the kernel looks after its memory, and run.sh has two kernels. By
# "make test-all" (EXTENT=all) it is both transports.
. "$(dirname "$0")/lib.sh"

kernel_target
transports=pci
shared=$(mktemp -d)
[ "$EXTENT" = test ] || transports='pci mmio'

attack() { # TRANSPORT
	mkdir "$shared/$1" && cd "$shared/$1" || return
	truncate -s 16M disk.img
	head -c 1m /dev/urandom >fixed.img
	cp fixed.img before.img
	timeout -k 5 900 lunette run --kernel /lab/guest.elf --memory 64M --cpus 2 \
		--overlay off --device virtio-scsi,transport="$1",vhost=on,queues=1 \
		--disk disk.img --disk fixed.img,readonly=on >out 2>err </dev/null
	echo $? >status
}

test_guest_powers_off() {
	for t in $transports; do equal "$t $(cat "$shared/$t/status")" "$t 0"; done
}
test_disks_are_as_they_may_be() {
	for t in $transports; do
		cmp $shared/$t/fixed.img $shared/$t/before.img
		equal "$t $(stat -c %s $shared/$t/disk.img)" "$t $((16 << 20))"
	done
}
test_log_is_short() { # LOG_TOTAL, and who serves
	for t in $transports; do
		[ "$(wc -l <$shared/$t/err)" -le 101 ] || fail "$t: $(wc -l <$shared/$t/err) lines"
	done
}
test_kernel_is_whole() { whole; }
test_answers_are_in_the_table() {
	sed -n '/^|---/,/^$/s/^| \([^|]*\) |.*/\1/p' /lab/hostile.md | sort >wanted
	for t in $transports; do
		tr -d '\r' <$shared/$t/out | sed -n 's/^not ok \([^:]*\).*/\1/p' | sort >got
		diff wanted got || fail "$t: $(grep '^not ok' $shared/$t/out)"
		[ "$(grep -c '^ok' $shared/$t/out)" -ge 40 ]
	done
}

for t in $transports; do (attack $t) & done
wait
run_tests
rm -rf "$shared"
