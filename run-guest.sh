#!/bin/bash
# SPDX-License-Identifier: MIT
# run-guest.sh - a Linux guest on lunette, with one command.
#
#   usage: ./run-guest.sh [option...]                      a shell in a guest
#          ./run-guest.sh [option...] -- COMMAND [ARG...]  runs COMMAND in the guest
#          ./run-guest.sh [option...] <SCRIPT              the same with a script of busybox's sh
#
#   --disk FILE[,...]   a disk, in place of the scratch disk; may be repeated. What COMMAND changes on it
#                       is lost, but with --commit, or overlay=off in its options
#   --kernel FILE       a kernel, in place of Debian's cloud kernel; micro: the small one that "make
#                       guest-kernel" makes, which starts many times faster, full and debug likewise; host:
#                       this system's; a folder: a kernel's tree that has been built; 6.12: this
#                       distribution's newest of that version, which is fetched. Modules of a FILE are
#                       looked for where distributions have them: lib/modules/VERSION beside it, above
#                       it, or in /
#   --initrd FILE       an initramfs, in place of the one made here (see guest/init.c)
#   --append WORDS      added to the kernel's command line, in place of "loglevel=1"; with
#                       root=/dev/sda the root file system is on the first disk
#   --root lun:N        the root file system is on this LUN; the first disk is LUN 0
#   --arch ARCH         the guest's architecture: x86_64, aarch64 or riscv64; another one than this
#                       machine's is emulated
#   --help              this
#
# Every other option goes to "lunette run", e.g. --cpus 2 --memory 1G: see ./lunette run --help.
#
# What is missing is installed, built, fetched and made first; that is kept for the next time, in
# ${XDG_CACHE_HOME:-~/.cache}/lunette. Where this machine's KVM cannot run such a guest, the same
# lunette runs in an emulated machine whose KVM can (guest/emulated.sh).
#
# COMMAND has this stdin, stdout and stderr, and a terminal if we have one. The exit status is its own,
# 128+N when signal N ended it, or one of lunette's own (README.md); 210: the emulated machine went
# down.
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin
top=$(dirname "$(readlink -f "$0")")
cache=${XDG_CACHE_HOME:-$HOME/.cache}/lunette

given() { # OPTION: is it among the user's?
	local key
	for key in "${keys[@]}"; do [ "$key" != "$1" ] || return 0; done
	return 1
}
fail() { # STATUS MESSAGE
	echo "run-guest: $2" >&2
	exit "$1"
}

# Stdin is the guest's alone, whatever is run before it.
{ exec {in}<&0; } 2>/dev/null || exec {in}</dev/null
exec </dev/null

# add OPTION VALUE WORD...: the words go to lunette, and the option is known
args=() keys=() values=()
add() {
	keys+=("$1") values+=("$2")
	args+=("${@:3}")
}
# --env NAME: its value, in our environment as we have got it
add_env() { # NAME
	local item
	while IFS= read -r -d '' item; do
		[[ $item != "$1="* ]] || { add --env "$item" --env "$item"; return; }
	done </proc/$$/environ
	add --env "$1" --env "$1"
}

here=$(uname -m) arch=
command=() kernel= initrds=() own= root= append=() memory=512M
while [ $# -gt 0 ]; do
	key=${1%%=*}
	case $1 in
	--) shift; [ $# -gt 0 ] || fail 200 'no command after --'; command=("$@"); break ;;
	--help | -h) sed -n '3,/^set/s/^# \{0,1\}//p' "$0"; exit ;;
	--commit | --tty | --explain) add "$1" '' "$1"; shift; continue ;;
	--*=*) value=${1#*=} words=("$1") ;;
	--*) # an option without its value is for lunette to refuse
		[[ $# -ge 2 && $2 != --* ]] || { add "$1" '' "$1"; shift; continue; }
		value=$2 words=("$1" "$2") ;;
	*) add "$1" '' "$1"; shift; continue ;;
	esac
	case $key in
	--kernel)
		[ -z "$kernel" ] || fail 200 "--kernel $value: given twice; one of them has to go"
		kernel=$value ;;
	--initrd) initrds+=("$value") ;;
	--arch)
		[ -z "$arch" ] || fail 200 "--arch $value: given twice; one of them has to go"
		[[ $value == @(x86_64|aarch64|riscv64) ]] ||
			fail 200 "--arch $value: no such architecture; there are x86_64, aarch64 and riscv64"
		arch=$value ;;
	--append) append+=("$value") ;;
	--env) if [[ $value == *=* ]]; then add --env "$value" "${words[@]}"; else add_env "$value"; fi ;;
	--memory) memory=$value; add "$key" "$value" "${words[@]}" ;;
	--root) root=$value; add "$key" "$value" "${words[@]}" ;;
	*) add "$key" "$value" "${words[@]}" ;;
	esac
	shift ${#words[@]}
done

arch=${arch:-$here}
[ -d "$top/vmm/machine/arch/$arch" ] || fail 201 "--arch $arch: lunette has not been ported to it yet"
# This system's kernel, or one of its distribution's; others are of any architecture.
ours=
[[ $kernel != host && ($kernel != [0-9]* || -e $kernel) ]] || ours=1
[ -z "$ours" ] || [ "$arch" = "$here" ] ||
	fail 201 "--kernel $kernel: of $here, as this system is; --arch $arch takes a FILE, a TREE or micro"
"$top/guest/setup.sh" run <&"$in"
binary=$top/lunette
if [ "$arch" != "$here" ]; then
	binary=$top/build/$arch/lunette
	"$top/guest/setup.sh" "cross-$arch" <&"$in"
	"$top/tests/lab/sysroot" "$arch" >/dev/null || fail 201 "no libraries of $arch"
fi
run=$(mktemp -dt "lunette-$$-$(stat -Lc %i /proc/self/ns/pid).XXXXXX") # as "lunette clean" knows it
trap 'rm -rf "$run"' EXIT
mkdir -p "$cache"
build() { # ARCH
	flock "$top/Makefile" make -s -C "$top" -j "$(nproc)" "ARCH=$1" lunette >"$run/make" 2>&1 || {
		cat "$run/make" >&2
		fail 201 'lunette could not be built'
	}
}
build "$arch"

# The release of a kernel, which its modules are for: by a bzImage's header, or in an ELF file's text.
release() { # FILE
	local at
	if [ "$(tail -c +515 "$1" | head -c 4 | tr -d '\0')" = HdrS ]; then
		at=$(od -An -tu2 -j 526 -N 2 "$1")
		tail -c +$((at + 513)) "$1" | head -c 200 | tr '\0 ' '\n\n' | head -n 1
	else
		grep -a -o -m 1 'Linux version [0-9][^ ]*' "$1" | head -n 1 | cut -d ' ' -f 3
	fi
}
modules_of() { # FILE: the folder of the modules of that kernel; "-": there is none
	local release dir beside
	beside=$(realpath "$(dirname "$1")")
	release=$(release "$1") 2>/dev/null || true
	[ -n "$release" ] || { echo -; return; }
	for dir in "$beside" {"$beside","$beside/..","$beside/../usr",}"/lib/modules/$release"; do
		[[ ! -d $dir/kernel || ${dir##*/} != "$release" ]] || { realpath "$dir"; return; }
	done
	echo -
}

# found: $kernel is the file that it means, and its modules are behind the guest's own files. lunette finds both,
# and says why not.
found() {
	[ "$arch" = "$here" ] || build "$here"
	[ ${#initrds[@]} != 0 ] || "$top/lunette" kernel modules "$kernel" >"$run/modules.cpio" || exit
	kernel=$("$top/lunette" kernel which "$kernel") || exit
}

# The kernel and its initramfs. Debian's kernel is fetched when it is used.
modules=- micro=$cache/kernel-micro make_kernel='make guest-kernel'
[ "$arch" = "$here" ] || micro=$cache/$arch/kernel-micro make_kernel+=" ARCH=$arch"
if [[ $kernel == @(micro|full|debug) ]]; then
	[ "$kernel" = micro ] || make_kernel+=" ${kernel^^}=1"
	[ -r "${micro%micro}$kernel/vmlinux" ] ||
		fail 201 "--kernel $kernel: not there yet; \"$make_kernel\" makes it"
	kernel=${micro%micro}$kernel/vmlinux
elif [ -n "$ours" ] || [ -d "$kernel" ]; then
	found
elif [ -z "$kernel" ]; then
	modules=$("$top/tests/lab/kernel" -a "$arch") || fail 201 'no kernel for guests'
elif [ ${#initrds[@]} = 0 ] && [ -f "$kernel" ]; then
	modules=$(modules_of "$kernel")
fi
if [ -z "$kernel" ]; then
	kernel=$modules/vmlinuz
	if [ -t "$in" ] && [ -t 2 ] && [ ${#command[@]} = 0 ] && [ ! -e "$micro" ]; then
		echo "run-guest: guests start many times faster with --kernel micro; \"$make_kernel\" makes it" >&2
	fi
fi
if [ ${#initrds[@]} = 0 ]; then
	busybox=$("$top/tests/lab/busybox" "$arch") || fail 201 'no busybox for guests'
	initrds=("$("$top/guest/mkinitramfs.sh" -a "$arch" base "$modules" "$busybox")") ||
		fail 201 'no initramfs for guests'
	[ ! -s "$run/modules.cpio" ] || initrds+=("$run/modules.cpio")
	own=1
fi

# What runs in the guest, with a terminal where there is one. A root file system's own init, and an
# initramfs that is not ours, do what they do.
terminal= shell=
[ ! -t "$in" ] || [ ! -t 1 ] || terminal=1
if [ ${#command[@]} = 0 ] && [ -n "$own" ] && [ -z "$root" ] && [[ " ${append[*]}" != *' root='* ]]; then
	shell=1
	[ -n "$terminal" ] || command=(sh)
fi
has_disk() {
	local i
	for i in "${!keys[@]}"; do
		case "${keys[i]} ${values[i]}" in
		'--disk '* | '--device scsi-disk,'* | '--device virtio-blk,'*) return 0 ;;
		esac
	done
	return 1
}
# The scratch disk; a guest that finds it in use gets one of its own.
scratch() { # FILE
	truncate -s 256M "$1.new"
	mkfs.ext4 -q -F -L scratch "$1.new"
	mv "$1.new" "$1"
}
if ! has_disk; then
	image=$cache/scratch.img
	exec {scratch}>>"$cache/scratch.lock"
	if flock -n "$scratch"; then
		[ -e "$image" ] || scratch "$image"
	else
		image=$run/scratch.img
		scratch "$image"
		echo 'run-guest: the scratch disk is in use; this guest has one that is thrown away' >&2
	fi
	add --disk "${image//,/,,},overlay=off" --disk "${image//,/,,},overlay=off"
fi

# somebody who looks around wants to find it again
[ -z "$shell" ] || given --overlay || given --commit || add --overlay off --overlay off
[ ${#append[@]} -gt 0 ] || append=(loglevel=1)
plain=("${args[@]}")
boot=(--kernel "$kernel")
for file in "${initrds[@]}"; do boot+=(--initrd "$file"); done
for words in "${append[@]}"; do boot+=(--append "$words"); done
args=("${boot[@]}" "${args[@]}")
if [ ${#command[@]} -gt 0 ] || [ -n "$shell" ]; then
	given -t || given --tty || [ -z "$terminal" ] || args+=(-t)
	[ ${#command[@]} = 0 ] || args+=(-- "${command[@]}")
elif [ -n "$own" ] && ! given --console; then # of another one it is not known whether it has virtio_console
	args=(--console hvc "${args[@]}")
fi

# What lunette refuses as it makes no sense it refuses at once. Without an initramfs it opens nothing.
senseless() {
	local rc=0
	! given --explain || return
	"$top/lunette" run --explain --kernel "$kernel" "${plain[@]}" -- true >/dev/null 2>&1 || rc=$?
	[ $rc = 200 ]
}
if [ "$arch" = "$here" ] && { reason=$("$top/lunette" doctor 2>&1) || senseless; }; then
	"$top/lunette" run "${args[@]}" <&"$in" {in}<&- &
else
	[ "$arch" = "$here" ] || reason="this machine is $here, not $arch"
	reason=${reason##*$'\n'}
	echo "run-guest: ${reason#lunette: error: }; this guest runs in an emulated one" >&2
	. "$top/guest/emulated.sh"
	lab_run
fi
child=$!
trap 'kill "$child" 2>/dev/null' HUP INT TERM
wait "$child" && rc=0 || rc=$?
[ ! -e "/proc/$child" ] || { wait "$child" && rc=0 || rc=$?; } # a signal ended the first wait
[ -z "${lab+x}" ] || lab_collect || [ $rc != 0 ] || rc=211
exit $rc
