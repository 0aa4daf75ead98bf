#!/bin/sh
# SPDX-License-Identifier: MIT
# luns.sh - many disks: 200 on a controller are all there, in order; how long that takes is printed.
. "$(dirname "$0")/lib.sh"

shared=$(mktemp -d)
cd "$shared" || exit

hundredths() { # of a second, since the start of this machine
	sed 's/\.//; s/ .*//; s/^0*//' /proc/uptime
}

# boot NAME COUNT: boots a guest that has so many disks. NAME/out is what it says, NAME/took how long
# it all took but for the guest's job itself.
boot() {
	local n=0 count=$2 started
	mkdir "$1" && cd "$1" || return
	set --
	while [ $n -lt "$count" ]; do
		truncate -s 1M "$n.img"
		echo "disk $n" | dd of="$n.img" conv=notrunc 2>/dev/null
		set -- "$@" --disk "$n.img"
		n=$((n + 1))
	done
	started=$(hundredths)
	guest "$look" --trace scsi=trace "$@"
	echo $? >status
	job=$(sed -n 's/^job: //p' out)
	echo $(($(hundredths) - started - ${job:-0})) >took
	cd ..
}

# What Linux says of the disks by LUN, and what it takes to find one, from 40 that are found again.
look='
hundredths() { sed "s/\.//; s/ .*//; s/^0*//" /proc/uptime; }
began=$(hundredths)
trap "echo job: \$((\$(hundredths) - began))" EXIT
for disk in $(ls -d /sys/bus/scsi/devices/*:*/block/* | sort -t : -n -k 4); do
	echo "$(basename ${disk%/block/*}) ${disk##*/} $(head -n 1 /dev/${disk##*/})"
done
[ -e /sys/bus/scsi/devices/0:0:0:199 ] || exit 0
for lun in $(seq 160 199); do echo 1 >/sys/bus/scsi/devices/0:0:0:$lun/delete; done
started=$(hundredths)
for lun in $(seq 160 199); do echo 0 0 $lun >/sys/class/scsi_host/host0/scan; done
until [ "$(ls -d /sys/block/sd* | wc -l)" = 200 ]; do sleep 0.02; done
echo "40 LUNs: $(($(hundredths) - started))"'

boot few 2
boot many 200
few=$(cat few/took)
many=$(cat many/took)
scan=$(sed -n 's/^40 LUNs: //p' many/out) # of 40

# sd's name of disk N: a to z, aa to zz
letters() {
	[ "$1" -lt 26 ] || letters $(($1 / 26 - 1))
	printf "\\$(printf %o $((97 + $1 % 26)))"
}

test_all_are_there_in_order() {
	equal "$(cat "$shared"/*/status | xargs)" '0 0'
	for n in $(seq 0 199); do
		echo "0:0:0:$n sd$(letters "$n") disk $n"
	done >wanted
	sed '/^40 LUNs/d; /^job:/d' "$shared/many/out" >found
	cmp wanted found || fail "$(diff wanted found)"
}

test_vpd_pages_are_read_at_once() { # not their lengths first
	equal "$(grep -c ' 1:0:100 1201' "$shared/many/trace")" 8
}

run_tests
many="$many ($(($(grep -c ' 1:0:100 ' "$shared/many/trace") - 1)) commands each)"
echo "# luns: a guest's life with 2 LUNs: $few, with 200: $many; 40 more found: $scan (10 ms)"
rm -rf "$shared"
