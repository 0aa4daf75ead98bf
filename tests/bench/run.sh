#!/bin/bash
# SPDX-License-Identifier: MIT
# run.sh - figures about lunette, for whoever changes it to compare before and after.
#
#   usage: run.sh [--short] OBJECTS [start] [reads] [stores] [boot] [command] [io]
#
# OBJECTS is build/ARCH, the folder with the built programs. "make bench" calls it, for all; with
# BENCH='boot io' for some. For another architecture (ARCH=aarch64) there are those in the lab. --short: a few rows and rounds of each, which show that it works; its figures mean little.
#
# On this machine (start, reads, stores):
#
# Start         milliseconds from exec() to the first KVM_RUN, and page faults until then: what a
#               user waits for before the guest's own boot begins. No guest instruction is in it, so
#               a KVM serves that could not boot a kernel at speed. See firstrun.c.
# System calls  until then, by strace: work that can be counted, whatever the machine.
# Memory        at the first KVM_RUN, without the guest's RAM: what a VM costs before it does
#               anything. The anonymous part is every VM's own, the rest is shared by several.
# Reads         instructions and system calls of the I/O thread for a read, and for a write, of 4
#               KiB with the null store: all that lunette puts between a driver and a disk.
#               Counted by callgrind, as the difference of a long and a short run. See scsi4k.c.
#               And their time by 1, 2 and 4 I/O threads.
# Stores        the same reads from a file in the page cache, by a store alone: by io_uring and by
#               threads, beside io_uring without lunette. See storeread.c.
# Copies        the same, of 1 MiB each, so that it is nearly all the kernel's copy.
#
# In the lab host, where the clock counts instructions (boot, command, io), see lab.sh:
#
# Boot          exec() to the guest's /init, and exits
# Command       exec() to exit of a VMM whose guest has run "true"
# Reads         in a guest: in process and by the kernel's vhost, on PCI and on MMIO
#
# Other VMMs, where they are installed, start the same kernel; a ratio is theirs to lunette's. Of those
# that Debian has not the binaries are named: LKVM=FILE for kvmtool, FIRECRACKER=FILE and
# CLOUD_HYPERVISOR=FILE, which are measured with the micro kernel, as that is an ELF file.
# What cannot be measured is named, with the reason, and makes the exit status 1. A VMM that is not
# installed only leaves its rows out.
set -uo pipefail
export LC_ALL=C
top=$(dirname "$(readlink -f "$0")")/../..
cd "$top" || exit
lists=(run bench)
short=
[ "${1-}" != --short ] || { short=$1; shift; }
objects=$1 arch=${1##*/}
shift
if [ "$arch" != "$(uname -m)" ]; then
	lists+=("cross-$arch")
	[ $# -gt 0 ] || set -- boot command io
	[[ ! " $* " =~ \ (start|reads|stores)\  ]] || {
		echo "run.sh: ${BASH_REMATCH[1]}: is about this machine, and that is no $arch" >&2
		exit 200
	}
fi
guest/setup.sh "${lists[@]}" || exit
make -s -j "$(nproc)" "ARCH=$arch" bench-programs || exit
bench=$objects/tests/bench
runs=31 tries=5 mib=128 failed=0
few=1024 many=5120 timed=51200 # reads
[ -z "$short" ] || runs=3 tries=1 few=64 many=128 timed=1280
cache=${XDG_CACHE_HOME:-$HOME/.cache}/lunette
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
rt=()
! chrt -f 10 true 2>/dev/null || rt=(chrt -f 10) # the machine may be busy with other things

failure() { # SUBJECT: the reason is in $work/err
	echo "not measured: $1: $(tail -n 1 "$work/err")" >&2
	failed=1
}

numbers() { # WORD...: false: one is none
	local word
	for word; do
		[[ $word =~ ^[0-9]+(\.[0-9]+)?$ ]] || return
	done
}

# Starting.

. tests/bench/peers.sh # of which lunette and QEMU are started otherwise here
names=()
declare -A reference min median max faults rss anonymous threads calls

# measure NAME REFERENCE COMMAND...: REFERENCE is the name that this one is compared to, or ''.
measure() {
	local name=$1 compare=$2 guest
	shift 2
	if ! "${rt[@]}" timeout 120 "$bench/firstrun" -n $runs -m $mib "$@" >"$work/out" 2>"$work/err" ||
		! timeout 60 "$bench/firstrun" strace -f -o "$work/calls" "$@" >"$work/null" 2>"$work/err"
	then
		failure "$name"
		return
	fi
	read -r "min[$name]" "median[$name]" "max[$name]" "faults[$name]" "rss[$name]" \
		"anonymous[$name]" guest "threads[$name]" <"$work/out"
	# Lines of complete calls; the one of KVM_RUN itself is not, as the VMM is killed there.
	calls[$name]=$(awk '/KVM_RUN/ { exit }
		!/resumed>|---|\+\+\+/ { n++ }
		END { print n + 0 }' "$work/calls")
	numbers "${min[$name]}" "${median[$name]}" "${max[$name]}" "${faults[$name]}" "${rss[$name]}" \
		"${anonymous[$name]}" "${threads[$name]}" || {
		echo 'firstrun printed no numbers' >"$work/err"
		failure "$name"
		return
	}
	reference[$name]=$compare
	names+=("$name")
}

ratio() { # ARRAY NAME
	local -n figure=$1
	local to=${reference[$2]}
	[ -n "$to" ] && [ -n "${figure[$to]-}" ] || return
	awk -v a="${figure[$2]}" -v b="${figure[$to]}" 'BEGIN { if (b) printf "%.1f", a / b }'
}

lunette() { # NAME OPTION...
	measure "$1" '' ./lunette run --memory ${mib}M "${@:2}"
}

qemu() { # NAME REFERENCE OPTION...
	# KVM in a VM may offer a feature that this QEMU then finds it cannot set.
	measure "$1" "$2" qemu-system-x86_64 -M microvm,accel=kvm,rtc=on,pit=off,pic=off \
		-cpu host,-arch-capabilities -m $mib -smp 1 -nodefaults -no-user-config -display none \
		-no-reboot -serial stdio -kernel "$kernel" -initrd "$initrd" -append console=ttyS0 "${@:3}"
}

start_rows() {
	local disk=$work/disk
	truncate -s 256M "$disk"
	lunette 'payload' --kernel "$bench/payload.elf"
	[ -n "$short" ] || lunette 'payload, 16 vCPUs' --kernel "$bench/payload.elf" --cpus 16
	lunette 'payload, disk' --kernel "$bench/payload.elf" --disk "$disk"
	kernel=$(tests/lab/kernel 2>"$work/err") && initrd=$(guest/mkinitramfs.sh base "$kernel" \
		"$(tests/lab/deb busybox-static)/bin/busybox" 2>"$work/err") || {
		failure 'a stock kernel'
		return
	}
	kernel+=/vmlinuz
	kernel_rows kernel
	[ -n "$short" ] || ! type -P qemu-system-x86_64 >/dev/null || {
		qemu 'QEMU microvm, kernel' 'kernel'
		qemu 'QEMU microvm, kernel, disk' 'kernel, disk' -object iothread,id=io \
			-drive "if=none,id=d,format=raw,file=$disk" \
			-device virtio-scsi-device,iothread=io -device scsi-hd,drive=d
	}
	[ -z "${LKVM-}" ] || peers kvmtool kvmtool kernel
	[ -n "${FIRECRACKER-}${CLOUD_HYPERVISOR-}" ] || return
	kernel=$cache/kernel-micro/vmlinux
	[ -e "$kernel" ] || {
		echo '"make guest-kernel" has not been run' >"$work/err"
		failure 'the micro kernel'
		return
	}
	kernel_rows 'micro kernel'
	[ -z "${FIRECRACKER-}" ] || peers firecracker Firecracker 'micro kernel'
	[ -z "${CLOUD_HYPERVISOR-}" ] || peers cloud_hypervisor 'Cloud Hypervisor' 'micro kernel'
}

kernel_rows() { # NAME
	lunette "$1" --kernel "$kernel" --initrd "$initrd"
	lunette "$1, disk" --kernel "$kernel" --initrd "$initrd" --disk "$disk"
}

# As peers.sh starts them, with and without $disk; compared to the row WITH.
peers() { # FUNCTION TITLE WITH
	local file=$disk disk= words=quiet
	"$1" measure "$2, $3" "$3"
	disk=$file
	"$1" measure "$2, $3, disk" "$3, disk"
}

print_rows() {
	local n form='  %-36s %8s %8s %8s %8s\n'
	echo
	echo "Start: exec to the first KVM_RUN, ms, $runs runs"
	printf "$form" '' minimum median maximum ratio
	for n in "${names[@]}"; do
		printf "$form" "$n" "${min[$n]}" "${median[$n]}" "${max[$n]}" "$(ratio median "$n")"
	done
	echo
	echo 'System calls and page faults until then, 1 run'
	printf "$form" '' calls ratio faults ratio
	for n in "${names[@]}"; do
		printf "$form" "$n" "${calls[$n]}" "$(ratio calls "$n")" "${faults[$n]}" "$(ratio faults "$n")"
	done
	echo
	echo "Memory at that point without the guest's RAM, KiB, 1 run"
	printf "$form" '' resident ratio 'anonym.' threads
	for n in "${names[@]}"; do
		printf "$form" "$n" "${rss[$n]}" "$(ratio rss "$n")" "${anonymous[$n]}" "${threads[$n]}"
	done
}

start() {
	if [ ! -r /dev/kvm ] || [ ! -w /dev/kvm ]; then
		echo '/dev/kvm is not there or may not be opened' >"$work/err"
		failure 'Start, System calls, Memory'
		return
	fi
	start_rows
	[ ${#names[@]} = 0 ] || print_rows
}

# Reads and writes.

thread=3 # callgrind's number of the I/O thread, after the driver's and the main loop's
# Let memset() and memcpy() do without "rep", of which callgrind counts every round.
tunables=glibc.cpu.x86_rep_stosb_threshold=1000000000:glibc.cpu.x86_rep_movsb_threshold=1000000000

# The I/O thread's totals for a run of scsi4k, into $work/VERB.DEPTH.COUNT: "instructions N", "calls N",
# and "FILE N" for each source file.
profile() { # VERB DEPTH COUNT
	rm -f "$work"/callgrind*
	GLIBC_TUNABLES=$tunables timeout 300 valgrind --tool=callgrind --separate-threads=yes \
		--callgrind-out-file="$work/callgrind" "$bench/scsi4k" "$@" >"$work/out" 2>"$work/err" &&
		callgrind_annotate --threshold=100 --auto=no "$work/callgrind-0$thread" \
			>"$work/annotated" 2>"$work/err" &&
		timeout 60 strace -f -o "$work/calls" "$bench/scsi4k" "$@" >"$work/out" 2>"$work/err" ||
		return
	# Lines are: 1,234 (56.7%)  FILE:FUNCTION [OBJECT]
	awk '{ gsub(",", "", $1) }
		/PROGRAM TOTALS/ { print "instructions", $1 }
		match($0, /%\)  ?[^:]+:/) {
			file = substr($0, RSTART, RLENGTH - 1)
			# The path begins where it was built, or there is none.
			if (!match(file, /( |\/)(vmm|virtio|devices)\/.*/)) sum["libraries"] += $1
			else sum[substr(file, RSTART + 1)] += $1
		}
		END { for (file in sum) print file, sum[file] }' "$work/annotated" >"$work/$1.$2.$3"
	# The I/O thread is the one that takes a name that is not the main loop's.
	awk '/PR_SET_NAME/ && !/"main"/ { io = $1 }
		!/resumed>|---|\+\+\+/ { calls[$1]++ }
		END { print "calls", calls[io] }' "$work/calls" >>"$work/$1.$2.$3"
	grep -q '^virtio/queue.c [1-9]' "$work/$1.$2.$3" || {
		echo 'callgrind knows no source files' >"$work/err"
		return 1
	}
}

# The best of a few, as the machine may be busy.
nanoseconds() { # VERB DEPTH [THREADS]
	local try
	for try in $(seq $tries); do
		"${rt[@]}" timeout 60 "$bench/scsi4k" "$1" "$2" $timed "${3-1}" 2>"$work/err" || return
	done | sort -n | head -n 1
}

# Lines "KEY FIGURE", per request, into $work/VERB.DEPTH.
figures() { # VERB DEPTH
	local ns
	profile "$@" $few && profile "$@" $many && ns=$(nanoseconds "$@") && [ -n "$ns" ] || return
	awk 'NR == FNR { short[$1] = $2; next }
		{ printf $1 == "calls" ? "%s %.2f\n" : "%s %.0f\n", $1, ($2 - short[$1]) / '$((many - few))' }
		END { print "nanoseconds", "'"$ns"'" }' "$work/$1.$2.$few" "$work/$1.$2.$many" >"$work/$1.$2"
}

print_requests() { # VERB DEPTH DEPTH
	local form='  %-28s %8s %8s\n'
	echo
	echo "4 KiB $1s, null store: the I/O thread's part of one ($many $1s minus $few)"
	printf "$form" '' "depth $2" "depth $3"
	sort "$work/$1.$3" | join -a 1 -a 2 -e 0 -o 0,1.2,2.2 <(sort "$work/$1.$2") - |
		sort -k 3,3nr -k 1,1 >"$work/requests"
	awk -v form="$form" '
		$1 == "instructions" { printf form, $1, $2, $3 }
		$1 == "calls" { calls = sprintf(form, "system calls", $2, $3) }
		$1 == "nanoseconds" { ns = sprintf(form, "ns natively, driver and all", $2, $3) }
		/\/|^libraries/ && $2 + $3 { files = files sprintf(form, "  " $1, $2, $3) }
		END { printf "%s%s%s", files, calls, ns }' "$work/requests"
}

# As many queues as threads, each at that depth; one thread is the driver of all.
print_threads() { # DEPTH DEPTH
	local threads depth row form='  %-28s %8s %8s\n'
	echo
	echo "Reads by several I/O threads, ns each (best of $tries), on $(nproc) CPUs"
	printf "$form" '' "depth $1" "depth $2"
	for threads in 1 2 4; do
		row=()
		for depth; do
			row+=("$(nanoseconds read "$depth" $threads)")
		done
		printf "$form" "iothreads=$threads" "${row[@]}"
	done
}

reads() { # DEPTH DEPTH
	local verb depth
	for verb in read write; do
		for depth; do
			figures $verb "$depth" || {
				failure "4 KiB ${verb}s, depth $depth"
				return
			}
		done
		print_requests $verb "$@"
	done
	print_threads "$@"
}

# Stores.

# Instructions of all threads for a read.
store_instructions() { # HOW DEPTH
	local n
	for n in $few $many; do
		GLIBC_TUNABLES=$tunables timeout 300 valgrind --tool=callgrind \
			--callgrind-out-file="$work/callgrind" "$bench/storeread" "$1" 4096 "$2" "$n" \
			"$work/file" 2>"$work/err" >"$work/out" || return
		sed -n 's/.*Collected : //p' "$work/err"
	done | awk '{ n[NR] = $1 } END { if (NR == 2) printf "%.0f\n", (n[2] - n[1]) / '$((many - few))' }'
}

# The best of some tries of all in turn, so that a busy machine is busy for all: lines "HOW DEPTH NS".
store_nanoseconds() { # BYTES COUNT DEPTH...
	local try how depth bytes=$1 count=$2
	shift 2
	for try in $(seq $tries); do
		for how in raw uring threads; do
			for depth; do
				echo "$how $depth $("${rt[@]}" timeout 60 "$bench/storeread" $how "$bytes" \
					"$depth" "$count" "$work/file" 2>"$work/err")"
			done
		done
	done | sort -n -k 3 | awk '!seen[$1 $2]++'
}
store_time() { # HOW DEPTH
	awk -v how="$1" -v depth="$2" '$1 == how && $2 == depth { print $3 }' "$work/times"
}

stores() { # DEPTH DEPTH
	local how depth row form='  %-28s %8s %8s %8s %8s\n'
	head -c 8M /dev/urandom >"$work/file"
	store_nanoseconds 4096 $timed "$@" >"$work/times"
	echo
	echo "Reads of 4 KiB from a file in the page cache, a store alone: instructions, ns (best of $tries)"
	printf "$form" '' "depth $1" 'ns' "depth $2" 'ns'
	for how in raw uring threads; do
		row=()
		for depth; do
			row+=("$(store_instructions $how "$depth")" "$(store_time $how "$depth")")
		done
		if numbers "${row[@]}"; then
			printf "$form" "$how" "${row[@]}"
		else
			failure "Stores, $how"
		fi
	done
}

copies() { # DEPTH DEPTH
	local how depth row ns form='  %-28s %8s %8s %8s %8s\n'
	store_nanoseconds 1048576 $((timed / 64)) "$@" >"$work/times"
	echo
	echo "Reads of 1 MiB from a file in the page cache, a store alone: microseconds (best of $tries)"
	printf "$form" '' "depth $1" ratio "depth $2" ratio
	for how in raw uring threads; do
		row=()
		for depth; do
			ns=$(store_time $how "$depth")
			numbers "$ns" || ns=
			row+=($(awk -v a="$ns" -v b="$(store_time raw "$depth")" \
				'BEGIN { if (a && b) printf "%.1f %.2f", a / 1000, a / b }'))
		done
		if [ ${#row[@]} = 4 ]; then
			printf "$form" "$how" "${row[@]}"
		else
			failure "Copies, $how"
		fi
	done
}

commit() {
	git describe --always --dirty=' with changes' 2>/dev/null || ./lunette --version
}

local_head() {
	echo "On this machine: $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1), $(nproc) CPUs," \
		"Linux $(uname -r), load $(cut -d ' ' -f 1 /proc/loadavg)${rt:+, real-time priority}"
	echo "guest: $mib MiB, 1 vCPU unless said otherwise; kernel: Debian's stock one, with an initramfs"
}

lab() { # PART
	tests/bench/lab.sh $short "$objects" "$1"
}

# The short form: in the lab, whose emulator takes one CPU, beside the rest; what counts is whether
# each part has all its figures.
in_short() { # PART...
	local part passed=0 bad=0 lab=() jobs=()
	for part; do
		[[ $part =~ ^(boot|command|io)$ ]] && lab+=("$part")
	done
	for part in "${lab[@]}"; do
		lab "$part"
		echo $? >"$work/$part.status"
	done >"$work/lab" 2>&1 &
	for part; do
		[[ $part =~ ^(boot|command|io)$ ]] && continue
		failed=0
		measure_here "$part"
		echo $failed >"$work/$part.status"
	done
	wait
	cat "$work/lab"
	for part; do
		if [ "$(cat "$work/$part.status")" = 0 ]; then passed=$((passed + 1)); else bad=$((bad + 1)); fi
	done
	echo "$passed passed, $bad failed"
	[ $bad = 0 ]
}

measure_here() { # PART
	case $1 in
	start) start ;;
	reads) reads 1 32 ;;
	stores) stores 1 32; copies 1 4 ;;
	esac
}

[ $# -gt 0 ] || set -- start reads stores boot command io
for part; do
	[[ $part =~ ^(start|reads|stores|boot|command|io)$ ]] || {
		echo "run.sh: not a part: $part (start, reads, stores, boot, command, io)" >&2
		exit 200
	}
done
[ -n "${LKVM-}" ] || echo 'left out: kvmtool; LKVM=FILE names its binary'
[ -n "${FIRECRACKER-}" ] || echo 'left out: Firecracker; FIRECRACKER=FILE names its binary'
[ -n "${CLOUD_HYPERVISOR-}" ] ||
	echo 'left out: Cloud Hypervisor; CLOUD_HYPERVISOR=FILE names its binary'
echo "lunette $(commit), $(date -u +%F)"
[[ ! " $* " =~ \ (start|reads|stores)\  ]] || local_head
[ -z "$short" ] || { in_short "$@"; exit; }
for part; do
	case $part in
	start | reads | stores) measure_here "$part" ;;
	*) lab "$part" || failed=1 ;;
	esac
done
exit $failed
