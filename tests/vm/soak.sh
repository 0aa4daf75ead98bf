#!/bin/sh
# SPDX-License-Identifier: MIT
# soak.sh - as ../cli/soak.sh, which has more of it, with Linux as the guest: SOAK kills (1), with every
# bus, engine and way of writing in turn.
. "$(dirname "$0")/lib.sh"

export TMPDIR=/tmp # which has more room than /var/tmp
seed=${SEED:-$(date +%s)}

test_kill() {
	mkdir files
	cp /lab/soak files
	job "exec /files/soak write /dev/$node $mode $seed"
	truncate -s 8M disk.img
	lunette run --kernel "$kernel" --initrd initrd --append loglevel=1 --vhost off \
		--disk "disk.img,on=$bus,io=$engine$store" >out 2>err </dev/null &
	vmm=$!
	trap 'kill -9 $vmm' EXIT
	until_true 60 grep -q ^acked out
	sleep $((delay / 1000)).$(printf %03d $((delay % 1000)))
	kill -9 $vmm
	trap - EXIT
	status 137 wait $vmm
	/lab/soak check disk.img out $seed >checked || fail "$(cat checked)"
	cat checked >>$acked
}

acked=$(mktemp)
echo "soak: SEED=$seed"
state=$seed
kind=$((seed % 8)) # to begin with
for i in $(seq "${SOAK:-1}"); do
	seed=$((seed + 1)) kind=$((kind + 1)) store=
	[ $((kind % 2)) = 0 ] && engine=uring || engine=threads
	[ $((kind / 2 % 2)) = 0 ] && mode=flush || mode=fua
	[ $((kind / 4 % 2)) = 0 ] && bus=scsi node=sda || bus=blk node=vda
	random 2
	[ "$random" = 0 ] || store=,fault=flush:after=1000000000:cut
	random 2000 && delay=$random
	run_test kill "$i: $bus, $engine, $mode, $delay ms${store:+, as by a power cut}"
done
echo "soak: $(awk '{ n += $1 } END { print n + 0 }' "$acked") writes were durable"
