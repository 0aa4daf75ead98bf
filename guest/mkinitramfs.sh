#!/bin/bash
# SPDX-License-Identifier: MIT
# mkinitramfs.sh - make the archives that a guest's kernel unpacks as its first file system.
#
#   usage: mkinitramfs.sh [-a ARCH] base KERNEL BUSYBOX [MODULE...]
#          mkinitramfs.sh [-a ARCH] [-r ROOT]... extra OUTPUT [FILE[:DEST]]...
#
# ARCH, as uname -m has it, is this machine's if nothing else is said.
#
# base: busybox, init and the modules (of KERNEL, a folder with lib/modules/VERSION, or that folder
# itself; with those they need), loaded in this order by init, but those with a "-" before the name,
# which wait for a modprobe, and without those with a "?" behind it that KERNEL has not; without MODULEs
# those of lunette's devices and of file systems. "-" is a KERNEL with all of
# that built in. Kept in the cache, until nobody has asked for it for a day; prints the file's name. The
# same input gives the same bytes.
#
# extra: an archive to append to a base with cat: files and folders, at the same path or at DEST,
# with the libraries that executables need; those of another ARCH are looked for in ROOTs, folders with
# its programs and libraries, and then in what lunette is built with.
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin
guest=$(dirname "$(readlink -f "$0")")
cache=${XDG_CACHE_HOME:-$HOME/.cache}/lunette
owner=$$-$(stat -Lc %i /proc/self/ns/pid) # as "lunette clean" knows it
arch=$(uname -m) roots=()
while getopts a:r: o; do
	case $o in
	a) arch=$OPTARG ;;
	r) roots+=("$OPTARG") ;;
	*) exit 200 ;;
	esac
done
shift $((OPTIND - 1))
tree=$(mktemp -dt "lunette-$owner.XXXXXX")
index=
trap 'rm -rf "$tree" $index' EXIT

archive() { # the tree, padded so that another one can follow it
	(cd "$tree" && find . -mindepth 1 -exec touch -h -d @0 {} + &&
		find . -mindepth 1 | LC_ALL=C sort |
		cpio --quiet --reproducible -o -H newc -R 0:0)
}

# The modules of a package that was unpacked and not installed have no index yet; it gets none, either.
make_index() { # sets $kernel to a folder that has one, beside the same modules
	local from=$kernel/lib/modules/$version
	index=$(mktemp -dt "lunette-$owner.XXXXXX")
	mkdir -p "$index/lib/modules/$version"
	ln -s "$(realpath "$from")"/* "$index/lib/modules/$version"
	depmod -b "$index" "$version"
	kernel=$index
}

known() { # MODULE...: those that this kernel has; what a guest misses it will say
	local module
	for module; do
		! modprobe -q -d "${kernel:-/}" -S "$version" --show-depends "${module#-}" >/dev/null ||
			echo "$module"
	done
}

insmods() { # MODULE...: the files below $kernel in the order in which they have to be loaded
	printf '%s\n' "$@" | xargs -r modprobe -d "${kernel:-/}" -S "$version" -a --show-depends |
		sed -n "s,^insmod $kernel/*\([^ ]*\).*,\1,p" | awk '!seen[$0]++'
}

modules() { # MODULE...
	insmods "${@#-}" | (cd "${kernel:-/}" && xargs cp -t "$tree" --parents)
	insmods $(printf '%s\n' "$@" | grep -v ^-) | sed 's,^,/,; s/\.\(gz\|xz\|zst\)$//' >"$tree/etc/modules"
	# As busybox's modprobe does not know every packing, and as it takes the guest time.
	find "$tree/lib/modules" -name '*.ko.gz' -exec gzip -d {} + \
		-o -name '*.ko.xz' -exec xz -d {} + -o -name '*.ko.zst' -exec zstd -qd --rm {} +
	cp -t "$tree/lib/modules/$version" "$kernel/lib/modules/$version"/modules.{order,builtin*}
	depmod -b "$tree" "$version"
	with_soft_ones
}

# busybox's modprobe loads what modules.dep has, where soft dependencies, as of libcrc32c on crc32c, are
# not. So they are written there, too.
with_soft_ones() {
	local dir=$tree/lib/modules/$version file line
	find "$dir" -name '*.ko' -printf '%P\n' | LC_ALL=C sort | while read -r file; do
		line=$(modprobe -d "$tree" -S "$version" --show-depends "$(basename "$file" .ko)" |
			sed -n "s,^insmod $dir/\([^ ]*\).*,\1,p" | tac | tail -n +2 | tr '\n' ' ')
		echo "$file: $line"
	done >"$tree/dep"
	mv "$tree/dep" "$dir/modules.dep"
}

built() { # init: where make leaves it
	local file
	file=$(MAKEFLAGS='' flock "$guest/../Makefile" make -s -C "$guest/.." "ARCH=$arch" guest-init 2>"$tree/make") || {
		cat "$tree/make" >&2
		return 1
	}
	rm "$tree/make"
	echo "$file"
}

# Each change of init's makes new ones of all kinds. What has been asked for lately is in use, perhaps by a guest
# that is about to start, and so is what "lunette run" has.
forget() {
	find "$cache" -maxdepth 1 -name 'initramfs-*.cpio*' -mmin +1440 \
		! -name "$(readlink "$cache/initramfs.cpio")" -delete
}

base() { # KERNEL [MODULE...]
	local kernel=$1 busybox=$2 version= init sum out applet pvpanic
	shift 2
	if [ "$kernel" != - ]; then
		case $kernel in
		*/lib/modules/*) version=${kernel##*/} kernel=${kernel%/lib/modules/*} ;;
		*) version=$(ls "$kernel/lib/modules") ;;
		esac
		[ -e "$kernel/lib/modules/$version/modules.dep" ] || make_index
		set -- $(for module; do
			case $module in *\?) known "${module%\?}" ;; *) echo "$module" ;; esac
		done)
		case $arch in x86_64) pvpanic='pvpanic-mmio' ;; *) pvpanic='pvpanic-pci' ;; esac
		[ $# -gt 0 ] || set -- $(known sd_mod -sr_mod sg virtio_scsi "$pvpanic" virtio_pci \
			virtio_mmio virtio_rng virtio_console -virtio_blk -virtio_net -erofs -overlay -virtiofs \
			-vmw_vsock_virtio_transport -virtio_balloon ext4)
	fi
	init=$(built init)
	sum=$(cat "$0" "$init" "$busybox" <(echo "$version $*"; [ "$kernel" = - ] ||
		insmods "${@#-}" | (cd "${kernel:-/}" && xargs -r stat -c '%n %s %Y')) | cksum)
	mkdir -p "$cache"
	exec 9>>"$cache/initramfs.lock"
	flock 9
	out=$cache/initramfs-${sum%% *}.cpio
	if [ -e "$out" ]; then [ -z "$(find -L "$out" -mmin +60)" ] || touch "$out"
	else
		mkdir -p "$tree"/usr/{bin,sbin,lib,lib64} "$tree"/{dev,proc,sys,tmp,root,run,etc,mnt,var/tmp}
		ln -s usr/bin usr/sbin usr/lib usr/lib64 "$tree" # as Debian has them
		cp "$busybox" "$tree/bin/busybox"
		for applet in $("$busybox" --list 2>/dev/null || "$("$guest/../tests/lab/busybox")" --list); do
			[ "$applet" = busybox ] || ln -s busybox "$tree/bin/$applet"
		done
		cp "$init" "$tree/init"
		[ "$kernel" = - ] || modules "$@"
		archive >"$out.$owner"
		mv "$out.$owner" "$out"
	fi
	[ -n "$version" ] || [ "$arch" != "$(uname -m)" ] ||
		ln -sfn "${out##*/}" "$cache/initramfs.cpio" # for "lunette run -- ..."
	forget
	echo "$out"
}

put() { # FILE DEST, unless it is there
	local dest=$2
	case $dest in /bin/* | /sbin/* | /lib/* | /lib64/*) dest=/usr$dest ;; esac
	mkdir -p "$tree$(dirname "$dest")"
	[ -e "$tree$dest" ] || cp -rL --preserve=mode "$1" "$tree$dest"
}

# What ldd does for programs of this machine's: FILE DEST, a line for each library, and for the loader.
libraries() { # PROGRAM
	if [ "$arch" = "$(uname -m)" ]; then
		ldd "$1" 2>/dev/null | sed -n 's,^\t\(.* => \)\{0\,1\}\(/[^ ]*\) (0x.*,\2 \2,p' || true
	else needed "$1"
	fi
}
declare -A found=() # by needed()
needed() { # PROGRAM-OR-LIBRARY
	local text names name dir root at
	text=$(readelf -Wld "$1" 2>/dev/null) || true
	names=$(sed -n 's,.*program interpreter: \(.*\)\],\1,p' <<<"$text")
	for dir in "/lib/$arch-linux-gnu" $(sed -n 's,.*(RUNPATH).*\[\(.*\)\],\1,p' <<<"$text" | tr : ' '); do
		names+=$(sed -n "s,.*(NEEDED).*\[\(.*\)\], ${dir#/usr}/\1,p" <<<"$text")
	done
	for name in $names; do
		for root in "${roots[@]}"; do
			at=$root/usr$name
			[ -z "${found[$name]-}" ] && [ -e "$at" ] || continue
			found[$name]=1
			echo "$at $name"
			needed "$at"
		done
	done
}

extra() { # [FILE[:DEST]]...
	local item file dest program library
	[ "$arch" = "$(uname -m)" ] || roots+=("$("$guest/../tests/lab/sysroot" "$arch")")
	for item; do
		file=${item%%:*} dest=${item#*:}
		put "$file" "$(realpath -ms "$dest")"
		find -L "$file" -type f -perm -100 | while read -r program; do
			libraries "$program"
		done | sort -u | while read -r library dest; do put "$library" "$dest"; done
	done
}

what=${1-}
case $what in
base) shift; base "$@" ;;
extra) out=$2; shift 2; extra "$@"; archive >"$out" ;;
*) sed -n 's/^#   *\(usage\|  *mkinit\)/\1/p' "$0" >&2; exit 200 ;;
esac
