#!/bin/bash
# SPDX-License-Identifier: MIT
# soak.sh - lunette is killed (SIGKILL) while a guest writes, at a random moment, SOAK times (12). Each
# time the image must have all that the guest had been told is durable, and nothing else
# (../soak/plan.h). The guest has no kernel, so this machine's own /dev/kvm will do, even one that
# emulates. A test for each kill, every kind of disk in turn; ../vm/soak.sh does it with Linux.
. "$(dirname "$0")/../vm/lib.sh"
top=$(readlink -f "$tests/../..")
lunette=${LUNETTE:-$top/lunette}
built=$top/build/x86_64/tests/soak
seed=${SEED:-$(date +%s)}

[ -r /dev/kvm ] && [ -w /dev/kvm ] || { echo 'skip soak: no /dev/kvm that may be used'; exit; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export TMPDIR=$work

engines=(uring threads)
modes=(flush fua through) # as in plan.h
# The second loses what is not flushed when its process ends, as a disk does with its power.
stores=('' fault=flush:after=1000000000:cut)
buses=(scsi blk)
transports=(pci mmio)

# write_and_kill BUS TRANSPORT DISK MODE DELAY: DELAY ms after the guest's first report
write_and_kill() {
	truncate -s 8M disk.img
	printf '%-511s\n' "$4 $seed" >order.img
	disk=(--disk "disk.img,$3")
	[ "$1" = scsi ] || disk=(--device "virtio-blk,disk.img,transport=$2,$3")
	"$lunette" run --kernel "$built/writer.elf" --memory 64M \
		--device "virtio-scsi,transport=$2,vhost=off" \
		"${disk[@]}" --disk order.img,readonly=on >out 2>err </dev/null &
	vmm=$!
	trap 'kill -9 $vmm' EXIT
	until_true 60 grep -q ^acked out
	sleep "$(printf '0.%03d' "$5")"
	kill -9 $vmm
	trap - EXIT
	status 137 wait $vmm
}

check() {
	"$built/soak" check disk.img out "$seed" >checked
}

test_kill() {
	write_and_kill $bus $transport "io=$engine${store:+,$store}" $mode $delay
	check || fail "$(cat checked)"
	cat checked >>"$work/acked"
}

# The check itself: it misses what was never made durable.
test_lost_flush_is_noticed() {
	write_and_kill $bus pci fault=flush:lost 0 100
	! check || fail 'a disk that has lost what was flushed passes'
	contains checked '^soak: sector '
}

make -s -C "$top" lab-programs bare-guests >"$work/log" 2>&1 ||
	{ cat "$work/log"; echo 'not ok soak: the guest cannot be built'; exit; }
echo "soak: SEED=$seed"
for bus in "${buses[@]}"; do run_test lost_flush_is_noticed "$bus"; done
state=$seed
for ((i = 0; i < ${SOAK:-12}; i++)); do
	seed=$((seed + 1))
	engine=${engines[i % 2]} mode=$((i / 2 % 3)) store=${stores[i / 6 % 2]}
	bus=${buses[(i + i / 2 + i / 6 + i / 12) % 2]} # each with all of them, by and by
	random 2 && transport=${transports[random]}
	random 500 && delay=$random
	run_test kill "$i: $bus, $engine, ${modes[mode]}, $transport, $delay ms${store:+, as by a power cut}"
done
echo "soak: $(awk '{ n += $1 } END { print n + 0 }' "$work/acked") writes were durable"
