#!/bin/sh
# SPDX-License-Identifier: MIT
# many.sh - runs of commands side by side: a matrix of them; and MANY (8) runs, four at a time, with
# disks that the kernel or lunette serves, some of them killed at a random moment.
. "$(dirname "$0")/lib.sh"
seed=${SEED:-$(date +%s)}
export TMPDIR=/tmp # as in ./soak.sh

matrix() {
	timeout -k 5 "$seconds" lunette matrix m --slots 4 "$@" >out 2>err </dev/null
}

# The status is that of the commands; what befell a guest counts when no command failed.
test_matrix() {
	truncate -s 1M disk.img
	{
		echo "run --kernel $kernel --initrd $initrd --disk disk.img,overlay=on"
		cat <<-'END'
			cpus one
			cpus two --cpus 2
			do   count -- sh -c 'nproc; cat /sys/block/sda/size'
			do   fail  -- sh -c 'echo "TAP version 13"; echo "not ok 1 thing"; echo why >&2; exit 3'
			exclude cpus=two do=fail
			include cpus=one do=panic -- sh -c 'echo c >/proc/sysrq-trigger'
		END
	} >m
	status 1 matrix --junit r.xml --json r.json --keep kept
	contains out '^ok      one,count  exit          0 '
	contains out '^ok      two,count  exit          0 '
	contains out '^FAILED  one,fail   exit          3 '
	contains out '^FAILED  one,panic  panic       205 '
	contains out '^one,fail: the command.s status is 3$'
	contains out '^  . why$'
	equal "$(cat kept/one,count/stdout kept/two,count/stdout | tr '\n' ' ')" '1 2048 2 2048 '
	contains r.xml '<testcase classname="one,fail.stdout" name="thing"'
	contains r.json '"run": "one,panic"'
	sed -i '/fail/d' m
	status 205 matrix
}

# one LANE
one() {
	random 4
	case $random in
	0 | 1) vhost=on ;;
	*) vhost=off ;;
	esac
	kind=$((random % 2))
	set -- timeout -k 5 "$seconds" lunette run --kernel "$kernel" --initrd "$initrd" --vhost $vhost \
		--overlay off --disk "disk.$1.img"
	if [ $kind = 0 ]; then
		"$@" -- true
		return
	fi
	random 3000 && delay=$random signal=$((random % 2 ? 9 : 15)) rc=0
	shift 4 # without timeout, to have its number
	"$@" -- sleep 100 &
	sleep $((delay / 1000)).$(printf %03d $((delay % 1000)))
	kill -$signal $!
	wait $! || rc=$?
	[ $rc = $((128 + signal)) ] || { echo "status $rc"; return 1; }
}

lane() { # NUMBER
	state=$((seed + $1))
	truncate -s 1M "disk.$1.img"
	i=$1
	while [ $i -lt "${MANY:-8}" ]; do
		one "$1" >"said.$1" 2>&1 </dev/null && echo >>"done.$1" ||
			echo "run $i, vhost $vhost, kind $kind: $(tail -n 3 "said.$1")" >>failures
		i=$((i + 4))
	done
}

test_many() {
	kernel_target
	export TMPDIR=$PWD/tmp
	mkdir tmp
	for n in 0 1 2 3; do lane $n & done
	wait
	[ ! -e failures ] || fail "$(cat failures)"
	equal "$(cat done.* | wc -l)" "${MANY:-8}"
	status 0 lunette clean
	nothing_left
	equal "$(find tmp /var/tmp /dev/shm -mindepth 1 2>/dev/null)" ''
	equal "$(find . -name '*.part' -o -type s)" ''
	equal "$(pidof lunette passt)" ''
	for n in 0 1 2 3; do # nobody has them locked
		status 0 lunette run --kernel "$kernel" --initrd "$initrd" --vhost off --disk disk.$n.img -- true
	done
}

echo "many: SEED=$seed"
run_tests
