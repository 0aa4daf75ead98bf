#!/bin/bash
# SPDX-License-Identifier: MIT
# initramfs.sh - what ../../guest/mkinitramfs.sh keeps in the cache, and what it does not.
. "$(dirname "$0")/../vm/lib.sh"
top=$(readlink -f "$tests/../..")

base() { "$top/guest/mkinitramfs.sh" base - "$PWD/busybox"; } # of a kernel that has all built in
own_cache() {
	local real
	real=$("$top/tests/lab/busybox") || skip 'no busybox for guests'
	cp "$real" busybox
	export XDG_CACHE_HOME=$PWD/cache
	kept=$PWD/cache/lunette
}

test_made_once() {
	own_cache
	file=$(base)
	equal "$(readlink -f "$kept/initramfs.cpio")" "$file"
	cpio -t --quiet <"$file" >list
	contains list '^init$'
	contains list '^usr/bin/busybox$'
	cp "$file" first
	echo mark >>"$file"
	equal "$(base)" "$file" # which is there
	tail -c 5 "$file" | grep -qx mark || fail 'it was made again'
	rm "$file"
	equal "$(base)" "$file"
	cmp "$file" first
	equal "$(ls "$kept")" "$(printf '%s\n' "${file##*/}" initramfs.cpio initramfs.lock)"
}

test_old_ones_go() { # but what has been asked for since, and what "lunette run" has
	own_cache
	mkdir -p "$kept"
	first=$(base)
	touch -d '-25 hours' "$kept"/initramfs-{1,2}.cpio "$kept/initramfs-3.cpio.77-1" "$first"
	touch -d '-23 hours' "$kept/initramfs-4.cpio" "$kept/initramfs-5.cpio.77-1"
	equal "$(base)" "$first"
	equal "$(find "$first" -mmin -60)" "$first"
	equal "$(ls "$kept")" "$(printf '%s\n' "${first##*/}" initramfs-4.cpio initramfs-5.cpio.77-1 \
		initramfs.cpio initramfs.lock | sort)"
	echo more >>busybox # another kind is made, and "lunette run" gets it
	touch -d '-25 hours' "$first"
	second=$(base)
	[ "$second" != "$first" ] && [ ! -e "$first" ] || fail 'the old one is there'
	touch -d '-25 hours' "$second"
	echo more >>busybox
	ln -sfn initramfs-4.cpio "$kept/initramfs.cpio"
	touch -d '-25 hours' "$kept/initramfs-4.cpio"
	base >/dev/null
	[ ! -e "$second" ] && [ ! -e "$kept/initramfs-4.cpio" ] || fail 'old ones are there'
}

test_side_by_side() {
	own_cache
	for i in 1 2 3 4; do base >out.$i & done
	wait
	file=$(sort -u out.?)
	equal "$(ls "$kept")" "$(printf '%s\n' "${file##*/}" initramfs.cpio initramfs.lock)"
	cpio -t --quiet <"$file" >list
	contains list '^init$'
}

run_tests
