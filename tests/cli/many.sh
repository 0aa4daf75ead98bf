#!/bin/bash
# SPDX-License-Identifier: MIT
# many.sh - MANY runs (40), four at a time, of which half are killed at a random moment, by SIGTERM or
# SIGKILL, and some are matrices. None may fail by another one, and in the end nothing may be left:
# no file, process, socket, lock or piece of shared memory. So that it can be seen whose it is, it
# all happens in namespaces of its own, where there is nothing else.
. "$(dirname "$0")/../vm/lib.sh"
top=$(readlink -f "$tests/../..")
PATH=$top:$PATH
seed=${SEED:-$(date +%s)}
lanes=4

if [ "${1-}" != inside ]; then
	[ -r /dev/kvm ] && [ -w /dev/kvm ] || { echo 'skip many: no /dev/kvm that may be used'; exit; }
	world=(unshare --mount --pid --ipc --net --fork --kill-child --mount-proc)
	[ "$(id -u)" = 0 ] || world+=(--map-root-user)
	"${world[@]}" true 2>/dev/null || { echo 'skip many: no namespaces of its own'; exit; }
	exec "${world[@]}" bash "$0" inside
fi

# guest NAME INSTRUCTION...: makes NAME.elf, which then goes on for ever
guest() {
	local name=$1
	shift
	printf '%s\n' '.globl _start' '_start:' "$@" '1: jmp 1b' '.section .note.GNU-stack, "", @progbits' |
		gcc -nostdlib -static -no-pie -Wl,--build-id=none,-z,noseparate-code \
			-Wl,-Ttext-segment=0x200000 -x assembler -o "$name.elf" -
}

# What all have in common: an image that all of them write to, and names that are used again by the
# next one in the same lane.
run=(lunette run --vhost off --memory 64M --disk disk.img,overlay=on)
own() {
	run+=(--control "control.$lane" --json "report.$lane.json" --junit "report.$lane.xml"
		--console-log "console.$lane" --trace "scsi=trace.$lane")
}

goes_well() {
	"${run[@]}" --kernel off.elf >"out.$lane" &&
		[ "$(cat "out.$lane")" = h ] && grep -q '"cause": "poweroff"' "report.$lane.json"
}

# A folder that others change and share at the same time: an image of it is made, or is in the cache.
# The guest has no kernel, and never gets to a command.
shares() {
	local rc=0
	echo "$random" >shared/file
	"${run[@]}" --kernel off.elf --initrd initrd --share shared -- true >"out.$lane" || rc=$?
	[ $rc = 213 ]
}

# killed SIGNAL STATUS COMMAND...
killed() {
	local signal=$1 wanted=$2 rc=0
	shift 2
	"$@" >/dev/null 2>"err.$lane" &
	random 60
	sleep "$(printf '0.%03d' "$random")"
	kill "-$signal" $!
	wait $! 2>/dev/null || rc=$?
	[ $rc = "$wanted" ] || { echo "status $rc: $(cat "err.$lane")"; return 1; }
}

one() { # KIND
	case $1 in
	0 | 1) goes_well ;;
	2) lunette matrix matrix >"out.$lane" && [ "$(grep -c ^ok "out.$lane")" = 2 ] ;;
	3) killed TERM 143 "${run[@]}" --kernel loop.elf ;;
	4) killed KILL 137 "${run[@]}" --kernel loop.elf ;;
	5) killed KILL 137 lunette matrix endless --slots 2 ;;
	6) shares ;;
	7) killed KILL 137 "${run[@]}" --kernel loop.elf --initrd initrd --share shared -- true ;;
	esac
}

lane() { # NUMBER
	local lane=$1 i
	state=$((seed + lane))
	own
	for ((i = lane; i < ${MANY:-40}; i += lanes)); do
		random 8
		kind=$random
		one $kind 2>"said.$lane" && echo "$kind" >>"done.$lane" ||
			echo "run $i, of kind $kind: $(tail -n 3 "said.$lane")" >>failures
	done
}

enter() {
	cd "$work"
	export TMPDIR=$work/tmp XDG_CACHE_HOME=$work/cache
}

test_runs() {
	enter
	for i in $(seq $lanes); do lane $((i - 1)) 2>/dev/null & done
	wait
	[ ! -e failures ] || fail "$(cat failures)"
	equal "$(cat done.* | wc -l)" "${MANY:-40}"
}

others() { # processes but this script's
	ps -eo pid=,ppid=,comm= | grep -E 'lunette|passt|mkfs' || true
}
test_processes() {
	until_true 20 [ -z "$(others)" ]
}

# What a run that is killed leaves beside names that the user chose, a socket, and in some cases a
# report that was being written, goes with the next one of these names.
test_next_runs() {
	enter
	for lane in $(seq 0 $((lanes - 1))); do
		run=(lunette run --vhost off --memory 64M --disk disk.img,overlay=on)
		own
		goes_well && shares || fail "$(cat "out.$lane")"
	done
	equal "$(find . -type s -o -name '*.part' -o -name '*.tmp')" ''
}

# Whoever wants to be alone with the image can be.
test_locks() {
	enter
	status 0 lunette run --vhost off --memory 64M --disk disk.img --kernel off.elf >out
}

test_files() {
	enter
	equal "$(find /var/tmp /dev/shm tmp -mindepth 1)" ''
	equal "$(ls | sed 's/\.[0-9]\>//' | sort -u | tr '\n' ' ')" \
		'cache console disk.img done endless err initrd loop.elf matrix off.elf out report.json report.xml said shared tmp trace '
	cmp -n 1048576 disk.img /dev/zero
}

test_sockets() {
	equal "$(sed 1d /proc/net/unix)" ''
}

test_shared_memory() {
	equal "$(sed 1d /proc/sysvipc/shm /proc/sysvipc/sem /proc/sysvipc/msg | grep -v '^ *key')" ''
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mount -t tmpfs none /var/tmp && mount -t tmpfs none /dev/shm || exit
mkdir "$work/tmp"
(
	cd "$work"
	guest off 'mov $0x3f8, %edx' 'mov $0x68, %al' 'outb %al, %dx' \
		'mov $0x600, %edx' 'mov $0x34, %al' 'outb %al, %dx'
	guest loop
	truncate -s 1M disk.img
	mkdir shared cache
	echo none >initrd
	common='run --vhost off --memory 64M --disk disk.img,overlay=on'
	printf '%s\n' "$common --kernel off.elf" 'a 1' 'a 2' >matrix
	printf '%s\n' "$common --kernel loop.elf" 'a 1' 'a 2' >endless
)
echo "many: SEED=$seed"
for name in runs processes next_runs locks files sockets shared_memory; do run_test $name; done
