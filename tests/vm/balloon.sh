#!/bin/sh
# SPDX-License-Identifier: MIT
# balloon.sh - memory that a guest does not need goes back to the host: what it has freed by itself, and
# what lunette ctl asks for. Pss, the host's word, shows it.
. "$(dirname "$0")/lib.sh"

mebibyte=1024 # KiB, in which Pss is
fills='head -c 209715200 /dev/zero >/x; echo filled; sleep 4'

pss() { # KiB
	sed -n 's/^Pss: *\([0-9]*\) kB/\1/p' "/proc/$(pidof lunette)/smaps_rollup"
}
pss_is_below() { [ "$(pss)" -lt "$1" ]; }
# reads KEY FILE: what a line of "lunette ctl" says
reads() { sed -n "s/.* $1=\([0-9]*\).*/\1/p" "$2"; }
ctl() { timeout 200 lunette ctl socket "$@"; }

# guest_with SCRIPT OPTION...: in the background, until "ended"
guest_with() {
	script=$1
	shift
	rm -f out
	guest "$script
		sleep 1000" --control socket "$@" &
	vmm=$!
	trap 'kill $vmm' EXIT
}
ended() {
	lunette ctl socket quit
	status 208 wait $vmm
	trap - EXIT
}

# What an idle guest has freed goes back, and nobody asks for it.
long_freed_memory_goes_back() {
	for transport in pci mmio; do
		guest_with "$fills; rm /x; echo freed" --device virtio-balloon,transport=$transport
		until_true 120 grep -q filled out
		full=$(pss)
		[ "$full" -gt $((200 * mebibyte)) ] || fail "Pss $full KiB of a guest that has filled 200 MiB"
		until_true 120 grep -q freed out
		until_true 120 pss_is_below $((full - 150 * mebibyte))
		echo "$transport: Pss $full KiB, and $(pss) when it had freed them"
		status 0 ctl counters balloon0 >counted
		[ "$(reads reported_bytes_freed counted)" -gt $((150 << 20)) ] || fail "$(cat counted)"
		ended
	done
}

long_freed_memory_stays_without_reports() {
	guest_with "$fills; rm /x; echo freed" --device virtio-balloon,reporting=off
	until_true 120 grep -q freed out
	sleep 6
	[ "$(pss)" -gt $((200 * mebibyte)) ] || fail "Pss $(pss) KiB"
	# A target takes what is free, and gives it again.
	full=$(pss)
	status 0 ctl balloon 160M >answer
	equal "$(reads memory answer)" $((160 << 20))
	pss_is_below $((full - 100 * mebibyte)) || fail "Pss $full KiB, then $(pss)"
	echo "Pss $full KiB, and $(pss) with a target of 160 MiB"
	status 0 ctl balloon >said
	[ "$(reads total said)" -gt $((400 << 20)) ] || fail "$(cat said)"
	few=$(reads free said)
	status 0 ctl balloon 512M >answer
	equal "$(reads memory answer)" $((512 << 20))
	status 0 ctl balloon >said
	[ "$(reads free said)" -gt $((few + (200 << 20))) ] || fail "free: $few, then $(cat said)"
	[ "$(reads age_ms said)" -lt 2000 ] || fail "$(cat said)"
	status 0 ctl counters balloon0 >counted
	[ "$(reads deflated_pages counted)" -gt 60000 ] || fail "$(cat counted)"
	ended
}

# A guest that runs out of memory takes some from the balloon.
long_out_of_memory() {
	guest_with 'echo up; until [ -e /go ]; do sleep 1; [ "$(awk "/MemFree/ { print \$2 }" /proc/meminfo)" -gt 60000 ] || : >/go; done
		echo goes; head -c 104857600 /dev/zero >/x && echo has room' \
		--memory 320M --balloon
	until_true 120 grep -q up out
	status 0 ctl balloon 128M >answer
	until_true 200 grep -q 'has room' out
	status 0 ctl balloon >said
	[ "$(reads memory said)" -gt $((129 << 20)) ] || fail "the balloon is as it was: $(cat said)"
	echo "128 MiB were asked for: $(cat answer); and then: $(cat said)"
	ended
}

test_command_in_a_guest_that_has_one() {
	status 0 run --balloon -- sh -c 'ls /sys/bus/virtio/drivers/virtio_balloon | grep virtio'
	contains out '^virtio[0-9]'
}

run_tests
