#!/bin/bash
# setup.sh - install the Debian packages that are missing.
#
#   usage: setup.sh LIST...        LISTs: run, lab, test, bench, fuzz, kernel
#
# Prints nothing when nothing is missing. Otherwise one line says what is installed, by apt-get as
# root or by sudo; where neither is possible a line gives the command and the exit status is 201.
set -euo pipefail

# To build lunette and the guest's initramfs and disk, and for --net user.
run='gcc make libc6-dev linux-libc-dev libcap-ng-dev libjansson-dev liburing-dev zlib1g-dev
	liblz4-dev libzstd-dev liblzma-dev libarchive-dev libacl1-dev libmd-dev acpica-tools cpio
	kmod e2fsprogs erofs-utils util-linux debian-archive-keyring passt'
# The lab host, on machines whose KVM cannot run a guest: QEMU's libraries and firmware files.
lab='qemu-system-x86'
# To test: unit tests, and what is copied into guests.
test='check pkg-config strace bsdutils sg3-utils lz4 tmux'
# To measure: counters of system calls and of instructions.
bench='strace valgrind'
# To fuzz: a compiler with libFuzzer.
fuzz='clang libclang-rt-14-dev'
# To build a small kernel for guests.
kernel='flex bison bc libelf-dev xz-utils lz4'

wanted=()
for list; do
	case $list in
	run | lab | test | bench | fuzz | kernel) read -ra words -d '' <<<"${!list}" || true ;;
	*) echo "setup.sh: no list \"$list\": run, lab, test, bench, fuzz, kernel" >&2; exit 200 ;;
	esac
	wanted+=("${words[@]}")
done

if ! command -v dpkg-query >/dev/null; then
	echo "setup.sh: not a Debian system; what Debian calls ${wanted[*]} has to be there" >&2
	exit 0
fi
present=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "${wanted[@]}" 2>/dev/null |
	sed -n 's/^installed //p' || true) # one that it does not know is an error to dpkg-query
missing=()
for package in "${wanted[@]}"; do
	[[ $'\n'$present$'\n' == *$'\n'$package$'\n'* ]] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

command="apt-get install -y --no-install-recommends ${missing[*]}"
if [ "$(id -u)" = 0 ]; then root=()
elif sudo -n true 2>/dev/null; then root=(sudo -n)
elif [ -t 0 ] && command -v sudo >/dev/null; then root=(sudo)
else
	echo "setup.sh: packages are missing; as root: apt-get update && $command" >&2
	exit 201
fi
echo "setup.sh: installing ${missing[*]}" >&2
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# One source that cannot be reached does not matter if the packages are found in another.
"${root[@]}" apt-get -q update >"$log" 2>&1 || true
"${root[@]}" env DEBIAN_FRONTEND=noninteractive $command -q -o DPkg::Lock::Timeout=300 \
	-o Acquire::Retries=3 >>"$log" 2>&1 </dev/null || {
	cat "$log" >&2
	echo "setup.sh: that failed; as root: apt-get update && $command" >&2
	exit 201
}
