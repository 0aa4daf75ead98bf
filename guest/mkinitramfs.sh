#!/bin/bash
# mkinitramfs.sh - make the archives that a guest's kernel unpacks as its first file system.
#
#   usage: mkinitramfs.sh base KERNEL BUSYBOX [MODULE...]
#          mkinitramfs.sh extra OUTPUT [FILE[:DEST]]...
#
# base: busybox, init and the modules (of the folder KERNEL, with those they need), loaded in this
# order by init, but those with a "-" before the name, which wait for a modprobe; without MODULEs
# those of lunette's devices. "-" is a KERNEL with all of that built in. Kept in the cache; prints the
# file's name. The same input gives the same bytes.
#
# extra: an archive to append to a base with cat: files and folders, at the same path or at DEST,
# with the libraries that executables need.
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin
guest=$(dirname "$(readlink -f "$0")")
cache=${XDG_CACHE_HOME:-$HOME/.cache}/lunette
owner=$$-$(stat -Lc %i /proc/self/ns/pid) # as "lunette clean" knows it
tree=$(mktemp -dt "lunette-$owner.XXXXXX")
trap 'rm -rf "$tree"' EXIT

archive() { # the tree, padded so that another one can follow it
	(cd "$tree" && find . -mindepth 1 -exec touch -h -d @0 {} + &&
		find . -mindepth 1 | LC_ALL=C sort |
		cpio --quiet --reproducible -o -H newc -R 0:0)
}

modules() { # KERNEL VERSION MODULE...
	local kernel=$1 version=$2
	shift 2
	insmods() { # in the order in which they have to be loaded
		printf '%s\n' "$@" | xargs -r modprobe -d "$kernel" -S "$version" -a --show-depends |
			sed -n "s,^insmod $kernel\(/[^ ]*\).*,\1,p" | awk '!seen[$0]++'
	}
	insmods "${@#-}" | sed 's,^/,,' | (cd "$kernel" && xargs cp -t "$tree" --parents)
	insmods $(printf '%s\n' "$@" | grep -v ^-) >"$tree/etc/modules"
	cp -t "$tree/lib/modules/$version" "$kernel/lib/modules/$version"/modules.{order,builtin*}
	depmod -b "$tree" "$version"
}

built() { # init: where make leaves it
	local file
	file=$(MAKEFLAGS='' flock "$guest/../Makefile" make -s -C "$guest/.." guest-init 2>"$tree/make") || {
		cat "$tree/make" >&2
		return 1
	}
	rm "$tree/make"
	echo "$file"
}

base() { # KERNEL BUSYBOX [MODULE...]
	local kernel=$1 busybox=$2 version= init sum out applet
	shift 2
	if [ "$kernel" != - ]; then
		[ $# -gt 0 ] || set -- sd_mod -sr_mod sg virtio_scsi pvpanic-mmio virtio_pci virtio_mmio \
			virtio_rng virtio_console -virtio_net -erofs -overlay
		version=$(ls "$kernel/lib/modules")
	fi
	init=$(built init)
	sum=$(cat "$0" "$init" "$busybox" <(echo "$version $*") | cksum)
	out=$cache/initramfs-${sum%% *}.cpio
	if [ ! -e "$out" ]; then
		mkdir -p "$tree"/usr/{bin,sbin,lib,lib64} "$tree"/{dev,proc,sys,tmp,root,run,etc,mnt,var/tmp}
		ln -s usr/bin usr/sbin usr/lib usr/lib64 "$tree" # as Debian has them
		cp "$busybox" "$tree/bin/busybox"
		for applet in $("$busybox" --list); do
			[ "$applet" = busybox ] || ln -s busybox "$tree/bin/$applet"
		done
		cp "$init" "$tree/init"
		[ "$kernel" = - ] || modules "$kernel" "$version" "$@"
		archive >"$out.$owner"
		mv "$out.$owner" "$out"
		find "$cache" -maxdepth 1 -name 'initramfs-*.cpio' -mtime +30 -delete
	fi
	[ "$kernel" != - ] || ln -sfn "${out##*/}" "$cache/initramfs.cpio" # for "lunette run -- ..."
	echo "$out"
}

put() { # FILE DEST, unless it is there
	local dest=$2
	case $dest in /bin/* | /sbin/* | /lib/* | /lib64/*) dest=/usr$dest ;; esac
	mkdir -p "$tree$(dirname "$dest")"
	[ -e "$tree$dest" ] || cp -rL --preserve=mode "$1" "$tree$dest"
}

extra() { # [FILE[:DEST]]...
	local item file dest program library
	for item; do
		file=${item%%:*} dest=${item#*:}
		put "$file" "$(realpath -ms "$dest")"
		find -L "$file" -type f -perm -100 | while read -r program; do
			ldd "$program" 2>/dev/null | grep -o '/[^ ]*' || true
		done | sort -u | while read -r library; do put "$library" "$library"; done
	done
}

what=${1-}
case $what in
base) shift; base "$@" ;;
extra) out=$2; shift 2; extra "$@"; archive >"$out" ;;
*) sed -n 's/^#   *\(usage\|  *mkinit\)/\1/p' "$0" >&2; exit 200 ;;
esac
