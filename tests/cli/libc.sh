#!/bin/bash
# SPDX-License-Identifier: MIT
# libc.sh - other C libraries, compilers and places of libraries than Debian's: what can be seen of them here.
. "$(dirname "$0")/../vm/lib.sh"
top=$(readlink -f "$tests/../..")

# All sources with musl's headers, and those of the kernel and of libraries, which need no C library. Alpine
# has sys/queue.h in bsd-compat-headers.
test_musl() {
	[ "${EXTENT-}" = all ] || skip 'all sources are compiled: make test-all has it'
	command -v musl-gcc >/dev/null || skip 'no musl-gcc here'
	local name from
	mkdir -p include/sys
	for name in linux asm asm-generic misc video sys/queue.h jansson{,_config}.h liburing{,.h} archive{,_entry}.h \
		zlib.h zconf.h lz4{,frame,hc}.h zstd{,_errors}.h lzma{,.h} blkid libfdt{,_env}.h fdt.h sha2.h; do
		for from in /usr/include "/usr/include/$(uname -m)-linux-gnu"; do
			[ ! -e "$from/$name" ] || ln -s "$from/$name" "include/$name"
		done
	done
	(cd "$top" && find vmm virtio devices guest -name '*.c' ! -path '*/arch/*' &&
		find "vmm/machine/arch/$(uname -m)" -name '*.c') >sources
	[ "$(wc -l <sources)" -gt 150 ] || fail "only $(wc -l <sources) sources"
	# shellcheck disable=SC2016
	xargs -P "$(nproc)" -n 8 sh -c '
		include=$PWD/include
		cd "$0" && musl-gcc -std=c11 -D_GNU_SOURCE -DVERSION="\"0\"" -I. "-Ibuild/$(uname -m)" \
			-idirafter "$include" -Wall -Wextra -Wno-unused-result -Werror -fsyntax-only "$@"' "$top" \
		<sources 2>err || fail "$(cat err)"
}

# Where no archives of libraries are, pkg-config says how they are linked.
test_pkg_config() {
	make -s -C "$top" -Bn lunette ARCHIVES='jansson nonesuch' 2>err | grep -e ' -o build/.*/lunette ' >out
	contains out ' -ljansson .*-larchive'
	! grep -q -- '-l:lib' out || fail 'an archive is linked'
	make -s -C "$top" -Bn lunette 2>err | grep -e ' -o build/.*/lunette ' >out
	contains out ' -l:libjansson.a '
}

run_tests
