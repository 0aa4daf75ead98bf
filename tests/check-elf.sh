#!/bin/sh
# SPDX-License-Identifier: MIT
# check-elf.sh OBJECTS - what the build hardens, as it stands in the files: see harden in the Makefile.
cd "$(dirname "$0")/.." || exit 1
objects=$1
status=0

# holds FILE WHAT COMMAND...: else a line says so
holds() {
	file=$1 what=$2
	shift 2
	"$@" || { echo "elf: $file: NOT $what"; status=1; }
}
# has PATTERN COMMAND...: a line of what it prints matches
has() {
	pattern=$1
	shift
	"$@" 2>/dev/null | grep -qE -e "$pattern"
}
lacks() {
	! has "$@"
}

program() { # FILE
	holds "$1" 'position-independent' has '^ *Type: *DYN ' readelf -hW "$1"
	holds "$1" 'without an executable stack' has 'GNU_STACK.* RW +0x' readelf -lW "$1"
	holds "$1" 'without memory that can be written and executed' lacks 'LOAD.* RWE +0x' readelf -lW "$1"
	holds "$1" 'with relocations that are read-only' has 'GNU_RELRO' readelf -lW "$1"
	holds "$1" 'bound at the start' has '\(FLAGS_1\).* NOW' readelf -dW "$1"
	holds "$1" 'without text relocations' lacks 'TEXTREL' readelf -dW "$1"
	holds "$1" 'without a path of libraries in it' lacks 'R(UN)?PATH' readelf -dW "$1"
}

# Symbols are gone from a stripped program, and archives of libraries have none of these: the objects
# that are ours are asked.
ours() { # NAME FILE...
	name=$1
	shift
	holds "$name" 'with stack protectors' has ' U __stack_chk_fail$' nm "$@"
	holds "$name" 'with checks in string functions' has ' U __[a-z]+_chk$' nm "$@"
	for o; do
		case $(uname -m) in x86_64) holds "$o" 'with landing pads' has 'IBT' readelf -nW "$o" ;; esac
		# Debian's gcc writes down its switches; clang does not.
		! has 'GNU C[0-9]' strings "$o" || holds "$o" 'with stacks that grow page by page' \
			has 'GNU C[0-9].*-fstack-clash-protection' strings "$o"
	done
}

# objects FOLDER...: of the sources that there are; those of sources that have moved may lie beside them
objects() {
	for c in $(find "$@" -name '*.c'); do
		[ ! -f "$objects/${c%.c}.o" ] || echo "$objects/${c%.c}.o"
	done
}

program "$objects/lunette"
program "$objects/guest/init"
[ ! -f "$objects/lunette-static" ] || program "$objects/lunette-static"
holds "$objects/guest/init" 'static' lacks 'INTERP' readelf -lW "$objects/guest/init"
ours lunette $(objects vmm virtio devices)
ours init $(objects guest)
[ $status != 0 ] || echo 'elf: hardened'
exit $status
