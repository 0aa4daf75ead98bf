#!/bin/bash
# SPDX-License-Identifier: MIT
# setup.sh - install the Debian packages that are missing.
#
#   usage: setup.sh LIST...        LISTs: run, device-tree, cross-x86_64, cross-aarch64,
#                                      cross-riscv64, lab-intel, bochs, test, distro, bench, fuzz,
#                                      kernel
#          setup.sh -l LIST...     prints the names of the packages, a line each
#
# A package with a question mark is left out where the distribution does not have it; what needs it
# says so. Prints nothing when nothing is missing. Otherwise one line says what is installed, by apt-get as
# root or by sudo; where neither is possible a line gives the command and the exit status is 201.
set -euo pipefail

# To build lunette and the guest's initramfs and disk, and for --net user.
run='gcc make libc6-dev linux-libc-dev libjansson-dev liburing-dev zlib1g-dev
	liblz4-dev libzstd-dev liblzma-dev libarchive-dev libacl1-dev libmd-dev acpica-tools cpio
	kmod e2fsprogs erofs-utils util-linux libblkid-dev xz-utils zstd passt?'
# And where the machine is described to guests by a device tree.
device_tree='libfdt-dev'
[ "$(uname -m)" = x86_64 ] || run+=" $device_tree"
# To build it for another architecture; the libraries are tests/lab/sysroot's.
cross_x86_64='gcc-x86-64-linux-gnu'
cross_aarch64='gcc-aarch64-linux-gnu'
cross_riscv64='gcc-riscv64-linux-gnu'
# The lab host with an Intel processor: what builds Bochs, and what makes the CD that it boots from;
# and Debian's own Bochs, for when it cannot be built.
lab_intel='g++ isolinux syslinux-common xorriso'
bochs='bochs'
# To test: unit tests, and what is copied into guests.
test='check libfdt-dev device-tree-compiler clang dmsetup pkg-config strace bsdutils sg3-utils lz4 tmux shellcheck cppcheck zsh? fish?'
# To make machines of other distributions.
distro='wget gpgv'
# To measure: counters of system calls and of instructions, and what to compare with.
bench='strace valgrind qemu-system-x86'
# To fuzz: a compiler with libFuzzer.
fuzz='clang libclang-rt-dev?'
# To build a small kernel for guests.
kernel='flex bison bc libelf-dev xz-utils lz4'

lists=' run device-tree cross-x86_64 cross-aarch64 cross-riscv64 lab-intel bochs test distro bench fuzz kernel '
print=
[ "${1-}" != -l ] || { print=1; shift; }
wanted=()
for list; do
	[[ $lists == *" $list "* ]] || { echo "setup.sh: no list \"$list\":$lists" >&2; exit 200; }
	list=${list//-/_}
	read -ra words -d '' <<<"${!list}" || true
	wanted+=("${words[@]}")
done
[ -z "$print" ] || { printf '%s\n' "${wanted[@]%\?}"; exit; }

if ! command -v dpkg-query >/dev/null; then
	echo "setup.sh: not a Debian system; what Debian calls ${wanted[*]} has to be there" >&2
	exit 0
fi
present=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "${wanted[@]%\?}" 2>/dev/null |
	sed -n 's/^installed //p' || true) # one that it does not know is an error to dpkg-query
missing=() optional=()
for package in "${wanted[@]}"; do
	[[ $'\n'$present$'\n' != *$'\n'${package%\?}$'\n'* ]] || continue
	if [[ $package == *\? ]]; then optional+=("${package%\?}"); else missing+=("$package"); fi
done
choose() { # what is to be installed: of the optional ones those that apt knows
	local package
	packages=("${missing[@]}")
	for package in "${optional[@]}"; do
		[ -z "$(apt-cache madison "$package" 2>/dev/null)" ] || packages+=("$package")
	done
	command="apt-get install -y --no-install-recommends ${packages[*]}"
}
choose
[ ${#packages[@]} -gt 0 ] || exit 0

if [ "$(id -u)" = 0 ]; then root=()
elif sudo -n true 2>/dev/null; then root=(sudo -n)
elif [ -t 0 ] && command -v sudo >/dev/null; then root=(sudo)
else
	echo "setup.sh: packages are missing; as root: apt-get update && $command" >&2
	exit 201
fi
echo "setup.sh: installing ${packages[*]}" >&2
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# One source that cannot be reached does not matter if the packages are found in another.
"${root[@]}" apt-get -q update >"$log" 2>&1 || true
choose # it may have had no lists before
"${root[@]}" env DEBIAN_FRONTEND=noninteractive $command -q -o DPkg::Lock::Timeout=300 \
	-o Acquire::Retries=3 >>"$log" 2>&1 </dev/null || {
	cat "$log" >&2
	echo "setup.sh: that failed; as root: apt-get update && $command" >&2
	exit 201
}
