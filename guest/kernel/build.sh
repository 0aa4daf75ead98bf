#!/bin/bash
# SPDX-License-Identifier: MIT
# build.sh - build a small kernel for guests from Debian's kernel source.
#
#   usage: build.sh [-a ARCH] [-n] [full | debug]   prints the folder
#
# "make guest-kernel", with ARCH=, FULL=1 and DEBUG=1, and "lunette kernel build" run this. Where it has been
# installed with lunette it installs no packages, but says which are missing.
#
# ARCH, as uname -m has it, is this machine's if nothing else is said. The folder, kernel-micro, kernel-full
# or kernel-debug in ${XDG_CACHE_HOME:-~/.cache}/lunette, or for another architecture in ARCH there, gets
# vmlinux, what lunette boots and is not packed: x86_64's is an ELF file, stripped, others' an Image;
# x86_64's bzImage; and config. That of "debug" gets vmlinux.debug, too, the ELF file with all that GDB wants
# to know, and the kernel's commands for GDB: vmlinux-gdb.py, and scripts/gdb. Nothing is done when they come
# from the same source and options: common.config and ARCH.config here, for "full" and "debug" with
# full.config or debug.config behind them. With -n nothing is built in any case: the exit status is 1 when it
# would be. Where there is ccache it is used. Some fifteen minutes on two processors, and 2 GB of disk
# meanwhile.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
top=$here/../..
setup=("$top/guest/setup.sh") deb=$top/tests/lab/deb installed=
[ ! -e "$here/setup.sh" ] || setup=("$here/setup.sh" -n) deb=$here/deb installed=1
cache=${XDG_CACHE_HOME:-$HOME/.cache}/lunette
arch=$(uname -m)
if [ "${1-}" = -a ] && [ $# -gt 1 ]; then
	arch=$2
	shift 2
fi
ask=
[ "${1-}" != -n ] || { ask=1; shift; }

fail() { # STATUS MESSAGE
	echo "guest/kernel: $2" >&2
	exit "$1"
}
say() { echo "guest/kernel: $*" >&2; }

# What the last line about each option wants, as it stands in a .config.
wanted() { # FRAGMENT...
	cat "$@" | awk '
		/^CONFIG_/ { name = $0; sub(/=.*/, "", name) }
		/^# CONFIG_.* is not set$/ { name = $2 }
		name { line[name] = $0; name = "" }
		END { for (name in line) print line[name] }' | sort
}

# Kconfig leaves out, without a word, an option whose own conditions are not met.
check() { # WANTED CONFIG
	local line missing=()
	while read -r line; do
		case $line in
		'# '*) line=${line#\# } && ! grep -q "^${line% is not set}=" "$2" || missing+=("# $line") ;;
		*) grep -qxF "$line" "$2" || missing+=("$line") ;;
		esac
	done <"$1"
	[ ${#missing[@]} = 0 ] || fail 1 "these lines of the fragments have no effect:
$(printf '  %s\n' "${missing[@]}")"
}

name=micro fragments=("$here"/{common,"$arch"}.config)
case $#:${1-} in
0:) ;;
1:full | 1:debug) name=$1 fragments+=("$here/$1.config") ;;
*) sed -n 's/^#   *usage/usage/p' "$0" >&2; exit 200 ;;
esac
[ -r "${fragments[1]}" ] || fail 201 "no $arch.config: there is no small kernel of this architecture yet"
setup+=(kernel) cross=
[ -n "$installed" ] || setup+=(run) # for the initramfs
if [ "$arch" != "$(uname -m)" ]; then
	setup+=("cross-$arch") cross=$arch-linux-gnu- cache=$cache/$arch
fi
mkdir -p "$cache"
[ -n "$ask" ] || "${setup[@]}"
# What Linux calls it, what is built, and of which source: Linux 6.12 knows riscv64's AIA.
suite=bookworm
case $arch in
x86_64) linux_arch=x86_64 files=(arch/x86/boot/bzImage vmlinux) ;;
aarch64) linux_arch=arm64 files=(arch/arm64/boot/Image) ;;
riscv64) linux_arch=riscv files=(arch/riscv/boot/Image) suite=trixie ;;
esac
targets=("${files[@]##*/}")
[ "$name" != debug ] || targets+=(scripts_gdb)

command -v apt-get >/dev/null || fail 201 "Debian's source of the kernel is fetched by apt-get, which is not here"
package=$("$deb" -s $suite -d linux-source | grep -m 1 ^linux-source-) &&
	source=$("$deb" -s $suite "$package") || fail 201 "Debian's source of the kernel cannot be fetched"
changes=$source/usr/share/doc/$package/changelog.Debian.gz
version=$(zcat "$changes" | sed -n '1s/.*(\(.*\)).*/\1/p')
date=$(zcat "$changes" | awk '/^ -- / && !found++ { sub(/.*>  /, ""); print }')
key=$({ wanted "${fragments[@]}"; echo "$version"; } | sha256sum | cut -c 1-12)
dir=$cache/kernel-$name
[ -n "$installed$ask" ] || "$top/guest/mkinitramfs.sh" -a "$arch" base - "$("$top/tests/lab/busybox" "$arch")" >/dev/null
[ "$(readlink "$dir")" != "kernel-$name-$key" ] || { echo "$dir"; exit; }
[ -z "$ask" ] || exit 1

exec 9>"$cache/linux.lock"
flock 9
[ "$(readlink "$dir")" != "kernel-$name-$key" ] || { echo "$dir"; exit; } # by the one we waited for
# Always the same folder, date, user and host: ccache then knows the files, and the same source gives
# the same kernel.
work=$cache/linux out=$dir-$key job=
rm -rf "$work" "$out.new"
trap 'rm -rf "$work" "$out.new"' EXIT
trap '[ -z "$job" ] || { kill -- "-$job" || :; wait "$job" || :; } 2>/dev/null; exit 130' HUP INT TERM
mkdir "$work"
say "building $name from $package $version; the log is $cache/linux.log"
tar -x -C "$work" --strip-components 1 -f "$source/usr/src/$package.tar.xz"
cc=$(command -v ccache || true)
make=(make -s -C "$work" -j "$(nproc)" ARCH="$linux_arch" CROSS_COMPILE="$cross"
	CC="${cc:+ccache }${cross}gcc" KBUILD_BUILD_USER=lunette
	KBUILD_BUILD_HOST=guest KBUILD_BUILD_TIMESTAMP="$date")
build() {
	wanted "${fragments[@]}" >"$work/fragment"
	"${make[@]}" KCONFIG_ALLCONFIG="$work/fragment" allnoconfig &&
		check "$work/fragment" "$work/.config" && "${make[@]}" "${targets[@]}"
}
# In a group of its own, which a signal then ends as a whole.
set -m
(build) </dev/null >"$cache/linux.log" 2>&1 9>&- &
job=$!
set +m
wait "$job" || {
	tail -n 20 "$cache/linux.log" >&2
	fail 1 "$package $version could not be built"
}
job=

mkdir "$out.new"
cp "$work/.config" "$out.new/config"
if [ "$arch" = x86_64 ]; then
	cp "$work/${files[0]}" "$out.new/"
	strip -o "$out.new/vmlinux" "$work/vmlinux"
else cp "$work/${files[0]}" "$out.new/vmlinux"
fi
if [ "$name" = debug ]; then
	mkdir -p "$out.new/scripts/gdb/linux"
	cp "$work/vmlinux" "$out.new/vmlinux.debug"
	cp "$work/scripts/gdb/vmlinux-gdb.py" "$out.new/"
	cp "$work"/scripts/gdb/linux/*.py "$out.new/scripts/gdb/linux/"
fi
rm -rf "$out"
mv -T "$out.new" "$out"
ln -s "${out##*/}" "$dir.new"
mv -T "$dir.new" "$dir"
find "$cache" -maxdepth 1 -name "kernel-$name-*" ! -name "${out##*/}" -exec rm -rf {} +
say "$name: built in $((SECONDS / 60)) min $((SECONDS % 60)) s, vmlinux $(stat -c %s "$out/vmlinux") bytes"
echo "$dir"
