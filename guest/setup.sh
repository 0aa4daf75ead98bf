#!/bin/bash
# SPDX-License-Identifier: MIT
# setup.sh - install the packages that are missing, by Debian's names: a table has those of Fedora, Arch and
# Alpine, of which a build, its unit tests and a small kernel are made; the labs need Debian's own.
#
#   usage: setup.sh LIST...        LISTs: run, device-tree, cross-x86_64, cross-aarch64,
#                                      cross-riscv64, lab-intel, bochs, test, distro, bench, fuzz,
#                                      package, kernel
#          setup.sh -l LIST...     prints the names of the packages, a line each
#          setup.sh -n LIST...     installs nothing: says what is missing, as where that is not possible
#
# A package with a question mark is left out where the distribution does not have it, or cannot install it;
# what needs it says so. Prints nothing when nothing is missing. Otherwise one line says what is installed, as
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
test='check libfdt-dev device-tree-compiler clang dmsetup pkg-config strace bsdutils procps sg3-utils lz4 tmux shellcheck cppcheck zsh? fish?'
# To make machines of other distributions.
distro='wget gpgv'
# To measure: counters of system calls and of instructions, and what to compare with.
bench='strace valgrind procps qemu-system-x86'
# To fuzz: a compiler with libFuzzer.
fuzz='clang libclang-rt-dev?'
# To build and look at Debian's package of lunette, as debian/control has it.
package='debhelper busybox-static lintian dpkg-dev'
# To build a small kernel for guests.
kernel='gcc make libc6-dev flex bison bc libelf-dev xz-utils lz4'

lists=' run device-tree cross-x86_64 cross-aarch64 cross-riscv64 lab-intel bochs test distro bench fuzz package kernel '
print= never=
[ "${1-}" != -l ] || { print=1; shift; }
[ "${1-}" != -n ] || { never=1; shift; }
wanted=()
for list; do
	[[ $lists == *" $list "* ]] || { echo "setup.sh: no list \"$list\":$lists" >&2; exit 200; }
	list=${list//-/_}
	read -ra words -d '' <<<"${!list}" || true
	wanted+=("${words[@]}")
done
[ -z "$print" ] || { printf '%s\n' "${wanted[@]%\?}"; exit; }

# What others call it: "-" is in what they have anyway, and a Debian name without a row is of no use there. The
# first column that /etc/os-release has in ID or ID_LIKE counts.
names='
debian              fedora                             arch               alpine
gcc                 gcc                                gcc                gcc
make                make                               make               make
libc6-dev           glibc-devel,glibc-static           glibc              musl-dev,bsd-compat-headers
linux-libc-dev      kernel-headers                     linux-api-headers  linux-headers
libjansson-dev      jansson-devel                      jansson            jansson-dev
liburing-dev        liburing-devel                     liburing           liburing-dev
zlib1g-dev          zlib-devel,zlib-static             zlib               zlib-dev,zlib-static
liblz4-dev          lz4-devel                          lz4                lz4-dev
libzstd-dev         libzstd-devel,libzstd-static       zstd               zstd-dev,zstd-static
liblzma-dev         xz-devel,xz-static                 xz                 xz-dev,xz-static
libarchive-dev      libarchive-devel                   libarchive         libarchive-dev
libacl1-dev         libacl-devel                       acl                acl-dev
libmd-dev           libmd-devel                        libmd              libmd-dev
libblkid-dev        libblkid-devel,libblkid-static     util-linux-libs    util-linux-dev,util-linux-static
libfdt-dev          libfdt-devel                       dtc                dtc-dev
acpica-tools        acpica-tools                       acpica             acpica
cpio                cpio                               cpio               cpio
kmod                kmod                               kmod               kmod
e2fsprogs           e2fsprogs                          e2fsprogs          e2fsprogs
erofs-utils         erofs-utils                        erofs-utils        erofs-utils
util-linux          util-linux                         util-linux         util-linux
xz-utils            xz                                 xz                 xz
zstd                zstd                               zstd               zstd
passt               passt                              passt              passt
pkg-config          pkgconf-pkg-config                 pkgconf            pkgconf
check               check-devel                        check              check-dev
clang               clang                              clang              clang
device-tree-compiler dtc                               dtc                dtc
shellcheck          ShellCheck                         shellcheck         shellcheck
cppcheck            cppcheck                           cppcheck           cppcheck
strace              strace                             strace             strace
procps              procps-ng                          procps-ng          procps-ng
tmux                tmux                               tmux               tmux
flex                flex                               flex               flex
bison               bison                              bison              bison
bc                  bc                                 bc                 bc
libelf-dev          elfutils-libelf-devel              libelf             elfutils-dev
lz4                 lz4                                lz4                lz4
'
os=debian column=1
if [ -r "${OS_RELEASE:-/etc/os-release}" ]; then
	for id in $(sed -n 's/^ID\(_LIKE\)\?=//p' "${OS_RELEASE:-/etc/os-release}" | tr -d '"\047'); do
		[ "$id" != ubuntu ] || id=debian
		[ "$id" != rhel ] || id=fedora
		for n in 1 2 3 4; do
			[ "$(awk -v n=$n '/^debian / { print $n }' <<<"$names")" != "$id" ] || { os=$id column=$n; break 2; }
		done
	done
fi

# How each asks for a package, what it can have, and how it installs.
case $os in
debian) program=dpkg-query install=(apt-get install -y --no-install-recommends)
	present=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "${wanted[@]%\?}" 2>/dev/null |
		sed -n 's/^installed //p' || true) # all at once, as this is asked at each start
	there() { [[ $'\n'$present$'\n' == *$'\n'$1$'\n'* ]]; }
	known() { [ -n "$(apt-cache madison "$1" 2>/dev/null)" ]; } ;;
fedora) program=rpm install=(dnf install -y)
	there() { rpm -q --whatprovides "$1" >/dev/null 2>&1; }
	known() { [ -n "$(dnf -q repoquery --whatprovides "$1" 2>/dev/null)" ]; } ;;
arch) program=pacman install=(pacman -S --needed --noconfirm)
	there() { pacman -Qq "$1" >/dev/null 2>&1; }
	known() { pacman -Si "$1" >/dev/null 2>&1; } ;;
alpine) program=apk install=(apk add)
	there() { apk info -e "$1" >/dev/null 2>&1; }
	known() { [ -n "$(apk search -e "$1" 2>/dev/null)" ]; } ;;
esac
if ! command -v $program >/dev/null; then
	echo "setup.sh: no $program; what Debian calls ${wanted[*]} has to be there" >&2
	exit 0
fi

missing=() optional=()
for package in "${wanted[@]}"; do
	row=${package%\?}
	[ $os = debian ] || row=$(awk -v name="$row" -v n=$column '$1 == name { print $n }' <<<"$names")
	for name in ${row//,/ }; do
		if there "$name"; then :
		elif [[ $package == *\? ]]; then optional+=("$name")
		else missing+=("$name")
		fi
	done
done
choose() { # what is to be installed: of the optional ones those that are to be had
	local name
	packages=("${missing[@]}")
	for name in "${optional[@]}"; do
		! known "$name" || packages+=("$name")
	done
	command="${install[*]} ${packages[*]}"
	[ $os != debian ] || command="apt-get update && $command"
}
choose
[ ${#packages[@]} -gt 0 ] || exit 0

if [ -z "$never" ] && [ "$(id -u)" = 0 ]; then root=()
elif [ -z "$never" ] && sudo -n true 2>/dev/null; then root=(sudo -n)
elif [ -z "$never" ] && [ -t 0 ] && command -v sudo >/dev/null; then root=(sudo)
else
	echo "setup.sh: packages are missing; as root: $command" >&2
	[ ${#missing[@]} -gt 0 ] || exit 0 # none that has to be there
	exit 201
fi
echo "setup.sh: installing ${packages[*]}" >&2
log=$(mktemp)
trap 'rm -f "$log"' EXIT
add() { # PACKAGE...
	local more=()
	[ $os != debian ] || more=(-q -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3)
	"${root[@]}" env DEBIAN_FRONTEND=noninteractive "${install[@]}" "${more[@]}" "$@" >>"$log" 2>&1 </dev/null
}
# One source that cannot be reached does not matter if the packages are found in another.
[ $os != debian ] || "${root[@]}" apt-get -q update >"$log" 2>&1 || true
choose # it may have had no lists before
add "${packages[@]}" && exit
# Perhaps for one that need not be.
[ ${#missing[@]} = 0 ] || add "${missing[@]}" || {
	cat "$log" >&2
	echo "setup.sh: that failed; as root: $command" >&2
	exit 201
}
for name in "${packages[@]:${#missing[@]}}"; do
	add "$name" || echo "setup.sh: $name cannot be installed; what needs it will say so" >&2
done
