#!/bin/bash
# SPDX-License-Identifier: MIT
# clean.sh - "lunette clean" removes what killed runs have left in files, and nothing else.
. "$(dirname "$0")/../vm/lib.sh"
top=$(readlink -f "$tests/../..")
PATH=$top:$PATH
space=$(stat -Lc %i /proc/self/ns/pid)
dead=2000000000 # no process has a number as high as that

clean() {
	TMPDIR=$PWD/tmp XDG_CACHE_HOME=$PWD/cache lunette clean >out 2>err
}

test_usage() {
	status 200 lunette clean all 2>err
}

test_nothing_to_do() {
	status 0 clean
	equal "$(cat out err)" ''
}

test_rests_of_the_dead() {
	mkdir -p tmp/lunette-$dead-$space.abcdef/lib/modules cache/lunette
	ln -s /etc tmp/lunette-$dead-$space.abcdef/etc
	touch tmp/lunette-$dead-$space.abcdef/lib/file cache/lunette/initramfs-1.cpio.$dead-$space
	status 0 clean
	equal "$(sort out)" "removed $PWD/cache/lunette/initramfs-1.cpio.$dead-$space
removed $PWD/tmp/lunette-$dead-$space.abcdef"
	equal "$(find tmp cache -type f; ls tmp)" ''
	[ -d /etc ]
}

# Of the living, of other namespaces, and of whom nothing is known.
test_all_else_stays() {
	mkdir -p tmp cache/lunette
	(
		cd tmp
		mkdir lunette-$$-$space.abcdef lunette-$dead-1.abcdef lunette-$dead-$space.abcdefg \
			lunette-$dead-$space.abcdef.x lunette-$dead-$space xlunette-$dead-$space.abcdef \
			lunette--2-$space.abcdef lunette-0-$space.abcdef
	)
	touch cache/lunette/initramfs-1.cpio cache/lunette/initramfs-1.cpio.$$-$space \
		cache/lunette/x.cpio.$dead-$space tmp/initramfs-1.cpio.$dead-$space
	find tmp cache >before
	status 0 clean
	equal "$(cat out)" ''
	find tmp cache | cmp - before
}

test_what_cannot_be_removed() {
	[ "$(id -u)" != 0 ] || [ -e /proc/sys/kernel/cap_last_cap ] || skip 'needs rights to be lost'
	mkdir -p tmp/lunette-$dead-$space.abcdef/locked/x
	chmod 500 tmp/lunette-$dead-$space.abcdef/locked
	status 201 env -C "$PWD" TMPDIR="$PWD/tmp" setpriv --bounding-set=-all --inh-caps=-all \
		lunette clean >out 2>err
	chmod 700 tmp/lunette-$dead-$space.abcdef/locked
	contains err "lunette-$dead-$space.abcdef/locked/x: cannot be removed|abcdef: cannot be removed"
}

# What run-guest.sh and mkinitramfs.sh leave when they are killed has such a name.
test_names_that_scripts_give() {
	mkdir tmp cache
	mkfifo wait
	printf '#!/bin/sh\nexec cat <%s/wait\n' "$PWD" >busybox
	chmod +x busybox
	TMPDIR=$PWD/tmp XDG_CACHE_HOME=$PWD/cache "$top/guest/mkinitramfs.sh" base - ./busybox >said 2>&1 &
	pid=$!
	trap 'kill -9 $pid 2>/dev/null || true' EXIT
	until_true 60 eval '[ -e tmp/lunette-$pid-$space.* ]'
	status 0 clean
	equal "$(cat out)" ''
	kill -9 $pid
	wait $pid 2>/dev/null || true
	timeout 1 sh -c ': >wait' || true # whoever reads it ends
	status 0 clean
	contains out "^removed $PWD/tmp/lunette-$pid-$space\."
}

run_tests
