#!/bin/bash
# run-guest.sh - a Linux guest on lunette, with one command.
#
#   usage: ./run-guest.sh [option...]                      a shell in a guest
#          ./run-guest.sh [option...] -- COMMAND [ARG...]  runs COMMAND in the guest
#          ./run-guest.sh [option...] <SCRIPT              the same with a script of busybox's sh
#
#   --disk FILE[,...]   a disk, in place of the scratch disk; may be repeated. What COMMAND changes on it
#                       is lost, but with --commit, or overlay=off in its options
#   --kernel FILE       a kernel, in place of Debian's cloud kernel; micro: the small one that "make
#                       guest-kernel" makes, which starts many times faster
#   --initrd FILE       an initramfs, in place of the one made here (see guest/init.c)
#   --append WORDS      the kernel's command line, in place of "loglevel=1"; with root=/dev/sda
#                       the root file system is on the first disk
#   --root lun:N        the root file system is on this LUN; the first disk is LUN 0
#   --help              this
#
# Every other option goes to "lunette run", e.g. --cpus 2 --memory 1G: see ./lunette run --help.
#
# What is missing is installed, built, fetched and made first; that is kept for the next time, in
# ${XDG_CACHE_HOME:-~/.cache}/lunette. Where this machine's KVM cannot run a guest, the same lunette
# runs in an emulated machine whose KVM can.
#
# COMMAND has this stdin, stdout and stderr, and a terminal if we have one. The exit status is its own,
# 128+N when signal N ended it, or one of lunette's own (README.md); 210: the emulated machine went
# down.
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin
top=$(dirname "$(readlink -f "$0")")
cache=${XDG_CACHE_HOME:-$HOME/.cache}/lunette

fail() { # STATUS MESSAGE
	echo "run-guest: $2" >&2
	exit "$1"
}

args=() disks=() cdroms=() reports=() shares=() out= command=() kernel= initrd= own= root= append=loglevel=1 memory=512M
while [ $# -gt 0 ]; do
	case $1 in
	--) shift; [ $# -gt 0 ] || fail 200 'no command after --'; command=("$@"); break ;;
	--help | -h) sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit ;;
	--*=*) set -- "${1%%=*}" "${1#*=}" "${@:2}" ;;
	--disk | --cdrom | --device | --kernel | --initrd | --append | --memory | --root | --json | \
		--junit | --trace | --share | --out)
		[ $# -ge 2 ] || fail 200 "$1 needs a value"
		case $1 in
		--disk) disks+=("$2") args+=("$1" "$2") ;;
		--cdrom) cdroms+=("$2,readonly=on") args+=("$1" "$2") ;;
		--device)
			[[ $2 != scsi-disk,* ]] || disks+=("${2#scsi-disk,}")
			args+=("$1" "$2") ;;
		--kernel) kernel=$2 ;;
		--initrd) initrd=$2 ;;
		--root) root=$2 args+=("$1" "$2") ;;
		--append) append=$2 ;;
		--memory) memory=$2 args+=("$1" "$2") ;;
		--json | --junit) reports+=("$2") args+=("$1" "$2") ;;
		--trace) reports+=("${2#scsi=}") args+=("$1" "$2") ;;
		--share) shares+=("${2%:/*}") args+=("$1" "$2") ;;
		--out) out=${2%:/*} args+=("$1" "$2") ;;
		esac
		shift 2 ;;
	*) args+=("$1"); shift ;;
	esac
done

"$top/guest/setup.sh" run
run=$(mktemp -dt "lunette-$$-$(stat -Lc %i /proc/self/ns/pid).XXXXXX") # as "lunette clean" knows it
trap 'rm -rf "$run"' EXIT
mkdir -p "$cache"
flock "$top/Makefile" make -s -C "$top" -j "$(nproc)" lunette >"$run/make" 2>&1 || {
	cat "$run/make" >&2
	fail 201 'lunette could not be built'
}

# The kernel and its initramfs. Debian's kernel is fetched when it, or its modules, are used.
modules=-
if [ "$kernel" = micro ]; then
	kernel=$cache/kernel-micro/vmlinux
	[ -r "$kernel" ] || fail 201 '--kernel micro: not there yet; "make guest-kernel" makes it'
elif [ -z "$kernel" ] || [ -z "$initrd" ]; then
	modules=$("$top/tests/lab/kernel") || fail 201 'no kernel for guests'
fi
if [ -z "$kernel" ]; then
	kernel=$modules/vmlinuz
	if [ -t 0 ] && [ -t 2 ] && [ ${#command[@]} = 0 ] && [ ! -e "$cache/kernel-micro" ]; then
		echo 'run-guest: guests start many times faster with --kernel micro; "make guest-kernel" makes it' >&2
	fi
fi
if [ -z "$initrd" ]; then
	busybox=$("$top/tests/lab/deb" busybox-static) || fail 201 'no busybox for guests'
	initrd=$("$top/guest/mkinitramfs.sh" base "$modules" "$busybox/bin/busybox") ||
		fail 201 'no initramfs for guests'
	own=1
fi

# What runs in the guest, with a terminal where there is one. A root file system's own init, and an
# initramfs that is not ours, do what they do.
terminal= shell=
[ ! -t 0 ] || [ ! -t 1 ] || terminal=1
if [ ${#command[@]} = 0 ] && [ -n "$own" ] && [ -z "$root" ] && [[ " $append" != *' root='* ]]; then
	if [ -n "$terminal" ]; then
		command=(sh -c 'echo "Ctrl-D ends this guest, Ctrl-A x stops it at once."; exec sh -l')
	else command=(sh)
	fi
	shell=1
fi
# The scratch disk; a guest that finds it in use gets one of its own.
scratch() { # FILE
	truncate -s 256M "$1.new"
	mkfs.ext4 -q -F -L scratch "$1.new"
	mv "$1.new" "$1"
}
if [ ${#disks[@]} = 0 ]; then
	image=$cache/scratch.img
	exec 8>>"$cache/scratch.lock"
	if flock -n 8; then
		[ -e "$image" ] || scratch "$image"
	else
		image=$run/scratch.img
		scratch "$image"
		echo 'run-guest: the scratch disk is in use; this guest has one that is thrown away' >&2
	fi
	disks=("${image//,/,,}")
	args+=(--disk "${disks[0]},overlay=off")
fi

[ -z "$shell" ] || args+=(--overlay off) # somebody who looks around wants to find it again
args=(--kernel "$kernel" --initrd "$initrd" --append "$append" "${args[@]}")
if [ ${#command[@]} -gt 0 ]; then
	args+=(${terminal:+-t} -- "${command[@]}")
elif [ -n "$own" ]; then # of another initramfs it is not known whether it has virtio_console
	args=(--console hvc "${args[@]}")
fi

# The emulated machine has the same files at the same paths, so lunette is called there as here.
lab=(--timeout 0 --chdir "$PWD" --add "$top/lunette:/bin/lunette")
lab_disk() { # FILE[,...]: as a disk of the emulated machine
	local text=,${1//,,/$'\1'}, file how=--disk lock=-x
	if [[ $text =~ ,file=([^,]*), ]]; then file=${BASH_REMATCH[1]}
	else file=${text#,} file=${file%%,*}
	fi
	file=${file//$'\1'/,}
	[ -e "$file" ] || return 0 # lunette says so
	[ -f "$file" ] || [ -b "$file" ] || fail 201 "$file: not a regular file or block device"
	[ -r "$file" ] || fail 201 "$file: not readable"
	case $text in
	*,readonly,* | *,readonly=on,*) how=--disk-ro lock=-s ;;
	*) [ -w "$file" ] || fail 201 "$file: not writable; add readonly=on to use it all the same" ;;
	esac
	[ $(($(stat -c %s "$file") % 512)) = 0 ] || fail 201 "$file: its size is not a multiple of 512"
	exec {fd}<"$file"
	flock -n $lock "$fd" || fail 201 "$file: in use by another guest"
	lab+=("$how" "$file")
}
lab_run() {
	local file disk mib
	mib=$(($(numfmt --from=iec "$memory" 2>/dev/null || echo 0) >> 20))
	for file in "$kernel" "$initrd"; do
		[ ! -f "$file" ] || lab+=(--add "$file")
	done
	for disk in "${disks[@]}" "${cdroms[@]}"; do lab_disk "$disk"; done
	for file in "${reports[@]}"; do
		[[ $file != /dev/* ]] || continue
		{ : >>"$file"; } 2>/dev/null || fail 201 "$file: cannot be written"
		lab+=(--out "$file")
	done
	if [ ${#shares[@]} -gt 0 ]; then # made into images there, too
		lab+=(--add "$(command -v mkfs.erofs)")
		for file in "${shares[@]}"; do [ ! -d "$file" ] || lab+=(--share "$file"); done
		mib=$((mib + 2 * $(du -cm "${shares[@]}" 2>/dev/null | sed -n '$s/[^0-9].*//p')))
	fi
	lab+=(--mem $((mib + 768)))
	[ -z "$terminal" ] || lab+=(--tty)
	echo 'lunette run "$@"' >"$run/script"
	if [ -n "$out" ]; then
		mkdir -p "$out" || fail 201 "--out $out: cannot be made"
		lab+=(--out "$run/results")
		printf 'status=$?; tar -cf %q -C %q .; exit $status\n' "$run/results" "$out" >>"$run/script"
		sed -i "1imkdir -p $(printf %q "$out")" "$run/script"
	fi
	"$top/tests/lab/l1" "${lab[@]}" "$run/script" "${args[@]}" <&0 &
}

if reason=$("$top/lunette" doctor 2>&1); then
	"$top/lunette" run "${args[@]}" <&0 &
else
	reason=${reason##*$'\n'}
	echo "run-guest: ${reason#lunette: error: }; this guest runs in an emulated one" >&2
	"$top/guest/setup.sh" lab
	lab_run
fi
child=$!
trap 'kill "$child" 2>/dev/null' HUP INT TERM
wait "$child" && rc=0 || rc=$?
[ ! -e "/proc/$child" ] || { wait "$child" && rc=0 || rc=$?; } # a signal ended the first wait
[ ! -s "$run/results" ] || tar -xf "$run/results" --no-same-owner -C "$out" || [ $rc != 0 ] || rc=211
exit $rc
