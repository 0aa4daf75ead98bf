#!/bin/sh
# SPDX-License-Identifier: MIT
# shared.sh - a disk that two guests have at once: reservations between them, fencing, a guest that is killed
# and comes back, COMPARE AND WRITE by both, the end of who serves it.
. "$(dirname "$0")/lib.sh"
tools=/lab/tools.cpio

shared=$(mktemp -d)
cd "$shared" || exit
export XDG_RUNTIME_DIR="$shared"

# What both guests know: the disks, $lun and $sync, by which they wait for one another; step NAME COMMAND...
mkdir files
cat >files/both <<'EOF2'
disk() {
	for dev in /sys/block/sd*; do
		sg_vpd -p sn "/dev/${dev##*/}" 2>/dev/null | grep -q "number: $1\$" && echo "/dev/${dev##*/}"
	done
}
lun=$(disk lun.img) sync=$(disk sync.img)
say() { echo "said $1" | dd of=$sync bs=4096 seek=$1 conv=sync,fsync 2>/dev/null; }
hear() { until dd if=$sync bs=4096 skip=$1 count=1 iflag=direct 2>/dev/null | grep -q said; do sleep 0.1; done; }
step() { echo "== $1"; shift; "$@" 2>&1; echo "status $?"; }
put() { echo "$2" | dd of=$lun bs=4096 seek=$1 conv=sync,fsync 2>/dev/null; }
get() { dd if=$lun bs=4096 skip=$1 count=1 iflag=direct 2>/dev/null | tr -d '\000'; }
raw_write() { sg_raw -s 512 -i /files/block $lun 2a 00 00 00 00 80 00 00 01 00; }
raw_read() { sg_raw -r 512 -o /dev/null $lun 28 00 00 00 00 80 00 00 01 00; }
block() { printf '%s' "$1" | dd bs=512 count=1 conv=sync 2>/dev/null; }
# A number in a block, which both count up: nobody loses a step of the other's.
count() {
	n=0
	while [ $n -lt 15 ]; do
		old=$(dd if=$lun bs=512 skip=80 count=1 iflag=direct 2>/dev/null | tr -d '\000')
		{ block "$old"; block $((old + 1)); } >/pair
		if sg_compare_and_write --lba=80 --num=1 --xferlen=1024 --in=/pair $lun >/dev/null 2>&1; then
			n=$((n + 1))
		fi
	done
}
EOF2
head -c 512 /dev/urandom >files/block
truncate -s 8M lun.img
truncate -s 8M sync.img
printf 0 | dd of=lun.img bs=512 seek=80 conv=notrunc 2>/dev/null

cat >a <<'EOF2'
. /files/both
step register sg_persist -o -n -G -S 0xa $lun
say 1; hear 2
step keys sg_persist -i -n -k $lun
step reserve sg_persist -o -n -R -K 0xa -T 5 $lun
step put put 2 'written by a'
say 3; hear 4
step got get 3
step preempt sg_persist -o -n -A -K 0xa -S 0xb -T 5 $lun
step keys-after sg_persist -i -n -k $lun
step status sg_persist -i -n -s $lun
step write raw_write
say 5; hear 6
step clear sg_persist -o -n -C -K 0xa $lun
say 7
step count count
hear 8
EOF2
# Its first life ends when it has registered.
cat >b1 <<'EOF2'
. /files/both
hear 1
step register sg_persist -o -n -G -S 0xb $lun
echo registered
while :; do sleep 1; done
EOF2
cat >b2 <<'EOF2'
. /files/both
step keys sg_persist -i -n -k $lun
say 2; hear 3
step got get 2
step put put 3 'written by b'
say 4; hear 5
step attention sg_requests $lun
step fenced raw_write
step reads raw_read
say 6; hear 7
step write raw_write
step count count
say 8
EOF2

# one NAME INITIATOR: guest NAME, in the folder NAME; $vmm is its lunette
one() {
	mkdir "$1.d"
	cp -r files "$1.d"
	cd "$1.d" || exit
	job "$(cat "../$1")"
	lunette run --kernel "$kernel" --initrd initrd --memory 256M --boot-timeout none --timeout 15m --log note \
		--disk "../lun.img,shared=lun,initiator=$2" --disk "../sync.img,shared=sync" \
		-- sh -c 'exec 2>&1; . /job' >../"$1.out" 2>../"$1.err" </dev/null &
	vmm=$!
	cd ..
}
one a a
a=$vmm
one b1 b
until_true 300 grep -q '^registered' b1.out
kill -9 "$vmm"
wait "$vmm"
one b2 b
wait "$vmm"
b_ended=$?
wait "$a"
a_ended=$?

# of GUEST SECTION PATTERN...
of() {
	cp "$shared/$1.out" "$shared/out"
	shift
	says "$@"
}
test_guests_end_well() {
	cat "$shared"/*.err
	equal "$a_ended $b_ended" '0 0'
}
test_both_register() {
	of a register '^status 0'
	of b1 register '^status 0'
	of a keys '0xa$' '0xb$'
}
# What it registered in its first life is its own in the second.
test_one_is_killed_and_comes_back() {
	of b2 keys '0xa$' '0xb$'
	of a reserve '^status 0'
	of b2 put '^status 0'
}
test_what_one_writes_the_other_reads() {
	of b2 got '^written by a$'
	of a got '^written by b$'
}
test_fencing() {
	of a preempt '^status 0'
	of a keys-after '0xa$'
	equal "$(grep -c 0xb keys-after || true)" 0
	of a status 'SAS address: 0x3[0-9a-f]{15}'
	of b2 attention 'Registrations preempted'
	of b2 fenced 'Reservation Conflict' '^status 24'
	of b2 reads '^status 0'
	of a write '^status 0'
	of a clear '^status 0'
}
test_both_count() {
	of a count '^status 0'
	of b2 count '^status 0'
	equal "$(dd if="$shared/lun.img" bs=512 skip=80 count=1 2>/dev/null | tr -d '\000')" 30
}
test_nothing_is_left() {
	until_true 30 test -z "$(ls "$shared/lunette")"
	until_true 30 test -z "$(pidof lunette)"
}

# Another one would know of no reservation: the run ends, with a line.
test_server_is_killed() {
	truncate -s 8M own.img
	guest 'echo begun; while :; do dd if=/dev/sda of=/dev/null bs=4096 count=64 iflag=direct; done' \
		--disk own.img,shared=own &
	guest=$!
	until_true 100 grep -q begun out
	grep -l '[s]hared-disk' /proc/[0-9]*/cmdline 2>/dev/null | sed 's,/proc/\([0-9]*\)/.*,\1,' >servers
	kill -9 $(cat servers)
	status 211 wait $guest
	contains err 'shared0: the server at .*/lunette/own has gone away; the run ends, as the server alone knew'
	lunette clean >cleaned
	contains cleaned '^removed .*/lunette/own$'
	equal "$(ls "$shared/lunette")" ''
}

test_explained_and_refused() {
	truncate -s 8M own.img
	status 0 vmm --vhost auto --explain --initrd "$initrd" --disk own.img,shared=own,initiator=n1
	contains out '^shared0: disk of several guests'
	contains out '^  initiator: n1$'
	contains out '^  served by: process [0-9]+ \(lunette shared-disk own\), to all guests that share it, 1 now'
	status 200 vmm --explain --initrd "$initrd" --disk own.img,shared=own,fault=read:error=EIO
	contains err 'fault=read:error=EIO does not go with shared=: the server of the disk would fail'
	status 200 vmm --explain --initrd "$initrd" --disk own.img,shared=own --disk own.img,shared=own,readonly=on
	contains err 'has readonly=on; the others that share it have readonly=off'
}

# Two guests write and read back, each in a partition of its own, and then each reads the other's.
long_both_write() {
	mkdir files
	cp /lab/verify files
	truncate -s 64M part.img
	# Two partitions of 31 MiB, of type 83, from 1 MiB and from 32 MiB on.
	{
		printf '\000\000\000\000\203\000\000\000\000\010\000\000\000\370\000\000'
		printf '\000\000\000\000\203\000\000\000\000\000\001\000\000\370\000\000'
	} | dd of=part.img bs=1 seek=446 conv=notrunc 2>/dev/null
	printf '\125\252' | dd of=part.img bs=1 seek=510 conv=notrunc 2>/dev/null
	for n in 1 2; do
		mkdir $n
		cp -r files $n
		(
			cd $n
			guest "/files/verify write /dev/sda$n $n $((SOAK * 2000)) && echo verified" \
				--disk ../part.img,shared=part --memory 256M
		) &
		eval "g$n=\$!"
	done
	status 0 wait "$g1"
	status 0 wait "$g2"
	for n in 1 2; do contains $n/out '^verified$'; done
	guest 'md5sum </dev/sda1; md5sum </dev/sda2' --disk part.img,shared=part
	equal "$(cat out)" "$(
		dd if=part.img bs=1M skip=1 count=31 2>/dev/null | md5sum
		dd if=part.img bs=1M skip=32 count=31 2>/dev/null | md5sum
	)"
}

run_tests
rm -rf "$shared"
