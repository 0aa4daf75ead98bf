#!/bin/bash
# build.sh - build a small kernel for guests from Debian's kernel source.
#
#   usage: build.sh [full]        prints the folder; "make guest-kernel" and FULL=1 run this
#
# The folder, kernel-micro or kernel-full in ${XDG_CACHE_HOME:-~/.cache}/lunette, gets vmlinux (an ELF
# file, stripped), bzImage and config. Nothing is done when they come from the same source and the
# same fragments: ARCH.config here, for "full" with full.config behind it. Where there is ccache it is
# used. Some fifteen minutes on two processors, and 2 GB of disk meanwhile.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
top=$here/../..
cache=${XDG_CACHE_HOME:-$HOME/.cache}/lunette
arch=$(uname -m)

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

name=micro fragments=("$here/$arch.config")
case $#:${1-} in
0:) ;;
1:full) name=full fragments+=("$here/full.config") ;;
*) sed -n 's/^#   *usage/usage/p' "$0" >&2; exit 200 ;;
esac
[ -r "${fragments[0]}" ] || fail 201 "no $arch.config: there is no small kernel for this machine yet"
"$top/guest/setup.sh" run kernel

package=$("$top/tests/lab/deb" -d linux-source | grep -m 1 ^linux-source-)
source=$("$top/tests/lab/deb" "$package")
changes=$source/usr/share/doc/$package/changelog.Debian.gz
version=$(zcat "$changes" | sed -n '1s/.*(\(.*\)).*/\1/p')
date=$(zcat "$changes" | awk '/^ -- / && !found++ { sub(/.*>  /, ""); print }')
key=$(cat "${fragments[@]}" <(echo "$version") | sha256sum | cut -c 1-12)
dir=$cache/kernel-$name
"$top/guest/mkinitramfs.sh" base - "$("$top/tests/lab/deb" busybox-static)/bin/busybox" >/dev/null
[ "$(readlink "$dir")" != "kernel-$name-$key" ] || { echo "$dir"; exit; }

exec 9>"$cache/linux.lock"
flock 9
[ "$(readlink "$dir")" != "kernel-$name-$key" ] || { echo "$dir"; exit; } # by the one we waited for
# Always the same folder, date, user and host: ccache then knows the files, and the same source gives
# the same kernel.
work=$cache/linux
rm -rf "$work"
trap 'rm -rf "$work"' EXIT
mkdir "$work"
say "building $name from $package $version; the log is $cache/linux.log"
tar -x -C "$work" --strip-components 1 -f "$source/usr/src/$package.tar.xz"
cc=$(command -v ccache || true)
make=(make -s -C "$work" -j "$(nproc)" CC="${cc:+ccache }gcc" KBUILD_BUILD_USER=lunette
	KBUILD_BUILD_HOST=guest KBUILD_BUILD_TIMESTAMP="$date")
build() {
	wanted "${fragments[@]}" >"$work/fragment"
	"${make[@]}" KCONFIG_ALLCONFIG="$work/fragment" allnoconfig &&
		check "$work/fragment" "$work/.config" && "${make[@]}" vmlinux bzImage
}
(build) </dev/null >"$cache/linux.log" 2>&1 9>&- || {
	tail -n 20 "$cache/linux.log" >&2
	fail 1 "$package $version could not be built"
}

out=$dir-$key
rm -rf "$out"
mkdir "$out"
strip -o "$out/vmlinux" "$work/vmlinux"
cp "$work/arch/$arch/boot/bzImage" "$work/.config" "$out/"
mv "$out/.config" "$out/config"
ln -s "${out##*/}" "$dir.new"
mv -T "$dir.new" "$dir"
find "$cache" -maxdepth 1 -name "kernel-$name-*" ! -name "${out##*/}" -exec rm -rf {} +
say "$name: built in $((SECONDS / 60)) min $((SECONDS % 60)) s, vmlinux $(stat -c %s "$out/vmlinux") bytes"
echo "$dir"
